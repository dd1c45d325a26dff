//! Training ops for small convolutional networks, as candle custom ops: convolution, batch normalisation, ReLU,
//! residual addition and pooling, forward and backward.
//!
//! Activations are channels-last, `[batch, height, width, channels]`; weights keep PyTorch's shape
//! `[out_channels, in_channels, kernel_height, kernel_width]`, so that checkpoints go both ways.
//!
//! ```text
//! [b, h, w, c_in] ──conv2d──▶ [b, h', w', c_out] ──BatchNorm──▶ ──Then: ReLU │ ReLU + pool │ + residual, ReLU──▶
//!                  └─────────────────────── ConvBn, one layer of a network ───────────────────────┘
//! ```
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use takd_ops::{Conv2dParams, conv2d};
//!
//! # fn main() -> candle_core::Result<()> {
//! let images = Tensor::ones((2, 32, 32, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let weight = Tensor::ones((16, 3, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let features = conv2d(&images, &weight, None, Conv2dParams { stride: 2, padding: 1 })?;
//! assert_eq!(features.dims(), [2, 16, 16, 16]);
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: knows nothing of networks, losses or data, and a caller never mentions a device: the tensors do.

mod conv_bn;
mod cpu;
mod features;
mod layers;
pub mod reference;
mod sgd;

pub use conv_bn::{ConvBn, Then};
pub use cpu::buffer::release_buffers;
pub use features::Features;
pub use layers::{BatchNorm, Conv2d};
pub use reference::{conv2d, global_avg_pool, max_pool2d};
pub use sgd::{SgdParams, sgd_step};

/// Stride and zero padding of a convolution, the same in height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParams {
    /// Distance in pixels between two applications of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros added on each side.
    pub padding: usize,
}
