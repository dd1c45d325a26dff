//! The fused layer against the same layer in plain tensor operations (in f64, which takes the plain way), in each kind of vector
//! and on CUDA if the crate is built for it and there is a device.

mod bits;
pub(crate) mod common;
mod consumers;
mod heads;
mod layers;
mod not_finite;
mod shapes;
mod statistics;
