//! 3×3 convolutions of stride 1 with 16 multiplications for four outputs instead of 36: Winograd's F(2×2, 3×3) (Lavin
//! and Gray 2016, arXiv 1509.09308).
//!
//! A tile is 2×2 outputs; the 4×4 patch of inputs under it and the 3×3 kernel are transformed, and of the 16 numbers
//! each is a matrix product over the channels of its own:
//!
//! ```text
//! patches [16][tiles][c_from] · kernels [16][c_from][c_to] = products [16][tiles][c_to]  ──▶ tiles of 2×2 outputs
//! ```
//!
//! The gradient of the input is the same with the kernel turned around. That of the weights is the transposed of these
//! maps: patches and spread gradients `[16][tiles][c_out]` give `[16][c_in][c_out]`. Everything in the transforms is an
//! addition but the halves of the kernel's, so that the error stays about that of the direct sum; larger tiles need
//! fewer multiplications but lose digits.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use super::tile::{load, outer_sums, store, with_large_tile, with_tile};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Numbers of a transformed patch.
const POINTS: usize = 16;

/// Room of patches and products at a time, in numbers: together they should stay in the second-level cache.
const BLOCK_LEN: usize = 200_000;

/// Tiles at a time: enough that the kernels, read once for all of them, cost little; multiples of this are whole
/// register tiles.
const TILES: std::ops::RangeInclusive<usize> = 48..=96;
const ROUND: usize = 24;

/// Where tiles are.
#[derive(Debug)]
struct Tiles {
    /// Offset of each tile's first number, group by group.
    at: Vec<u32>,
    /// Numbers from row to row.
    row: usize,
}

impl Tiles {
    /// Every second pixel of every second row of a table of pixels.
    fn of(pixels: &[u32], height: usize, width: usize, row: usize) -> Self {
        let at = pixels.chunks_exact(2 * width).flat_map(|rows| rows[..width].iter().step_by(2).copied()).collect();
        debug_assert!(height.is_multiple_of(2) && width.is_multiple_of(2));
        Self { at, row }
    }
}

