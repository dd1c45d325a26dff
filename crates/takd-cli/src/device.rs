//! Which device the networks are trained on.

use crate::output;
use anyhow::{Result, anyhow, bail};
use candle_core::Device;
use clap::ValueEnum;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The first of CUDA and Metal that this build knows and this machine has, else the CPU.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU; needs a build with `--features cuda`.
    Cuda,
    /// An Apple GPU; needs a build with `--features metal`.
    Metal,
}

impl DeviceKind {
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(automatic()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if !cfg!(feature = "cuda") => bail!(unknown("cuda")),
            Self::Cuda => Device::new_cuda(0).map_err(|error| {
                let remedy = "`nvidia-smi` lists those that the driver sees";
                anyhow!("--device cuda: no NVIDIA GPU can be used: {}; {remedy}; {CPU}", cause(&error))
            }),
            Self::Metal if !cfg!(feature = "metal") => bail!(unknown("metal")),
            Self::Metal => Device::new_metal(0)
                .map_err(|error| anyhow!("--device metal: no Apple GPU can be used: {}; {CPU}", cause(&error))),
        }
    }
}

const CPU: &str = "--device cpu works everywhere";

fn automatic() -> Device {
    let gpu = if cfg!(feature = "cuda") {
        Device::new_cuda(0)
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
