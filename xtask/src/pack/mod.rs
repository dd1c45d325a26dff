//! `cargo xtask pack-gpu`: what a machine with a GPU and nothing else needs to show what takd does there.

mod folder;

use crate::{cargo, gpu};
use anyhow::{Context, Result, bail};
use cargo::Program;
use folder::{Emptied, Folder};
use std::path::{Path, PathBuf};

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
    if !gpu::has_nvcc() {
        bail!("pack-gpu: there is no nvcc on PATH: install a CUDA toolkit; see README, \"On a GPU\"");
    }
    if !gpu::knows_generation() {
        bail!("pack-gpu: for which GPUs? CUDA_COMPUTE_CAP=80 is for an A100, 90 for an H100 or H200");
    }
    let folder = Folder::open(out)?;
    for from in [data, reference].into_iter().flatten() {
        let (from, out) = (canonical(from)?, canonical(out)?);
        if from.starts_with(&out) || out.starts_with(&from) {
            bail!("pack-gpu: {} cannot be copied into {}: one is in the other", from.display(), out.display());
        }
    }
    let (programs, tests) = (build(PROGRAMS)?, build(TESTS)?);
    let mut folder = lay_out(folder, &programs, &tests)?;
    folder.add(&cargo::root().join("xtask/gpu/run.sh"), Path::new("run.sh"))?;
    for (from, name) in [(data, "data"), (reference, "reference")] {
        if let Some(from) = from {
            folder.add_all(from, Path::new(name))?;
        }
    }
    eprintln!("{} is complete: take it to the machine with the GPU and start run.sh there", out.display());
    Ok(())
}

/// Replaces what an earlier call laid out by `programs` and `tests`; changes nothing if one is missing.
fn lay_out(folder: Folder, programs: &[Program], tests: &[Program]) -> Result<Emptied> {
    let mut files = Vec::new();
    for name in ["takd", "bench_step", "bench_loss"] {
        files.push((cargo::find(programs, name)?, Path::new("bin").join(name)));
    }
    if tests.is_empty() {
        bail!("pack-gpu: cargo {} built no test", TESTS.join(" "));
    }
    for test in tests {
        // The file's name has a hash in it: several crates have a test of that name.
        let name = test.executable.file_name().with_context(|| format!("{} has no file name", test.name))?;
        files.push((test.executable.clone(), Path::new("tests").join(name)));
    }
    let mut folder = folder.empty()?;
    for (from, to) in &files {
        folder.add(from, to)?;
    }
    Ok(folder)
}

fn canonical(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))
}

fn build(args: &[&str]) -> Result<Vec<Program>> {
    eprintln!("pack-gpu: cargo {}", args.join(" "));
    let mut command = cargo::cargo(args);
    command.current_dir(cargo::root());
    cargo::build(command).context("pack-gpu")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn pack_without_a_program_or_without_tests_is_an_error_and_leaves_the_earlier_one() {
        let scratch = tempfile::tempdir().unwrap();
        let program = |name: &str, file: &str| {
            let executable = scratch.path().join(file);
            fs::write(&executable, file).unwrap();
            Program { name: name.into(), executable }
        };
        let programs = ["takd", "bench_step", "bench_loss"].map(|name| program(name, name));
        let tests = [program("golden", "golden-01"), program("golden", "golden-02")];
        let out = scratch.path().join("out");
        let lay_out = |programs, tests| lay_out(Folder::open(&out).unwrap(), programs, tests).map(drop);

        lay_out(&programs, &tests).unwrap();
        let error = lay_out(&programs, &[]).unwrap_err().to_string();
        assert!(error.contains("built no test"), "{error}");
        let error = lay_out(&programs[..2], &tests).unwrap_err().to_string();
        assert_eq!(error, "cargo built no program bench_loss");
        for file in ["bin/takd", "bin/bench_step", "bin/bench_loss", "tests/golden-01", "tests/golden-02"] {
            let path = Path::new(file);
            assert_eq!(fs::read_to_string(out.join(path)).unwrap(), path.file_name().unwrap().to_str().unwrap());
        }
    }
}
