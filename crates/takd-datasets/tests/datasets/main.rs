//! Data sets, as a program that uses the crate sees them.

mod catalog;
#[path = "../common/mod.rs"]
mod common;
mod dataset;
mod device_kernels;
mod drawn;
mod examples;
mod files;
mod forms;
mod images;