/// The tables of pixels a convolution already has, each with the numbers of a row.
pub(crate) struct Tables<'a> {
    pub input: (&'a [u32], usize),
    pub output: (&'a [u32], usize),
    /// From which the gradient of the input is summed, in the copy of the output's gradient.
    pub d_windows: (&'a [u32], usize),
    pub d_input: (&'a [u32], usize),
    pub d_output: (&'a [u32], usize),
}

/// A convolution's tiles.
#[derive(Debug)]
pub(crate) struct Winograd {
    c_in: usize,
    c_out: usize,
    block_in: usize,
    block_out: usize,
    /// Tiles of one image of the output, and of the input.
    tiles: (usize, usize),
    input: Tiles,
    output: Tiles,
    d_windows: Tiles,
    d_input: Tiles,
    d_output: Tiles,
    /// Offsets of rows of `c_in` and of `c_out` numbers.
    rows_in: Vec<u32>,
    rows_out: Vec<u32>,
}

impl Winograd {
    /// Sizes are even and channels whole blocks.
    pub(crate) fn new(
        (height, width): (usize, usize),
        (out_h, out_w): (usize, usize),
        [c_in, c_out]: [usize; 2],
        [block_in, block_out]: [usize; 2],
        tables: &Tables,
    ) -> Self {
        let of_output = |(pixels, row): (&[u32], usize)| Tiles::of(pixels, out_h, out_w, row);
        let of_input = |(pixels, row): (&[u32], usize)| Tiles::of(pixels, height, width, row);
        let rows = |channels: usize| (0..*TILES.end()).map(|row| (row * channels) as u32).collect();
        Self {
            c_in,
            c_out,
            block_in,
            block_out,
            tiles: (out_h * out_w / 4, height * width / 4),
            input: of_output(tables.input),
            output: of_output(tables.output),
            d_windows: of_input(tables.d_windows),
            d_input: of_input(tables.d_input),
            d_output: of_output(tables.d_output),
            rows_in: rows(c_in),
            rows_out: rows(c_out),
        }
    }

    /// How many of `tiles` are worked on at a time, in parts as equal as can be.
    fn block(&self, tiles: usize) -> usize {
        let most = BLOCK_LEN / (POINTS * (self.c_in + self.c_out)) / ROUND * ROUND;
        let parts = tiles.div_ceil(most.clamp(*TILES.start(), *TILES.end()));
        tiles.div_ceil(parts.max(1)).next_multiple_of(ROUND).min(*TILES.end())
    }

    /// Numbers from one of the 16 matrices to the next; a line more than it holds, lest all 16 fall on the same lines of
    /// the cache.
    fn matrix(tiles: usize, channels: usize) -> usize {
        tiles * channels + 16
    }

    /// Numbers of room that [`Winograd::forward`], [`Winograd::backward`] and [`Winograd::d_weight`] need.
    pub(crate) fn room(&self) -> usize {
        POINTS * (Self::matrix(*TILES.end(), self.c_in) + Self::matrix(*TILES.end(), self.c_out))
    }

    /// The kernels for [`Winograd::forward`]: `[block of c_out][16][c_in][channels of the block]`.
    pub(crate) fn pack_forward(&self, arch: Arch, weight: &[f32], packed: &mut Vec<f32>) {
        let c_in = self.c_in;
        pack(arch, [c_in, self.c_out], self.block_out, packed, |i, o, tap| weight[(o * c_in + i) * 9 + tap]);
    }

    /// The kernels for [`Winograd::backward`], turned around.
    pub(crate) fn pack_backward(&self, arch: Arch, weight: &[f32], packed: &mut Vec<f32>) {
        let c_in = self.c_in;
        pack(arch, [self.c_out, c_in], self.block_in, packed, |o, i, tap| weight[(o * c_in + i) * 9 + 8 - tap]);
    }

    /// The convolution of `images` images.
    ///
    /// # Safety
    /// The tables' offsets for `images` images lie within `input` and `output`.
    #[inline(always)]
    pub(crate) unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        images: usize,
        input: *const f32,
        packed: &[f32],
        output: *mut f32,
        room: &mut [f32],
    ) {
        let sweep = Sweep {
            from: &self.input,
            to: &self.output,
            channels: [self.c_in, self.c_out],
            block: self.block_out,
            add: false,
        };
        // SAFETY: the caller's.
        unsafe { self.sweep(simd, &sweep, images * self.tiles.0, input, packed, output, room) }
    }

    /// The gradient of the input, stored into or added to `d_input`.
    ///
    /// # Safety
    /// As for [`Winograd::forward`].
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn backward<S: Simd>(
        &self,
        simd: S,
        images: usize,
        d_output: *const f32,
        packed: &[f32],
        d_input: *mut f32,
        add: bool,
        room: &mut [f32],
    ) {
        let sweep = Sweep {
            from: &self.d_windows,
            to: &self.d_input,
            channels: [self.c_out, self.c_in],
            block: self.block_in,
            add,
        };
        // SAFETY: the caller's.
        unsafe { self.sweep(simd, &sweep, images * self.tiles.1, d_output, packed, d_input, room) }
    }

    /// # Safety
    /// As for [`Winograd::forward`].
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn sweep<S: Simd>(
        &self,
        simd: S,
        sweep: &Sweep,
        tiles: usize,
        source: *const f32,
        packed: &[f32],
        target: *mut f32,
        room: &mut [f32],
    ) {
        let [c_from, c_to] = sweep.channels;
        let block = self.block(tiles);
        let matrices = [Self::matrix(block, c_from), Self::matrix(block, c_to)];
        let (patches, products) = room.split_at_mut(POINTS * matrices[0]);
        debug_assert!(block.is_multiple_of(ROUND));
        assert!(packed.len() >= POINTS * c_from * c_to && products.len() >= POINTS * matrices[1]);
        for (from, to) in sweep.from.at[..tiles].chunks(block).zip(sweep.to.at[..tiles].chunks(block)) {
            // SAFETY: the caller's for source and target; `block` tiles have room in the matrices.
            unsafe {
                transform_patches(simd, from, sweep.from.row, c_from, source, patches.as_mut_ptr(), matrices[0]);
                with_large_tile!(simd: S, sweep.block, multiply(
                    from.len(), sweep.channels, matrices, patches.as_ptr(), packed.as_ptr(), products.as_mut_ptr()
                ));
                let products = products.as_ptr();
                if sweep.add {
                    gather::<S, true>(simd, to, sweep.to.row, c_to, products, matrices[1], target);
                } else {
                    gather::<S, false>(simd, to, sweep.to.row, c_to, products, matrices[1], target);
                }
            }
        }
    }

    /// Numbers of a sum of transformed weight gradients, `[16][c_in][c_out]`.
    pub(crate) fn d_weight_len(&self) -> usize {
        POINTS * self.c_in * self.c_out
    }

    /// Adds the transformed weight gradient of `images` images to `sums`.
    ///
    /// # Safety
    /// The tables' offsets for `images` images lie within `input` and `d_output`.
    #[inline(always)]
    pub(crate) unsafe fn d_weight<S: Simd>(
        &self,
        simd: S,
        images: usize,
        input: *const f32,
        d_output: *const f32,
        sums: &mut [f32],
        room: &mut [f32],
    ) {
        let (c_in, c_out) = (self.c_in, self.c_out);
        let tiles = images * self.tiles.0;
        let block = self.block(tiles);
        let matrices = [Self::matrix(block, c_in), Self::matrix(block, c_out)];
        let (patches, spread) = room.split_at_mut(POINTS * matrices[0]);
        assert!(sums.len() >= self.d_weight_len() && spread.len() >= POINTS * matrices[1]);
        for (x_at, y_at) in self.input.at[..tiles].chunks(block).zip(self.d_output.at[..tiles].chunks(block)) {
            // SAFETY: the caller's for input and gradient; `block` tiles have room in the matrices.
            unsafe {
                transform_patches(simd, x_at, self.input.row, c_in, input, patches.as_mut_ptr(), matrices[0]);
                spread_gradients(simd, y_at, self.d_output.row, c_out, d_output, spread.as_mut_ptr(), matrices[1]);
                with_tile!(simd: S, self.block_out, correlate(
                    self, x_at.len(), matrices, patches.as_ptr(), spread.as_ptr(), sums.as_mut_ptr()
                ));
            }
        }
    }

    /// Adds up the sums in their order and transforms them back, as `[c_out, c_in, 3, 3]`.
    pub(crate) fn unpack_d_weight(&self, arch: Arch, sums: &[impl std::ops::Deref<Target = [f32]> + Sync]) -> Vec<f32> {
        let (c_in, c_out) = (self.c_in, self.c_out);
        let mut d_weight = vec![0.0; 9 * c_in * c_out];
        d_weight.par_chunks_mut(LANES * c_in * 9).enumerate().for_each(|(part, d_weight)| {
            let outputs = d_weight.len() / (c_in * 9);
            for i in 0..c_in {
                let mut points = [[0.0f32; LANES]; POINTS];
                for (point, total) in points.iter_mut().enumerate() {
                    let start = (point * c_in + i) * c_out + part * LANES;
                    for sums in sums {
                        for (total, value) in total.iter_mut().zip(&sums[start..start + outputs]) {
                            *total += value;
                        }
                    }
                }
                for (tap, values) in arch.dispatch(TransformBack(&points)).into_iter().enumerate() {
                    for (o, value) in values.into_iter().take(outputs).enumerate() {
                        d_weight[(o * c_in + i) * 9 + tap] = value;
                    }
                }
            }
        });
        d_weight
    }
}

/// One convolution of tiles.
struct Sweep<'a> {
    from: &'a Tiles,
    to: &'a Tiles,
    channels: [usize; 2],
    /// Channels of the target worked on at once.
    block: usize,
    add: bool,
}

/// Kernels transformed side by side.
const LANES: usize = 16;

/// `kernel(from, to, tap)` transformed, as `[block of to][16][from][channels of the block]`.
fn pack(
    arch: Arch,
    [c_from, c_to]: [usize; 2],
    block: usize,
    packed: &mut Vec<f32>,
    kernel: impl Fn(usize, usize, usize) -> f32 + Sync,
) {
    packed.resize(POINTS * c_from * c_to, 0.0);
    packed.par_chunks_mut(POINTS * c_from * block).enumerate().for_each(|(index, packed)| {
        for from in 0..c_from {
            for first in (0..block).step_by(LANES) {
                let count = LANES.min(block - first);
                let mut taps = [[0.0; LANES]; 9];
                for c in 0..count {
                    for (tap, taps) in taps.iter_mut().enumerate() {
                        taps[c] = kernel(from, index * block + first + c, tap);
                    }
                }
                for (point, values) in arch.dispatch(TransformKernels(&taps)).into_iter().enumerate() {
                    let at = (point * c_from + from) * block + first;
                    packed[at..at + count].copy_from_slice(&values[..count]);
                }
            }
        }
    });
}

struct TransformKernels<'a>(&'a [[f32; LANES]; 9]);

impl WithSimd for TransformKernels<'_> {
    type Output = [[f32; LANES]; POINTS];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut points = [[0.0; LANES]; POINTS];
        for c in 0..LANES {
            let mut rows = [[0.0; 3]; 4];
            for x in 0..3 {
                let column = kernel_transform([self.0[x][c], self.0[3 + x][c], self.0[6 + x][c]]);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..4 {
                let row = kernel_transform(rows[y]);
                for x in 0..4 {
                    points[4 * y + x][c] = row[x];
                }
            }
        }
        points
    }
}

