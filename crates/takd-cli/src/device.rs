//! Which device the networks are trained on.

use anyhow::{Context, Result};
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
            Self::Auto => Ok(Device::new_cuda(0).or_else(|_| Device::new_metal(0)).unwrap_or(Device::Cpu)),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => {
                Device::new_cuda(0).with_context(|| self.unavailable("cuda", "an NVIDIA GPU with its driver"))
            }
            Self::Metal => Device::new_metal(0).with_context(|| self.unavailable("metal", "an Apple GPU")),
        }
    }

    fn unavailable(self, feature: &str, hardware: &str) -> String {
        format!(
            "--device {feature} is not available: it needs {hardware} and a program built with `--features {feature}`; \
             --device cpu works everywhere"
        )
    }
}
