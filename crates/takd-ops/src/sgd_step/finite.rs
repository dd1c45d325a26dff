//! Whether gradients are finite.

use crate::cpu::{arch, run};
use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use rayon::prelude::*;

/// Numbers of a task; with fewer a second thread does not pay.
const CHUNK: usize = 1 << 16;

/// The index of one of `tensors` that has NaN or an infinity; `None` if all are finite. They are on one device. One pass over
/// each; on a GPU it waits once for all of them.
pub(crate) fn find_not_finite(tensors: &[&Tensor]) -> Result<Option<usize>> {
    let mut sums = Vec::new();
    let mut places = Vec::new();
    for (place, tensor) in tensors.iter().enumerate() {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
            if !values[start..end].par_chunks(CHUNK).all(finite) {
                return Ok(Some(place));
            }
            continue;
        }
        drop(storage);
        // 0 times a finite number is 0, times anything else NaN.
        sums.push(tensor.detach().affine(0.0, 0.0)?.sum_all()?.to_dtype(DType::F32)?);
        places.push(place);
    }
    if sums.is_empty() {
        return Ok(None);
    }
    let sums = Tensor::stack(&sums, 0)?.to_vec1::<f32>()?;
    Ok(places.into_iter().zip(sums).find(|&(_, sum)| sum != 0.0).map(|(place, _)| place))
}

fn finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = f32::INFINITY.to_bits();
    // The largest exponent of all: the compiler vectorises a maximum of integers, but no `all` with an early end.
    run(arch(), || values.iter().fold(0, |max, value| max.max(value.to_bits() & EXPONENT))) < EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_tensor_that_is_not_finite_is_found_among_others_of_every_type() -> Result<()> {
        for dtype in [DType::F32, DType::F64] {
            let of = |values: &[f32]| Tensor::new(values, &Device::Cpu)?.to_dtype(dtype);
            let (good, bad) = (of(&[1., f32::MAX])?, of(&[0., f32::INFINITY, 1.])?);
            assert_eq!(find_not_finite(&[&good, &good])?, None);
            assert_eq!(find_not_finite(&[&good, &good, &bad, &good])?, Some(2), "{dtype:?}");
        }
        assert_eq!(find_not_finite(&[])?, None);
        Ok(())
    }

    #[test]
    fn one_value_that_is_not_finite_is_found_at_any_index() -> Result<()> {
        let n = CHUNK + 17;
        let all_finite = |tensor: &Tensor| find_not_finite(&[tensor]).map(|place| place.is_none());
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
