//! 3×3 convolutions of stride 1 with fewer multiplications: Winograd's F(2×2, 3×3) and F(4×4, 3×3) (Lavin and Gray 2016,
//! arXiv 1509.09308), 16 for four outputs and 36 for sixteen instead of 36 and 144.
//!
//! A tile is M×M outputs; the N×N patch of inputs under it, `N = M + 2`, and the 3×3 kernel are transformed, and of the
//! N² numbers each is a matrix product over the channels of its own:
//!
//! ```text
//! patches [N²][tiles][c_from] · kernels [N²][c_from][c_to] = products [N²][tiles][c_to]  ──▶ tiles of M×M outputs
//! ```
//!
//! The gradient of the input is the same with the kernel turned around. That of the weights is the transposed of these
//! maps: patches and spread gradients `[N²][tiles][c_out]` give `[N²][c_in][c_out]`.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

mod epilogue;
mod products;
mod tiles;
mod transforms;

use super::buffer::Buffer;
use super::tile::{SLACK, with_large_tile, with_outer_tile};
pub(crate) use epilogue::{AddTo, Epilogue, Mapped, Store};
use products::{multiply, outer_products};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use tiles::{Patch, gather, spread_gradients, transform_patch};
use transforms::{Four, Tile, Two};

/// Room of patches and products at a time, in numbers: together they should stay in the second-level cache.
const BLOCK_LEN: usize = 200_000;

/// Tiles at a time: enough that the kernels, read once for all of them, cost little; multiples of this are whole
/// register tiles.
const TILES: std::ops::RangeInclusive<usize> = 24..=48;
const ROUND: usize = 24;

/// Where tiles are.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// Offset of each tile's first number, group by group.
    at: Vec<u32>,
    /// Numbers from row to row.
    row: usize,
}

impl Tiles {
    /// Every `size`th pixel of every `size`th row of a table of pixels of rows of `width`; in memory `row` numbers apart.
    pub(crate) fn of(pixels: &[u32], size: usize, width: usize, row: usize) -> Self {
        let rows = pixels.chunks_exact(size * width);
        Self { at: rows.flat_map(|rows| rows[..width].iter().step_by(size).copied()).collect(), row }
    }
}

/// An image without the zeros around it.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    pub height: usize,
    pub width: usize,
    /// Rows and columns of those zeros.
    pub padding: usize,
}

/// The images that patches are taken of: in padded copies, or as they are.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Padded(*const f32),
    Plain(*const f32, Image),
}

/// One convolution by tiles, or the sum of the weights' gradient.
#[derive(Debug)]
pub(crate) struct Winograd {
    /// M.
    size: usize,
    /// The patches, and the tiles of outputs or of their gradients.
    from: Tiles,
    to: Tiles,
    /// Tiles of one image, and from left to right.
    tiles: usize,
    columns: usize,
    /// Channels of both, and how many of the latter are worked on at once.
    channels: [usize; 2],
    block: usize,
    /// Offsets of rows of so many numbers.
    rows: [Vec<u32>; 2],
}

/// Calls `$self.$method::<$S, Tile, M, N>($arguments)` for the size of its tiles.
macro_rules! with_size {
    ($self:expr, $method:ident, [$($S:ident),*], ($($argument:expr),*)) => {
        match $self.size {
            2 => $self.$method::<$($S,)* Two, 2, 4>($($argument),*),
            _ => $self.$method::<$($S,)* Four, 4, 6>($($argument),*),
        }
    };
}

impl Winograd {
    /// `rows` by `columns` tiles of an image, of `size` 2 or 4; the channels are whole blocks.
    pub(crate) fn new(
        size: usize,
        (from, to): (Tiles, Tiles),
        [rows, columns]: [usize; 2],
        channels: [usize; 2],
        block: usize,
    ) -> Self {
        let tiles = rows * columns;
        let rows = channels.map(|channels| (0..*TILES.end()).map(|row| (row * channels) as u32).collect());
        Self { size, from, to, tiles, columns, channels, block, rows }
    }

