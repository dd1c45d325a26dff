//! Vectors of f32 for the CPU kernel: a base-2 exponential, and blocks of any float type worked on as f32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::Simd;

/// Numbers in a block: a row is worked on in blocks so that what one pass reads is still in the first-level cache for
/// the next.
pub(super) const BLOCK: usize = 1024;

/// Exponents below this count as this: `2^-100` adds nothing to a sum that is at least 1, and stays clear of the
/// denormal numbers, slow on some processors, even after it was multiplied with a small share.
const LOWEST: f32 = -100.0;

/// `1.5 · 2^23`: adding it rounds to the nearest integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Minimax polynomial of `2^f` on [−½, ½] that is 1 at 0, without that 1; relative error 2.6e-9 before rounding.
const POLYNOMIAL: [f32; 6] = [
    0.693_147_24,
    0.240_226_53,
    0.055_503_104,
    0.009_617_693,
    0.001_340_664_3,
    0.000_155_946_78,
];

/// `2^x` of each lane, for x ≤ 0: relative error below 1.2e-7, exactly 1 at 0. NaN gives any number.
#[inline(always)]
pub(super) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let [c1, c2, c3, c4, c5, c6] = POLYNOMIAL;
    let round = simd.splat_f32s(ROUND);
    let x = simd.max_f32s(x, simd.splat_f32s(LOWEST));
    let rounded = simd.add_f32s(x, round);
    let fraction = simd.sub_f32s(x, simd.sub_f32s(rounded, round));
    let mut power = simd.splat_f32s(c6);
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(c5));
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(c4));
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(c3));
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(c2));
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(c1));
    power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(1.0));
    // The integer part, moved to where a float keeps its exponent.
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent))
}

/// A type of logits.
pub(super) trait Number: Copy + Default + Send + Sync + 'static {
    /// One number, widened.
    fn to_f64(self) -> f64;

    /// One number, rounded to nearest.
    fn from_f64(value: f64) -> Self;
}

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(value: f64) -> f64 {
        value
    }
}

impl Number for f32 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

impl Number for f16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f16 {
        f16::from_f64(value)
    }
}

impl Number for bf16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> bf16 {
        bf16::from_f64(value)
    }
}

/// A type of logits that the kernel works on in f32.
pub(super) trait Logit: Number {
    /// Room for one widened block; nothing for f32, which is worked on in place.
    type Room: Send;

    /// The room, once for many rows.
    fn room() -> Self::Room;

    /// A block as f32.
    fn widen<'a>(block: &'a [Self], room: &'a mut Self::Room) -> &'a [f32];

    /// Runs `fill` on a block of f32 (of any content) and rounds what it leaves into `block`.
    fn narrow(block: &mut [Self], room: &mut Self::Room, fill: impl FnOnce(&mut [f32]));
}

impl Logit for f32 {
    type Room = ();

    fn room() {}

    #[inline(always)]
    fn widen<'a>(block: &'a [f32], (): &'a mut ()) -> &'a [f32] {
        block
    }

    #[inline(always)]
    fn narrow(block: &mut [f32], (): &mut (), fill: impl FnOnce(&mut [f32])) {
        fill(block);
    }
}

impl Logit for f16 {
    type Room = Box<[f32; BLOCK]>;

    fn room() -> Self::Room {
        Box::new([0.0; BLOCK])
    }

    #[inline(always)]
    fn widen<'a>(block: &'a [f16], room: &'a mut Self::Room) -> &'a [f32] {
        let wide = &mut room[..block.len()];
        block.convert_to_f32_slice(wide);
        wide
    }

    #[inline(always)]
    fn narrow(block: &mut [f16], room: &mut Self::Room, fill: impl FnOnce(&mut [f32])) {
        let wide = &mut room[..block.len()];
        fill(wide);
        block.convert_from_f32_slice(wide);
    }
}

impl Logit for bf16 {
    type Room = Box<[f32; BLOCK]>;

    fn room() -> Self::Room {
        Box::new([0.0; BLOCK])
    }

    #[inline(always)]
    fn widen<'a>(block: &'a [bf16], room: &'a mut Self::Room) -> &'a [f32] {
        let wide = &mut room[..block.len()];
        for (wide, narrow) in wide.iter_mut().zip(block) {
            *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
        }
        wide
    }

    #[inline(always)]
    fn narrow(block: &mut [bf16], room: &mut Self::Room, fill: impl FnOnce(&mut [f32])) {
        let wide = &mut room[..block.len()];
        fill(wide);
        // Round to nearest, ties to even. The general conversion also minds NaN, which no gradient is, and is slow.
        for (narrow, wide) in block.iter_mut().zip(wide.iter()) {
            let bits = wide.to_bits();
            *narrow = bf16::from_bits(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, Scalar, WithSimd};

    struct Exp2<'a>(&'a mut [f32]);

    impl WithSimd for Exp2<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (head, tail) = S::as_mut_simd_f32s(self.0);
            assert!(tail.is_empty());
            for x in head {
                *x = exp2(simd, *x);
            }
        }
    }

    fn worst_error(run: impl Fn(&mut [f32])) -> f64 {
        let x: Vec<f32> = (0..1 << 20)
            .map(|i| -99.9 * i as f32 / (1 << 20) as f32)
            .collect();
        let mut power = x.clone();
        run(&mut power);
        x.iter()
            .zip(&power)
            .map(|(x, power)| (f64::from(*power) / f64::from(*x).exp2() - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn exponential_is_as_accurate_as_f32_allows() {
        let vectors = worst_error(|x| Arch::new().dispatch(Exp2(x)));
        assert!(vectors < 1.2e-7, "vectors: {vectors}");
        let scalars = worst_error(|x| Exp2(x).with_simd(Scalar::new()));
        assert!(scalars < 1.6e-7, "scalars: {scalars}");
    }

    #[test]
    fn exponential_is_one_at_zero_and_nothing_far_below() {
        let mut x = [
            0.0,
            -0.0,
            -1.0,
            -100.0,
            -1e4,
            -1e38,
            f32::MIN,
            f32::NEG_INFINITY,
        ];
        x = {
            let mut x: Vec<f32> = x.into();
            x.resize(16, 0.0);
            Arch::new().dispatch(Exp2(&mut x));
            x[..8].try_into().unwrap()
        };
        assert_eq!(x[..3], [1.0, 1.0, 0.5]);
        assert!(x[3..].iter().all(|&power| power == (-100f32).exp2()));
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let values: Vec<f32> = (0..4096)
            .map(|i| f32::from_bits(0x3f7f_0000 + 0x137 * i))
            .collect();
        let mut narrow = vec![bf16::ZERO; BLOCK];
        for block in values.chunks(BLOCK) {
            bf16::narrow(&mut narrow, &mut bf16::room(), |wide| {
                wide.copy_from_slice(block)
            });
            let expected: Vec<bf16> = block.iter().map(|&value| bf16::from_f32(value)).collect();
            assert_eq!(narrow, expected);
        }
    }
}
