//! Normalisation as an affine map per channel, with what may follow each number.

use super::channels::{Map, Pixels, Repeated, map, map_pixels};
use crate::activation::Activation;
use pulp::{Arch, Simd};

/// ReLU that lets NaN through.
#[inline(always)]
fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// `scale · y + shift`.
#[derive(Clone, Copy)]
pub(crate) struct Affine;

impl Map<2, 1> for Affine {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [scale, shift]: [S::f32s; 2], [y]: [S::f32s; 1], _: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(y, scale, shift)
    }
}

/// `relu(scale · y + shift)`.
#[derive(Clone, Copy)]
pub(crate) struct AffineRelu;

impl Map<2, 1> for AffineRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, k: [S::f32s; 2], y: [S::f32s; 1], old: S::f32s) -> S::f32s {
        relu(simd, Affine.apply(simd, k, y, old))
    }
}

/// `relu(scale · y + shift + old)`.
#[derive(Clone, Copy)]
pub(crate) struct AffineAddRelu;

impl Map<2, 1> for AffineAddRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, k: [S::f32s; 2], y: [S::f32s; 1], old: S::f32s) -> S::f32s {
        relu(simd, simd.add_f32s(Affine.apply(simd, k, y, old), old))
    }
}

/// `to = activation(scale · y + shift)`.
pub(crate) fn normalize(arch: Arch, y: &[f32], scale_shift: [&Repeated; 2], activation: Activation, to: &mut [f32]) {
    match activation {
        Activation::Identity => map(arch, Affine, scale_shift, [y], to),
        Activation::Relu => map(arch, AffineRelu, scale_shift, [y], to),
    }
}

/// [`normalize`] of some pixels.
pub(crate) fn normalize_pixels(
    arch: Arch,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    activation: Activation,
    pixels: Pixels,
    to: &mut [f32],
) {
    match activation {
        Activation::Identity => map_pixels(arch, Affine, scale_shift, [y], pixels, to),
        Activation::Relu => map_pixels(arch, AffineRelu, scale_shift, [y], pixels, to),
    }
}

/// `to = relu(scale · y + shift + to)`.
pub(crate) fn add_relu(arch: Arch, y: &[f32], scale_shift: [&Repeated; 2], to: &mut [f32]) {
    map(arch, AffineAddRelu, scale_shift, [y], to);
}
