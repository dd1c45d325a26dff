//! The program, the processor, threads and memory.

use super::finding::Finding;
use crate::common::cores;
use pulp::Arch;
use serde_json::json;
use std::path::Path;
use takd_distill::NUMERICS;

/// Less than this is little memory: CIFAR's images take 180 MB, a ResNet-110 in batches of 128 a GiB.
const LITTLE_MEMORY: u64 = 2 << 30;

/// The most bytes of a file in which the system tells something.
const SYSTEM_FILE: u64 = 4 << 20;

pub(super) fn version() -> Finding {
    let features: Vec<&str> =
        [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal")), ("png", cfg!(feature = "png"))]
            .into_iter()
            .filter_map(|(name, is_in)| is_in.then_some(name))
            .collect();
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let with = if features.is_empty() { "no features".to_owned() } else { format!("features {}", features.join(", ")) };
    let found = format!("takd {version} for {os} on {arch}, {with}, numerics version {NUMERICS}");
    let values = json!({
        "takd": version, "numerics": NUMERICS, "features": features, "os": os, "arch": arch,
        "release": !cfg!(debug_assertions),
    });
    let finding = Finding::fine("version", found, values);
    if cfg!(debug_assertions) {
        finding.worth_knowing("this is a dev build, which is slower: build it with --release")
    } else {
        finding
    }
}

pub(super) fn processor() -> Finding {
    let name = processor_name();
    let (kernels, bits) = kernels();
    let known = name.as_deref().unwrap_or("of a name that is not known here");
    let found = format!("{known}; kernels for {kernels}");
    let finding = Finding::fine("processor", found, json!({ "name": name, "kernels": kernels, "vector_bits": bits }));
    if bits > 32 {
        finding
    } else {
        finding.worth_knowing(
            "it has no vectors that takd has kernels for (AVX2 with FMA, AVX-512, NEON), so that training is slow",
        )
    }
}

/// Which kernels are chosen, and the bits of their vectors.
fn kernels() -> (&'static str, usize) {
    match Arch::new() {
        Arch::Scalar => ("one number at a time", 32),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => ("AVX2 and FMA", 256),
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => ("AVX-512", 512),
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => ("NEON", 128),
        _ => ("other vectors", 128),
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_name() -> Option<String> {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string()?;
    let name = brand.as_str().trim().to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_name() -> Option<String> {
    field(&system_file("/proc/cpuinfo")?, "model name").map(str::to_owned)
}

pub(super) fn threads() -> Finding {
    let cores = cores();
    let are =
        if cores == 1 { "1 core, and a thread".to_owned() } else { format!("{cores} cores, and a thread for each") };
    let finding = Finding::fine("threads", are, json!({ "cores": cores, "threads": cores }));
    // `main` sets it to 1 if it is not set.
    match std::env::var("CANDLE_NUM_THREADS") {
        Ok(threads) if threads != "1" => finding.worth_knowing(format!(
            "CANDLE_NUM_THREADS={threads} has candle start threads of its own beside takd's, which wait for each other: unset it"
        )),
        _ => finding,
    }
}

pub(super) fn memory() -> Finding {
    let meminfo = system_file("/proc/meminfo").unwrap_or_default();
    let kib = |name| Some(field(&meminfo, name)?.split(' ').next()?.parse::<u64>().ok()?.saturating_mul(1 << 10));
    // What a container is allowed.
    let limit = system_file("/sys/fs/cgroup/memory.max").and_then(|limit| limit.trim().parse::<u64>().ok());
    let total = kib("MemTotal").map(|total| total.min(limit.unwrap_or(u64::MAX)));
    let available = kib("MemAvailable").map(|available| available.min(limit.unwrap_or(u64::MAX)));
    let values = json!({ "total_bytes": total, "available_bytes": available });
    let Some((total, available)) = total.zip(available) else {
        return Finding::fine("memory", "how much there is is not known on this system", values);
    };
    let size = |bytes| indicatif::BinaryBytes(bytes).to_string();
    let finding = Finding::fine("memory", format!("{}, of which {} are free", size(total), size(available)), values);
    if available < LITTLE_MEMORY {
        finding.worth_knowing(
            "large networks may not fit: fewer --jobs, gradient_accumulation in a recipe, or --image-memory",
        )
    } else {
        finding
    }
}

/// What the system tells in a file; nothing on systems that do not have it.
pub(super) fn system_file(path: &str) -> Option<String> {
    let bytes = takd_store::read_file(Path::new(path), SYSTEM_FILE).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of `name` in lines of `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn field_is_the_value_of_the_whole_name() {
        let text = "MemTotal:       16384 kB\nMemAvailable:    1024 kB\nmodel name\t: Some CPU @ 2: GHz\n";
        assert_eq!(field(text, "MemAvailable"), Some("1024 kB"));
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2: GHz"));
        assert_eq!((field(text, "Mem"), field("", "x")), (None, None));
    }
}
