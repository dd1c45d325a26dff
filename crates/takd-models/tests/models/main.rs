//! Networks and files of weights, as a program that uses the crate sees them.

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod hostile_state_dicts;
mod imagenet_golden;
mod imports;
mod networks;
mod pytorch_files;
