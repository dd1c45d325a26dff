//! Direct convolution: each output is the sum over a window.

use super::tile::{RUN, Window, outer_sums, run_sums, window_sums, with_outer_tile, with_tile};
use crate::conv_bn::layer::Write;
use crate::cpu::{load, run, store};
use pulp::{Arch, Simd, WithSimd};

/// Pixels over which the weight gradient is summed in registers: as many as stay in the first-level cache.
const RUN_PIXELS: usize = 128;

/// A sweep over pixels: each output is a window's sum.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Offset of each pixel's window in the source, group by group.
    pub from: Vec<u32>,
    /// Offset of each pixel's channels in the target.
    pub to: Vec<u32>,
    pub window: Window,
    /// The window's, ready to be walked.
    pub steps: Vec<u32>,
    /// Where its weights start in the packed array.
    pub weights: usize,
    /// Which kernel rows and columns the windows cover, in the order in which they are read.
    pub taps: (Vec<usize>, Vec<usize>),
    /// Pixels of one image.
    pub pixels: usize,
    /// From each pixel's window to the next, if the pixels of a row are whole runs.
    pub distance: Option<usize>,
}

/// The target's channels.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pub channels: usize,
    /// How many of them are worked on at once.
    pub block: usize,
    pub write: Write,
}

/// Computes the sweep for `images` images.
///
/// # Safety
/// The offsets of `sweep` for `images` images lie within `source` and `target`, and `weights` is packed for it.
pub(super) unsafe fn sweep(
    arch: Arch,
    sweep: &Sweep,
    images: usize,
    source: *const f32,
    weights: *const f32,
    target: *mut f32,
    blocks: Blocks,
) {
    run(arch, SweepImages { sweep, images, source, weights, target, blocks });
}

/// Made by [`sweep`] only, whose caller promises that its pointers can be followed.
struct SweepImages<'a> {
    sweep: &'a Sweep,
    images: usize,
    source: *const f32,
    weights: *const f32,
    target: *mut f32,
    blocks: Blocks,
}

impl WithSimd for SweepImages<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sweep, images, source, weights, target, blocks } = self;
        // SAFETY: as `sweep`'s caller promises.
        unsafe {
            match S::F32_LANES {
                // The distances of the first layers: images of three colours, the narrowest layers and the gradient into
                // them.
                16 => match (blocks.block, sweep.distance) {
                    (16, Some(3)) => sweep_runs::<S, 3>(simd, sweep, images, source, weights, target, blocks),
                    (16, Some(16)) => sweep_runs::<S, 16>(simd, sweep, images, source, weights, target, blocks),
                    (16, Some(32)) => sweep_runs::<S, 32>(simd, sweep, images, source, weights, target, blocks),
                    _ => with_tile!(S, blocks.block, sweep_tiles(simd, sweep, images, source, weights, target, blocks)),
                },
                _ => with_tile!(S, blocks.block, sweep_tiles(simd, sweep, images, source, weights, target, blocks)),
            }
        }
    }
}

/// # Safety
/// As for [`sweep`].
#[inline(always)]
unsafe fn sweep_runs<S: Simd, const DISTANCE: usize>(
    simd: S,
    sweep: &Sweep,
    images: usize,
    source: *const f32,
    weights: *const f32,
    target: *mut f32,
    blocks: Blocks,
) {
    let pixels = images * sweep.pixels;
    for (from, to) in sweep.from[..pixels].chunks(2 * RUN).zip(sweep.to[..pixels].chunks(2 * RUN)) {
        let last = from.len() - RUN;
        let runs = [source.wrapping_add(from[0] as usize), source.wrapping_add(from[last] as usize)];
        // SAFETY: `sweep`'s caller promises that windows and weights can be read.
        let sums = unsafe { run_sums::<S, 2, DISTANCE>(simd, runs, sweep.window, weights) };
        for (sums, to) in sums.into_iter().zip(to.chunks(RUN)) {
            // SAFETY: likewise the pixels of the target.
            unsafe { store_tile(simd, sums.map(|sum| [sum]), to, target, 0, blocks) };
        }
    }
}

