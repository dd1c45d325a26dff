//! A layer on CUDA in f32, launch by launch.
//!
//! ```text
//! forward   1  convolve, in training with the moments of each block's outputs
//!           2  the coefficients of each channel, by those moments or the running statistics
//!           3  pool or add the residual; nothing if what follows is left to the reader
//! backward  1  the gradient of the normalised values, and its sums per channel
//!           2  the gradients of γ and β
//!           3  the gradient of the convolution's output
//!           4  the gradient of the input, added to what has come for it
//!           5  the gradient of the weights, in parts; 6 their sum
//! ```
//!
//! A wide 1×1 convolution is a matrix product by cuBLAS, before which values that are still to be normalised are written, and
//! after which a launch of its own takes the moments.

mod conv;
mod layer;
mod norm;
mod output;
mod pointwise;
mod shape;
#[cfg(test)]
mod tests;
mod tile;

pub(super) use layer::forward;
