//! Tensors as they lie in their file.

use crate::origin::Nested;
use candle_core::{DType, Device, Result, Tensor};
use std::collections::BTreeMap;

/// A tensor in a file: nothing of it has been copied yet.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// Elements from one to the next along each dimension; `None` if the last dimension's are neighbours, and so on.
    strides: Option<Vec<usize>>,
    /// The file from the first element on, at least up to the last.
    bytes: &'a [u8],
}

/// Tensors by name.
pub(crate) type Tensors<'a> = BTreeMap<String, Stored<'a>>;

/// What is read of a file.
pub(crate) struct Contents<'a> {
    pub tensors: Tensors<'a>,
    /// Where they stand, if the file holds more.
    pub nested: Option<Nested>,
}

impl<'a> Stored<'a> {
    /// A tensor whose elements are side by side and fill `bytes`.
    pub(crate) fn whole(dtype: DType, dims: &[usize], bytes: &'a [u8]) -> Self {
        Self { dtype, dims: dims.to_vec(), strides: None, bytes }
    }

    /// A tensor in a storage; `None` if an element would lie outside of it.
    pub(crate) fn inside(storage: &'a [u8], dtype: DType, offset: i64, dims: &[i64], strides: &[i64]) -> Option<Self> {
        let sizes = |numbers: &[i64]| numbers.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
        let (dims, strides) = (sizes(dims)?, sizes(strides)?);
        let size = dtype.size_in_bytes();
        let bytes = storage.get(usize::try_from(offset).ok()?.checked_mul(size)?..)?;
        // Elements up to the last, and all elements were they side by side: shared ones would be copied more often than they are there.
        let (mut reach, mut count, mut contiguous) = (1usize, 1usize, true);
        for (&dim, &stride) in dims.iter().zip(&strides).rev() {
            contiguous &= dim == 1 || stride == count;
            reach = reach.checked_add(dim.saturating_sub(1).checked_mul(stride)?)?;
            count = count.checked_mul(dim)?;
        }
        let needed = if count == 0 { 0 } else { reach.max(count) };
        (needed.checked_mul(size)? <= bytes.len()).then_some(())?;
        Some(Self { dtype, dims, strides: (!contiguous).then_some(strides), bytes })
    }

    /// A copy in memory, in the file's precision.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        let size = self.dtype.size_in_bytes();
        let Some(strides) = &self.strides else {
            let length = self.dims.iter().product::<usize>() * size;
            return Tensor::from_raw_buffer(&self.bytes[..length], self.dtype, &self.dims, &Device::Cpu);
        };
        // Such as a convolution's weight in channels-last order.
        let mut starts = vec![0];
        for (&dim, &stride) in self.dims.iter().zip(strides) {
            starts = starts.into_iter().flat_map(|start| (0..dim).map(move |at| start + at * stride)).collect();
        }
        let bytes: Vec<u8> = starts.into_iter().flat_map(|at| &self.bytes[at * size..][..size]).copied().collect();
        Tensor::from_raw_buffer(&bytes, self.dtype, &self.dims, &Device::Cpu)
    }

    /// The first number that is infinite or none as a 32-bit float.
    pub(crate) fn not_finite(&self) -> Result<Option<f32>> {
        let numbers = self.tensor()?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(numbers.into_iter().find(|number| !number.is_finite()))
    }
}
