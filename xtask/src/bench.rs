//! `cargo xtask bench`: the crates' own benchmarks, in release, beside PyTorch if it is asked for.

use crate::{cargo, gpu};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Training steps and evaluations of small networks, or with `-- --memory` their peak memory; with --pytorch PyTorch's
    /// in turns, compiled too but for `-- --eager`
    Step,
    /// The distillation loss at 10 to 151 936 classes, candle's composite in turns; with --pytorch PyTorch's too
    Loss,
    /// An epoch taught by kept logits against one without a teacher, and the wait for batches
    Epoch,
    /// Making batches, when they are asked for and ahead
    Batches,
    /// Batches of images that stay in the files of the folder named after `--`; with --pytorch torchvision's too
    Data,
}

/// What is measured in turns with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    PyTorch,
}

impl Bench {
    /// The example that measures it; each has a name of its own in the workspace.
    fn example(self) -> &'static str {
        match self {
            Self::Step => "bench_step",
            Self::Loss => "bench_loss",
            Self::Epoch => "bench_epoch",
            Self::Batches => "bench_batches",
            Self::Data => "bench_data",
        }
    }
}

/// Builds a benchmark, for the device that `args` ask for, and runs it with them.
pub(crate) fn run(bench: Bench, beside: Beside, args: &[OsString]) -> Result<()> {
    if beside == Beside::PyTorch && !matches!(bench, Bench::Step | Bench::Loss | Bench::Data) {
        bail!("--pytorch is for `step`, `loss` and `data`: the others have nothing of PyTorch's beside them");
    }
    let example = bench.example();
    // Of the workspace and not of its package, so that the dependencies are those that takd was built with.
    let mut build = cargo::cargo(&["build", "--release", "--workspace", "--example", example, "--manifest-path"]);
    build.arg(cargo::root().join("Cargo.toml"));
    let feature = gpu::device_feature(args);
    gpu::check_feature(feature)?;
    if let Some(feature) = feature {
        build.args(["--features", &format!("takd-cli/{feature}")]);
    }
    let program = cargo::find(&cargo::build(build)?, example)?;
    let mut command = Command::new(&program);
    if beside == Beside::PyTorch {
        command.arg("--python").arg(python_with_pytorch(feature)?);
        if bench == Bench::Step {
            // PyTorch at its best; `-- --eager` switches it off again.
            command.arg("--compile");
        }
    }
    cargo::run_and_exit(&program, command.args(args))
}

/// What the scripts of PyTorch import.
const MODULES: &str = "torch, torchvision, numpy";

/// A Python of its own with PyTorch, in the target folder, and for a GPU with Liger-Kernel; set up the first time.
fn python_with_pytorch(feature: Option<&str>) -> Result<PathBuf> {
    let folder = cargo::target_folder()?.join("pytorch");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !imports(&python, MODULES) {
        eprintln!("setting up PyTorch in {} (once, some GB from PyPI on Linux)", folder.display());
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
        if !made.context("cannot start python3, which --pytorch needs")?.success() {
            bail!("python3 -m venv {} failed; --pytorch needs Python with its venv module", folder.display());
        }
        install(&python, &["torch", "torchvision", "numpy"])?;
        if !imports(&python, MODULES) {
            bail!("PyTorch could not be installed; try again, or without --pytorch");
        }
    }
    if feature == Some("cuda") && !imports(&python, "liger_kernel") {
        install(&python, &["liger-kernel"])?;
        if !imports(&python, "liger_kernel") {
            eprintln!("Liger-Kernel could not be installed: the benchmark does without");
        }
    }
    Ok(python)
}

fn install(python: &Path, packages: &[&str]) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet"]).args(packages).status().context("cannot start pip")?;
    Ok(())
}

fn imports(python: &Path, modules: &str) -> bool {
    let import = Command::new(python).arg("-c").arg(format!("import {modules}")).output();
    import.is_ok_and(|output| output.status.success())
}
