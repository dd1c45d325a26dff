//! 1×1 convolutions of many channels, as matrix products over some rows of pixels at a time:
//!
//! ```text
//! y   [pixels][c_out] = x   [pixels][c_in]  · W  [c_in][c_out]
//! d_x [pixels][c_in]  = d_y [pixels][c_out] · Wᵀ [c_out][c_in]
//! d_W [c_in][c_out]   = xᵀ  [c_in][pixels]  · d_y [pixels][c_out]
//! ```
//!
//! The factors x and d_y are copies in [`Panels`], computed as they are read; the weights of a panel and of a block of channels stay
//! in the first-level cache.

#![allow(clippy::needless_range_loop, reason = "sums are named by pixel and vector")]

use super::epilogue::Epilogue;
use super::shape::Shape;
use super::tile::{outer_sums, with_large_tile, with_outer_tile};
use crate::conv_bn::layer::Write;
use crate::cpu::{Buffer, Panels, load, run, store};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Channels from which on this is worth it, on both sides.
const CHANNELS: usize = 64;

/// Pixels that are worked on at a time: as many as the weights, read anew for all of them, cost little, and as the second-level
/// cache has room for.
const PIXELS: usize = 448;

/// Pixels over which the weights' gradient is summed in registers: as many as a block of channels of stays in the first-level cache.
const SPAN: usize = 128;

/// Whether a convolution of this shape is done so. Blocks are of the channels of its input and of its output.
pub(super) fn is_pointwise(shape: &Shape, blocks: [usize; 2]) -> bool {
    let channels = [shape.input[2], shape.c_out];
    let whole =
        channels.iter().zip(blocks).all(|(&channels, block)| channels >= CHANNELS && channels.is_multiple_of(block));
    shape.kernel == (1, 1) && shape.params.padding == 0 && whole
}

/// Rows of `width` pixels that are worked on at a time.
pub(super) fn rows_at_once(width: usize) -> usize {
    (PIXELS / width).max(1)
}

/// `[from][to]` weights as `[block of to][from][channels of the block]`; `weight(from, to)` gives each.
pub(super) fn pack([from, to]: [usize; 2], block: usize, weight: impl Fn(usize, usize) -> f32 + Sync) -> Buffer {
    let mut packed = Buffer::any(from * to);
    packed.par_chunks_mut(from * block).enumerate().for_each(|(index, packed)| {
        for (i, row) in packed.chunks_exact_mut(block).enumerate() {
            for (o, packed) in row.iter_mut().enumerate() {
                *packed = weight(i, index * block + o);
            }
        }
    });
    packed
}

/// A product of pixels and weights.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Copies of pixels, of which the first `count` are multiplied.
    pub pixels: &'a [f32],
    pub copied: Panels,
    pub count: usize,
    /// The weights, packed for `block` of the product's channels at once.
    pub packed: &'a [f32],
    pub channels: usize,
    pub block: usize,
    /// What happens to the old numbers of the target before the epilogue.
    pub write: Write,
}

impl Product<'_> {
    /// Computes it into `to`, `[count][channels]`.
    pub(super) fn compute(self, arch: Arch, to: &mut [f32], epilogue: impl Epilogue) {
        let Self { pixels, copied, count, packed, channels, block, .. } = self;
        assert!(pixels.len() >= copied.len() && count <= copied.pixels && to.len() >= count * channels);
        assert!(packed.len() >= copied.channels * channels && channels.is_multiple_of(block));
        run(arch, Multiply { product: self, to: to.as_mut_ptr(), epilogue });
    }
}

/// Made by [`Product::compute`] only, which has checked the sizes.
struct Multiply<'a, E> {
    product: Product<'a>,
    to: *mut f32,
    epilogue: E,
}

impl<E: Epilogue> WithSimd for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_large_tile!(S, self.product.block, multiply(simd, self));
    }
}

