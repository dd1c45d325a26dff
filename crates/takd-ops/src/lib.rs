#![doc = include_str!("../README.md")]
//!
//! # Invariant
//! Knows nothing of networks, losses or data, and a caller never mentions a device: the tensors do.

mod conv_bn;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod features;
mod finite;
mod head;
mod layers;
mod precision;
pub mod reference;
mod sgd;
#[cfg(test)]
mod tests;

pub use conv_bn::{ConvBn, Then};
pub use cpu::buffer::release_buffers;
#[cfg(feature = "cuda")]
pub use cuda::cuda_device;
pub use features::{Features, backward};
pub use layers::{BatchNorm, Conv2d};
pub use precision::{Precision, precision, set_precision};
pub use reference::{conv2d, global_avg_pool, max_pool2d};
pub use sgd::{SgdParams, SgdUpdate, sgd_step};

/// Stride and zero padding of a convolution, the same in height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParams {
    /// Distance in pixels between two applications of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros added on each side.
    pub padding: usize,
}

impl Conv2dParams {
    /// How often a kernel finds place along one side; nothing where it does not at all, or the padded side is above 65535.
    pub(crate) fn places(self, size: usize, kernel: usize) -> Option<usize> {
        let padded = self.padding.checked_mul(2)?.checked_add(size)?;
        // No image is that large, but a mistake in the arguments may be.
        u16::try_from(padded).ok()?;
        padded.checked_sub(kernel.max(1))?.checked_div(self.stride)?.checked_add(1)
    }
}
