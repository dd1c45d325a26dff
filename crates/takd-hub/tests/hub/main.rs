//! Models of the hub, as a program that uses the crate sees them.

mod models;
mod push;
#[path = "../stub/mod.rs"]
mod stub;
