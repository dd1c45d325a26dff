//! The loops of the CPU kernel over one block of f32, in vectors as wide as the processor has: AVX-512, AVX2 with FMA or
//! NEON, chosen when they run; one lane elsewhere.

use pulp::{Arch, Simd, WithSimd};
use std::mem::MaybeUninit;

/// Numbers in a block: a row is worked on in blocks so that what one loop reads is still in the first-level cache for
/// the next.
pub(super) const BLOCK: usize = 2048;

/// The most lanes a vector has on any processor. Buffers of exponentials hold whole vectors.
pub(super) const LANES: usize = 16;

/// The largest temperature whose power is taken instead of a second exponential, see [`StudentBlock`].
pub(super) const LARGEST_POWER: usize = 8;

/// Step 1 for a block of the student's logits.
///
/// Leaves `2^(rate·d)` of each in `powers`, d being its distance to the greater of `floor` and the block's maximum. The
/// cross-entropy's exponentials are these to the `power`-th: where τ is a small whole number, `exp d = exp(d/τ)^τ`.
pub(super) struct StudentBlock<'a> {
    pub logits: &'a [f32],
    pub ahead: Ahead,
    pub floor: f32,
    pub rate: f32,
    /// 1 to [`LARGEST_POWER`].
    pub power: usize,
    pub powers: &'a mut [f32],
}

/// Logits that the next loop will read: brought into the first-level cache while this one computes, since at many classes
/// each loop would else wait for memory before it can begin.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    at: *const i8,
    number_bytes: usize,
}

impl Ahead {
    /// The block after this one: of the same row or of the next, and past the last row's end nothing that is ever read.
    pub(super) fn of<N>(block: &[N]) -> Ahead {
        Ahead { at: block.as_ptr().wrapping_add(BLOCK).cast(), number_bytes: size_of::<N>() }
    }

    /// What belongs to the `index`-th vector.
    #[inline(always)]
    fn fetch<S: Simd>(self, index: usize) {
        let at = self.at.wrapping_add(index * S::F32_LANES * self.number_bytes);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which does nothing where the address is not mapped.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(at);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

/// What a [`StudentBlock`] comes down to.
pub(super) struct StudentBlockSums {
    /// What d counts from.
    pub max: f32,
    /// `Σ 2^(rate·d)`.
    pub kl: f64,
    /// `Σ 2^(power·rate·d)`.
    pub ce: f64,
    /// `Σ d`.
    pub distance: f64,
}

impl StudentBlock<'_> {
    pub(super) fn sums(self, arch: Arch) -> StudentBlockSums {
        arch.dispatch(self)
    }
}

impl WithSimd for StudentBlock<'_> {
    type Output = StudentBlockSums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> StudentBlockSums {
        match self.power {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            4 => self.run::<S, 4>(simd),
            5 => self.run::<S, 5>(simd),
            6 => self.run::<S, 6>(simd),
            7 => self.run::<S, 7>(simd),
            _ => self.run::<S, 8>(simd),
        }
    }
}

impl StudentBlock<'_> {
    #[inline(always)]
    fn run<S: Simd, const POWER: usize>(self, simd: S) -> StudentBlockSums {
        let max = max(simd, self.logits).max(self.floor);
        let top = simd.splat_f32s(max);
        let exp2 = Exp2::new(simd, self.rate);
        let zero = simd.splat_f32s(0.0);
        let (head, tail) = S::as_simd_f32s(self.logits);
        let powers = S::as_mut_simd_f32s(self.powers).0;
        let (mut kl, mut ce, mut distance) = (zero, zero, zero);
        for (index, (x, kept)) in head.iter().zip(powers.iter_mut()).enumerate() {
            self.ahead.fetch::<S>(index);
            let d = simd.sub_f32s(*x, top);
            let power = exp2.of(d);
            *kept = power;
            kl = simd.add_f32s(kl, power);
            if POWER > 1 {
                ce = simd.add_f32s(ce, to_the::<S, POWER>(simd, power));
            }
            distance = simd.add_f32s(distance, d);
        }
        if !tail.is_empty() {
            let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
            let d = simd.sub_f32s(simd.partial_load_f32s(tail), top);
            let power = simd.select_f32s(inside, exp2.of(d), zero);
            powers[head.len()] = power;
            kl = simd.add_f32s(kl, power);
            if POWER > 1 {
                ce = simd.add_f32s(ce, to_the::<S, POWER>(simd, power));
            }
            distance = simd.add_f32s(distance, simd.select_f32s(inside, d, zero));
        }
        let ce = if POWER > 1 { ce } else { kl };
        StudentBlockSums { max, kl: sum(simd, kl), ce: sum(simd, ce), distance: sum(simd, distance) }
    }
}

