//! Weights in the order in which the kernels read them, and gradients back into PyTorch's.

use super::plan::Plan;
use super::pointwise;
use super::winograd::Taps;
use crate::cpu::Buffer;
use rayon::prelude::*;

impl Plan {
    /// `[c_out, c_in, k, k]` as `[block][k][k][c_in][channels of the block]`, zeros after the last channel; or transformed for
    /// tiles.
    pub(super) fn pack_forward(&self, weight: &[f32]) -> Buffer {
        if self.pointwise {
            // As below, by all threads.
            return pointwise::pack([self.c_in, self.c_out], self.block_out, |i, o| weight[o * self.c_in + i]);
        }
        if let Some(winograd) = &self.tiled.forward {
            let taps = Taps { weight, from_step: 9, to_step: self.c_in * 9, turned: false };
            return winograd.pack(self.arch, taps);
        }
        let (k_h, k_w) = self.kernel;
        let mut packed = Buffer::zeros(k_h * k_w * self.c_in * self.d_channels);
        let mut rows = packed.chunks_exact_mut(self.block_out);
        for block in (0..self.c_out).step_by(self.block_out) {
            for y in 0..k_h {
                for x in 0..k_w {
                    for (i, row) in (0..self.c_in).zip(&mut rows) {
                        for (o, packed) in (block..self.c_out).zip(row) {
                            *packed = weight[self.weight_index(o, i, y, x)];
                        }
                    }
                }
            }
        }
        packed
    }

    /// The same turned around for the gradient of the input: for each sweep `[block of c_in][taps][c_out][channels]`.
    pub(super) fn pack_backward(&self, weight: &[f32]) -> Buffer {
        if self.pointwise {
            return pointwise::pack([self.c_out, self.c_in], self.block_in, |o, i| weight[o * self.c_in + i]);
        }
        if let Some(winograd) = &self.tiled.backward {
            let taps = Taps { weight, from_step: self.c_in * 9, to_step: 9, turned: true };
            return winograd.pack(self.arch, taps);
        }
        let channels = self.c_in.next_multiple_of(self.block_in);
        let taps: usize = self.backward.iter().map(|sweep| sweep.taps.0.len() * sweep.taps.1.len()).sum();
        let mut packed = Buffer::zeros(taps * self.d_channels * channels);
        let mut rows = packed.chunks_exact_mut(self.block_in);
        for sweep in &self.backward {
            for block in (0..self.c_in).step_by(self.block_in) {
                for &y in &sweep.taps.0 {
                    for &x in &sweep.taps.1 {
                        for (o, row) in (0..self.d_channels).zip(&mut rows) {
                            if o < self.c_out {
                                for (i, packed) in (block..self.c_in).zip(row) {
                                    *packed = weight[self.weight_index(o, i, y, x)];
                                }
                            }
                        }
                    }
                }
            }
        }
        packed
    }

    /// Adds up the sums of weight gradients in their order, as `[c_out, c_in, k, k]`.
    pub(super) fn unpack_d_weight(&self, sums: &[Buffer]) -> Vec<f32> {
        if let Some(winograd) = &self.tiled.weights {
            return winograd.unpack(self.arch, sums);
        }
        // Some channels at a time, so that what is read of a row is a line of the cache.
        const CHANNELS: usize = 16;

        let taps = self.kernel.0 * self.kernel.1;
        let of_channel = taps * self.c_in;
        let mut d_weight = vec![0.0; self.c_out * of_channel];
        d_weight.par_chunks_mut(CHANNELS * of_channel).enumerate().for_each(|(part, d_weight)| {
            let channels = d_weight.len() / of_channel;
            for index in 0..of_channel {
                let start = index * self.d_channels + part * CHANNELS;
                let mut total = [0.0; CHANNELS];
                for sums in sums {
                    for (total, value) in total.iter_mut().zip(&sums[start..start + channels]) {
                        *total += value;
                    }
                }
                let (tap, i) = (index / self.c_in, index % self.c_in);
                for (o, total) in total.iter().take(channels).enumerate() {
                    d_weight[o * of_channel + i * taps + tap] = *total;
                }
            }
        });
        d_weight
    }

    fn weight_index(&self, o: usize, i: usize, y: usize, x: usize) -> usize {
        ((o * self.c_in + i) * self.kernel.0 + y) * self.kernel.1 + x
    }
}
