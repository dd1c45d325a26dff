//! Tasks that are the `takd` program's own, built in release first.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::Command;

/// Builds `takd` and runs its command of that name in the caller's folder; ends with its exit status.
pub(crate) fn run(command: &str, args: &[OsString]) -> Result<()> {
    let mut build = Command::new(crate::cargo());
    build
        .args(["build", "--release", "--package", "takd-cli", "--manifest-path"])
        .arg(crate::root().join("Cargo.toml"));
    let feature = device_feature(args);
    if feature == Some("cuda") {
        check_for_cuda()?;
    }
    if let Some(feature) = feature {
        build.args(["--features", feature]);
    }
    let status = build.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("takd was not built");
    }
    let program = crate::target().join("release").join(format!("takd{}", std::env::consts::EXE_SUFFIX));
    let mut child = Command::new(&program);
    child.arg(command).args(args);
    let status = wait(&mut child).with_context(|| format!("cannot start {}", program.display()))?;
    std::process::exit(status)
}

/// The feature that the device asked for needs.
pub(crate) fn device_feature(args: &[OsString]) -> Option<&'static str> {
    let after = args.iter().position(|arg| arg == "--device").and_then(|place| args.get(place + 1));
    let joined = args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--device="));
    match after.and_then(|arg| arg.to_str()).or(joined) {
        Some("cuda" | "cuda-tf32") => Some("cuda"),
        Some("metal") => Some("metal"),
        _ => None,
    }
}

/// Says at once, and in a line, what the build would say in the midst of it.
pub(crate) fn check_for_cuda() -> Result<()> {
    const ELSE: &str = "see README, \"On a GPU\"; --device cpu works everywhere";
    if !crate::answers("nvcc", "--version") {
        bail!(
            "--device cuda: takd cannot be built for it, for there is no nvcc on PATH: install a CUDA toolkit; {ELSE}"
        );
    }
    if std::env::var_os("CUDA_COMPUTE_CAP").is_none() && !crate::answers("nvidia-smi", "-L") {
        bail!("--device cuda: there is no NVIDIA GPU, for `nvidia-smi` lists none: install its driver; {ELSE}");
    }
    Ok(())
}

/// Becomes the program, so that signals reach it and nothing stands between.
#[cfg(unix)]
fn wait(child: &mut Command) -> std::io::Result<i32> {
    use std::os::unix::process::CommandExt;
    Err(child.exec())
}

#[cfg(not(unix))]
fn wait(child: &mut Command) -> std::io::Result<i32> {
    Ok(child.status()?.code().unwrap_or(1))
}
