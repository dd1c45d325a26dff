//! The fast path on CUDA: f32 tensors of a CUDA device.
//!
//! A layer is few launches (`layer` lists them), its activations lie beside candle's graph, and its backward pass goes
//! from layer to layer without it (`node`): candle adds each gradient to zeros of its own, which on a GPU is two launches
//! more for every tensor.

mod conv;
mod gpu;
mod layer;
mod leave;
mod node;
mod norm;

pub(crate) use conv::Shape;
pub use gpu::cuda_device;
pub(crate) use gpu::{Arg, Gpu, Source, address};
pub(crate) use layer::{forward, is_supported};
pub(crate) use leave::{As, enter, leave};
pub(crate) use node::{Node, collect_grads};
