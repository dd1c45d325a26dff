//! Memory for gradients: new, or that of a tensor.

use super::numbers::Number;
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result as CandleResult, Tensor, WithDType, bail};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A new tensor on the CPU, of another's shape, that `fill` has written all numbers of.
///
/// # Safety
/// Where `fill` returns `Ok` it has written every number.
pub(super) unsafe fn filled<N: WithDType, E>(
    like: &Tensor,
    fill: impl FnOnce(&mut [MaybeUninit<N>]) -> Result<(), E>,
) -> CandleResult<Result<Tensor, E>> {
    let len = like.elem_count();
    let mut vector = Vec::with_capacity(len);
    let memory = &mut vector.spare_capacity_mut()[..len];
    in_large_pages(memory);
    if let Err(error) = fill(memory) {
        return Ok(Err(error));
    }
    // SAFETY: as the caller promises.
    unsafe { vector.set_len(len) };
    Ok(Ok(Tensor::from_vec(vector, like.shape(), &Device::Cpu)?))
}

/// Asks Linux for large pages under a large buffer: touching it for the first time then costs far less.
#[cfg(target_os = "linux")]
fn in_large_pages<N>(memory: &mut [MaybeUninit<N>]) {
    const LARGE: usize = 2 << 20;
    let bytes = size_of_val(memory);
    if bytes < 2 * LARGE {
        return;
    }
    let start = memory.as_mut_ptr().cast::<u8>();
    let skip = start.align_offset(LARGE);
    // SAFETY: the range lies inside the buffer; the advice changes how it is backed, not what it holds. Where the
    // system does not take the advice nothing changes, so the answer does not matter.
    unsafe {
        libc::madvise(start.add(skip).cast(), (bytes - skip) & !(LARGE - 1), libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages<N>(_: &mut [MaybeUninit<N>]) {}

/// Has `fill` overwrite the numbers of a contiguous tensor on the CPU, and gives what it returns.
///
/// # Safety
/// `fill` leaves no number uninitialised.
pub(super) unsafe fn overwritten<N: Number, R>(
    tensor: &Tensor,
    fill: impl FnOnce(&mut [MaybeUninit<N>]) -> R,
) -> CandleResult<R> {
    let fill = |numbers: &mut [N]| {
        // SAFETY: numbers are also numbers that may not be there, and are all there afterwards, as the caller promises.
        fill(unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<N>]) })
    };
    let overwrite = Overwrite { fill: Cell::new(Some(fill)), returned: Cell::new(None), number: PhantomData };
    tensor.inplace_op1(&overwrite)?;
    Ok(overwrite.returned.into_inner().expect("candle ran the operation"))
}

/// Candle's way to a tensor's memory.
struct Overwrite<N, F, R> {
    fill: Cell<Option<F>>,
    returned: Cell<Option<R>>,
    number: PhantomData<N>,
}

impl<N: Number, R, F: FnOnce(&mut [N]) -> R> InplaceOp1 for Overwrite<N, F, R> {
    fn name(&self) -> &'static str {
        "kd-loss-gradient"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> CandleResult<()> {
        match (N::in_storage(storage), layout.contiguous_offsets(), self.fill.take()) {
            (Some(numbers), Some((start, end)), Some(fill)) => {
                self.returned.set(Some(fill(&mut numbers[start..end])));
                Ok(())
            }
            _ => bail!("the gradient's tensor has changed"),
        }
    }
}
