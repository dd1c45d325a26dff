//! Whether a tensor holds numbers only.

use crate::cpu;
use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use rayon::prelude::*;

/// Numbers below which a second thread does not pay, and in a task.
const CHUNK: usize = 1 << 16;

/// Whether every value of `tensor` is finite: neither NaN nor infinite. One pass over it; on a GPU it waits for the result.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// assert!(takd_ops::all_finite(&Tensor::new(&[1f32, 2.], &Device::Cpu)?)?);
/// assert!(!takd_ops::all_finite(&Tensor::new(&[1f32, f32::NAN], &Device::Cpu)?)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where the tensor cannot be read.
pub fn all_finite(tensor: &Tensor) -> Result<bool> {
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        return Ok(values[start..end].par_chunks(CHUNK).all(finite));
    }
    drop(storage);
    // 0 times a number is 0, and NaN times anything else.
    let sum = tensor.affine(0.0, 0.0)?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
    Ok(sum == 0.0)
}

fn finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = f32::INFINITY.to_bits();
    // The largest exponent of all: a maximum of integers goes in vectors, a conjunction with an early end does not.
    cpu::arch().dispatch(|| values.iter().fold(0, |max, value| max.max(value.to_bits() & EXPONENT))) < EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn one_value_that_is_no_number_is_found_wherever_it_is() -> Result<()> {
        let n = CHUNK + 17;
        for (at, value) in [(0, f32::NAN), (CHUNK - 1, f32::INFINITY), (n - 1, f32::NEG_INFINITY), (5, -f32::NAN)] {
            let mut values = vec![f32::MAX; n];
            assert!(all_finite(&Tensor::from_slice(&values, n, &Device::Cpu)?)?);
            values[at] = value;
            let tensor = Tensor::from_slice(&values, n, &Device::Cpu)?;
            assert!(!all_finite(&tensor)?, "{value} at {at}");
            assert!(!all_finite(&tensor.to_dtype(DType::F64)?)?, "{value} at {at} as f64");
            assert!(all_finite(&Tensor::new(&[f64::MAX], &Device::Cpu)?)?);
            let spread = tensor.unsqueeze(1)?.broadcast_as((n, 2))?;
            assert!(!all_finite(&spread)?, "{value} at {at}, not contiguous");
        }
        Ok(())
    }
}
