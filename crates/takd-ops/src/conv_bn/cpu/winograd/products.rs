//! The matrix products of N² points.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use crate::conv_bn::cpu::tile::{outer_sums, with_large_tile, with_outer_tile};
use crate::cpu::{load, run, store};
use pulp::{Arch, Simd, WithSimd};

/// Whole register tiles of [`multiply`] of any kind are multiples of this.
pub(super) const ROUND: usize = 24;

/// The sizes of the matrices.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// N², how many matrices there are.
    pub points: usize,
    pub tiles: usize,
    /// c_from and c_to.
    pub channels: [usize; 2],
    /// How many channels of c_to are worked on at once.
    pub block: usize,
    /// Numbers from one matrix of c_from channels to the next, and of c_to channels.
    pub steps: [usize; 2],
}

/// `products[point] = patches[point] · kernels[point]`.
///
/// # Safety
/// `points` matrices of patches and of products have room for `tiles`, rounded up to [`ROUND`]; `packed` is whole.
pub(super) unsafe fn multiply(arch: Arch, sizes: Sizes, patches: *const f32, packed: *const f32, products: *mut f32) {
    run(arch, Multiply { sizes, patches, packed, products });
}

/// Made by [`multiply`] only, whose caller promises that its pointers can be followed.
struct Multiply {
    sizes: Sizes,
    patches: *const f32,
    packed: *const f32,
    products: *mut f32,
}

impl WithSimd for Multiply {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: as `multiply`'s caller promises.
        unsafe { with_large_tile!(S, self.sizes.block, multiply_tiles(simd, self)) }
    }
}

/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_tiles<S: Simd, const MR: usize, const NV: usize>(simd: S, of: Multiply) {
    // If the compiler knows the distance of the rows it needs one pointer for all of them, which counts if the sums are
    // short.
    // SAFETY: the caller's.
    unsafe {
        match of.sizes.channels[0] {
            16 => multiply_deep::<S, MR, NV, 16>(simd, of),
            32 => multiply_deep::<S, MR, NV, 32>(simd, of),
            64 => multiply_deep::<S, MR, NV, 64>(simd, of),
            _ => multiply_deep::<S, MR, NV, 0>(simd, of),
        }
    }
}

/// The same over `DEPTH` channels, or any number of them if it is 0.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_deep<S: Simd, const MR: usize, const NV: usize, const DEPTH: usize>(
    simd: S,
    Multiply { sizes, patches, packed, products }: Multiply,
) {
    const { assert!(ROUND.is_multiple_of(MR)) };
    let Sizes { points, tiles, channels: [c_from, c_to], steps, .. } = sizes;
    let depth = if DEPTH == 0 { c_from } else { DEPTH };
    let block = NV * S::F32_LANES;
    for point in 0..points {
        let patches = patches.wrapping_add(point * steps[0]);
        let products = products.wrapping_add(point * steps[1]);
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

/// `sums[point] += patches[point]ᵀ · spread[point]`; `rows` are the offsets of the tiles' rows in each.
///
/// # Safety
/// The matrices hold as many tiles as there are rows, and [`SLACK`](crate::conv_bn::cpu::tile::SLACK) numbers more; `sums` is
/// whole.
pub(super) unsafe fn outer_products(
    arch: Arch,
    sizes: Sizes,
    rows: [&[u32]; 2],
    patches: *const f32,
    spread: *const f32,
    sums: *mut f32,
) {
    run(arch, OuterProducts { sizes, rows, patches, spread, sums });
}

/// Made by [`outer_products`] only, whose caller promises that its pointers can be followed.
struct OuterProducts<'a> {
    sizes: Sizes,
    rows: [&'a [u32]; 2],
    patches: *const f32,
    spread: *const f32,
    sums: *mut f32,
}

impl WithSimd for OuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c_from = self.sizes.channels[0];
        // SAFETY: as `outer_products`' caller promises.
        unsafe { with_outer_tile!(S, self.sizes.block, c_from, outer_tiles(simd, self)) }
    }
}

/// # Safety
/// As for [`outer_products`].
#[inline(always)]
unsafe fn outer_tiles<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    OuterProducts { sizes, rows: [x_at, y_at], patches, spread, sums }: OuterProducts,
) {
    let Sizes { points, channels: [c_from, c_to], steps, .. } = sizes;
    for point in 0..points {
        for first in (0..c_to).step_by(NV * S::F32_LANES) {
            for row in (0..c_from).step_by(MR) {
                // SAFETY: whole tiles of channels except for the last rows, whose reads past `c_from` end in the line after
                // the matrix at the latest, and of which nothing is written.
                unsafe {
                    outer_sums::<S, MR, NV>(
                        simd,
                        patches.add(point * steps[0] + row),
                        x_at,
                        spread.add(point * steps[1] + first),
                        y_at,
                        sums.add((point * c_from + row) * c_to + first),
                        c_to,
                        c_from - row,
                    );
                }
            }
        }
    }
}
