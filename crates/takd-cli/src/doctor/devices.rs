//! What can be trained on.

use super::finding::Finding;
use super::machine::system_file;
use crate::device::DeviceKind;
use serde_json::json;
use std::path::Path;

pub(super) fn findings() -> Vec<Finding> {
    let mut findings = vec![cuda()];
    // Nobody else has one.
    if cfg!(target_os = "macos") || cfg!(feature = "metal") {
        findings.push(metal());
    }
    findings
}

fn cuda() -> Finding {
    let driver = driver();
    let built = cfg!(feature = "cuda");
    let usable = built.then(|| DeviceKind::Cuda.open());
    let values = |usable: bool| json!({ "built": built, "driver": driver, "usable": usable });
    match (&usable, &driver) {
        (Some(Ok(_)), _) => Finding::fine("cuda", "an NVIDIA GPU can be used", values(true)),
        (Some(Err(error)), _) => Finding::fine("cuda", error.to_string(), values(false))
            .wrong("this takd was built for NVIDIA GPUs: install the driver, or train with --device cpu"),
        (None, Some(driver)) => {
            Finding::fine("cuda", format!("built without it, and there is a driver: {driver}"), values(false))
                .worth_knowing("to train on the GPU, build takd with `--features cuda`")
        }
        (None, None) => Finding::fine(
            "cuda",
            "built without it, and no NVIDIA driver is here; the CPU is trained on",
            values(false),
        ),
    }
}

/// What is known of an NVIDIA driver.
fn driver() -> Option<String> {
    const LIBRARIES: [&str; 5] = [
        "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
        "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
        "/usr/lib64/libcuda.so.1",
        // Linux on Windows.
        "/usr/lib/wsl/lib/libcuda.so.1",
        r"C:\Windows\System32\nvcuda.dll",
    ];
    let version = system_file("/proc/driver/nvidia/version");
    let version = version.and_then(|version| version.lines().next().map(|line| line.trim().to_owned()));
    version.or_else(|| LIBRARIES.into_iter().find(|library| Path::new(library).exists()).map(str::to_owned))
}

fn metal() -> Finding {
    let built = cfg!(feature = "metal");
    let usable = built.then(|| DeviceKind::Metal.open());
    let values = json!({ "built": built, "usable": matches!(usable, Some(Ok(_))) });
    match usable {
        Some(Ok(_)) => Finding::fine("metal", "an Apple GPU can be used", values),
        Some(Err(error)) => Finding::fine("metal", error.to_string(), values).wrong("train with --device cpu"),
        None => Finding::fine("metal", "built without it", values)
            .worth_knowing("to train on an Apple GPU, build takd with `--features metal`"),
    }
}
