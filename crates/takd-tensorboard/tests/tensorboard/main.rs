//! Event files, as a program that uses the crate and as TensorBoard sees them.

mod files;
mod tensorboard;
