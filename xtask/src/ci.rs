//! `cargo xtask ci`.

use crate::{cargo, emulator, gpu};
use anyhow::{Context, Result, bail};
use std::time::Instant;

/// A cargo command that must succeed.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

/// What no GPU is needed for and is left out unless it is asked for: figures as pixels.
const PNG: &str = "takd-cli/png";

/// Each with `--locked`, so that a Cargo.lock that is not up to date fails.
const STEPS: &[Step] = &[
    Step { name: "format", args: &["fmt", "--all", "--check"], env: &[] },
    Step {
        name: "clippy",
        args: &["clippy", "--locked", "--workspace", "--all-targets", "--features", PNG, "--", "--deny", "warnings"],
        env: &[],
    },
    Step { name: "tests and doc tests", args: &["test", "--locked", "--workspace", "--features", PNG], env: &[] },
    Step {
        name: "documentation",
        args: &["doc", "--locked", "--workspace", "--no-deps", "--features", PNG],
        env: &[("RUSTDOCFLAGS", "--deny warnings")],
    },
];

/// What deny.toml asks of the dependencies, as far as no list of advisories is needed.
const DENY: Step =
    Step { name: "dependencies", args: &["deny", "--locked", "check", "licenses", "bans", "sources"], env: &[] };

/// Whether an advisory is out against a dependency; the list was fetched before.
const ADVISORIES: Step =
    Step { name: "advisories", args: &["deny", "--locked", "check", "--disable-fetch", "advisories"], env: &[] };

/// Of the CUDA code what needs no GPU: that it compiles and is free of warnings.
const CUDA: Step = Step {
    name: "clippy of the CUDA code",
    args: &["clippy", "--locked", "--workspace", "--features", "takd-cli/cuda", "--", "--deny", "warnings"],
    env: &[],
};

/// The generation for which candle's kernels are compiled if there is no GPU to ask.
const ANY_GENERATION: &[(&str, &str)] = &[("CUDA_COMPUTE_CAP", "80")];

pub(crate) fn run() -> Result<()> {
    for step in STEPS {
        check(step, &[])?;
    }
    dependencies()?;
    if gpu::has_nvcc() {
        check(&CUDA, if gpu::knows_generation() { &[] } else { ANY_GENERATION })?;
        emulated()
    } else {
        eprintln!("ci: {}, and its tests on an emulated GPU: skipped: there is no nvcc on PATH", CUDA.name);
        eprintln!("ci: the tests need none and take minutes, the first time many: cargo xtask emulate-cuda");
        Ok(())
    }
}

/// Checks the dependencies against deny.toml, if cargo-deny is installed.
fn dependencies() -> Result<()> {
    if !cargo::succeeds(&["deny", "--version"]) {
        eprintln!("ci: {}: skipped: there is no cargo-deny; cargo install --locked cargo-deny", DENY.name);
        return Ok(());
    }
    check(&DENY, &[])?;
    if cargo::succeeds(&["deny", "fetch", "db"]) {
        check(&ADVISORIES, &[])
    } else {
        eprintln!("ci: {}: skipped: their list cannot be fetched: cargo deny fetch db", ADVISORIES.name);
        Ok(())
    }
}

/// Runs the tests that have CUDA code on an emulated GPU, if there can be one.
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

/// Runs a step in the workspace's folder and says how long it took.
fn check(step: &Step, env: &[(&str, &str)]) -> Result<()> {
    let Step { name, args, .. } = step;
    eprintln!("ci: {name}: cargo {}", args.join(" "));
    let start = Instant::now();
    let mut command = cargo::cargo(args);
    command.current_dir(cargo::root()).envs(step.env.iter().chain(env).copied());
    if !command.status().context("cannot start cargo")?.success() {
        bail!("{name} failed; again alone: cargo {}", args.join(" "));
    }
    eprintln!("ci: {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
