//! Patches, gradients and outputs to and from their N² points, tile by tile.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use super::epilogue::Epilogue;
use super::transforms::Tile;
use crate::cpu::tile::{load, store};
use pulp::Simd;
use std::ops::Range;

/// A patch of an image, of which pixels outside of `rows` and `columns` are zero.
pub(super) struct Patch {
    /// Where its first pixel is, or would be.
    pub at: *const f32,
    /// Numbers from row to row.
    pub row: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// A patch as `[N²][channels]`, `matrix` numbers from one of the N² to the next; `EDGE` where not all of it is inside.
///
/// # Safety
/// The pixels inside can be read, and `channels` numbers written at each multiple of `matrix`.
#[inline(always)]
pub(super) unsafe fn transform_patch<S: Simd, T: Tile<M, N>, const M: usize, const N: usize, const EDGE: bool>(
    simd: S,
    patch: &Patch,
    channels: usize,
    to: *mut f32,
    matrix: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for c in (0..channels).step_by(S::F32_LANES) {
        let mut rows = [[zero; N]; N];
        for x in 0..N {
            let mut column = [zero; N];
            for y in 0..N {
                if !EDGE || patch.rows.contains(&y) && patch.columns.contains(&x) {
                    // SAFETY: the caller's.
                    column[y] = unsafe { load::<S>(patch.at.wrapping_add(y * patch.row + x * channels + c)) };
                }
            }
            let column = T::patch(simd, column);
            for y in 0..N {
                rows[y][x] = column[y];
            }
        }
        for (y, row) in rows.into_iter().enumerate() {
            for (x, value) in T::patch(simd, row).into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { store::<S>(to.add((N * y + x) * matrix + c), value) };
            }
        }
    }
}

/// The M×M gradients at `at` of `source` as `[N²][tiles][channels]`.
///
/// # Safety
/// M×M pixels of `channels` numbers can be read at each offset, `N² · matrix` numbers written at `spread`.
#[inline(always)]
pub(super) unsafe fn spread_gradients<S: Simd, T: Tile<M, N>, const M: usize, const N: usize>(
    simd: S,
    at: &[u32],
    row: usize,
    channels: usize,
    source: *const f32,
    spread: *mut f32,
    matrix: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for (tile, &at) in at.iter().enumerate() {
        for c in (0..channels).step_by(S::F32_LANES) {
            let mut rows = [[zero; M]; N];
            for x in 0..M {
                let mut column = [zero; M];
                for y in 0..M {
                    // SAFETY: the caller's.
                    column[y] = unsafe { load::<S>(source.add(at as usize + y * row + x * channels + c)) };
                }
                let column = T::spread(simd, column);
                for y in 0..N {
                    rows[y][x] = column[y];
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, value) in T::spread(simd, row).into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe { store::<S>(spread.add((N * y + x) * matrix + tile * channels + c), value) };
                }
            }
        }
    }
}

/// The tiles of M×M outputs from `[N²][tiles][channels]` products, through `epilogue` to `at` of `target`.
///
/// # Safety
/// M×M pixels of `channels` numbers can be read and written at each offset, `N² · matrix` numbers read at `products`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn gather<S: Simd, T: Tile<M, N>, E: Epilogue, const M: usize, const N: usize>(
    simd: S,
    at: &[u32],
    row: usize,
    channels: usize,
    products: *const f32,
    matrix: usize,
    target: *mut f32,
    epilogue: E,
) {
    let zero = simd.splat_f32s(0.0);
    for (tile, &at) in at.iter().enumerate() {
        for c in (0..channels).step_by(S::F32_LANES) {
            let k = epilogue.channels(simd, c);
            let mut rows = [[zero; N]; M];
            for x in 0..N {
                let mut column = [zero; N];
                for y in 0..N {
                    // SAFETY: the caller's.
                    column[y] = unsafe { load::<S>(products.add((N * y + x) * matrix + tile * channels + c)) };
                }
                let column = T::outputs(simd, column);
                for y in 0..M {
                    rows[y][x] = column[y];
                }
            }
            for (y, values) in rows.into_iter().enumerate() {
                for (x, value) in T::outputs(simd, values).into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe {
                        let offset = at as usize + y * row + x * channels + c;
                        store::<S>(target.add(offset), epilogue.apply(simd, k, value, target, offset));
                    }
                }
            }
        }
    }
}
