//! `cargo xtask ci`.

use crate::emulator;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    ("tests and doc tests", &["test", "--workspace"]),
    ("documentation", &["doc", "--workspace", "--no-deps"]),
];

/// Of the CUDA code what needs no GPU: that it compiles and is free of warnings.
const CUDA: (&str, &[&str]) =
    ("clippy of the CUDA code", &["clippy", "--workspace", "--features", "takd-cli/cuda", "--", "--deny", "warnings"]);

pub(crate) fn run() -> Result<()> {
    for (name, args) in STEPS {
        step(name, args)?;
    }
    let (name, args) = CUDA;
    if crate::answers("nvcc", "--version") {
        step(name, args)?;
        emulated()
    } else {
        eprintln!(
            "ci: {name}, and its tests on an emulated GPU: skipped, for there is no nvcc on PATH; the tests need none"
        );
        eprintln!("ci: they take minutes, the first time many: cargo xtask emulate-cuda");
        Ok(())
    }
}

/// Runs the tests that have CUDA code on an emulated GPU, where there can be one.
fn emulated() -> Result<()> {
    let name = "tests on an emulated GPU";
    if let Some(why) = emulator::unavailable() {
        eprintln!("ci: {name}: skipped: {why}");
        return Ok(());
    }
    eprintln!("ci: {name}: cargo xtask emulate-cuda");
    let start = Instant::now();
    if !emulator::run(&[])? {
        bail!("{name} failed; again alone: cargo xtask emulate-cuda");
    }
    eprintln!("ci: {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn step(name: &str, args: &[&str]) -> Result<()> {
    eprintln!("ci: {name}: cargo {}", args.join(" "));
    let start = Instant::now();
    let mut command = Command::new(crate::cargo());
    command.args(args).current_dir(crate::root());
    if name == "documentation" {
        command.env("RUSTDOCFLAGS", "--deny warnings");
    }
    if name == CUDA.0 && std::env::var_os("CUDA_COMPUTE_CAP").is_none() && !crate::answers("nvidia-smi", "-L") {
        // There is no GPU whose generation candle could ask for.
        command.env("CUDA_COMPUTE_CAP", "80");
    }
    if !command.status().context("cannot start cargo")?.success() {
        bail!("{name} failed; again alone: cargo {}", args.join(" "));
    }
    eprintln!("ci: {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