struct TransformBack<'a>(&'a [[f32; LANES]; POINTS]);

impl WithSimd for TransformBack<'_> {
    type Output = [[f32; LANES]; 9];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut taps = [[0.0; LANES]; 9];
        for c in 0..LANES {
            let mut rows = [[0.0; 4]; 3];
            for x in 0..4 {
                let column = kernel_transposed([0, 4, 8, 12].map(|y| self.0[y + x][c]));
                for y in 0..3 {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..3 {
                let row = kernel_transposed(rows[y]);
                for x in 0..3 {
                    taps[3 * y + x][c] = row[x];
                }
            }
        }
        taps
    }
}

/// G of the paper.
#[inline(always)]
fn kernel_transform([a, b, c]: [f32; 3]) -> [f32; 4] {
    [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
}

/// Gᵀ.
#[inline(always)]
fn kernel_transposed([a, b, c, d]: [f32; 4]) -> [f32; 3] {
    [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d]
}

/// Bᵀ.
#[inline(always)]
fn patch_transform<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// Aᵀ.
#[inline(always)]
fn product_transform<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
}

/// A.
#[inline(always)]
fn spread_transform<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; 4] {
    [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.sub_f32s(simd.splat_f32s(0.0), b)]
}

/// The patches at `at` of `source` as `[16][tiles][channels]`.
///
/// # Safety
/// 4×4 pixels of `channels` numbers can be read at each offset, `16 · matrix` numbers written at `patches`.
#[inline(always)]
unsafe fn transform_patches<S: Simd>(
    simd: S,
    at: &[u32],
    row: usize,
    channels: usize,
    source: *const f32,
    patches: *mut f32,
    matrix: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for (tile, &at) in at.iter().enumerate() {
        for c in (0..channels).step_by(S::F32_LANES) {
            let mut rows = [[zero; 4]; 4];
            for x in 0..4 {
                // SAFETY: the caller's.
                let column =
                    [0, 1, 2, 3].map(|y| unsafe { load::<S>(source.add(at as usize + y * row + x * channels + c)) });
                let column = patch_transform(simd, column);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, value) in patch_transform(simd, row).into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe { store::<S>(patches.add((4 * y + x) * matrix + tile * channels + c), value) };
                }
            }
        }
    }
}

