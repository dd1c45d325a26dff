//! Step 1 of the loss for a block of the student's logits.

use super::ahead::Ahead;
use super::vectors::{Exp2, max, run, sum, to_the};
use pulp::{Arch, Simd, WithSimd};

/// Step 1 for a block of the student's logits.
///
/// Leaves `2^(rate·d)` of each in `powers`, d being its distance to the greater of `floor` and the block's maximum. The
/// cross-entropy's exponentials are these to the `power`-th: if τ is a small whole number, `exp d = exp(d/τ)^τ`.
pub(super) struct StudentBlock<'a> {
    pub logits: &'a [f32],
    pub ahead: Ahead,
    pub floor: f32,
    pub rate: f32,
    /// 1 to [`LARGEST_POWER`].
    pub power: usize,
    pub powers: &'a mut [f32],
}

/// The sums of a [`StudentBlock`].
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
        run(arch, self)
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