#[inline(always)]
fn multiply<S: Simd, const MR: usize, const NV: usize>(simd: S, of: Multiply<'_, impl Epilogue>) {
    // If the compiler knows the distance of the pixels it needs one pointer for all of them.
    match of.product.copied.pitch() {
        80 => multiply_panels::<S, MR, NV, 80>(simd, of),
        144 => multiply_panels::<S, MR, NV, 144>(simd, of),
        272 => multiply_panels::<S, MR, NV, 272>(simd, of),
        _ => multiply_panels::<S, MR, NV, 0>(simd, of),
    }
}

/// The same for pixels that are `PITCH` apart, or any number of them if it is 0.
#[inline(always)]
fn multiply_panels<S: Simd, const MR: usize, const NV: usize, const PITCH: usize>(
    simd: S,
    Multiply { product, to, epilogue }: Multiply<'_, impl Epilogue>,
) {
    let Product { pixels, copied, count, packed, channels, block, write } = product;
    let depth = copied.channels;
    for k in (0..depth).step_by(Panels::CHANNELS) {
        let some = Panels::CHANNELS.min(depth - k);
        for first in (0..channels).step_by(NV * S::F32_LANES) {
            let tile = |pixel: usize| Tile {
                pixels: pixels[copied.at(pixel, k)..].as_ptr(),
                pitch: if PITCH == 0 { copied.pitch() } else { PITCH },
                depth: some,
                weights: packed[first * depth + k * block..].as_ptr(),
                to: to.wrapping_add(pixel * channels + first),
                step: channels,
                adds: k > 0 || write == Write::Add,
                ends: k + some == depth,
                first,
                offset: pixel * channels + first,
            };
            let whole = count - count % MR;
            let fours = count - (count - whole) % 4;
            // SAFETY: so many pixels and a block of channels, within the sizes that were checked.
            unsafe {
                for pixel in (0..whole).step_by(MR) {
                    product_tile::<S, MR, NV>(simd, tile(pixel), to, epilogue);
                }
                for pixel in (whole..fours).step_by(4) {
                    product_tile::<S, 4, NV>(simd, tile(pixel), to, epilogue);
                }
                for pixel in fours..count {
                    product_tile::<S, 1, NV>(simd, tile(pixel), to, epilogue);
                }
            }
        }
    }
}

/// Some pixels and one block of channels.
#[derive(Clone, Copy)]
struct Tile {
    pixels: *const f32,
    pitch: usize,
    depth: usize,
    weights: *const f32,
    to: *mut f32,
    step: usize,
    /// Whether the target holds a part of the sums already.
    adds: bool,
    /// Whether these are the last.
    ends: bool,
    /// The first channel, and where it is in the target.
    first: usize,
    offset: usize,
}

/// # Safety
/// `MR` pixels and the block's weights can be read, and the target's pixels written.
#[inline(always)]
unsafe fn product_tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    tile: Tile,
    target: *mut f32,
    epilogue: impl Epilogue,
) {
    // SAFETY: the caller's.
    let mut sums = unsafe { product_sums::<S, MR, NV>(simd, tile.pixels, tile.pitch, tile.depth, tile.weights) };
    let Tile { to, step, adds, ends, first, offset, .. } = tile;
    if adds {
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: the caller's.
                sums[i][v] = simd.add_f32s(unsafe { load::<S>(to.add(i * step + v * S::F32_LANES)) }, sums[i][v]);
            }
        }
    }
    if ends {
        for v in 0..NV {
            let coefficients = epilogue.channels(simd, first + v * S::F32_LANES);
            for i in 0..MR {
                let offset = offset + i * step + v * S::F32_LANES;
                // SAFETY: the caller's.
                sums[i][v] = unsafe { epilogue.apply(simd, coefficients, sums[i][v], target, offset) };
            }
        }
    }
    for i in 0..MR {
        for v in 0..NV {
            // SAFETY: the caller's.
            unsafe { store::<S>(to.add(i * step + v * S::F32_LANES), sums[i][v]) };
        }
    }
}