/// The 2×2 gradients at `at` of `source` as `[16][tiles][channels]`.
///
/// # Safety
/// 2×2 pixels of `channels` numbers can be read at each offset, `16 · matrix` numbers written at `spread`.
#[inline(always)]
unsafe fn spread_gradients<S: Simd>(
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
            let mut rows = [[zero; 2]; 4];
            for x in 0..2 {
                // SAFETY: the caller's.
                let column = [0, 1].map(|y| unsafe { load::<S>(source.add(at as usize + y * row + x * channels + c)) });
                let column = spread_transform(simd, column);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, value) in spread_transform(simd, row).into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe { store::<S>(spread.add((4 * y + x) * matrix + tile * channels + c), value) };
                }
            }
        }
    }
}

/// The tiles of 2×2 outputs from `[16][tiles][channels]` products, stored or added at `at` of `target`.
///
/// # Safety
/// 2×2 pixels of `channels` numbers can be read and written at each offset, `16 · matrix` numbers read at `products`.
#[inline(always)]
unsafe fn gather<S: Simd, const ADD: bool>(
    simd: S,
    at: &[u32],
    row: usize,
    channels: usize,
    products: *const f32,
    matrix: usize,
    target: *mut f32,
) {
    let zero = simd.splat_f32s(0.0);
    for (tile, &at) in at.iter().enumerate() {
        for c in (0..channels).step_by(S::F32_LANES) {
            let mut rows = [[zero; 4]; 2];
            for x in 0..4 {
                // SAFETY: the caller's.
                let column = [0, 1, 2, 3]
                    .map(|y| unsafe { load::<S>(products.add((4 * y + x) * matrix + tile * channels + c)) });
                let column = product_transform(simd, column);
                for y in 0..2 {
                    rows[y][x] = column[y];
                }
            }
            for (y, values) in rows.into_iter().enumerate() {
                for (x, value) in product_transform(simd, values).into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe {
                        let to = target.add(at as usize + y * row + x * channels + c);
                        let value = if ADD { simd.add_f32s(load::<S>(to), value) } else { value };
                        store::<S>(to, value);
                    }
                }
            }
        }
    }
}

