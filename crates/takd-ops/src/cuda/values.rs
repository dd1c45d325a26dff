//! Features as kernels read them.

use super::gpu::{Buffer, Gpu};
use crate::activation::Activation;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;

/// The kernels' `Values`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ValuesAt {
    numbers: u64,
    coefficients: u64,
    relu: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, plain numbers, field for field the kernels' struct.
unsafe impl DeviceRepr for ValuesAt {}

impl ValuesAt {
    /// Numbers as they are.
    pub(crate) fn stored(gpu: &Gpu, numbers: &Buffer) -> Self {
        Self { numbers: gpu.address(numbers), coefficients: 0, relu: 0, unused: 0 }
    }

    /// Numbers that are normalised when they are read.
    pub(crate) fn unnormalized(gpu: &Gpu, y: &Buffer, coefficients: &Buffer, activation: Activation) -> Self {
        let relu = i32::from(activation == Activation::Relu);
        Self { coefficients: gpu.address(coefficients), relu, ..Self::stored(gpu, y) }
    }

    /// Where the numbers are, if they are read as they are.
    pub(crate) fn as_stored(self) -> Option<u64> {
        (self.coefficients == 0).then_some(self.numbers)
    }
}