/// `Σ pixels[i][k] · weights[k][channel]` for `MR` pixels and one block of channels.
///
/// # Safety
/// `MR` pixels, `pitch` apart, and `depth` blocks of weights can be read.
#[inline(always)]
unsafe fn product_sums<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    pixels: *const f32,
    pitch: usize,
    depth: usize,
    mut weights: *const f32,
) -> [[S::f32s; NV]; MR] {
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    for k in 0..depth {
        let mut weight = [simd.splat_f32s(0.0); NV];
        for (v, weight) in weight.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *weight = unsafe { load::<S>(weights.add(v * S::F32_LANES)) };
        }
        for i in 0..MR {
            // SAFETY: the caller's.
            let x = simd.splat_f32s(unsafe { *pixels.add(i * pitch + k) });
            for v in 0..NV {
                sums[i][v] = simd.mul_add_e_f32s(x, weight[v], sums[i][v]);
            }
        }
        weights = weights.wrapping_add(NV * S::F32_LANES);
    }
    sums
}

/// The gradient of the weights over some pixels.
#[derive(Clone, Copy)]
pub(super) struct WeightProduct<'a> {
    /// Copies of pixels of the input and of the output's gradient, of which the first `count` are multiplied.
    pub pixels: [&'a [f32]; 2],
    pub copied: [Panels; 2],
    pub count: usize,
    /// Channels of the latter at once.
    pub block: usize,
}

impl WeightProduct<'_> {
    /// Adds it to `sums`, `[c_in][c_out]`.
    pub(super) fn add_to(self, arch: Arch, sums: &mut [f32]) {
        let Self { pixels, copied, count, block } = self;
        assert!(
            pixels.iter().zip(copied).all(|(pixels, copied)| pixels.len() >= copied.len() && count <= copied.pixels)
        );
        let channels = copied.map(|copied| copied.channels);
        assert!(sums.len() >= channels[0] * channels[1] && channels[1].is_multiple_of(block));
        let at = copied.map(|copied| (0..count).map(|i| (i * copied.pitch()) as u32).collect());
        run(arch, AddWeights { product: self, at, sums: sums.as_mut_ptr() });
    }
}

/// Made by [`WeightProduct::add_to`] only, which has checked the sizes.
struct AddWeights<'a> {
    product: WeightProduct<'a>,
    at: [Vec<u32>; 2],
    sums: *mut f32,
}

impl WithSimd for AddWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_outer_tile!(S, self.product.block, 8, add_weights(simd, self));
    }
}

#[inline(always)]
fn add_weights<S: Simd, const MR: usize, const NV: usize>(simd: S, AddWeights { product, at, sums }: AddWeights) {
    let WeightProduct { pixels: [input, grad], copied, .. } = product;
    let [c_in, c_out] = copied.map(|copied| copied.channels);
    let block = NV * S::F32_LANES;
    for start in (0..at[0].len()).step_by(SPAN) {
        let [x_at, y_at] = at.each_ref().map(|at| &at[start..at.len().min(start + SPAN)]);
        for first in (0..c_out).step_by(block) {
            for panel in (0..c_in).step_by(Panels::CHANNELS) {
                let end = c_in.min(panel + Panels::CHANNELS);
                for row in (panel..end).step_by(MR) {
                    // SAFETY: the copies have a line more than a panel's channels, which its last rows may read; of the sums' rows
                    // those of the panel alone are written.
                    unsafe {
                        outer_sums::<S, MR, NV>(
                            simd,
                            input.as_ptr().add(copied[0].at(0, row)),
                            x_at,
                            grad.as_ptr().add(copied[1].at(0, first)),
                            y_at,
                            sums.add(row * c_out + first),
                            c_out,
                            end - row,
                        );
                    }
                }
            }
        }
    }
}
