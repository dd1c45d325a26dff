//! The losses, as a program that uses the crate sees them.

#[path = "../common/mod.rs"]
mod common;
mod device_kernels;
mod examples;
mod family;
mod kd_loss;
mod kept_gradient;
mod top_k;