/// Step 1 for a block of a teacher's logits, which stands beside the student's. Leaves `2^(rate·d)` of each in `powers`, d
/// being its distance to the greater of `floor` and the block's maximum.
pub(super) struct TeacherBlock<'a> {
    pub logits: &'a [f32],
    pub ahead: Ahead,
    pub floor: f32,
    pub rate: f32,
    pub powers: &'a mut [f32],
    pub student_logits: &'a [f32],
    pub student_max: f32,
}

/// What a [`TeacherBlock`] comes down to; d_s is the student's distance to its maximum.
pub(super) struct TeacherBlockSums {
    /// What d counts from.
    pub max: f32,
    /// `Σ 2^(rate·d)`.
    pub kl: f64,
    /// `Σ 2^(rate·d)·(d − d_s)`.
    pub cross: f64,
}

impl TeacherBlock<'_> {
    pub(super) fn sums(self, arch: Arch) -> TeacherBlockSums {
        arch.dispatch(self)
    }
}

impl WithSimd for TeacherBlock<'_> {
    type Output = TeacherBlockSums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> TeacherBlockSums {
        let max = max(simd, self.logits).max(self.floor);
        let (top, student_top) = (simd.splat_f32s(max), simd.splat_f32s(self.student_max));
        let exp2 = Exp2::new(simd, self.rate);
        let zero = simd.splat_f32s(0.0);
        let (head, tail) = S::as_simd_f32s(self.logits);
        let (student_head, student_tail) = S::as_simd_f32s(self.student_logits);
        let powers = S::as_mut_simd_f32s(self.powers).0;
        let (mut kl, mut cross) = (zero, zero);
        for (index, ((t, s), kept)) in head.iter().zip(student_head).zip(powers.iter_mut()).enumerate() {
            self.ahead.fetch::<S>(index);
            let d = simd.sub_f32s(*t, top);
            let power = exp2.of(d);
            *kept = power;
            kl = simd.add_f32s(kl, power);
            cross = simd.mul_add_e_f32s(power, simd.sub_f32s(d, simd.sub_f32s(*s, student_top)), cross);
        }
        if !tail.is_empty() {
            let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
            let d = simd.sub_f32s(simd.partial_load_f32s(tail), top);
            let apart = simd.sub_f32s(d, simd.sub_f32s(simd.partial_load_f32s(student_tail), student_top));
            let power = simd.select_f32s(inside, exp2.of(d), zero);
            powers[head.len()] = power;
            kl = simd.add_f32s(kl, power);
            cross = simd.mul_add_e_f32s(power, simd.select_f32s(inside, apart, zero), cross);
        }
        TeacherBlockSums { max, kl: sum(simd, kl), cross: sum(simd, cross) }
    }
}

/// Step 4 for a block: writes `ce · first^power + kl · second − teacher · third − flat`, of exponentials left by step 1.
pub(super) struct GradBlock<'grad, 'a> {
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
pub(super) struct Share<'a> {
    pub powers: &'a [f32],
    pub share: f32,
}

impl<'grad, 'a> GradBlock<'grad, 'a> {
    /// The block, all of it written.
    pub(super) fn write(self, arch: Arch) -> &'grad mut [f32] {
        arch.dispatch(self)
    }

    /// The block, all of it written, past the caches on processors that can: for a gradient too large to wait in one, whose
    /// old content would only be fetched to be overwritten.
    ///
    /// # Safety
    /// Before anything else touches the block, this thread calls [`fence`].
    pub(super) unsafe fn stream(self, arch: Arch) -> &'grad mut [f32] {
        // What streams is whole lines of the cache. What lies before and behind them is written as ever, from where a vector
        // begins to where one ends, since a vector that is not whole is rounded otherwise; some numbers are written twice.
        let (length, skip) = (self.grad.len(), self.grad.as_ptr().align_offset(LINE));
        let whole = length / LANES * LANES;
        if skip + LANES > whole {
            return arch.dispatch(self);
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
            arch.dispatch(part(0..LANES));
        }
        arch.dispatch(part(lines.end / LANES * LANES..length));
        arch.dispatch(Streamed(part(lines)));
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

