//! A layer on the CPU in f32, fused so that memory is passed over as seldom as possible.
//!
//! ```text
//! forward   1  per group of images: read the input, into a padded copy if need be, convolve, store y, sum its moments
//!           2  per image: scale · y + shift, ReLU, …, stored; left to the reader if it is no more than that;
//!              in evaluation, whose statistics are known beforehand, on the way of y to memory if tiles do not pool
//! backward  1  per group: the gradient through ReLU (and pool), dz; its sums per channel
//!           2  per group: d_y from dz, y and the sums into a padded copy; from that the gradients of weights and input
//! ```
//!
//! Sums run over fixed parts of the batch and are added in their order: results do not depend on the number of threads.

mod autograd;
mod backward;
mod convolution;
mod direct;
mod epilogue;
mod eval;
mod forward;
mod gradients;
mod moments;
mod pack;
mod plan;
mod pointwise;
mod pool;
mod scratch;
mod shape;
mod tables;
mod tile;
mod train;
mod winograd;

use super::layer::{ConvBn, Mode, Then};
use crate::features::cpu::CpuFeatures;
use candle_core::Result;
pub(crate) use plan::release_plans;

pub(super) fn forward(layer: &ConvBn, input: &CpuFeatures, then: Then<CpuFeatures>, mode: Mode) -> Result<CpuFeatures> {
    match mode {
        Mode::Train => train::forward(layer, input, then),
        Mode::Eval => eval::forward(layer, input, then),
    }
}
