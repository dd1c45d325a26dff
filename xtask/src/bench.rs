//! `cargo xtask bench`: the crates' own benchmarks, in release, beside PyTorch where it is wanted.

use crate::takd;
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
}

impl Bench {
    /// The example that measures it, and its crate.
    fn example(self) -> (&'static str, &'static str) {
        match self {
            Self::Step => ("takd-ops", "bench_step"),
            Self::Loss => ("takd-loss", "bench_loss"),
            Self::Epoch => ("takd-distill", "bench_epoch"),
            Self::Batches => ("takd-datasets", "bench_batches"),
        }
    }
}

/// Builds a benchmark, for the device that `args` ask for, and runs it with them; beside PyTorch from PyPI where `pytorch`.
pub(crate) fn run(bench: Bench, pytorch: bool, args: &[OsString]) -> Result<()> {
    let (package, example) = bench.example();
    let mut command = Command::new(crate::cargo());
    command.args(["run", "--release", "--package", package, "--example", example, "--manifest-path"]);
    command.arg(crate::root().join("Cargo.toml"));
    let feature = takd::device_feature(args);
    if feature == Some("cuda") {
        takd::check_for_cuda()?;
    }
    if let Some(feature) = feature {
        command.args(["--features", feature]);
    }
    command.arg("--");
    if pytorch {
        if !matches!(bench, Bench::Step | Bench::Loss) {
            bail!("--pytorch is for `step` and `loss`: the others have nothing of PyTorch's beside them");
        }
        command.arg("--python").arg(python_with_pytorch(feature == Some("cuda"))?);
        if bench == Bench::Step {
            // PyTorch at its best. `-- --eager` is the way out.
            command.arg("--compile");
        }
    }
    let status = command.args(args).status().context("cannot start cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}

/// A Python of its own with PyTorch, in the target folder, and for a GPU with Liger-Kernel; set up the first time.
fn python_with_pytorch(on_gpu: bool) -> Result<PathBuf> {
    let folder = crate::target().join("pytorch");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !imports(&python, "torch, numpy") {
        eprintln!("setting up PyTorch in {} (once, some GB from PyPI on Linux)", folder.display());
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
        if !made.context("cannot start python3, which --pytorch needs")?.success() {
            bail!("python3 -m venv {} failed; --pytorch needs Python with its venv module", folder.display());
        }
        install(&python, &["torch", "numpy"])?;
        if !imports(&python, "torch, numpy") {
            bail!("PyTorch could not be installed; try again, or without --pytorch");
        }
    }
    if on_gpu && !imports(&python, "liger_kernel") {
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
