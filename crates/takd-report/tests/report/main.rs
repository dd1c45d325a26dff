//! Reports and pages, as a program that uses the crate sees them.

#[path = "../common/mod.rs"]
mod common;
mod layouts;
mod page;
mod report;
mod studies;
