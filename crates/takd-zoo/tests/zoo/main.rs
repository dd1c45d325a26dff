//! Model folders, as a program that uses the crate sees them.

mod classifier;
mod common;
mod examples;
mod folders;
mod golden;
mod onnx;
mod python;
