//! The numbers of candle's tensors.

use candle_core::{CpuStorage, Result, Storage, Tensor, bail};

/// Runs `read` on the numbers of an f32 tensor on the CPU, in the order of its dimensions.
pub(crate) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(read(&values[start..end])),
        _ => bail!("expected f32 on the CPU, got {:?} on {:?}", tensor.dtype(), tensor.device().location()),
    }
}
