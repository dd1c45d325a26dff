//! Memory for gradients.

use super::lanes::Number;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

/// A vector of zeros that costs nothing until it is written: memory fresh from the system is zero already.
pub(super) fn zeroed<N: Number>(len: usize) -> Vec<N> {
    let Ok(layout) = Layout::array::<N>(len) else {
        panic!("capacity overflow")
    };
    if layout.size() == 0 {
        return Vec::new();
    }
    // SAFETY: the layout has a size above 0.
    let memory = unsafe { alloc_zeroed(layout) }.cast::<N>();
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    in_large_pages(memory.cast(), layout.size());
    // SAFETY: the global allocator gave `memory` with the layout of `len` numbers, all of them zero bytes, which is 0
    // in every float type.
    unsafe { Vec::from_raw_parts(memory, len, len) }
}

/// Asks Linux for large pages under a large buffer: touching it for the first time then costs far less.
#[cfg(target_os = "linux")]
fn in_large_pages(memory: *mut u8, bytes: usize) {
    const LARGE: usize = 2 << 20;
    if bytes < 2 * LARGE {
        return;
    }
    let skip = memory.align_offset(LARGE);
    // SAFETY: the range lies inside the buffer; the advice changes how it is backed, not what it holds. Where the
    // system does not take the advice nothing changes, so the answer does not matter.
    unsafe {
        libc::madvise(
            memory.add(skip).cast(),
            (bytes - skip) & !(LARGE - 1),
            libc::MADV_HUGEPAGE,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(_: *mut u8, _: usize) {}
