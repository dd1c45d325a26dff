//! `cargo xtask emulate-cuda`: takd's CUDA code without a GPU and without a CUDA toolkit.

use crate::{cargo, gpu};
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is run where nothing is asked for: the tests that have a device's part.
#[rustfmt::skip]
const ARGS: &[&str] = &[
    "test", "--features", "cuda",
    "--package", "takd-datasets", "--package", "takd-ops", "--package", "takd-loss", "--package", "takd-models",
    "--package", "takd-distill",
    "--lib", "--test", "batches", "--test", "tf32", "--test", "golden", "--test", "on_cuda", "--test", "cuda",
];

const SOURCES: &[&str] = &["driver.cpp", "nvrtc.cpp", "blas.cpp"];
const HEADERS: &[&str] = &["compile.h", "device.h", "fibers.h", "launch.h"];

/// The libraries that candle's `cuda` feature links; one stands in for all.
const LIBRARIES: &[&str] = &["cuda", "cudart", "cublas", "cublasLt", "curand", "nvrtc"];

/// The headers that kernels include; what is in them comes with the emulator.
const INCLUDES: &[&str] = &[
    "cmath",
    "cstdint",
    "cuda.h",
    "cuda/std/limits",
    "cuda_bf16.h",
    "cuda_fp16.h",
    "cuda_fp8.h",
    "math.h",
    "stdint.h",
];

/// Why it cannot run here, if it cannot.
pub(crate) fn unavailable() -> Option<String> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return Some("the emulator of CUDA is for Linux on x86-64 and AArch64".into());
    }
    let compiler = compiler();
    let answers = compiler.to_str().is_some_and(|name| gpu::answers(name, "--version"));
    (!answers).then(|| format!("there is no C++ compiler {}; CXX names another", compiler.display()))
}

/// Runs cargo with `args` on the emulated device; whether it did well.
pub(crate) fn run(args: &[OsString]) -> Result<bool> {
    if let Some(why) = unavailable() {
        bail!("emulate-cuda: {why}");
    }
    let target = cargo::target_folder()?.join("emulated");
    std::fs::create_dir_all(&target)?;
    let toolkit = target.join("toolkit");
    build(&target, &toolkit)?;
    let mut command = cargo::cargo(&[]);
    // The crates that takd needs, built for this alone: the time that takes matters more than theirs.
    command.args(["--config", "profile.dev.package.\"*\".opt-level=1"]);
    if args.is_empty() {
        command.args(ARGS).arg("--manifest-path").arg(cargo::root().join("Cargo.toml"));
    }
    command.args(args).env("CARGO_TARGET_DIR", &target).env("CUDA_COMPUTE_CAP", "90");
    for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"] {
        command.env(name, &toolkit);
    }
    // What may lead to a real toolkit.
    for name in ["NVCC", "NVCC_CCBIN", "CUDARC_CUDA_VERSION", "CUDNN_LIB", "LIBRARY_PATH", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command.env("PATH", before("PATH", &toolkit.join("bin"))?);
    command.env("LD_LIBRARY_PATH", before("LD_LIBRARY_PATH", &toolkit.join("lib64"))?);
    Ok(command.status().context("cannot start cargo")?.success())
}

fn compiler() -> OsString {
    std::env::var_os("CXX").filter(|name| !name.is_empty()).unwrap_or_else(|| "c++".into())
}

/// A variable that lists folders, with one more in front.
fn before(name: &str, folder: &Path) -> Result<OsString> {
    let others = std::env::var_os(name).unwrap_or_default();
    let folders = [folder.to_owned()].into_iter().chain(std::env::split_paths(&others));
    std::env::join_paths(folders.filter(|folder| folder != OsStr::new("")))
        .with_context(|| format!("{} cannot stand in {name}", folder.display()))
}