    /// N².
    fn points(&self) -> usize {
        (self.size + 2) * (self.size + 2)
    }

    /// How many of `tiles` are worked on at a time, in parts as equal as can be.
    fn tiles_at_once(&self, tiles: usize) -> usize {
        let most = BLOCK_LEN / (self.points() * self.channels.iter().sum::<usize>()) / ROUND * ROUND;
        let parts = tiles.div_ceil(most.clamp(*TILES.start(), *TILES.end()));
        tiles.div_ceil(parts.max(1)).next_multiple_of(ROUND).min(*TILES.end())
    }

    /// Numbers from one of the N² matrices to the next: a line more than it holds, which sums may read, and lest all fall
    /// on the same lines of the cache.
    fn matrix(tiles: usize, channels: usize) -> usize {
        tiles * channels + SLACK
    }

    /// Numbers of room that [`Winograd::convolve`] and [`Winograd::correlate`] need.
    pub(crate) fn room(&self) -> usize {
        self.points() * self.channels.map(|channels| Self::matrix(*TILES.end(), channels)).iter().sum::<usize>()
    }

    /// The kernels for [`Winograd::convolve`], `kernel(from, to, tap)` transformed, as
    /// `[block of to][N²][from][channels of the block]`.
    pub(crate) fn pack(&self, arch: Arch, kernel: impl Fn(usize, usize, usize) -> f32 + Sync) -> Buffer {
        with_size!(self, pack_as, [], (arch, kernel))
    }

    fn pack_as<T: Tile<M, N>, const M: usize, const N: usize>(
        &self,
        arch: Arch,
        kernel: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Buffer {
        let ([c_from, c_to], block) = (self.channels, self.block);
        let mut packed = Buffer::any(N * N * c_from * c_to);
        packed.par_chunks_mut(N * N * c_from * block).enumerate().for_each(|(index, packed)| {
            for from in 0..c_from {
                for first in (0..block).step_by(LANES) {
                    let count = LANES.min(block - first);
                    let mut taps = [[[0.0; LANES]; 3]; 3];
                    for c in 0..count {
                        for tap in 0..9 {
                            taps[tap / 3][tap % 3][c] = kernel(from, index * block + first + c, tap);
                        }
                    }
                    let points = arch.dispatch(TransformKernels::<T, M, N>(&taps, std::marker::PhantomData));
                    for (point, values) in points.as_flattened().iter().enumerate() {
                        let at = (point * c_from + from) * block + first;
                        packed[at..at + count].copy_from_slice(&values[..count]);
                    }
                }
            }
        });
        packed
    }

    /// The convolution of `images` images, through `epilogue` into `target`.
    ///
    /// # Safety
    /// `images` images can be read at `source`; the table's offsets for them lie within `target`, and `epilogue` may
    /// read whatever it has as long as that.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn convolve<S: Simd, E: Epilogue>(
        &self,
        simd: S,
        images: usize,
        source: Source,
        packed: &[f32],
        target: *mut f32,
        epilogue: E,
        room: &mut [f32],
    ) {
        // SAFETY: the caller's.
        unsafe { with_size!(self, convolve_as, [S, E], (simd, images, source, packed, target, epilogue, room)) }
    }

