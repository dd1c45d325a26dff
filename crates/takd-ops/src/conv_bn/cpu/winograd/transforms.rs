//! The linear maps of Winograd's minimal filtering, along one side of a tile.

use pulp::Simd;

/// F(M×M, 3×3), `N = M + 2`, along one side, in the paper's letters.
pub(super) trait Tile<const M: usize, const N: usize> {
    /// G: three weights of the kernel; in f64, since it divides by what f32 does not hold exactly.
    fn kernel(weights: [f64; 3]) -> [f64; N];

    /// Gᵀ.
    fn kernel_transposed(points: [f32; N]) -> [f32; 3];

    /// Bᵀ: the inputs under a tile and the kernel.
    fn patch<S: Simd>(simd: S, inputs: [S::f32s; N]) -> [S::f32s; N];

    /// Aᵀ: a tile's outputs from products.
    fn outputs<S: Simd>(simd: S, products: [S::f32s; N]) -> [S::f32s; M];

    /// A: a tile's gradients.
    fn spread<S: Simd>(simd: S, gradients: [S::f32s; M]) -> [S::f32s; N];
}

/// F(2×2, 3×3), of the points 0, 1, −1, ∞: nothing but additions and the kernel's halves, so that the error stays about
/// that of the direct sum.
pub(super) struct Two;

impl Tile<2, 4> for Two {
    #[inline(always)]
    fn kernel([a, b, c]: [f64; 3]) -> [f64; 4] {
        [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
    }

    #[inline(always)]
    fn kernel_transposed([a, b, c, d]: [f32; 4]) -> [f32; 3] {
        [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d]
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
        [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
        [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; 4] {
        [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.sub_f32s(simd.splat_f32s(0.0), b)]
    }
}

/// F(4×4, 3×3), of the points 0, ±1, ±2, ∞: a quarter of the multiplications, at about ten times the error.
pub(super) struct Four;

impl Tile<4, 6> for Four {
    #[inline(always)]
    fn kernel([a, b, c]: [f64; 3]) -> [f64; 6] {
        let (outer, far) = (a + c, a + 4.0 * c);
        [a / 4.0, -(outer + b) / 6.0, -(outer - b) / 6.0, (far + 2.0 * b) / 24.0, (far - 2.0 * b) / 24.0, c]
    }

    #[inline(always)]
    fn kernel_transposed([a, b, c, d, e, f]: [f32; 6]) -> [f32; 3] {
        let (near, far) = (-(b + c) / 6.0, (d + e) / 24.0);
        [a / 4.0 + near + far, (c - b) / 6.0 + (d - e) / 12.0, near + 4.0 * far + f]
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; 6]) -> [S::f32s; 6] {
        let times = |factor: f32, x, to| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, to);
        let (even, odd) = (times(-4.0, c, e), times(-4.0, b, d));
        let (even_far, odd_far) = (simd.sub_f32s(e, c), simd.sub_f32s(d, b));
        [
            times(4.0, a, times(-5.0, c, e)),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            times(2.0, odd_far, even_far),
            times(-2.0, odd_far, even_far),
            times(4.0, b, times(-5.0, d, f)),
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; 6]) -> [S::f32s; 4] {
        let times = |factor: f32, x, to| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, to);
        let (even, odd) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
        let (even_far, odd_far) = (simd.add_f32s(d, e), simd.sub_f32s(d, e));
        [
            simd.add_f32s(a, simd.add_f32s(even, even_far)),
            times(2.0, odd_far, odd),
            times(4.0, even_far, even),
            simd.add_f32s(f, times(8.0, odd_far, odd)),
        ]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 6] {
        let times = |factor: f32, x, to| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, to);
        let (even, odd) = (simd.add_f32s(a, c), simd.add_f32s(b, d));
        let (even_far, odd_far) = (times(4.0, c, a), times(4.0, d, b));
        [
            a,
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            times(2.0, odd_far, even_far),
            times(-2.0, odd_far, even_far),
            d,
        ]
    }
}