/// The 16 matrix products.
#[inline(always)]
fn multiply<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    tiles: usize,
    channels: [usize; 2],
    matrices: [usize; 2],
    patches: *const f32,
    packed: *const f32,
    products: *mut f32,
) {
    // Where the compiler knows the distance of the rows it needs one pointer for all of them, which counts where the
    // sums are short.
    match channels[0] {
        16 => multiply_deep::<S, MR, NV, 16>(simd, tiles, channels, matrices, patches, packed, products),
        32 => multiply_deep::<S, MR, NV, 32>(simd, tiles, channels, matrices, patches, packed, products),
        64 => multiply_deep::<S, MR, NV, 64>(simd, tiles, channels, matrices, patches, packed, products),
        _ => multiply_deep::<S, MR, NV, 0>(simd, tiles, channels, matrices, patches, packed, products),
    }
}

/// The same over `DEPTH` channels, or any number of them where it is 0.
#[inline(always)]
fn multiply_deep<S: Simd, const MR: usize, const NV: usize, const DEPTH: usize>(
    simd: S,
    tiles: usize,
    [c_from, c_to]: [usize; 2],
    matrices: [usize; 2],
    patches: *const f32,
    packed: *const f32,
    products: *mut f32,
) {
    let depth = if DEPTH == 0 { c_from } else { DEPTH };
    let block = NV * S::F32_LANES;
    for point in 0..POINTS {
        let patches = patches.wrapping_add(point * matrices[0]);
        let products = products.wrapping_add(point * matrices[1]);
        for first in (0..c_to).step_by(block) {
            let kernels = packed.wrapping_add((first * POINTS + point * block) * depth);
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
                        // SAFETY: rows of patches.
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
#[inline(always)]
fn correlate<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    winograd: &Winograd,
    tiles: usize,
    matrices: [usize; 2],
    patches: *const f32,
    spread: *const f32,
    sums: *mut f32,
) {
    let (c_in, c_out) = (winograd.c_in, winograd.c_out);
    let (x_at, y_at) = (&winograd.rows_in[..tiles], &winograd.rows_out[..tiles]);
    for point in 0..POINTS {
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