    /// # Safety
    /// As for [`Winograd::convolve`].
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn convolve_as<S: Simd, E: Epilogue, T: Tile<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        images: usize,
        source: Source,
        packed: &[f32],
        target: *mut f32,
        epilogue: E,
        room: &mut [f32],
    ) {
        let [c_from, c_to] = self.channels;
        let tiles = images * self.tiles;
        let at_once = self.tiles_at_once(tiles);
        let matrices = [Self::matrix(at_once, c_from), Self::matrix(at_once, c_to)];
        let (patches, products) = room.split_at_mut(N * N * matrices[0]);
        assert!(at_once.is_multiple_of(ROUND));
        assert!(packed.len() >= N * N * c_from * c_to && products.len() >= N * N * matrices[1]);
        for (part, to) in self.to.at[..tiles].chunks(at_once).enumerate() {
            // SAFETY: the caller's for source and target; `at_once` tiles have room in the matrices.
            unsafe {
                let patches = patches.as_mut_ptr();
                self.patches::<S, T, M, N>(simd, part * at_once, to.len(), source, patches, matrices[0]);
                with_large_tile!(simd: S, self.block, multiply(
                    N * N, to.len(), self.channels, matrices, patches, packed.as_ptr(), products.as_mut_ptr()
                ));
                let products = products.as_ptr();
                gather::<S, T, E, M, N>(simd, to, self.to.row, c_to, products, matrices[1], target, epilogue);
            }
        }
    }

    /// `count` patches from tile `first` on as `[N²][tiles][channels]`.
    ///
    /// # Safety
    /// The images of these tiles can be read at `source`, `N² · matrix` numbers written at `patches`.
    #[inline(always)]
    unsafe fn patches<S: Simd, T: Tile<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        first: usize,
        count: usize,
        source: Source,
        patches: *mut f32,
        matrix: usize,
    ) {
        let c = self.channels[0];
        for i in 0..count {
            let tile = first + i;
            let to = patches.wrapping_add(i * c);
            let (at, row) = match source {
                Source::Padded(source) => (source.wrapping_add(self.from.at[tile] as usize), self.from.row),
                Source::Plain(source, Image { height, width, padding }) => {
                    let (image, place) = (tile / self.tiles, tile % self.tiles);
                    let (y, x) = (place / self.columns * M, place % self.columns * M);
                    let inside = |start: usize, size: usize| {
                        padding.saturating_sub(start)..N.min((size + padding).saturating_sub(start))
                    };
                    let (rows, columns) = (inside(y, height), inside(x, width));
                    let pixel = ((image * height + y) * width + x) * c;
                    let at = source.wrapping_add(pixel).wrapping_sub((padding * width + padding) * c);
                    if rows.len() < N || columns.len() < N {
                        let patch = Patch { at, row: width * c, rows, columns };
                        // SAFETY: the caller's; only pixels of the image are read.
                        unsafe { transform_patch::<S, T, M, N, true>(simd, &patch, c, to, matrix) };
                        continue;
                    }
                    (at, width * c)
                }
            };
            let patch = Patch { at, row, rows: 0..N, columns: 0..N };
            // SAFETY: the caller's.
            unsafe { transform_patch::<S, T, M, N, false>(simd, &patch, c, to, matrix) };
        }
    }

    /// Numbers of a sum of transformed weight gradients, `[N²][c_from][c_to]`.
    pub(crate) fn sums_len(&self) -> usize {
        self.points() * self.channels.iter().product::<usize>()
    }

    /// Adds the transformed weight gradient of `images` images to `sums`.
    ///
    /// # Safety
    /// `images` images can be read at `source`; the table's offsets for them lie within `gradient`.
    #[inline(always)]
    pub(crate) unsafe fn correlate<S: Simd>(
        &self,
        simd: S,
        images: usize,
        source: Source,
        gradient: *const f32,
        sums: &mut [f32],
        room: &mut [f32],
    ) {
        // SAFETY: the caller's.
        unsafe { with_size!(self, correlate_as, [S], (simd, images, source, gradient, sums, room)) }
    }

    /// # Safety
    /// As for [`Winograd::correlate`].
    #[inline(always)]
    unsafe fn correlate_as<S: Simd, T: Tile<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        images: usize,
        source: Source,
        gradient: *const f32,
        sums: &mut [f32],
        room: &mut [f32],
    ) {
        let [c_from, c_to] = self.channels;
        let tiles = images * self.tiles;
        let at_once = self.tiles_at_once(tiles);
        let matrices = [Self::matrix(at_once, c_from), Self::matrix(at_once, c_to)];
        let (patches, spread) = room.split_at_mut(N * N * matrices[0]);
        assert!(sums.len() >= self.sums_len() && spread.len() >= N * N * matrices[1]);
        for (part, to) in self.to.at[..tiles].chunks(at_once).enumerate() {
            // SAFETY: the caller's for source and gradient; `at_once` tiles have room in the matrices.
            unsafe {
                let (patches, spread) = (patches.as_mut_ptr(), spread.as_mut_ptr());
                self.patches::<S, T, M, N>(simd, part * at_once, to.len(), source, patches, matrices[0]);
                spread_gradients::<S, T, M, N>(simd, to, self.to.row, c_to, gradient, spread, matrices[1]);
                with_outer_tile!(simd: S, self.block, c_from, outer_products(
                    self, to.len(), matrices, patches, spread, sums.as_mut_ptr()
                ));
            }
        }
    }

    /// Adds up the sums in their order and transforms them back, as `[c_to, c_from, 3, 3]`.
    pub(crate) fn unpack(&self, arch: Arch, sums: &[impl std::ops::Deref<Target = [f32]> + Sync]) -> Vec<f32> {
        with_size!(self, unpack_as, [], (arch, sums))
    }

    fn unpack_as<T: Tile<M, N>, const M: usize, const N: usize>(
        &self,
        arch: Arch,
        sums: &[impl std::ops::Deref<Target = [f32]> + Sync],
    ) -> Vec<f32> {
        let [c_from, c_to] = self.channels;
        let mut d_weight = vec![0.0; 9 * c_from * c_to];
        d_weight.par_chunks_mut(LANES * c_from * 9).enumerate().for_each(|(part, d_weight)| {
            let outputs = d_weight.len() / (c_from * 9);
            for i in 0..c_from {
                let mut points = [[[0.0f32; LANES]; N]; N];
                for (point, total) in points.as_flattened_mut().iter_mut().enumerate() {
                    let start = (point * c_from + i) * c_to + part * LANES;
                    for sums in sums {
                        for (total, value) in total.iter_mut().zip(&sums[start..start + outputs]) {
                            *total += value;
                        }
                    }
                }
                let taps = arch.dispatch(TransformBack::<T, M, N>(&points, std::marker::PhantomData));
                for (tap, values) in taps.as_flattened().iter().enumerate() {
                    for (o, value) in values.iter().take(outputs).enumerate() {
                        d_weight[(o * c_from + i) * 9 + tap] = *value;
                    }
                }
            }
        });
        d_weight
    }
}

