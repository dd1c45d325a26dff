//! The matrix products of N² points.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use super::{ROUND, Winograd};
use crate::cpu::tile::{load, outer_sums, store};
use pulp::Simd;

/// The N² matrix products.
///
/// # Safety
/// `points` matrices of patches and of products have room for `tiles`, rounded up to [`ROUND`]; `packed` is whole.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    points: usize,
    tiles: usize,
    channels: [usize; 2],
    matrices: [usize; 2],
    patches: *const f32,
    packed: *const f32,
    products: *mut f32,
) {
    // Where the compiler knows the distance of the rows it needs one pointer for all of them, which counts where the
    // sums are short.
    // SAFETY: the caller's.
    unsafe {
        match channels[0] {
            16 => multiply_deep::<S, MR, NV, 16>(simd, points, tiles, channels, matrices, patches, packed, products),
            32 => multiply_deep::<S, MR, NV, 32>(simd, points, tiles, channels, matrices, patches, packed, products),
            64 => multiply_deep::<S, MR, NV, 64>(simd, points, tiles, channels, matrices, patches, packed, products),
            _ => multiply_deep::<S, MR, NV, 0>(simd, points, tiles, channels, matrices, patches, packed, products),
        }
    }
}

/// The same over `DEPTH` channels, or any number of them where it is 0.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn multiply_deep<S: Simd, const MR: usize, const NV: usize, const DEPTH: usize>(
    simd: S,
    points: usize,
    tiles: usize,
    [c_from, c_to]: [usize; 2],
    matrices: [usize; 2],
    patches: *const f32,
    packed: *const f32,
    products: *mut f32,
) {
    const { assert!(ROUND.is_multiple_of(MR)) };
    let depth = if DEPTH == 0 { c_from } else { DEPTH };
    let block = NV * S::F32_LANES;
    for point in 0..points {
        let patches = patches.wrapping_add(point * matrices[0]);
        let products = products.wrapping_add(point * matrices[1]);
        for first in (0..c_to).step_by(block) {
            let kernels = packed.wrapping_add((first * points + point * block) * depth);
            // The last rows may be of no tile: the matrices have room for whole register tiles.
            for tile in (0..tiles).step_by(MR) {
                let rows = patches.wrapping_add(tile * depth);
                let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
                for k in 0..depth {
                    let mut kernel = [simd.splat_f32s(0.0); NV];
                    for v in 0..NV {
                        // SAFETY: the packed kernels of this point and block, whole.
                        kernel[v] = unsafe { load::<S>(kernels.add(k * block + v * S::F32_LANES)) };
                    }
                    for i in 0..MR {
                        // SAFETY: a row of the patches, which has room for whole register tiles.
                        let x = simd.splat_f32s(unsafe { *rows.add(i * depth + k) });
                        for v in 0..NV {
                            sums[i][v] = simd.mul_add_e_f32s(x, kernel[v], sums[i][v]);
                        }
                    }
                }
                for (i, sums) in sums.into_iter().enumerate() {
                    for (v, sum) in sums.into_iter().enumerate() {
                        let at = products.wrapping_add((tile + i) * c_to + first + v * S::F32_LANES);
                        // SAFETY: a whole block of channels.
                        unsafe { store::<S>(at, sum) };
                    }
                }
            }
        }
    }
}

/// `sums[point] += patches[point]ᵀ · spread[point]`.
///
/// # Safety
/// The matrices hold `tiles`, and [`SLACK`] numbers more; `sums` is whole.
#[inline(always)]
pub(super) unsafe fn outer_products<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    winograd: &Winograd,
    tiles: usize,
    matrices: [usize; 2],
    patches: *const f32,
    spread: *const f32,
    sums: *mut f32,
) {
    let [c_in, c_out] = winograd.channels;
    let (x_at, y_at) = (&winograd.rows[0][..tiles], &winograd.rows[1][..tiles]);
    for point in 0..winograd.points() {
        for first in (0..c_out).step_by(NV * S::F32_LANES) {
            for row in (0..c_in).step_by(MR) {
                // SAFETY: whole tiles of channels but for the last rows, whose reads past `c_in` end in the line after
                // the matrix at the latest, and of which nothing is written.
                unsafe {
                    outer_sums::<S, MR, NV>(
                        simd,
                        patches.add(point * matrices[0] + row),
                        x_at,
                        spread.add(point * matrices[1] + first),
                        y_at,
                        sums.add((point * c_in + row) * c_out + first),
                        c_out,
                        c_in - row,
                    );
                }
            }
        }
    }
}
