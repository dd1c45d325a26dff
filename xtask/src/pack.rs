//! `cargo xtask pack-gpu`: what a machine with a GPU and nothing else needs to show what takd does there.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Crates whose tests run on a device too.
const TESTED: &[&str] = &["takd-ops", "takd-loss", "takd-models", "takd-datasets", "takd-distill"];

/// Benchmarks: crate and example.
const BENCHES: &[(&str, &str)] = &[("takd-ops", "bench_step"), ("takd-loss", "bench_loss")];

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
    let (programs, tests) = (folder("bin")?, folder("tests")?);
    let release = crate::target().join("release");

    cargo(&["build", "--release", "--package", "takd-cli", "--features", "cuda"])?;
    copy(&release.join("takd"), &programs)?;
    for (package, example) in BENCHES {
        cargo(&["build", "--release", "--package", package, "--example", example, "--features", "cuda"])?;
        copy(&release.join("examples").join(example), &programs)?;
    }
    for package in TESTED {
        // cargo names each program in a line "  Executable tests/golden.rs (target/release/deps/golden-0123)".
        let lines = cargo(&["test", "--release", "--no-run", "--package", package, "--features", "cuda"])?;
        let named = lines.lines().filter_map(|line| line.trim().strip_prefix("Executable ")?.split_once(" ("));
        for (what, program) in named {
            let program = crate::root().join(program.trim_end_matches(')'));
            let stem = Path::new(what.trim_start_matches("unittests ")).file_stem().unwrap_or_default();
            let name = format!("{package}-{}", stem.to_string_lossy());
            std::fs::copy(&program, tests.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
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

/// Runs cargo in the workspace; what it had to say.
fn cargo(args: &[&str]) -> Result<String> {
    eprintln!("pack-gpu: cargo {}", args.join(" "));
    let mut command = Command::new(crate::cargo());
    let child = command.args(args).current_dir(crate::root()).stderr(Stdio::piped()).spawn();
    let output = child.and_then(std::process::Child::wait_with_output).context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("cargo {} failed:\n{said}", args.join(" "));
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
