//! Step 4 of the loss: a block of the gradient from the exponentials that step 1 left.

use super::vectors::{LANES, run, to_the, vectors};
use pulp::{Arch, Simd, WithSimd};
use std::mem::MaybeUninit;

/// Step 4 for a block: writes `ce · first^power + kl · second − teacher · third − flat`, of exponentials left by step 1.
pub(crate) struct GradBlock<'grad, 'a> {
    pub grad: &'grad mut [MaybeUninit<f32>],
    pub ce: Share<'a>,
    /// 1 to [`LARGEST_POWER`].
    pub power: usize,
    pub kl: Share<'a>,
    pub teacher: Option<Share<'a>>,
    pub flat: f32,
}

/// Exponentials and what they are multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Share<'a> {
    pub powers: &'a [f32],
    pub share: f32,
}

impl<'grad, 'a> GradBlock<'grad, 'a> {
    /// The block, all of it written.
    pub(crate) fn write(self, arch: Arch) -> &'grad mut [f32] {
        run(arch, self)
    }

    /// The block, all of it written, past the caches on processors that can: for a gradient too large for a cache, whose
    /// old content would only be fetched to be overwritten.
    ///
    /// # Safety
    /// This thread calls [`fence`] before anything else reads or writes the block.
    pub(crate) unsafe fn stream(self, arch: Arch) -> &'grad mut [f32] {
        // Only whole lines of the cache are streamed. What is before and after them is written as usual, from where a vector
        // begins to where one ends, since a vector that is not whole rounds differently; some numbers are written twice.
        let (length, skip) = (self.grad.len(), self.grad.as_ptr().align_offset(LINE));
        let whole = length / LANES * LANES;
        if skip + LANES > whole {
            return run(arch, self);
        }
        let lines = skip..skip + (whole - skip) / LANES * LANES;
        let all = std::ptr::from_mut(self.grad);
        let part = |range: std::ops::Range<usize>| {
            let from = |share: Share<'a>| Share { powers: &share.powers[range.start..], ..share };
            let (ce, kl, teacher) = (from(self.ce), from(self.kl), self.teacher.map(from));
            // SAFETY: the memory of `grad`, which is not used itself any more; no part is in use while the next is.
            let grad = unsafe { &mut (&mut *all)[range] };
            GradBlock { grad, ce, kl, teacher, power: self.power, flat: self.flat }
        };
        if skip > 0 {
            run(arch, part(0..LANES));
        }
        run(arch, part(lines.end / LANES * LANES..length));
        run(arch, Streamed(part(lines)));
        // SAFETY: all parts are written, and borrowed no more.
        unsafe { &mut *(all as *mut [f32]) }
    }
}

impl<'grad> WithSimd for GradBlock<'grad, '_> {
    type Output = &'grad mut [f32];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> &'grad mut [f32] {
        self.with_power::<S, false>(simd)
    }
}

/// A block to be streamed, which begins with a line of the cache.
struct Streamed<'grad, 'a>(GradBlock<'grad, 'a>);

impl<'grad> WithSimd for Streamed<'grad, '_> {
    type Output = &'grad mut [f32];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> &'grad mut [f32] {
        self.0.with_power::<S, true>(simd)
    }
}

