//! Patches, gradients and outputs to and from their N² points, tile by tile.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use super::transforms::Tile;
use crate::conv_bn::cpu::epilogue::Epilogue;
use crate::cpu::{load, run, store};
use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;
use std::ops::Range;

/// Where tiles are.
#[derive(Debug)]
pub(in crate::conv_bn::cpu) struct Tiles {
    /// Offset of each tile's first number, group by group.
    pub(super) at: Vec<u32>,
    /// Numbers from row to row.
    pub(super) row: usize,
}

impl Tiles {
    /// Every `size`th pixel of every `size`th row of a table of pixels in rows of `width`; in memory `row` numbers apart.
    pub(in crate::conv_bn::cpu) fn of(pixels: &[u32], size: usize, width: usize, row: usize) -> Self {
        let rows = pixels.chunks_exact(size * width);
        Self { at: rows.flat_map(|rows| rows[..width].iter().step_by(size).copied()).collect(), row }
    }
}

/// An image without the zeros around it.
#[derive(Clone, Copy)]
pub(in crate::conv_bn::cpu) struct Image {
    pub height: usize,
    pub width: usize,
    /// Rows and columns of those zeros.
    pub padding: usize,
}

/// The images that patches are taken of: in padded copies, or as they are.
#[derive(Clone, Copy)]
pub(in crate::conv_bn::cpu) enum Source {
    Padded(*const f32),
    Plain(*const f32, Image),
}

/// Tiles that are worked on together.
#[derive(Clone, Copy)]
pub(super) struct TileGroup<'a> {
    /// The number of the first.
    pub first: usize,
    /// Where the patches of all tiles are in padded copies.
    pub from: &'a Tiles,
    /// Where these tiles' outputs or gradients are, and numbers from row to row there.
    pub to: &'a [u32],
    pub to_row: usize,
    /// Tiles of one image, and from left to right.
    pub tiles: usize,
    pub columns: usize,
    /// Channels of the patches, and of the outputs or gradients.
    pub channels: [usize; 2],
}

/// The patches of some tiles as `[N²][tiles][channels]`, `matrix` numbers from one of the N² to the next.
///
/// # Safety
/// The images of these tiles can be read at `source`, `N² · matrix` numbers written at `patches`.
pub(super) unsafe fn transform_patches<T: Tile<M, N>, const M: usize, const N: usize>(
    arch: Arch,
    group: TileGroup,
    source: Source,
    patches: *mut f32,
    matrix: usize,
) {
    run(arch, TransformPatches::<T, M, N> { group, source, patches, matrix, tile: PhantomData });
}

/// Made by [`transform_patches`] only, whose caller promises that its pointers can be followed.
struct TransformPatches<'a, T, const M: usize, const N: usize> {
    group: TileGroup<'a>,
    source: Source,
    patches: *mut f32,
    matrix: usize,
    tile: PhantomData<T>,
}

impl<T: Tile<M, N>, const M: usize, const N: usize> WithSimd for TransformPatches<'_, T, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { group, source, patches, matrix, .. } = self;
        let c = group.channels[0];
        for i in 0..group.to.len() {
            let tile = group.first + i;
            let to = patches.wrapping_add(i * c);
            let (at, row) = match source {
                Source::Padded(source) => (source.wrapping_add(group.from.at[tile] as usize), group.from.row),
                Source::Plain(source, Image { height, width, padding }) => {
                    let (image, place) = (tile / group.tiles, tile % group.tiles);
                    let (y, x) = (place / group.columns * M, place % group.columns * M);
                    let inside = |start: usize, size: usize| {
                        padding.saturating_sub(start)..N.min((size + padding).saturating_sub(start))
                    };
                    let (rows, columns) = (inside(y, height), inside(x, width));
                    let pixel = ((image * height + y) * width + x) * c;
                    let at = source.wrapping_add(pixel).wrapping_sub((padding * width + padding) * c);
                    if rows.len() < N || columns.len() < N {
                        let patch = Patch { at, row: width * c, rows, columns };
                        // SAFETY: as `transform_patches`' caller promises; only pixels of the image are read.
                        unsafe { transform_patch::<S, T, M, N, true>(simd, &patch, c, to, matrix) };
                        continue;
                    }
                    (at, width * c)
                }
            };
            let patch = Patch { at, row, rows: 0..N, columns: 0..N };
            // SAFETY: as `transform_patches`' caller promises.
            unsafe { transform_patch::<S, T, M, N, false>(simd, &patch, c, to, matrix) };
        }
    }
}

