//! 3×3 kernels to and from their N² points.

#![allow(clippy::needless_range_loop, reason = "entries of small matrices are named by row and column")]

use super::transforms::Tile;
use crate::cpu::{Buffer, run};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Kernels transformed side by side.
const LANES: usize = 16;

/// Where the nine taps of each kernel are.
#[derive(Clone, Copy)]
pub(in crate::conv_bn::cpu) struct Taps<'a> {
    pub weight: &'a [f32],
    /// Numbers from the kernel of one channel of the input to the next, and of the output.
    pub from_step: usize,
    pub to_step: usize,
    /// Whether the kernel is turned around.
    pub turned: bool,
}

impl Taps<'_> {
    fn get(&self, from: usize, to: usize, tap: usize) -> f32 {
        let tap = if self.turned { 8 - tap } else { tap };
        self.weight[from * self.from_step + to * self.to_step + tap]
    }
}

/// The kernels transformed, as `[block of to][N²][from][channels of the block]`.
pub(super) fn pack<T: Tile<M, N>, const M: usize, const N: usize>(
    arch: Arch,
    taps: Taps,
    [c_from, c_to]: [usize; 2],
    block: usize,
) -> Buffer {
    let mut packed = Buffer::any(N * N * c_from * c_to);
    packed.par_chunks_mut(N * N * c_from * block).enumerate().for_each(|(index, packed)| {
        for from in 0..c_from {
            for first in (0..block).step_by(LANES) {
                let count = LANES.min(block - first);
                let mut kernels = [[[0.0; LANES]; 3]; 3];
                for c in 0..count {
                    for tap in 0..9 {
                        kernels[tap / 3][tap % 3][c] = taps.get(from, index * block + first + c, tap);
                    }
                }
                let points = run(arch, TransformKernels::<T, M, N>(&kernels, PhantomData));
                for (point, values) in points.as_flattened().iter().enumerate() {
                    let at = (point * c_from + from) * block + first;
                    packed[at..at + count].copy_from_slice(&values[..count]);
                }
            }
        }
    });
    packed
}

/// Adds up sums of transformed weight gradients in their order and transforms them back, as `[c_to, c_from, 3, 3]`.
pub(super) fn unpack<T: Tile<M, N>, const M: usize, const N: usize>(
    arch: Arch,
    sums: &[Buffer],
    [c_from, c_to]: [usize; 2],
) -> Vec<f32> {
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
            let taps = run(arch, TransformBack::<T, M, N>(&points, PhantomData));
            for (tap, values) in taps.as_flattened().iter().enumerate() {
                for (o, value) in values.iter().take(outputs).enumerate() {
                    d_weight[(o * c_from + i) * 9 + tap] = *value;
                }
            }
        }
    });
    d_weight
}

struct TransformKernels<'a, T, const M: usize, const N: usize>(&'a [[[f32; LANES]; 3]; 3], PhantomData<T>);

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

struct TransformBack<'a, T, const M: usize, const N: usize>(&'a [[[f32; LANES]; N]; N], PhantomData<T>);

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
