//! What a build for a GPU needs, and which build the command line of a program asks for.

use anyhow::{Result, bail};
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// The feature that the device in `args` needs; none for the CPU.
pub(crate) fn device_feature(args: &[OsString]) -> Option<&'static str> {
    let after = args.iter().position(|arg| arg == "--device").and_then(|place| args.get(place + 1));
    let joined = args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--device="));
    match after.and_then(|arg| arg.to_str()).or(joined) {
        Some("cuda" | "cuda-tf32") => Some("cuda"),
        Some("metal") => Some("metal"),
        _ => None,
    }
}

/// Checks what the build of a feature needs, so that a missing compiler is said at once and in one line.
pub(crate) fn check_feature(feature: Option<&str>) -> Result<()> {
    const ELSE: &str = "see README, \"On a GPU\"; --device cpu works everywhere";
    if feature != Some("cuda") {
        return Ok(());
    }
    if !has_nvcc() {
        bail!("--device cuda: takd cannot be built for it: there is no nvcc on PATH; install a CUDA toolkit; {ELSE}");
    }
    if !knows_generation() {
        bail!("--device cuda: there is no NVIDIA GPU: `nvidia-smi` lists none; install its driver; {ELSE}");
    }
    Ok(())
}

/// Whether a CUDA toolkit is installed.
pub(crate) fn has_nvcc() -> bool {
    answers("nvcc", "--version")
}

/// Whether candle's build can find out for which generation of GPU it compiles.
pub(crate) fn knows_generation() -> bool {
    std::env::var_os("CUDA_COMPUTE_CAP").is_some() || answers("nvidia-smi", "-L")
}

/// Whether a program is there and succeeds with `arg`.
pub(crate) fn answers(program: &str, arg: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(arg).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