/// Kernels transformed side by side.
const LANES: usize = 16;

struct TransformKernels<'a, T, const M: usize, const N: usize>(&'a [[[f32; LANES]; 3]; 3], std::marker::PhantomData<T>);

impl<T: Tile<M, N>, const M: usize, const N: usize> WithSimd for TransformKernels<'_, T, M, N> {
    type Output = [[[f32; LANES]; N]; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut points = [[[0.0; LANES]; N]; N];
        for c in 0..LANES {
            let mut rows = [[0.0f64; 3]; N];
            for x in 0..3 {
                let column = T::kernel([0, 1, 2].map(|y| f64::from(self.0[y][x][c])));
                for y in 0..N {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..N {
                let row = T::kernel(rows[y]);
                for x in 0..N {
                    points[y][x][c] = row[x] as f32;
                }
            }
        }
        points
    }
}

struct TransformBack<'a, T, const M: usize, const N: usize>(&'a [[[f32; LANES]; N]; N], std::marker::PhantomData<T>);

impl<T: Tile<M, N>, const M: usize, const N: usize> WithSimd for TransformBack<'_, T, M, N> {
    type Output = [[[f32; LANES]; 3]; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut taps = [[[0.0; LANES]; 3]; 3];
        for c in 0..LANES {
            let mut rows = [[0.0; N]; 3];
            for x in 0..N {
                let mut column = [0.0; N];
                for y in 0..N {
                    column[y] = self.0[y][x][c];
                }
                let column = T::kernel_transposed(column);
                for y in 0..3 {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..3 {
                let row = T::kernel_transposed(rows[y]);
                for x in 0..3 {
                    taps[y][x][c] = row[x];
                }
            }
        }
        taps
    }
}
