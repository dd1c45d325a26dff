//! Step 1 of the loss for a block of a teacher's logits.

use super::ahead::Ahead;
use super::vectors::{Exp2, max, run, sum};
use pulp::{Arch, Simd, WithSimd};

/// Step 1 for a block of a teacher's logits, beside the student's. Leaves `2^(rate·d)` of each in `powers`, d
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

/// The sums of a [`TeacherBlock`]; d_s is the student's distance to its maximum.
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
        run(arch, self)
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
