//! Tasks that are commands of the `takd` program, built in release first.

use crate::{cargo, gpu};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::Command;

/// A command of `takd`.
pub(crate) struct Passed {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

/// The commands that `cargo xtask` passes on, with all their arguments.
pub(crate) const PASSED: &[Passed] = &[
    Passed { name: "run", about: "Train what a recipe describes and print its table" },
    Passed { name: "recipe", about: "List the recipes that takd brings along, or show one" },
    Passed { name: "reproduce-table1", about: "Train what Table 1 of the paper needs and print it" },
    Passed { name: "distill", about: "Train networks along a path, each taught by the one before it" },
    Passed { name: "runs", about: "List, show, verify or delete what was trained" },
];

/// Builds `takd`, for the device that `args` ask for, and runs it with them in the caller's folder.
pub(crate) fn run(command: &str, args: &[OsString]) -> Result<()> {
    let mut build = cargo::cargo(&["build", "--release", "--package", "takd-cli", "--bin", "takd", "--manifest-path"]);
    build.arg(cargo::root().join("Cargo.toml"));
    let feature = gpu::device_feature(args);
    gpu::check_feature(feature)?;
    if let Some(feature) = feature {
        build.args(["--features", feature]);
    }
    let takd = cargo::find(&cargo::build(build).context("takd was not built")?, "takd")?;
    cargo::run_and_exit(&takd, Command::new(&takd).arg(command).args(args))
}
