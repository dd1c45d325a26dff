#![doc = include_str!("../README.md")]
//!
//! # Invariant
//! Knows nothing of networks, losses or data, and a caller never mentions a device: the tensors do.

// Each operation has a folder. `mod.rs` is what a caller sees of it: it picks the backend. `cpu.rs` or `cpu/`, `cuda.rs` or
// `cuda/` are the backends, the latter with the text of the kernels, `.cu`, beside the Rust that launches them. `cpu/` and
// `cuda/` here are what the operations of one backend share. takd-loss is laid out the same way.
mod activation;
mod compute;
mod conv2d_params;
mod conv_bn;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod features;
mod global_avg_pool;
mod layers;
mod linear;
pub mod reference;
mod release;
mod sgd_step;
#[cfg(test)]
mod tests;

pub use compute::{Compute, Precision};
pub use conv_bn::{ConvBn, MaxPool, Then};
pub use conv2d_params::Conv2dParams;
#[cfg(feature = "cuda")]
pub use cuda::cuda_device;
pub use features::{Features, backward};
pub use layers::{BatchNorm, Conv2d};
pub use linear::linear;
pub use reference::{conv2d, global_avg_pool, max_pool2d};
pub use release::release_buffers;
pub use sgd_step::{SgdParams, SgdUpdate, sgd_step};
