//! Direct convolution: each output is the sum over a window.

use super::conv::Plan;
use super::tile::{RUN, Window, load, outer_sums, run_sums, store, window_sums, with_tile};
use pulp::Simd;

/// Pixels over which the weight gradient is summed in registers: as many as stay in the first-level cache.
const RUN_PIXELS: usize = 128;

/// A sweep over pixels: each output is a window's sum.
#[derive(Debug)]
pub(crate) struct Sweep {
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
    /// From each pixel's window to the next, where the pixels are whole runs in a row.
    pub distance: Option<usize>,
}

/// The target's channels.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    pub channels: usize,
    pub block: usize,
    /// Adds to the target instead of storing into it.
    pub add: bool,
}

/// # Safety
/// The offsets of `sweep` for `images` images lie within `source` and `target`, and `weights` is packed for it.
#[inline(always)]
pub(crate) unsafe fn sweep<S: Simd>(
    simd: S,
    sweep: &Sweep,
    images: usize,
    source: *const f32,
    weights: *const f32,
    target: *mut f32,
    blocks: Blocks,
) {
    // The distances of the first layers: images of three colours, the narrowest layers and the gradient into them.
    // SAFETY: the caller's.
    unsafe {
        match (S::F32_LANES, blocks.block, sweep.distance) {
            (16, 16, Some(3)) => sweep_runs::<S, 3>(simd, sweep, images, source, weights, target, blocks),
            (16, 16, Some(16)) => sweep_runs::<S, 16>(simd, sweep, images, source, weights, target, blocks),
            (16, 16, Some(32)) => sweep_runs::<S, 32>(simd, sweep, images, source, weights, target, blocks),
            _ => with_tile!(simd: S, blocks.block, sweep_tiles(sweep, images, source, weights, target, blocks)),
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
                    let old = if blocks.add { load::<S>(at) } else { simd.splat_f32s(0.0) };
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
                    *at = if blocks.add { *at + sum } else { sum };
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

/// # Safety
/// The tables' offsets for `images` images lie within `input`, which goes on for [`SLACK`] numbers, and `d_output`.
#[inline(always)]
pub(crate) unsafe fn d_weight_tiles<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    plan: &Plan,
    images: usize,
    input: *const f32,
    d_output: &[f32],
    sums: &mut [f32],
) {
    let pixels = images * plan.forward.pixels;
    let (x_at, y_at) = (&plan.forward.from[..pixels], &plan.d_from[..pixels]);
    let Window { segments, stride, length } = plan.forward.window;
    let ld = plan.d_channels;
    for (x_at, y_at) in x_at.chunks(RUN_PIXELS).zip(y_at.chunks(RUN_PIXELS)) {
        for first in (0..ld).step_by(NV * S::F32_LANES) {
            for segment in 0..segments {
                for row in (0..length).step_by(MR) {
                    // SAFETY: the offsets are those of `plan`, which checked the lengths; the input's copy has room
                    // for the tile's rows past `length`, of which nothing is written; `sums` has `ld` channels a row.
                    unsafe {
                        outer_sums::<S, MR, NV>(
                            simd,
                            input.add(segment * stride + row),
                            x_at,
                            d_output.as_ptr().add(first),
                            y_at,
                            sums.as_mut_ptr().add((segment * length + row) * ld + first),
                            ld,
                            length - row,
                        );
                    }
                }
            }
        }
    }
}
