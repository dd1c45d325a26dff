//! What the operations share on CUDA: a device, launches, and how kernels read features.
//!
//! A layer is few launches, and what it leaves for its backward pass lies outside candle's graph
//! ([`crate::features::cuda`]): candle adds each gradient to new zeros, which on a GPU is two more launches for every tensor.

mod device;
mod gpu;
mod launch;
mod product;
mod values;

pub use device::cuda_device;
pub(crate) use device::device;
pub(crate) use gpu::{Arg, Buffer, Gpu, Source, address};
pub(crate) use launch::{count, int};
pub(crate) use product::{Matrix, multiply};
pub(crate) use values::ValuesAt;