/// Lays out what candle takes for a CUDA toolkit, unless it is there and no older than its sources.
fn build(target: &Path, toolkit: &Path) -> Result<()> {
    let sources = cargo::root().canonicalize()?.join("xtask/emulator");
    let [bin, include, lib] = ["bin", "include", "lib64"].map(|folder| toolkit.join(folder));
    let library = lib.join("libcuda.so.1");
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let all = SOURCES.iter().chain(HEADERS).chain(&["nvcc"]).map(|name| sources.join(name));
    let newest = all.map(|path| changed(&path)).collect::<std::io::Result<Vec<_>>>()?.into_iter().max();
    if changed(&library).ok() >= newest {
        return Ok(());
    }
    eprintln!("emulate-cuda: building the emulator in {}", toolkit.display());
    for folder in [&bin, &include.join("cuda/std"), &lib] {
        std::fs::create_dir_all(folder)?;
    }
    let (nvcc, stand_in) = (sources.join("nvcc"), bin.join("nvcc"));
    let wanted = std::fs::read(&nvcc)?;
    if std::fs::read(&stand_in).is_ok_and(|old| old != wanted) {
        // Cargo does not see that what the last one made is out of date.
        let mut command = cargo::cargo(&["clean", "--quiet", "--package", "candle-kernels", "--target-dir"]);
        command.arg(target).status().context("cannot start cargo")?;
    }
    std::fs::copy(nvcc, stand_in)?;
    for name in INCLUDES {
        std::fs::write(include.join(name), "")?;
    }
    let made = lib.join(format!("{}.so", std::process::id()));
    let define = |name: &str, path: PathBuf| format!("-D{name}=\"{}\"", path.display());
    let mut command = Command::new(compiler());
    command.args(["-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden"]);
    command.arg("-Wl,-soname,libcuda.so.1").arg(define("TAKD_EMULATOR_SOURCE", sources.clone()));
    command.arg(define("TAKD_EMULATOR_INCLUDE", include));
    command.arg(define("TAKD_EMULATOR_CACHE", toolkit.join("kernels")));
    command.args(SOURCES.iter().map(|name| sources.join(name))).args(["-ldl", "-pthread", "-o"]).arg(&made);
    if !command.status().context("cannot start the C++ compiler")?.success() {
        bail!("the emulator was not built");
    }
    for name in LIBRARIES {
        let link = made.with_extension(name);
        std::fs::hard_link(&made, &link)?;
        std::fs::rename(link, lib.join(format!("lib{name}.so")))?;
    }
    std::fs::rename(made, library)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel of check.cu leaves, or where it fails what is said of it.
    fn check(toolkit: &Path, kernel: &str) -> Result<Vec<f32>, String> {
        let mut command = Command::new(toolkit.join("check"));
        command.arg(kernel).arg(cargo::root().join("xtask/emulator/check.cu"));
        let output = command.env("LD_LIBRARY_PATH", toolkit.join("lib64")).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        if output.status.success() {
            Ok(out.split_whitespace().map(|number| number.parse().unwrap()).collect())
        } else {
            Err(out + &err)
        }
    }

    #[test]
    fn emulator_runs_kernels_that_are_right_and_finds_the_mistakes_of_the_others() {
        if let Some(why) = unavailable() {
            println!("skipped: {why}");
            return;
        }
        let folder = cargo::target_folder().unwrap().join("emulator-check");
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let toolkit = folder.join("toolkit");
        build(&folder, &toolkit).unwrap();
        let mut command = Command::new(compiler());
        command.args(["-std=c++17", "-Wall", "-Werror"]).arg(cargo::root().join("xtask/emulator/check.cpp"));
        command.arg("-L").arg(toolkit.join("lib64")).args(["-lcuda", "-o"]).arg(toolkit.join("check"));
        assert!(command.status().unwrap().success());

        let right = |kernel: &str, expected: fn(usize, usize) -> f32| {
            let expected: Vec<f32> = (0..64).map(|i| expected(i / 32, i % 32)).collect();
            assert_eq!(check(&toolkit, kernel), Ok(expected), "{kernel}");
        };
        right("index", |block, thread| (block * 32 + thread) as f32);
        right("reversed", |_, thread| (31 - thread) as f32);
        right("left_early", |_, thread| f32::from(u8::from(thread < 16)));
        right("warp_sum", |_, _| (31 * 16) as f32);
        right("mma", |block, lane| {
            let (row, column) = (lane / 4 + block * 8, lane % 4 * 2 + block);
            (0..8).map(|k| (row as f32 + k as f32 / 8.) * (k * 8 + column) as f32).sum()
        });
        for kernel in ["fresh", "no_barrier"] {
            assert!(check(&toolkit, kernel).unwrap().iter().any(|number| number.is_nan()), "{kernel}");
        }

        for (kernel, said) in [
            ("past", "access at byte 416 of a buffer of 404 bytes"),
            ("just_past", "past the end of a buffer of 404 bytes was written to"),
            ("before", "4 bytes before the start of a buffer of 256 bytes were written to"),
            ("released", "argument 1 is a pointer to a buffer that was released"),
            ("deadlock", "threads wait for each other: 3 at a barrier, 29 for lanes of their warp"),
            ("two_barriers", "threads of a block meet at different barriers"),
            ("shared_past", "an index out of a local or shared array"),
            ("dynamic_past", "access at byte 64 of dynamic shared memory"),
            ("unaligned", "a vector that is not aligned"),
            ("bounded", "a block of this kernel has 1 to 16 threads"),
        ] {
            let error = check(&toolkit, kernel).unwrap_err();
            assert!(error.contains(said) && error.contains(kernel), "{kernel}: {error}");
        }
    }
}
