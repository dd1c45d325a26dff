//! Training and distillation, as a program that uses the crate sees them.

mod claims;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod given_logits;
mod identity;
mod import;
mod landscape;
mod large_batches;
mod logits;
mod more_epochs;
mod results;
mod runs;
mod store;
mod teachers;
