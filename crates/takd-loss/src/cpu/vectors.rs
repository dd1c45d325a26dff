//! Blocks of f32 in vectors as wide as the processor has: AVX-512, AVX2 with FMA or NEON, chosen at run time; one lane
//! elsewhere.

use pulp::{Arch, Simd, WithSimd};

/// Numbers in a block: a row is worked on in blocks so that what one kernel reads is still in the first-level cache for
/// the next.
pub(crate) const BLOCK: usize = 2048;

/// The most lanes a vector has on any processor. Buffers of exponentials are whole vectors of this size.
pub(super) const LANES: usize = 16;

/// The largest whole temperature whose power is taken instead of a second exponential, see `StudentBlock`.
pub(super) const LARGEST_POWER: usize = 8;

/// Runs a kernel with this kind of vector.
///
/// Never inlined: each kernel is compiled here, once for each kind of vector, and not again for each caller.
#[inline(never)]
pub(super) fn run<K: WithSimd>(arch: Arch, kernel: K) -> K::Output {
    arch.dispatch(kernel)
}

/// The whole vectors that hold the first `length` numbers of a buffer.
#[inline(always)]
pub(super) fn vectors<S: Simd>(buffer: &[f32], length: usize) -> &[S::f32s] {
    S::as_simd_f32s(&buffer[..length.next_multiple_of(S::F32_LANES)]).0
}

/// The largest of a block; if it has NaN and numbers, either.
pub(crate) fn largest(arch: Arch, block: &[f32]) -> f32 {
    run(arch, Largest(block))
}

struct Largest<'a>(&'a [f32]);

impl WithSimd for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        max(simd, self.0)
    }
}

#[inline(always)]
pub(super) fn max<S: Simd>(simd: S, block: &[f32]) -> f32 {
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
pub(super) fn sum<S: Simd>(simd: S, lanes: S::f32s) -> f64 {
    simd.reduce_sum_f32s(lanes).into()
}

/// `x^POWER` in as few multiplications as there are.
#[inline(always)]
pub(super) fn to_the<S: Simd, const POWER: usize>(simd: S, x: S::f32s) -> S::f32s {
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

/// The power of an exponent below this is 0: `2^-100` adds nothing to a sum that is at least 1, and 0 stays 0 when it is
/// multiplied with a large distance. The powers above this stay clear of the denormal numbers, slow on some processors, even
/// when they are multiplied with a small share.
pub(crate) const LOWEST: f32 = -100.0;

/// `1.5 · 2^23`: adding it rounds to the nearest integer, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Minimax polynomial of `2^f` on [−½, ½] that is 1 at 0, without that 1; relative error 2.6e-9 before rounding.
const POLYNOMIAL: [f32; 6] =
    [0.693_147_24, 0.240_226_53, 0.055_503_104, 0.009_617_693, 0.001_340_664_3, 0.000_155_946_78];

/// `2^(rate · d)` for distances d ≤ 0: relative error below 1.5e-7, exactly 1 at 0.
#[derive(Clone, Copy)]
pub(super) struct Exp2<S: Simd> {
    simd: S,
    rate: S::f32s,
    lowest: S::f32s,
}

impl<S: Simd> Exp2<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, rate: f32) -> Exp2<S> {
        Exp2 { simd, rate: simd.splat_f32s(rate), lowest: simd.splat_f32s(LOWEST / rate) }
    }

    /// That of each lane. NaN gives any number.
    #[inline(always)]
    pub(super) fn of(self, d: S::f32s) -> S::f32s {
        let Exp2 { simd, rate, lowest } = self;
        let [c1, c2, c3, c4, c5, c6] = POLYNOMIAL;
        // rate · d = integer + fraction; the integer is in the lowest bits of `rounded`.
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
        // The integer is added to the exponent of a float.
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
