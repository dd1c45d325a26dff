//! Which devices the networks are trained on.

use crate::output;
use anyhow::{Result, anyhow, bail};
use candle_core::Device;
use clap::ValueEnum;
use std::num::NonZeroUsize;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The first of CUDA and Metal that this build knows and this machine has, else the CPU.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU; needs a build with `--features cuda`.
    Cuda,
    /// The same with tensor cores, which round the factors of convolutions and matrix products to TF32 (10 bits behind the
    /// point); its runs are others.
    CudaTf32,
    /// An Apple GPU; needs a build with `--features metal`.
    Metal,
}

impl DeviceKind {
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(automatic()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda | Self::CudaTf32 if !cfg!(feature = "cuda") => bail!(unknown("cuda")),
            Self::Cuda | Self::CudaTf32 => {
                let device = cuda().map_err(|error| {
                    let remedy = "`nvidia-smi` lists those that the driver sees";
                    anyhow!("--device cuda: no NVIDIA GPU can be used: {}; {remedy}; {CPU}", cause(&error))
                })?;
                #[cfg(feature = "cuda")]
                if self == Self::CudaTf32 {
                    takd_ops::set_precision(takd_ops::Precision::Tf32);
                }
                Ok(device)
            }
            Self::Metal if !cfg!(feature = "metal") => bail!(unknown("metal")),
            Self::Metal => Device::new_metal(0)
                .map_err(|error| anyhow!("--device metal: no Apple GPU can be used: {}; {CPU}", cause(&error))),
        }
    }
}

const CPU: &str = "--device cpu works everywhere";

fn automatic() -> Device {
    let gpu = if cfg!(feature = "cuda") {
        cuda()
    } else if cfg!(feature = "metal") {
        Device::new_metal(0)
    } else {
        return Device::Cpu;
    };
    gpu.unwrap_or_else(|error| {
        // Whoever built for a GPU expects it, and the CPU's runs are others.
        output::note(&format!("no GPU can be used, so the CPU is: {}", cause(&error)));
        Device::Cpu
    })
}

/// The first NVIDIA GPU.
fn cuda() -> candle_core::Result<Device> {
    #[cfg(feature = "cuda")]
    {
        takd_ops::cuda_device(0)
    }
    #[cfg(not(feature = "cuda"))]
    {
        Device::new_cuda(0)
    }
}

/// A step of these networks is some hundred kernels of microseconds, each a fraction of a large GPU: other runs' kernels fit
/// beside and between. Each run more brings less, and takes a thread that launches and memory, even ResNet-110 in batches of
/// 128 less than an estimated 2 GiB. Chosen with no GPU at hand to measure it on.
const JOBS_ON_CUDA: usize = 4;

/// The device as many times as runs are trained at once, on a GPU each with a stream or a queue of its own.
pub(crate) fn device_of_each_job(device: &Device, jobs: Option<NonZeroUsize>, runs: usize) -> Result<Vec<Device>> {
    let jobs = match (jobs, device) {
        (Some(jobs), _) => jobs.get(),
        (None, Device::Cuda(_)) => JOBS_ON_CUDA,
        // A run on the CPU has all of its threads at work.
        (None, _) => 1,
    };
    let mut devices = vec![device.clone()];
    while devices.len() < jobs.min(runs) {
        let another = match device {
            Device::Cpu => Ok(Device::Cpu),
            Device::Cuda(_) => cuda(),
            Device::Metal(_) => Device::new_metal(0),
        };
        devices.push(another.map_err(|error| {
            anyhow!("the GPU cannot be had for {jobs} runs at once: {}; give fewer --jobs", cause(&error))
        })?);
    }
    Ok(devices)
}

/// What candle says, without the backtrace that it may add.
fn cause(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What the user is told who asks for a device that this build does not know.
fn unknown(feature: &str) -> String {
    format!(
        "--device {feature}: this takd was built without it; build it with `--features {feature}`, as `cargo xtask` does \
         for --device {feature}; {CPU}"
    )
}
