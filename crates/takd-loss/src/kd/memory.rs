//! Memory for gradients.

use std::mem::MaybeUninit;

/// A vector that `fill` has written all `len` numbers of.
///
/// # Safety
/// Where `fill` returns `Ok` it has written every number.
pub(super) unsafe fn filled<N, E>(
    len: usize,
    fill: impl FnOnce(&mut [MaybeUninit<N>]) -> Result<(), E>,
) -> Result<Vec<N>, E> {
    let mut vector = Vec::with_capacity(len);
    let memory = &mut vector.spare_capacity_mut()[..len];
    in_large_pages(memory);
    fill(memory)?;
    // SAFETY: as the caller promises.
    unsafe { vector.set_len(len) };
    Ok(vector)
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
