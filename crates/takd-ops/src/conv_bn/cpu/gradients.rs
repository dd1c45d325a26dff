//! Gradients through normalisation and ReLU, per channel.

use crate::activation::Activation;
use crate::cpu::{Add, Affine, Map, Pixels, Repeated, Sums, map, map_pixels, run};
use pulp::{Arch, Simd, WithSimd};

/// `grad` if `scale · y + shift` is above 0 or NaN, else 0.
#[inline(always)]
fn relu_grad<S: Simd>(simd: S, [scale, shift]: [S::f32s; 2], grad: S::f32s, y: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let z = Affine.apply(simd, [scale, shift], [y], zero);
    simd.select_f32s(simd.less_than_or_equal_f32s(z, zero), zero, grad)
}

/// `dz` and `dz · (y − mean)`.
#[derive(Clone, Copy)]
struct GradSums;

impl Add<1, 2> for GradSums {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [mean]: [S::f32s; 1],
        [dz, y]: [S::f32s; 2],
        [plain, centred]: [S::f32s; 2],
    ) -> [S::f32s; 2] {
        [simd.add_f32s(plain, dz), simd.mul_add_e_f32s(dz, simd.sub_f32s(y, mean), centred)]
    }
}

/// The same of the gradient behind a ReLU.
#[derive(Clone, Copy)]
struct ReluGradSums;

impl Add<3, 2> for ReluGradSums {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [scale, shift, mean]: [S::f32s; 3],
        [grad, y]: [S::f32s; 2],
        sums: [S::f32s; 2],
    ) -> [S::f32s; 2] {
        GradSums.apply(simd, [mean], [relu_grad(simd, [scale, shift], grad, y), y], sums)
    }
}

/// Adds `Σ dz` and `Σ dz · (y − mean)` per channel; `dz` is `grad`, behind a ReLU what of it the ReLU lets through.
pub(super) fn add_grads(
    arch: Arch,
    sums: &mut Sums,
    [scale, shift, mean]: [&Repeated; 3],
    activation: Activation,
    [grad, y]: [&[f32]; 2],
) {
    match activation {
        Activation::Identity => sums.add(arch, GradSums, [mean], [grad, y]),
        Activation::Relu => sums.add(arch, ReluGradSums, [scale, shift, mean], [grad, y]),
    }
}

/// Zeroes `grad` where the ReLU's output was 0.
pub(super) fn mask(arch: Arch, grad: &mut [f32], output: &[f32]) {
    run(arch, Mask { grad, output });
}

struct Mask<'a> {
    grad: &'a mut [f32],
    output: &'a [f32],
}

impl WithSimd for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (grad, &output) in self.grad.iter_mut().zip(self.output) {
            *grad = if output <= 0.0 { 0.0 } else { *grad };
        }
    }
}

/// `by_dz · dz + by_y · y + constant`.
#[derive(Clone, Copy)]
struct Through;

impl Map<3, 2> for Through {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [by_dz, by_y, constant]: [S::f32s; 3],
        [dz, y]: [S::f32s; 2],
        _: S::f32s,
    ) -> S::f32s {
        simd.mul_add_e_f32s(by_dz, dz, simd.mul_add_e_f32s(by_y, y, constant))
    }
}

/// The same of the gradient behind a ReLU.
#[derive(Clone, Copy)]
struct ReluThrough;

impl Map<5, 2> for ReluThrough {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [scale, shift, by_dz, by_y, constant]: [S::f32s; 5],
        [grad, y]: [S::f32s; 2],
        old: S::f32s,
    ) -> S::f32s {
        let dz = relu_grad(simd, [scale, shift], grad, y);
        Through.apply(simd, [by_dz, by_y, constant], [dz, y], old)
    }
}

/// `to = by_dz · dz + by_y · y + constant`, the gradient through the normalisation; `dz` is `grad`, behind a ReLU what of it
/// the ReLU lets through.
pub(super) fn through(
    arch: Arch,
    [scale, shift]: [&Repeated; 2],
    [by_dz, by_y, constant]: [&Repeated; 3],
    activation: Activation,
    [grad, y]: [&[f32]; 2],
    to: &mut [f32],
) {
    match activation {
        Activation::Identity => map(arch, Through, [by_dz, by_y, constant], [grad, y], to),
        Activation::Relu => map(arch, ReluThrough, [scale, shift, by_dz, by_y, constant], [grad, y], to),
    }
}

/// [`through`] of some pixels.
pub(super) fn through_pixels(
    arch: Arch,
    [scale, shift]: [&Repeated; 2],
    [by_dz, by_y, constant]: [&Repeated; 3],
    activation: Activation,
    [grad, y]: [&[f32]; 2],
    pixels: Pixels,
    to: &mut [f32],
) {
    match activation {
        Activation::Identity => map_pixels(arch, Through, [by_dz, by_y, constant], [grad, y], pixels, to),
        Activation::Relu => {
            map_pixels(arch, ReluThrough, [scale, shift, by_dz, by_y, constant], [grad, y], pixels, to);
        }
    }
}
