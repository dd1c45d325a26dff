//! Where tensors are computed, and how exactly.

use candle_core::{Device, Result};

/// How exactly a GPU with tensor cores takes the factors of convolutions and fully connected layers. Their sums are f32 either
/// way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// The factors as they are.
    #[default]
    F32,
    /// The factors rounded to TF32: 10 bits behind the point, a relative error of up to 2⁻¹¹. CUDA only; elsewhere this is
    /// the same as [`Precision::F32`].
    Tf32,
}

/// A device and a precision: one value, passed down to whatever makes tensors and networks.
///
/// ```
/// use candle_core::{DType, Result, Tensor};
/// use takd_ops::{Compute, Features};
///
/// fn features(compute: &Compute) -> Result<Features> {
///     let images = Tensor::ones((2, 32, 32, 3), DType::F32, &compute.device)?;
///     Ok(Features::new(&images)?.with_precision(compute.precision))
/// }
/// # fn main() -> Result<()> {
/// assert_eq!(features(&Compute::cpu())?.dims(), [2, 32, 32, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Compute {
    /// Where tensors are.
    pub device: Device,
    /// How exactly products are taken there.
    pub precision: Precision,
}

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Device::Cpu.into()
    }

    /// The NVIDIA GPU of that number, as `cuda_device` sets it up.
    ///
    /// # Errors
    /// If there is no such GPU or no driver for it, the crate is built without its feature `cuda`, or the GPU is older
    /// than the precision asks for: TF32 needs compute capability 8.0.
    pub fn cuda(ordinal: usize, precision: Precision) -> Result<Self> {
        #[cfg(feature = "cuda")]
        let device = crate::cuda::device(ordinal, precision)?;
        #[cfg(not(feature = "cuda"))]
        let device = Device::new_cuda(ordinal)?;
        Ok(Self { device, precision })
    }

    /// The Apple GPU of that number.
    ///
    /// # Errors
    /// If there is no such GPU, or the crate is built without its feature `metal`.
    pub fn metal(ordinal: usize) -> Result<Self> {
        Ok(Device::new_metal(ordinal)?.into())
    }
}

impl From<Device> for Compute {
    /// The device with [`Precision::F32`].
    fn from(device: Device) -> Self {
        Self { device, precision: Precision::F32 }
    }
}
