//! What the operations share on the CPU, in f32: slices in, slices out.
//!
//! Vector code is made of *kernels*: structs that implement [`pulp::WithSimd`] and are run by [`run`]. A kernel is generic over
//! the kind of vector and compiled once for each; what calls kernels is ordinary code, compiled once.

mod arch;
mod buffer;
mod channels;
mod normalize;
mod read;
mod values;
mod vectors;

pub(crate) use arch::{arch, run};
#[cfg(test)]
pub(crate) use arch::{force_arch, kinds};
pub(crate) use buffer::{Buffer, release_pool};
pub(crate) use channels::{Add, Map, Panels, Pixels, Repeated, Sums, map, map_pixels};
pub(crate) use normalize::{Affine, AffineAddRelu, AffineRelu, add_relu, normalize};
pub(crate) use read::with_values;
pub(crate) use values::Values;
pub(crate) use vectors::{load, store};
