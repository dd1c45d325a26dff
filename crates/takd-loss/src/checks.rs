//! What the inputs of a loss must be.

use crate::error::{Error, Input, Result};
use candle_core::{DType, Device, Tensor};

pub(crate) fn check_logits(input: Input, logits: &Tensor) -> Result<()> {
    match logits.dtype() {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 => Ok(()),
        found => Err(Error::DType { input, expected: "f32, f16, bf16 or f64", found }),
    }
}

pub(crate) fn check_device(input: Input, tensor: &Tensor, student: &Tensor) -> Result<()> {
    if tensor.device().same_device(student.device()) {
        return Ok(());
    }
    let name = |tensor: &Tensor| format!("{:?}", tensor.device().location());
    Err(Error::Device { input, expected: name(student), found: name(tensor) })
}

/// The numbers of a tensor on any device. Widened on the CPU: not every device has f64.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// The weights, each finite and 0 or more.
pub(crate) fn checked_weights(weights: &Tensor) -> Result<Vec<f64>> {
    let weights = numbers(weights)?;
    for (row, &value) in weights.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::NotFinite { input: Input::Weights, row, column: 0, value });
        } else if value < 0.0 {
            return Err(Error::Weight { row, value });
        }
    }
    Ok(weights)
}