/// Stores the sums of a block of channels from `first` on into the pixels at `to`, as many as there are.
///
/// # Safety
/// The pixels at `to` can be read and written in `target`.
#[inline(always)]
unsafe fn store_tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sums: [[S::f32s; NV]; MR],
    to: &[u32],
    target: *mut f32,
    first: usize,
    blocks: Blocks,
) {
    let lanes = S::F32_LANES;
    let whole = first + NV * lanes <= blocks.channels;
    for i in 0..MR {
        if i >= to.len() {
            break;
        }
        let target = target.wrapping_add(to[i] as usize + first);
        if whole {
            for (v, &sum) in sums[i].iter().enumerate() {
                // SAFETY: the caller's, and this block has all of its channels.
                unsafe {
                    let at = target.add(v * lanes);
                    let old = if blocks.write == Write::Add { load::<S>(at) } else { simd.splat_f32s(0.0) };
                    store::<S>(at, simd.add_f32s(old, sum));
                }
            }
        } else {
            let mut some = [0.0f32; 64];
            for (v, &sum) in sums[i].iter().enumerate() {
                // SAFETY: `some` holds 64 numbers, more than any tile has channels.
                unsafe { store::<S>(some.as_mut_ptr().add(v * lanes), sum) };
            }
            for (c, &sum) in some[..blocks.channels - first].iter().enumerate() {
                // SAFETY: as above; only the channels that exist are touched.
                unsafe {
                    let at = target.add(c);
                    *at = if blocks.write == Write::Add { *at + sum } else { sum };
                }
            }
        }
    }
}

/// # Safety
/// As for [`sweep`].
#[inline(always)]
unsafe fn sweep_tiles<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sweep: &Sweep,
    images: usize,
    source: *const f32,
    weights: *const f32,
    target: *mut f32,
    blocks: Blocks,
) {
    let lanes = S::F32_LANES;
    let pixels = images * sweep.pixels;
    let (from, to) = (&sweep.from[..pixels], &sweep.to[..pixels]);
    let depth = sweep.window.segments * sweep.window.length;
    for first in (0..blocks.channels).step_by(NV * lanes) {
        let weights = weights.wrapping_add(first * depth);
        for (from, to) in from.chunks(MR).zip(to.chunks(MR)) {
            let mut windows = [source.wrapping_add(from[0] as usize); MR];
            for (window, &from) in windows.iter_mut().zip(from) {
                *window = source.wrapping_add(from as usize);
            }
            // SAFETY: `sweep`'s caller promises that windows and weights can be read.
            let sums = unsafe { window_sums::<S, MR, NV>(simd, windows, &sweep.steps, weights) };
            // SAFETY: likewise the pixels of the target.
            unsafe { store_tile(simd, sums, to, target, first, blocks) };
        }
    }
}

/// The sums of a convolution's weight gradient over direct windows.
#[derive(Clone, Copy)]
pub(super) struct WeightSums<'a> {
    pub forward: &'a Sweep,
    /// Offset of each output pixel in the copy of the output's gradient.
    pub d_from: &'a [u32],
    /// Channels of that copy, and how many of them are worked on at once.
    pub d_channels: usize,
    pub block: usize,
}

/// Adds the weight gradient of `images` images to `sums`.
///
/// # Safety
/// The tables' offsets for `images` images lie within `input`, which goes on for [`SLACK`](super::tile::SLACK) numbers, and
/// within `d_output`; `sums` holds a row of `d_channels` for each number of the window.
pub(super) unsafe fn d_weight(
    arch: Arch,
    of: WeightSums,
    images: usize,
    input: *const f32,
    d_output: *const f32,
    sums: *mut f32,
) {
    run(arch, WeightGrad { of, images, input, d_output, sums });
}

/// Made by [`d_weight`] only, whose caller promises that its pointers can be followed.
struct WeightGrad<'a> {
    of: WeightSums<'a>,
    images: usize,
    input: *const f32,
    d_output: *const f32,
    sums: *mut f32,
}

impl WithSimd for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, images, input, d_output, sums } = self;
        let rows = of.forward.window.length;
        // SAFETY: as `d_weight`'s caller promises.
        unsafe { with_outer_tile!(S, of.block, rows, d_weight_tiles(simd, of, images, input, d_output, sums)) }
    }
}

/// # Safety
/// As for [`d_weight`].
#[inline(always)]
unsafe fn d_weight_tiles<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    WeightSums { forward, d_from, d_channels, .. }: WeightSums,
    images: usize,
    input: *const f32,
    d_output: *const f32,
    sums: *mut f32,
) {
    let pixels = images * forward.pixels;
    let (x_at, y_at) = (&forward.from[..pixels], &d_from[..pixels]);
    let Window { segments, stride, length } = forward.window;
    for (x_at, y_at) in x_at.chunks(RUN_PIXELS).zip(y_at.chunks(RUN_PIXELS)) {
        for first in (0..d_channels).step_by(NV * S::F32_LANES) {
            for segment in 0..segments {
                for row in (0..length).step_by(MR) {
                    // SAFETY: the caller's: the offsets lie within the slices; the input's copy has room for the tile's rows
                    // past `length`, of which nothing is written; `sums` has `d_channels` channels a row.
                    unsafe {
                        outer_sums::<S, MR, NV>(
                            simd,
                            input.add(segment * stride + row),
                            x_at,
                            d_output.add(first),
                            y_at,
                            sums.add((segment * length + row) * d_channels + first),
                            d_channels,
                            length - row,
                        );
                    }
                }
            }
        }
    }
}