/// A block that begins where a line of the cache does, to be streamed.
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
                // SAFETY: a streamed block begins where a line does; the caller of `stream` fences.
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
/// Where it streams, `to` is aligned to the vector's size, and before anything else touches it, its thread calls [`fence`].
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

/// Lets nothing that this thread writes later be seen before what it has streamed.
pub(super) fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Step 4 for a second and further teacher: takes its share off a block of the gradient.
pub(super) struct TakeOff<'a> {
    pub grad: &'a mut [f32],
    pub teacher: Share<'a>,
}

impl TakeOff<'_> {
    pub(super) fn write(self, arch: Arch) {
        arch.dispatch(self);
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

/// The whole vectors that hold the first `length` numbers of a buffer.
#[inline(always)]
fn vectors<S: Simd>(buffer: &[f32], length: usize) -> &[S::f32s] {
    S::as_simd_f32s(&buffer[..length.next_multiple_of(S::F32_LANES)]).0
}

/// The largest of a block; of NaN beside numbers, either.
pub(super) struct Largest<'a>(pub &'a [f32]);

impl Largest<'_> {
    pub(super) fn find(self, arch: Arch) -> f32 {
        arch.dispatch(self)
    }
}

impl WithSimd for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        max(simd, self.0)
    }
}

#[inline(always)]
fn max<S: Simd>(simd: S, block: &[f32]) -> f32 {
    let (head, tail) = S::as_simd_f32s(block);
    let lowest = simd.splat_f32s(f32::NEG_INFINITY);
    let (fours, rest) = pulp::as_arrays::<4, _>(head);
    let mut max = [lowest; 4];
    for four in fours {
        for (max, x) in max.iter_mut().zip(four) {
            *max = simd.max_f32s(*max, *x);
        }
    }
    for x in rest {
        max[0] = simd.max_f32s(max[0], *x);
    }
    if !tail.is_empty() {
        let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
        max[1] = simd.max_f32s(max[1], simd.select_f32s(inside, simd.partial_load_f32s(tail), lowest));
    }
    let [a, b, c, d] = max;
    simd.reduce_max_f32s(simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d)))
}

#[inline(always)]
fn sum<S: Simd>(simd: S, lanes: S::f32s) -> f64 {
    simd.reduce_sum_f32s(lanes).into()
}

/// `x^POWER` in as few multiplications as there are.
#[inline(always)]
fn to_the<S: Simd, const POWER: usize>(simd: S, x: S::f32s) -> S::f32s {
    let square = simd.mul_f32s(x, x);
    match POWER {
        1 => x,
        2 => square,
        3 => simd.mul_f32s(square, x),
        4 => simd.mul_f32s(square, square),
        5 => simd.mul_f32s(simd.mul_f32s(square, square), x),
        6 => simd.mul_f32s(simd.mul_f32s(square, square), square),
        7 => simd.mul_f32s(simd.mul_f32s(square, square), simd.mul_f32s(square, x)),
        _ => {
            let fourth = simd.mul_f32s(square, square);
            simd.mul_f32s(fourth, fourth)
        }
    }
}

/// The power of an exponent below this is 0: `2^-100` adds nothing to a sum that is at least 1, and 0 stays nothing where it
/// is multiplied with a large distance. What is above stays clear of the denormal numbers, slow on some processors, even
/// after it was multiplied with a small share.
pub(super) const LOWEST: f32 = -100.0;

/// `1.5 · 2^23`: adding it rounds to the nearest integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Minimax polynomial of `2^f` on [−½, ½] that is 1 at 0, without that 1; relative error 2.6e-9 before rounding.
const POLYNOMIAL: [f32; 6] =
    [0.693_147_24, 0.240_226_53, 0.055_503_104, 0.009_617_693, 0.001_340_664_3, 0.000_155_946_78];

/// `2^(rate · d)` for distances d ≤ 0: relative error below 1.5e-7, exactly 1 at 0.
#[derive(Clone, Copy)]
struct Exp2<S: Simd> {
    simd: S,
    rate: S::f32s,
    lowest: S::f32s,
}

