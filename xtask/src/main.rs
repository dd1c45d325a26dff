//! Development tasks and whole experiments: `cargo xtask <task>`.

mod ci;
mod takd;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;

/// Development tasks and whole experiments.
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build takd in release, train what Table 1 of the paper needs and print it; `--help` lists the options
    #[command(disable_help_flag = true)]
    ReproduceTable1 {
        /// As for `takd reproduce-table1`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Check everything: format, clippy with warnings denied, all tests and doc tests, documentation
    Ci,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::ReproduceTable1 { args } => takd::run("reproduce-table1", &args),
        Task::Ci => ci::run(),
    }
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The cargo that runs us.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
