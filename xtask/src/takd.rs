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
    Passed { name: "shrink", about: "Get a small network for your images, within a budget of time, ready to deploy" },
    Passed { name: "run", about: "Train what a recipe describes and print its table" },
    Passed { name: "data", about: "Look at what there is to train on: known data sets, and your own" },
    Passed { name: "recipe", about: "List the recipes that takd brings along, or show one" },
    Passed { name: "reproduce-table1", about: "Train what Table 1 of the paper needs and print it" },
    Passed {
        name: "sweep-ta",
        about: "Try every assistant: which is best, which one the paper's heuristic picks (Tables 2, 3)",
    },
    Passed { name: "sweep-teacher", about: "Teach one student by teachers of every size (Figure 2)" },
    Passed { name: "sweep-student", about: "Teach students of every size by one teacher (Figure 3)" },
    Passed { name: "paths", about: "Take every path from the largest network to the smallest (Figure 5)" },
    Passed { name: "versus", about: "Set a teacher assistant beside other ways to teach (Figure 6)" },
    Passed { name: "landscape", about: "Look at the loss around the students (Figure 7)" },
    Passed { name: "all", about: "Train everything of the paper, each run once, and print every table" },
    Passed { name: "report", about: "Print what came of recipes, from the runs that there are" },
    Passed { name: "train", about: "Train networks, each alone" },
    Passed { name: "distill", about: "Train networks along a path, each taught by the one before it" },
    Passed { name: "import", about: "Take in a network that was trained elsewhere, and test it" },
    Passed { name: "export", about: "Make a folder to give away of a run's network" },
    Passed { name: "predict", about: "Say what is on images, by a model that was exported" },
    Passed { name: "evaluate", about: "Test a model that was exported" },
    Passed { name: "logits", about: "Write what a model says of every image of a data set" },
    Passed { name: "hub", about: "Push a model that was exported to the Hugging Face hub" },
    Passed { name: "study", about: "Look at searches: every trial, and what is best" },
    Passed { name: "runs", about: "List, show, compare, verify or delete what was trained" },
    Passed { name: "models", about: "List the networks: parameters, multiply-adds, memory, images a second here" },
    Passed { name: "doctor", about: "Say what takd finds here, and what is wrong with it" },
];

/// Builds `takd`, for the device that `args` ask for, and runs it with them in the caller's folder.
pub(crate) fn run(command: &str, args: &[OsString]) -> Result<()> {
    let mut build = cargo::cargo(&["build", "--release", "--package", "takd-cli", "--bin", "takd", "--manifest-path"]);
    build.arg(cargo::root().join("Cargo.toml"));
    let feature = match command {
        // Its device is what runs were trained on elsewhere; it opens none.
        "report" => {
            args.iter().any(|arg| arg.to_str().is_some_and(|arg| arg.starts_with("--figures"))).then_some("png")
        }
        "study" => None,
        _ => gpu::device_feature(args),
    };
    gpu::check_feature(feature)?;
    if let Some(feature) = feature {
        build.args(["--features", feature]);
    }
    let takd = cargo::find(&cargo::build(build).context("takd was not built")?, "takd")?;
    cargo::run_and_exit(&takd, Command::new(&takd).arg(command).args(args))
}
