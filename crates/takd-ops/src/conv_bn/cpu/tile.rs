//! The register tiles that sums are built of, generic over the vector.
//!
//! A tile holds `rows · channels` sums in registers: `MR` rows, each `NV` vectors of channels.

use crate::cpu::{load, run, store};
use pulp::{Arch, Simd, WithSimd};

/// Channels a tile works on at once, for `channels` in all.
pub(super) fn channel_block(arch: Arch, channels: usize) -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    let lanes = run(arch, Lanes);
    match lanes {
        16 if channels <= 16 => 16,
        16 => 32,
        8 | 4 if channels <= 8 => 8,
        8 | 4 => 16,
        _ => 4 * lanes,
    }
}

// Each of the macros calls `$run::<$S, MR, NV>($arguments)` with the tile that fits the vector `$S` and the channel block
// `$block`. The outer `match` is on a constant, so that the tiles of other vectors are not compiled.

/// The tile for rows that have a pointer each. With 32 vector registers more sums would fit, but the compiler then keeps some
/// of them in memory.
macro_rules! with_tile {
    ($S:ident, $block:expr, $run:ident($($argument:expr),* $(,)?)) => {
        match $S::F32_LANES {
            16 => match $block {
                32 => $run::<$S, 8, 2>($($argument),*),
                _ => $run::<$S, 8, 1>($($argument),*),
            },
            8 => match $block {
                16 => $run::<$S, 6, 2>($($argument),*),
                _ => $run::<$S, 12, 1>($($argument),*),
            },
            4 => match $block {
                16 => $run::<$S, 6, 4>($($argument),*),
                _ => $run::<$S, 8, 2>($($argument),*),
            },
            _ => $run::<$S, 3, 4>($($argument),*),
        }
    };
}
pub(super) use with_tile;

/// The tile for rows that share one pointer, so that more of them fit into the widest vectors' registers.
macro_rules! with_large_tile {
    ($S:ident, $block:expr, $run:ident($($argument:expr),* $(,)?)) => {
        match $S::F32_LANES {
            16 => match $block {
                32 => $run::<$S, 12, 2>($($argument),*),
                _ => $run::<$S, 24, 1>($($argument),*),
            },
            _ => $crate::conv_bn::cpu::tile::with_tile!($S, $block, $run($($argument),*)),
        }
    };
}
pub(super) use with_large_tile;

/// The tile for sums over pixels, of `$rows` rows one after the other: as many at once as leave few over.
macro_rules! with_outer_tile {
    ($S:ident, $block:expr, $rows:expr, $run:ident($($argument:expr),* $(,)?)) => {
        match $S::F32_LANES {
            16 => match ($block, $rows) {
                (32, 9) => $run::<$S, 9, 2>($($argument),*),
                (16, 9) => $run::<$S, 9, 1>($($argument),*),
                (16, 16..) => $run::<$S, 16, 1>($($argument),*),
                (32, _) => $run::<$S, 8, 2>($($argument),*),
                _ => $run::<$S, 8, 1>($($argument),*),
            },
            _ => $crate::conv_bn::cpu::tile::with_tile!($S, $block, $run($($argument),*)),
        }
    };
}
pub(super) use with_outer_tile;

/// Numbers after those of a matrix or copy that [`outer_sums`] may read, since its last rows need not be whole.
pub(super) const SLACK: usize = 16;

/// Windows side by side that [`run_sums`] takes together.
pub(super) const RUN: usize = 8;

/// What a sum over a window reads: for each row of the tile `segments` runs of `length` numbers, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub segments: usize,
    pub stride: usize,
    pub length: usize,
}

impl Window {
    /// The offset of each number from the first.
    pub(super) fn steps(self) -> Vec<u32> {
        let start = |segment: usize| segment * self.stride;
        (0..self.segments).flat_map(|s| (start(s)..start(s) + self.length).map(|step| step as u32)).collect()
    }
}

