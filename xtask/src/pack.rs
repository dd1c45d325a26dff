//! `cargo xtask pack-gpu`: what a machine with a GPU and nothing else needs to show what takd does there.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// takd and the benchmarks, in one build.
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "build", "--release", "--workspace", "--features", "takd-cli/cuda",
    "--bin", "takd", "--example", "bench_step", "--example", "bench_loss",
];

/// The tests that have a device's part.
#[rustfmt::skip]
const TESTS: &[&str] = &[
    "test", "--release", "--no-run", "--workspace", "--features", "takd-cli/cuda",
    "--lib", "--test", "batches", "--test", "tf32", "--test", "golden", "--test", "on_cuda", "--test", "cuda",
];

/// Lays out programs, tests and the script that runs them in `out`, with copies of the folders `data` and `reference`.
pub(crate) fn run(out: &Path, data: Option<&Path>, reference: Option<&Path>) -> Result<()> {
    if !crate::answers("nvcc", "--version") {
        bail!("pack-gpu: there is no nvcc on PATH: install a CUDA toolkit; see README, \"On a GPU\"");
    }
    if std::env::var_os("CUDA_COMPUTE_CAP").is_none() && !crate::answers("nvidia-smi", "-L") {
        bail!("pack-gpu: for which GPUs? CUDA_COMPUTE_CAP=80 is for an A100, 90 for an H100 or H200");
    }
    let folder = |name: &str| -> Result<PathBuf> {
        let folder = out.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    };
    // Those of an earlier build have other names.
    let _ = std::fs::remove_dir_all(out.join("tests"));
    let (programs, tests) = (folder("bin")?, folder("tests")?);
    let release = crate::target().join("release");

    cargo(PROGRAMS)?;
    for program in ["takd", "examples/bench_step", "examples/bench_loss"] {
        copy(&release.join(program), &programs)?;
    }
    // cargo names each program in a line "  Executable tests/golden.rs (target/release/deps/golden-0123)".
    for line in cargo(TESTS)?.lines() {
        if let Some((_, program)) = line.trim().strip_prefix("Executable ").and_then(|line| line.split_once(" (")) {
            copy(&crate::root().join(program.trim_end_matches(')')), &tests)?;
        }
    }
    copy(&crate::root().join("xtask/gpu/run.sh"), out)?;
    for (from, name) in [(data, "data"), (reference, "reference")] {
        if let Some(from) = from {
            copy_all(from, &folder(name)?)?;
        }
    }
    eprintln!("{} is complete: take it to the machine with the GPU and start run.sh there", out.display());
    Ok(())
}

/// Runs cargo in the workspace; what it had to say, which is passed on.
fn cargo(args: &[&str]) -> Result<String> {
    eprintln!("pack-gpu: cargo {}", args.join(" "));
    let mut command = Command::new(crate::cargo());
    let mut child = command.args(args).current_dir(crate::root()).stderr(Stdio::piped()).spawn()?;
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().context("cargo has no stderr")?).lines() {
        let line = line?;
        eprintln!("{line}");
        said += &line;
        said.push('\n');
    }
    if !child.wait()?.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(said)
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    std::fs::copy(file, to).with_context(|| format!("cannot copy {} to {}", file.display(), folder.display()))?;
    Ok(())
}

/// A folder's files with those of its folders.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            let folder = to.join(path.file_name().unwrap_or_default());
            std::fs::create_dir_all(&folder)?;
            copy_all(&path, &folder)?;
        } else {
            copy(&path, to)?;
        }
    }
    Ok(())
}
