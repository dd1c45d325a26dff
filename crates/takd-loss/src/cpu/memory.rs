//! The numbers of candle's tensors on the CPU: logits to read, and memory for gradients, new or that of a tensor.

use super::logits::{Grad, Logits};
use super::tasks::BadRow;
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Why a gradient was not filled.
#[derive(Debug)]
pub(crate) enum FillError {
    BadRow(BadRow),
    Candle(candle_core::Error),
}

impl From<BadRow> for FillError {
    fn from(row: BadRow) -> FillError {
        FillError::BadRow(row)
    }
}

impl From<candle_core::Error> for FillError {
    fn from(error: candle_core::Error) -> FillError {
        FillError::Candle(error)
    }
}

/// The numbers of a contiguous tensor on the CPU.
pub(crate) fn on_cpu<'a, N: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [N]> {
    let Storage::Cpu(storage) = storage else { bail!("a tensor of the loss has left the CPU") };
    Ok(&storage.as_slice::<N>()?[offsets(layout)?])
}

/// The same for logits of any type.
pub(crate) fn logits_on_cpu<'a>(storage: &'a Storage, layout: &Layout) -> Result<Logits<'a>> {
    Ok(match storage.dtype() {
        DType::F32 => Logits::F32(on_cpu(storage, layout)?),
        DType::F16 => Logits::F16(on_cpu(storage, layout)?),
        DType::BF16 => Logits::Bf16(on_cpu(storage, layout)?),
        _ => Logits::F64(on_cpu(storage, layout)?),
    })
}

fn offsets(layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!("a tensor of the loss is not contiguous"),
    }
}

/// A new tensor on the CPU, of another's shape and type, whose numbers `fill` writes.
///
/// # Safety
/// If `fill` returns `Ok` it has written every number.
pub(crate) unsafe fn filled(
    like: &Tensor,
    fill: impl FnOnce(Grad<'_>) -> std::result::Result<(), BadRow>,
) -> std::result::Result<Tensor, FillError> {
    // SAFETY: the caller's.
    unsafe {
        match like.dtype() {
            DType::F32 => filled_as::<f32>(like, |memory| fill(Grad::F32(memory))),
            DType::F16 => filled_as(like, |memory| fill(Grad::F16(memory))),
            DType::BF16 => filled_as(like, |memory| fill(Grad::Bf16(memory))),
            _ => filled_as(like, |memory| fill(Grad::F64(memory))),
        }
    }
}

/// # Safety
/// As for [`filled`].
unsafe fn filled_as<N: WithDType>(
    like: &Tensor,
    fill: impl FnOnce(&mut [MaybeUninit<N>]) -> std::result::Result<(), BadRow>,
) -> std::result::Result<Tensor, FillError> {
    let len = like.elem_count();
    let mut vector = Vec::with_capacity(len);
    let memory = &mut vector.spare_capacity_mut()[..len];
    in_large_pages(memory);
    fill(memory)?;
    // SAFETY: as the caller promises.
    unsafe { vector.set_len(len) };
    Ok(Tensor::from_vec(vector, like.shape(), &Device::Cpu)?)
}

/// Asks Linux for large pages for a large buffer: touching it for the first time is then much faster.
#[cfg(target_os = "linux")]
fn in_large_pages<N>(memory: &mut [MaybeUninit<N>]) {
    const LARGE: usize = 2 << 20;
    let bytes = size_of_val(memory);
    if bytes < 2 * LARGE {
        return;
    }
    let start = memory.as_mut_ptr().cast::<u8>();
    let skip = start.align_offset(LARGE);
    // SAFETY: the range is inside the buffer; the advice changes how it is backed, not what it holds. If the system does not
    // take the advice nothing changes, so the answer does not matter.
    unsafe {
        libc::madvise(start.add(skip).cast(), (bytes - skip) & !(LARGE - 1), libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages<N>(_: &mut [MaybeUninit<N>]) {}

/// Has `fill` overwrite the numbers of a contiguous tensor on the CPU, logits of any type.
///
/// # Safety
/// `fill` leaves no number uninitialised.
pub(crate) unsafe fn overwritten(
    tensor: &Tensor,
    fill: impl FnOnce(Grad<'_>) -> std::result::Result<(), BadRow>,
) -> std::result::Result<(), FillError> {
    let overwrite = Overwrite { fill: Cell::new(Some(fill)), bad_row: Cell::new(None) };
    tensor.inplace_op1(&overwrite)?;
    match overwrite.bad_row.into_inner() {
        Some(row) => Err(row.into()),
        None => Ok(()),
    }
}

/// Candle's way to a tensor's memory.
struct Overwrite<F> {
    fill: Cell<Option<F>>,
    bad_row: Cell<Option<BadRow>>,
}

impl<F: FnOnce(Grad<'_>) -> std::result::Result<(), BadRow>> InplaceOp1 for Overwrite<F> {
    fn name(&self) -> &'static str {
        "kd-loss-gradient"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let range = offsets(layout)?;
        let grad = match storage {
            CpuStorage::F32(numbers) => Grad::F32(overwritable(&mut numbers[range])),
            CpuStorage::F16(numbers) => Grad::F16(overwritable(&mut numbers[range])),
            CpuStorage::BF16(numbers) => Grad::Bf16(overwritable(&mut numbers[range])),
            CpuStorage::F64(numbers) => Grad::F64(overwritable(&mut numbers[range])),
            _ => bail!("the gradient's tensor is of another type"),
        };
        if let Some(fill) = self.fill.take() {
            self.bad_row.set(fill(grad).err());
        }
        Ok(())
    }
}

/// Numbers as numbers that may not be there.
fn overwritable<N>(numbers: &mut [N]) -> &mut [MaybeUninit<N>] {
    // SAFETY: the caller of `overwritten` promises that all of them are there afterwards.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<N>]) }
}