/// A patch of an image, of which pixels outside of `rows` and `columns` are zero.
struct Patch {
    /// Where its first pixel is, or would be.
    at: *const f32,
    /// Numbers from row to row.
    row: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// A patch as `[N²][channels]`, `matrix` numbers from one of the N² to the next; `EDGE` if not all of it is inside.
///
/// # Safety
/// The pixels inside can be read, and `channels` numbers written at each multiple of `matrix`.
#[inline(always)]
unsafe fn transform_patch<S: Simd, T: Tile<M, N>, const M: usize, const N: usize, const EDGE: bool>(
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

/// The M×M gradients of some tiles as `[N²][tiles][channels]`, `matrix` numbers from one of the N² to the next.
///
/// # Safety
/// M×M pixels of `source` can be read at each tile's offset, `N² · matrix` numbers written at `spread`.
pub(super) unsafe fn spread_gradients<T: Tile<M, N>, const M: usize, const N: usize>(
    arch: Arch,
    group: TileGroup,
    source: *const f32,
    spread: *mut f32,
    matrix: usize,
) {
    run(arch, SpreadGradients::<T, M, N> { group, source, spread, matrix, tile: PhantomData });
}

/// Made by [`spread_gradients`] only, whose caller promises that its pointers can be followed.
struct SpreadGradients<'a, T, const M: usize, const N: usize> {
    group: TileGroup<'a>,
    source: *const f32,
    spread: *mut f32,
    matrix: usize,
    tile: PhantomData<T>,
}

impl<T: Tile<M, N>, const M: usize, const N: usize> WithSimd for SpreadGradients<'_, T, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { group: TileGroup { to, to_row: row, channels: [_, channels], .. }, source, spread, matrix, .. } =
            self;
        let zero = simd.splat_f32s(0.0);
        for (tile, &at) in to.iter().enumerate() {
            for c in (0..channels).step_by(S::F32_LANES) {
                let mut rows = [[zero; M]; N];
                for x in 0..M {
                    let mut column = [zero; M];
                    for y in 0..M {
                        // SAFETY: as `spread_gradients`' caller promises.
                        column[y] = unsafe { load::<S>(source.add(at as usize + y * row + x * channels + c)) };
                    }
                    let column = T::spread(simd, column);
                    for y in 0..N {
                        rows[y][x] = column[y];
                    }
                }
                for (y, row) in rows.into_iter().enumerate() {
                    for (x, value) in T::spread(simd, row).into_iter().enumerate() {
                        // SAFETY: as `spread_gradients`' caller promises.
                        unsafe { store::<S>(spread.add((N * y + x) * matrix + tile * channels + c), value) };
                    }
                }
            }
        }
    }
}

/// The tiles of M×M outputs from `[N²][tiles][channels]` products, through `epilogue` into `target`; `matrix` numbers from
/// one of the N² to the next.
///
/// # Safety
/// M×M pixels of `target` can be read and written at each tile's offset, `N² · matrix` numbers read at `products`.
pub(super) unsafe fn gather<T: Tile<M, N>, const M: usize, const N: usize>(
    arch: Arch,
    group: TileGroup,
    products: *const f32,
    matrix: usize,
    target: *mut f32,
    epilogue: impl Epilogue,
) {
    run(arch, Gather::<_, T, M, N> { group, products, matrix, target, epilogue, tile: PhantomData });
}

/// Made by [`gather`] only, whose caller promises that its pointers can be followed.
struct Gather<'a, E, T, const M: usize, const N: usize> {
    group: TileGroup<'a>,
    products: *const f32,
    matrix: usize,
    target: *mut f32,
    epilogue: E,
    tile: PhantomData<T>,
}

impl<E: Epilogue, T: Tile<M, N>, const M: usize, const N: usize> WithSimd for Gather<'_, E, T, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { group, products, matrix, target, epilogue, .. } = self;
        let TileGroup { to, to_row: row, channels: [_, channels], .. } = group;
        let zero = simd.splat_f32s(0.0);
        for (tile, &at) in to.iter().enumerate() {
            for c in (0..channels).step_by(S::F32_LANES) {
                let k = epilogue.channels(simd, c);
                let mut rows = [[zero; N]; M];
                for x in 0..N {
                    let mut column = [zero; N];
                    for y in 0..N {
                        // SAFETY: as `gather`'s caller promises.
                        column[y] = unsafe { load::<S>(products.add((N * y + x) * matrix + tile * channels + c)) };
                    }
                    let column = T::outputs(simd, column);
                    for y in 0..M {
                        rows[y][x] = column[y];
                    }
                }
                for (y, values) in rows.into_iter().enumerate() {
                    for (x, value) in T::outputs(simd, values).into_iter().enumerate() {
                        // SAFETY: as `gather`'s caller promises.
                        unsafe {
                            let offset = at as usize + y * row + x * channels + c;
                            store::<S>(target.add(offset), epilogue.apply(simd, k, value, target, offset));
                        }
                    }
                }
            }
        }
    }
}