impl<'grad> GradBlock<'grad, '_> {
    #[inline(always)]
    fn with_power<S: Simd, const STREAMS: bool>(self, simd: S) -> &'grad mut [f32] {
        match self.power {
            1 => self.run::<S, 1, STREAMS>(simd),
            2 => self.run::<S, 2, STREAMS>(simd),
            3 => self.run::<S, 3, STREAMS>(simd),
            4 => self.run::<S, 4, STREAMS>(simd),
            5 => self.run::<S, 5, STREAMS>(simd),
            6 => self.run::<S, 6, STREAMS>(simd),
            7 => self.run::<S, 7, STREAMS>(simd),
            _ => self.run::<S, 8, STREAMS>(simd),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const POWER: usize, const STREAMS: bool>(self, simd: S) -> &'grad mut [f32] {
        let length = self.grad.len();
        let [(ce, ce_share), (kl, kl_share)] = [self.ce, self.kl].map(
            #[inline(always)]
            |Share { powers, share }| (vectors::<S>(powers, length), simd.splat_f32s(share)),
        );
        let flat = simd.splat_f32s(-self.flat);
        let (head, tail) = S::as_uninit_mut_simd_f32s(self.grad);
        let whole = head.len();
        let mut last = flat;
        if let Some(Share { powers, share }) = self.teacher {
            let (powers, share) = (vectors::<S>(powers, length), simd.splat_f32s(-share));
            for (((grad, ce), kl), teacher) in head.iter_mut().zip(ce).zip(kl).zip(powers) {
                let sum = simd.mul_add_e_f32s(to_the::<S, POWER>(simd, *ce), ce_share, flat);
                let sum = simd.mul_add_e_f32s(*teacher, share, simd.mul_add_e_f32s(*kl, kl_share, sum));
                // SAFETY: a streamed block begins with a line; the caller of `stream` fences.
                unsafe { put::<S, STREAMS>(grad, sum) };
            }
            if !tail.is_empty() {
                last = simd.mul_add_e_f32s(powers[whole], share, last);
            }
        } else {
            for ((grad, ce), kl) in head.iter_mut().zip(ce).zip(kl) {
                let sum = simd.mul_add_e_f32s(to_the::<S, POWER>(simd, *ce), ce_share, flat);
                // SAFETY: as above.
                unsafe { put::<S, STREAMS>(grad, simd.mul_add_e_f32s(*kl, kl_share, sum)) };
            }
        }
        tail.fill(MaybeUninit::new(0.0));
        // SAFETY: the loops above went over the whole head, which `vectors` and the zips cannot cut short: `ce`, `kl`
        // and the teacher's exponentials have at least as many vectors. The line above wrote the tail.
        let grad = unsafe { &mut *(std::ptr::from_mut(self.grad) as *mut [f32]) };
        if whole * S::F32_LANES < length {
            last = simd.mul_add_e_f32s(to_the::<S, POWER>(simd, ce[whole]), ce_share, last);
            last = simd.mul_add_e_f32s(kl[whole], kl_share, last);
            simd.partial_store_f32s(&mut grad[whole * S::F32_LANES..], last);
        }
        grad
    }
}

/// Bytes of a cache's line.
const LINE: usize = 64;

/// Writes a vector; past the caches if it `STREAMS` and the processor has an instruction for it.
///
/// # Safety
/// If it streams, `to` is aligned to the vector's size, and its thread calls [`fence`] before anything else reads or writes
/// `to`.
#[inline(always)]
unsafe fn put<S: Simd, const STREAMS: bool>(to: &mut MaybeUninit<S::f32s>, lanes: S::f32s) {
    #[cfg(target_arch = "x86_64")]
    if STREAMS {
        use std::arch::x86_64::{_mm256_stream_ps, _mm512_stream_ps};
        // SAFETY: vectors of this size mean a processor with these instructions; the rest is the caller's promise.
        unsafe {
            match size_of::<S::f32s>() {
                64 => return _mm512_stream_ps(to.as_mut_ptr().cast(), std::mem::transmute_copy(&lanes)),
                32 => return _mm256_stream_ps(to.as_mut_ptr().cast(), std::mem::transmute_copy(&lanes)),
                _ => {}
            }
        }
    }
    to.write(lanes);
}

/// Makes what this thread has streamed visible before anything that it writes later.
pub(crate) fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Step 4 for a second and further teacher: takes its share off a block of the gradient.
pub(crate) struct TakeOff<'a> {
    pub grad: &'a mut [f32],
    pub teacher: Share<'a>,
}

impl TakeOff<'_> {
    pub(crate) fn write(self, arch: Arch) {
        run(arch, self);
    }
}

impl WithSimd for TakeOff<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let share = simd.splat_f32s(-self.teacher.share);
        let powers = S::as_simd_f32s(self.teacher.powers).0;
        let (head, tail) = S::as_mut_simd_f32s(self.grad);
        let whole = head.len();
        for (grad, power) in head.iter_mut().zip(powers) {
            *grad = simd.mul_add_e_f32s(*power, share, *grad);
        }
        if !tail.is_empty() {
            let sum = simd.mul_add_e_f32s(powers[whole], share, simd.partial_load_f32s(tail));
            simd.partial_store_f32s(tail, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn avx2_streams_what_it_stores() {
        let Some(avx2) = pulp::x86::V3::try_new() else { return };
        let powers: Vec<f32> = (0..128).map(|i| 1.0 / (i + 1) as f32).collect();
        for length in [0, 3, 8, 64, 77, 100] {
            let written = |streams| {
                let mut memory = vec![MaybeUninit::new(f32::NAN); 100 + LINE];
                let start = memory.as_ptr().align_offset(LINE);
                let (ce, kl) = (Share { powers: &powers, share: 3.0 }, Share { powers: &powers[9..], share: 0.7 });
                let grad = &mut memory[start..][..length];
                let block = GradBlock { grad, ce, power: 4, kl, teacher: Some(kl), flat: 0.25 };
                let grad = if streams { Simd::vectorize(avx2, Streamed(block)) } else { Simd::vectorize(avx2, block) };
                fence();
                grad.to_vec()
            };
            assert_eq!(written(true), written(false), "{length} numbers");
        }
    }
}
