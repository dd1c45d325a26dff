//! Vectors from and to memory.

use pulp::Simd;

/// One vector from memory.
///
/// # Safety
/// `S::F32_LANES` numbers can be read at `from`.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's; a vector is plain numbers, valid in any bit pattern.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// One vector to memory.
///
/// # Safety
/// `S::F32_LANES` numbers can be written at `to`.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(to: *mut f32, vector: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(vector) }
}
