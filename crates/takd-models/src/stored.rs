//! The tensors of a checkpoint as they lie in its file, which is told by its first bytes: safetensors, or a PyTorch state dict.

use crate::layers::{COUNTER, Shapes};
use crate::{Checkpoint, CheckpointError, pickle, zip};
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// A tensor in a file: nothing of it has been copied yet.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    dtype: DType,
    dims: Vec<usize>,
    /// Elements from one to the next along each dimension; `None` if the last dimension's are neighbours, and so on.
    strides: Option<Vec<usize>>,
    /// The file from the first element on, at least up to the last.
    bytes: &'a [u8],
}

/// Tensors by name.
pub(crate) type Tensors<'a> = BTreeMap<String, Stored<'a>>;

/// What a file of PyTorch up to 1.5 begins with: a pickled number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The tensors of a checkpoint. A batch normalisation's counter that a file of before PyTorch 0.4.1 lacks is not among them.
///
/// # Errors
/// If the file is damaged, of neither kind, or a tensor in it would reach outside of it.
pub(crate) fn tensors<'a>(Checkpoint { path, bytes }: Checkpoint<'a>) -> Result<Tensors<'a>, CheckpointError> {
    // PyTorch's oldest files are tar archives.
    if bytes.starts_with(LEGACY) || bytes.get(257..262) == Some(b"ustar") {
        return Err(CheckpointError::Legacy { path: path.to_owned() });
    }
    let tensors = if bytes.starts_with(b"PK\x03\x04") { of_pytorch(bytes) } else { of_safetensors(bytes) };
    tensors.map_err(|reason| CheckpointError::Damaged { path: path.to_owned(), reason })
}

fn of_safetensors(bytes: &[u8]) -> Result<Tensors<'_>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let stored = file.iter().map(|(name, view)| {
        let dtype =
            DType::try_from(view.dtype()).map_err(|error| format!("tensor `{}`: {error}", name.escape_debug()))?;
        Ok((name.to_owned(), Stored { dtype, dims: view.shape().to_vec(), strides: None, bytes: view.data() }))
    });
    stored.collect()
}

fn of_pytorch(bytes: &[u8]) -> Result<Tensors<'_>, String> {
    let entries = zip::entries(bytes)?;
    // `torch.save` puts all entries into one folder, called after the file.
    let mut folders = entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let Some(folder) = folders.next() else {
        return Err("it is a zip archive without a data.pkl, so not one of torch.save".to_owned());
    };
    if folders.next().is_some() {
        return Err("it is a zip archive with more than one data.pkl".to_owned());
    }
    if entries.get(format!("{folder}/byteorder").as_str()).is_some_and(|order| *order != b"little") {
        return Err("its numbers are not in little-endian order".to_owned());
    }
    let stored =
        pickle::state_dict(entries[format!("{folder}/data.pkl").as_str()])?.into_iter().map(|(name, tensor)| {
            let of_tensor = |reason: &str| format!("tensor `{}` {reason}", name.escape_debug());
            let dtype = match tensor.storage {
                "FloatStorage" => DType::F32,
                "HalfStorage" => DType::F16,
                "BFloat16Storage" => DType::BF16,
                "DoubleStorage" => DType::F64,
                "LongStorage" => DType::I64,
                other => return Err(of_tensor(&format!("is of type {}, which no network has", other.escape_debug()))),
            };
            let storage = entries.get(format!("{folder}/data/{}", tensor.key).as_str());
            let storage = storage.ok_or_else(|| of_tensor("has no numbers in the file"))?;
            let stored = inside(storage, dtype, tensor.offset, &tensor.dims, &tensor.strides);
            Ok((name.to_owned(), stored.ok_or_else(|| of_tensor("reaches outside of its numbers in the file"))?))
        });
    stored.collect()
}

/// `None` if an element would lie outside of the storage.
fn inside<'a>(storage: &'a [u8], dtype: DType, offset: i64, dims: &[i64], strides: &[i64]) -> Option<Stored<'a>> {
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
    Some(Stored { dtype, dims, strides: (!contiguous).then_some(strides), bytes })
}

/// Names and shapes, with those of the counters that the file lacks.
pub(crate) fn shapes(tensors: &Tensors) -> Shapes {
    let mut shapes: Shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims.clone())).collect();
    for name in tensors.keys() {
        if let Some(norm) = name.strip_suffix("running_var") {
            shapes.entry(format!("{norm}{COUNTER}")).or_default();
        }
    }
    shapes
}

impl Stored<'_> {
    /// A copy in memory, in the file's precision.
    pub(crate) fn tensor(&self) -> candle_core::Result<Tensor> {
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
}
