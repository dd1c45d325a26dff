//! Which devices the networks are trained on.

use crate::output;
use anyhow::{Result, anyhow, bail};
use candle_core::Device;
use std::str::FromStr;
use takd_distill::DeviceType;
use takd_ops::{Compute, Precision};

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    /// The first of CUDA and Metal that this build knows and this machine has, else the CPU.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU; needs a build with `--features cuda`.
    Cuda,
    /// The same with tensor cores, which round the factors of convolutions and matrix products to TF32; its runs are others.
    CudaTf32,
    /// An Apple GPU; needs a build with `--features metal`.
    Metal,
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda,
            "cuda-tf32" => Self::CudaTf32,
            "metal" => Self::Metal,
            "gpu" | "nvidia" => return Err("an NVIDIA GPU is `cuda`, an Apple GPU is `metal`".into()),
            "mps" | "apple" => return Err("an Apple GPU is `metal`".into()),
            "tf32" => return Err("TF32 on an NVIDIA GPU is `cuda-tf32`".into()),
            _ => return Err("there are: auto, cpu, cuda, cuda-tf32, metal".into()),
        })
    }
}

impl DeviceKind {
    /// What runs on it are called, also where there is none.
    pub(crate) fn device_type(self) -> DeviceType {
        match self {
            Self::Auto => DeviceType::of(&automatic()),
            Self::Cpu => DeviceType::Cpu,
            Self::Cuda => DeviceType::Cuda,
            Self::CudaTf32 => DeviceType::CudaTf32,
            Self::Metal => DeviceType::Metal,
        }
    }

    pub(crate) fn open(self) -> Result<Compute> {
        match self {
            Self::Auto => Ok(automatic()),
            Self::Cpu => Ok(Compute::cpu()),
            Self::Cuda | Self::CudaTf32 if !cfg!(feature = "cuda") => bail!(not_built("cuda")),
            Self::Cuda | Self::CudaTf32 => {
                let precision = if self == Self::CudaTf32 { Precision::Tf32 } else { Precision::F32 };
                Compute::cuda(0, precision).map_err(|error| {
                    let remedy = "`nvidia-smi` lists those that the driver sees";
                    anyhow!("--device cuda: no NVIDIA GPU can be used: {}; {remedy}; {CPU}", cause(&error))
                })
            }
            Self::Metal if !cfg!(feature = "metal") => bail!(not_built("metal")),
            Self::Metal => Compute::metal(0)
                .map_err(|error| anyhow!("--device metal: no Apple GPU can be used: {}; {CPU}", cause(&error))),
        }
    }
}

const CPU: &str = "--device cpu works everywhere";

fn automatic() -> Compute {
    let gpu = if cfg!(feature = "cuda") {
        Compute::cuda(0, Precision::F32)
    } else if cfg!(feature = "metal") {
        Compute::metal(0)
    } else {
        return Compute::cpu();
    };
    gpu.unwrap_or_else(|error| {
        // Whoever built for a GPU expects it, and the CPU's runs are others.
        output::note(&format!("no GPU can be used, so the CPU is: {}", cause(&error)));
        Compute::cpu()
    })
}

/// A step of these networks is some hundred kernels of microseconds, each a fraction of a large GPU: other runs' kernels fit
/// beside and between. Each run more brings less, and takes a thread that launches and memory, even ResNet-110 in batches of
/// 128 less than an estimated 2 GiB. Chosen with no GPU at hand to measure it on.
const JOBS_ON_CUDA: usize = 4;

/// The device as many times as runs are trained at once, on a GPU each with a stream or a queue of its own.
pub(crate) fn for_each_job(compute: &Compute, jobs: Option<usize>, runs: usize) -> Result<Vec<Compute>> {
    let jobs = match (jobs, &compute.device) {
        (Some(jobs), _) => jobs,
        (None, Device::Cuda(_)) => JOBS_ON_CUDA,
        // A run on the CPU has all of its threads at work.
        (None, _) => 1,
    };
    let mut computes = vec![compute.clone()];
    while computes.len() < jobs.min(runs) {
        let another = match compute.device {
            Device::Cpu => Ok(Compute::cpu()),
            Device::Cuda(_) => Compute::cuda(0, compute.precision),
            Device::Metal(_) => Compute::metal(0),
        };
        computes.push(another.map_err(|error| {
            anyhow!("the GPU cannot be had for {jobs} runs at once: {}; give fewer --jobs", cause(&error))
        })?);
    }
    Ok(computes)
}

/// What candle says, without the backtrace that it may add.
fn cause(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What a user is told who asks for a device that this build does not know.
fn not_built(feature: &str) -> String {
    format!(
        "--device {feature}: this takd was built without it; build it with `--features {feature}`, as `cargo xtask` does \
         for --device {feature}; {CPU}"
    )
}
