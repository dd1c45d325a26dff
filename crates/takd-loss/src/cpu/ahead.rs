//! Fetches the next block of logits while this one is worked on.

use super::logits::Logits;
use super::vectors::BLOCK;
use pulp::Simd;

/// Logits that the next kernel will read: brought into the first-level cache while this one computes. With many classes each
/// kernel would otherwise wait for memory before it can begin.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    at: *const i8,
    number_bytes: usize,
}

impl Ahead {
    /// The block after this one, of the same row or the next; past the end of the last row nothing that is ever read.
    pub(crate) fn of(block: Logits) -> Ahead {
        fn after<N>(block: &[N]) -> Ahead {
            Ahead { at: block.as_ptr().wrapping_add(BLOCK).cast(), number_bytes: size_of::<N>() }
        }
        match block {
            Logits::F32(block) => after(block),
            Logits::F16(block) => after(block),
            Logits::Bf16(block) => after(block),
            Logits::F64(block) => after(block),
        }
    }

    /// Fetches what belongs to the `index`-th vector.
    #[inline(always)]
    pub(super) fn fetch<S: Simd>(self, index: usize) {
        let at = self.at.wrapping_add(index * S::F32_LANES * self.number_bytes);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which does nothing if the address is not mapped.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(at);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}