impl<S: Simd> Exp2<S> {
    #[inline(always)]
    fn new(simd: S, rate: f32) -> Exp2<S> {
        Exp2 { simd, rate: simd.splat_f32s(rate), lowest: simd.splat_f32s(LOWEST / rate) }
    }

    /// Of each lane. NaN gives any number.
    #[inline(always)]
    fn of(self, d: S::f32s) -> S::f32s {
        let Exp2 { simd, rate, lowest } = self;
        let [c1, c2, c3, c4, c5, c6] = POLYNOMIAL;
        // rate · d = integer + fraction; the integer stands in the lowest bits of `rounded`.
        let rounded = simd.mul_add_e_f32s(d, rate, simd.splat_f32s(ROUND));
        let integer = simd.sub_f32s(rounded, simd.splat_f32s(ROUND));
        let fraction = simd.mul_add_e_f32s(d, rate, simd.neg_f32s(integer));
        // Estrin's order: half as long a chain of operations as Horner's.
        let square = simd.mul_f32s(fraction, fraction);
        let low = simd.mul_add_e_f32s(simd.splat_f32s(c1), fraction, simd.splat_f32s(1.0));
        let middle = simd.mul_add_e_f32s(simd.splat_f32s(c3), fraction, simd.splat_f32s(c2));
        let high = simd.mul_add_e_f32s(simd.splat_f32s(c5), fraction, simd.splat_f32s(c4));
        let high = simd.mul_add_e_f32s(simd.splat_f32s(c6), square, high);
        let power = simd.mul_add_e_f32s(simd.mul_add_e_f32s(high, square, middle), square, low);
        // The integer goes to where a float keeps its exponent.
        let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
        let power = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent));
        simd.select_f32s(simd.less_than_or_equal_f32s(lowest, d), power, simd.splat_f32s(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    struct Powers<'a>(&'a mut [f32]);

    impl WithSimd for Powers<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (head, tail) = S::as_mut_simd_f32s(self.0);
            assert!(tail.is_empty());
            for x in head {
                *x = Exp2::new(simd, 1.0).of(*x);
            }
        }
    }

    fn worst_error(run: impl Fn(&mut [f32])) -> f64 {
        let x: Vec<f32> = (0..1 << 20).map(|i| -99.9 * i as f32 / (1 << 20) as f32).collect();
        let mut power = x.clone();
        run(&mut power);
        x.iter()
            .zip(&power)
            .map(|(x, power)| (f64::from(*power) / f64::from(*x).exp2() - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn exponential_is_as_accurate_as_f32_allows() {
        let vectors = worst_error(|x| Arch::new().dispatch(Powers(x)));
        assert!(vectors < 1.5e-7, "vectors: {vectors}");
        let scalars = worst_error(|x| Powers(x).with_simd(Scalar::new()));
        assert!(scalars < 1.6e-7, "scalars: {scalars}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_avx2_streams_is_what_it_stores() {
        let Some(avx2) = pulp::x86::V3::try_new() else { return };
        let powers: Vec<f32> = (0..128).map(|i| 1.0 / (i + 1) as f32).collect();
        for length in [0, 3, 8, 64, 77, 100] {
            let written = |streams| {
                let mut memory = vec![MaybeUninit::new(f32::NAN); 100 + LINE];
                let start = memory.as_ptr().align_offset(LINE);
                let (ce, kl) = (Share { powers: &powers, share: 3.0 }, Share { powers: &powers[9..], share: 0.7 });
                let grad = &mut memory[start..][..length];
                let block = GradBlock { grad, ce, power: 4, kl, teacher: Some(kl), flat: 0.25 };
                let grad = match streams {
                    true => Simd::vectorize(avx2, Streamed(block)),
                    false => Simd::vectorize(avx2, block),
                };
                fence();
                grad.to_vec()
            };
            assert_eq!(written(true), written(false), "{length} numbers");
        }
    }

    #[test]
    fn exponential_is_one_at_zero_and_nothing_far_below() {
        let mut x = [0.0, -0.0, -1.0, -100.0, -1e4, -1e38, f32::MIN, f32::NEG_INFINITY];
        x = {
            let mut x: Vec<f32> = x.into();
            x.resize(16, 0.0);
            Arch::new().dispatch(Powers(&mut x));
            x[..8].try_into().unwrap()
        };
        assert_eq!(x, [1.0, 1.0, 0.5, (-100f32).exp2(), 0.0, 0.0, 0.0, 0.0]);
    }
}