/// `Σ window[steps[k]] · weights[k][channel]` for `MR` windows and one block of channels. The steps are a table: with two
/// nested loops the compiler keeps some of the sums in memory.
///
/// # Safety
/// Each of `windows` can be read at each of `steps`; `weights` holds as many blocks of `NV` vectors.
#[inline(always)]
pub(super) unsafe fn window_sums<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    windows: [*const f32; MR],
    steps: &[u32],
    mut weights: *const f32,
) -> [[S::f32s; NV]; MR] {
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    for &step in steps {
        let mut weight = [simd.splat_f32s(0.0); NV];
        for (v, weight) in weight.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *weight = unsafe { load::<S>(weights.add(v * S::F32_LANES)) };
        }
        for (sums, window) in sums.iter_mut().zip(windows) {
            // SAFETY: the caller's.
            let x = simd.splat_f32s(unsafe { *window.add(step as usize) });
            for (sum, &weight) in sums.iter_mut().zip(&weight) {
                *sum = simd.mul_add_e_f32s(x, weight, *sum);
            }
        }
        weights = weights.wrapping_add(NV * S::F32_LANES);
    }
    sums
}

/// The same for `B` runs of [`RUN`] windows, each `DISTANCE` numbers from the one before: with one pointer for a run there are
/// registers for more windows, which counts if a vector of weights is used once for each.
///
/// # Safety
/// As for [`window_sums`], `window`'s steps from each window of each run.
#[inline(always)]
pub(super) unsafe fn run_sums<S: Simd, const B: usize, const DISTANCE: usize>(
    simd: S,
    runs: [*const f32; B],
    window: Window,
    mut weights: *const f32,
) -> [[S::f32s; RUN]; B] {
    let mut sums = [[simd.splat_f32s(0.0); RUN]; B];
    for segment in 0..window.segments {
        for step in segment * window.stride..segment * window.stride + window.length {
            // SAFETY: the caller's.
            let weight = unsafe { load::<S>(weights) };
            for (run, sums) in runs.iter().zip(&mut sums) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's.
                    let x = simd.splat_f32s(unsafe { *run.add(step + i * DISTANCE) });
                    *sum = simd.mul_add_e_f32s(x, weight, *sum);
                }
            }
            weights = weights.wrapping_add(S::F32_LANES);
        }
    }
    sums
}

/// `sums[i][channel] += Σ_pixel x[pixel][i] · y[pixel][channel]` for `MR` neighbouring `i` and one block of channels;
/// the pixels lie at `x_at` and `y_at`, the rows of `sums` `ld` apart, and only the first `rows` are written.
///
/// # Safety
/// `MR` numbers at each `x + x_at`, `NV` vectors at each `y + y_at` and at each of the first `rows` rows of `sums` can
/// be read, and the latter written.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn outer_sums<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    x: *const f32,
    x_at: &[u32],
    y: *const f32,
    y_at: &[u32],
    sums: *mut f32,
    ld: usize,
    rows: usize,
) {
    const { assert!(MR <= SLACK) };
    let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
    for (&x_at, &y_at) in x_at.iter().zip(y_at) {
        let (x, y) = (x.wrapping_add(x_at as usize), y.wrapping_add(y_at as usize));
        let mut right = [simd.splat_f32s(0.0); NV];
        for (v, right) in right.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *right = unsafe { load::<S>(y.add(v * S::F32_LANES)) };
        }
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let left = simd.splat_f32s(unsafe { *x.add(i) });
            for v in 0..NV {
                acc[v] = simd.mul_add_e_f32s(left, right[v], acc[v]);
            }
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        if i < rows {
            for (v, &acc) in acc.iter().enumerate() {
                // SAFETY: the caller's.
                unsafe {
                    let at = sums.add(i * ld + v * S::F32_LANES);
                    store::<S>(at, simd.add_f32s(load::<S>(at), acc));
                }
            }
        }
    }
}
