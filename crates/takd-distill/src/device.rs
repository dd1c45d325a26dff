//! What a run is computed on, as far as it changes its bits.

use crate::names::named;
use takd_ops::{Compute, Precision};

named! {
    /// A kind of device with the precision it is told to use. Devices round differently, so a run on another kind is another run.
    DeviceType, "device" {
        /// The processor.
        Cpu = "cpu",
        /// An NVIDIA GPU.
        Cuda = "cuda",
        /// An NVIDIA GPU whose tensor cores may round factors to TF32.
        CudaTf32 = "cuda-tf32",
        /// An Apple GPU.
        Metal = "metal",
    }
}

impl DeviceType {
    /// The kind of a device and precision.
    pub fn of(compute: &Compute) -> Self {
        match (&compute.device, compute.precision) {
            (candle_core::Device::Cpu, _) => Self::Cpu,
            (candle_core::Device::Cuda(_), Precision::F32) => Self::Cuda,
            (candle_core::Device::Cuda(_), Precision::Tf32) => Self::CudaTf32,
            (candle_core::Device::Metal(_), _) => Self::Metal,
        }
    }
}
