//! What follows a convolution: normalisation, ReLU, pool and residual, and their gradients, per channel.

use super::buffer::Buffer;
use super::channels::{Add, Map, Repeated, Sums, map};
use pulp::{Arch, Simd, WithSimd};

/// ReLU that lets NaN through.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn relu_vector<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Identity,
    Relu,
}

/// The numbers of an activation, possibly still to be computed from the convolution's output before it.
#[derive(Debug)]
pub(crate) enum Data {
    Dense(Buffer),
    /// `activation(scale · y + shift)`: computed where it is read, which costs less than a walk through memory.
    Lazy {
        y: std::sync::Arc<Buffer>,
        scale: Repeated,
        shift: Repeated,
        activation: Activation,
    },
}

impl Data {
    /// Writes the numbers from `start` (the first channel of a pixel) on.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(&self, simd: S, start: usize, to: &mut [f32]) {
        match self {
            Self::Dense(values) => to.copy_from_slice(&values[start..start + to.len()]),
            Self::Lazy { y, scale, shift, activation } => {
                normalise(simd, &y[start..start + to.len()], [scale, shift], *activation, to);
            }
        }
    }

    /// The same outside of vectorised work, in vectors of the kind `arch`.
    pub(crate) fn copy_to(&self, arch: Arch, start: usize, to: &mut [f32]) {
        struct Read<'a>(&'a Data, usize, &'a mut [f32]);
        impl WithSimd for Read<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                self.0.read(simd, self.1, self.2);
            }
        }
        arch.dispatch(Read(self, start, to));
    }
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
        relu_vector(simd, Affine.apply(simd, k, y, old))
    }
}

/// `relu(scale · y + shift + old)`.
#[derive(Clone, Copy)]
pub(crate) struct AffineAddRelu;

impl Map<2, 1> for AffineAddRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, k: [S::f32s; 2], y: [S::f32s; 1], old: S::f32s) -> S::f32s {
        relu_vector(simd, simd.add_f32s(Affine.apply(simd, k, y, old), old))
    }
}

/// `to = relu(scale · y + shift + to)`.
#[inline(always)]
pub(crate) fn add_relu<S: Simd>(simd: S, y: &[f32], scale_shift: [&Repeated; 2], to: &mut [f32]) {
    map(simd, AffineAddRelu, scale_shift, [y], to);
}

/// `to = activation(scale · y + shift)`.
#[inline(always)]
pub(crate) fn normalise<S: Simd>(
    simd: S,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    activation: Activation,
    to: &mut [f32],
) {
    match activation {
        Activation::Identity => map(simd, Affine, scale_shift, [y], to),
        Activation::Relu => map(simd, AffineRelu, scale_shift, [y], to),
    }
}

/// Sums per channel of some pixels: how many there are, their mean, and the squared distances from it.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub count: f64,
    pub mean: Vec<f64>,
    pub squares: Vec<f64>,
}

/// Pixels whose mean distances are counted from.
const SAMPLES: usize = 32;

/// `y − origin` and its square.
#[derive(Clone, Copy)]
struct Distance;

impl Add<1, 1> for Distance {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [origin]: [S::f32s; 1],
        [y]: [S::f32s; 1],
        [sum, squares]: [S::f32s; 2],
    ) -> [S::f32s; 2] {
        let distance = simd.sub_f32s(y, origin);
        [simd.add_f32s(sum, distance), simd.mul_add_e_f32s(distance, distance, squares)]
    }
}

impl Moments {
    /// Of `[pixels, channels]` numbers.
    #[inline(always)]
    pub(crate) fn of<S: Simd>(simd: S, y: &[f32], channels: usize) -> Self {
        // Distances from about the mean, so that neither a large mean nor an outlier swallows a small variance.
        let pixels = y.len() / channels;
        let samples = pixels.min(SAMPLES);
        let mut origin = vec![0.0f32; channels];
        for sample in 0..samples {
            let pixel = &y[sample * pixels / samples * channels..][..channels];
            origin.iter_mut().zip(pixel).for_each(|(origin, y)| *origin += y / samples as f32);
        }
        let origin = Repeated::new(origin.into_iter());
        let mut sums = Sums::new(channels);
        sums.add(simd, Distance, [&origin], [y]);
        let count = pixels as f64;
        let [sums, squares] = sums.finish();
        let mean = sums.iter().zip(&*origin).map(|(sum, &origin)| f64::from(origin) + sum / count).collect();
        let squares = sums.iter().zip(&squares).map(|(sum, square)| positive(square - sum * sum / count)).collect();
        Self { count, mean, squares }
    }

    /// Those of both together (Chan et al. 1979).
    pub(crate) fn merge(mut self, other: &Self) -> Self {
        let count = self.count + other.count;
        for c in 0..self.mean.len() {
            let distance = other.mean[c] - self.mean[c];
            self.mean[c] += distance * other.count / count;
            self.squares[c] += other.squares[c] + distance * distance * self.count * other.count / count;
        }
        self.count = count;
        self
    }
}

/// What rounding left below zero is zero; NaN stays, which `f64::max` would turn into zero.
fn positive(square: f64) -> f64 {
    if square < 0.0 { 0.0 } else { square }
}

/// `grad` where `scale · y + shift` is above 0, else 0; NaN there lets it through.
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

/// Adds `Σ dz` and `Σ dz · (y − mean)` per channel, where `dz` is `grad`, or behind a ReLU what it lets through.
#[inline(always)]
pub(crate) fn add_grads<S: Simd>(
    simd: S,
    sums: &mut Sums,
    [scale, shift, mean]: [&Repeated; 3],
    activation: Activation,
    [grad, y]: [&[f32]; 2],
) {
    match activation {
        Activation::Identity => sums.add(simd, GradSums, [mean], [grad, y]),
        Activation::Relu => sums.add(simd, ReluGradSums, [scale, shift, mean], [grad, y]),
    }
}

/// Zeroes `grad` where the ReLU's output was 0.
#[inline(always)]
pub(crate) fn mask(grad: &mut [f32], output: &[f32]) {
    for (grad, &output) in grad.iter_mut().zip(output) {
        *grad = if output <= 0.0 { 0.0 } else { *grad };
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

/// `to = by_dz · dz + by_y · y + constant`, the gradient through the normalisation, where `dz` is `grad`, or behind a
/// ReLU what it lets through.
#[inline(always)]
pub(crate) fn through<S: Simd>(
    simd: S,
    [scale, shift]: [&Repeated; 2],
    [by_dz, by_y, constant]: [&Repeated; 3],
    activation: Activation,
    [grad, y]: [&[f32]; 2],
    to: &mut [f32],
) {
    match activation {
        Activation::Identity => map(simd, Through, [by_dz, by_y, constant], [grad, y], to),
        Activation::Relu => map(simd, ReluThrough, [scale, shift, by_dz, by_y, constant], [grad, y], to),
    }
}

/// Channels worked on at once where pixels are paired. Their number is known to the compiler, and they are taken from
/// memory before anything is written, so that no loop waits for another's memory.
const CHANNELS: usize = 16;

/// `N` numbers from `start` on.
#[inline(always)]
fn some<const N: usize>(values: &[f32], start: usize) -> [f32; N] {
    let mut some = [0.0; N];
    some.copy_from_slice(&values[start..start + N]);
    some
}

/// `scale · y + shift` of the four corners of a 2×2 block, `N` channels from `c` on.
#[inline(always)]
fn corners<const N: usize>(four: [&[f32]; 4], scale: &Repeated, shift: &Repeated, c: usize) -> [[f32; N]; 4] {
    let (scale, shift) = (some::<N>(scale, c), some::<N>(shift, c));
    let mut z = [[0.0; N]; 4];
    for (z, corner) in z.iter_mut().zip(four) {
        let corner = some::<N>(corner, c);
        for i in 0..N {
            z[i] = corner[i] * scale[i] + shift[i];
        }
    }
    z
}

/// `top` and `bottom` are two rows of y; `to` is the row of the maxima of `relu(scale · y + shift)` over 2×2 blocks.
#[inline(always)]
pub(crate) fn relu_max_pool(
    [top, bottom]: [&[f32]; 2],
    channels: usize,
    [scale, shift]: [&Repeated; 2],
    to: &mut [f32],
) {
    let whole = channels - channels % CHANNELS;
    for (x, to) in to.chunks_exact_mut(channels).enumerate() {
        let (left, right) = (2 * x * channels, (2 * x + 1) * channels);
        let four = [&top[left..right], &top[right..], &bottom[left..right], &bottom[right..]];
        for c in (0..whole).step_by(CHANNELS) {
            largest::<CHANNELS>(four, scale, shift, to, c);
        }
        for c in whole..channels {
            largest::<1>(four, scale, shift, to, c);
        }
    }
}

#[inline(always)]
fn largest<const N: usize>(four: [&[f32]; 4], scale: &Repeated, shift: &Repeated, to: &mut [f32], c: usize) {
    let z = corners::<N>(four, scale, shift, c);
    let mut largest = [0.0; N];
    for i in 0..N {
        let top = larger(z[0][i], z[1][i]);
        let bottom = larger(z[2][i], z[3][i]);
        largest[i] = relu(larger(top, bottom));
    }
    to[c..c + N].copy_from_slice(&largest);
}

/// The larger of two, NaN where either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// Sends the gradient of each pooled number to the block's (first) largest, if that is above 0, and zero elsewhere.
/// Where there is NaN, which spoils its whole channel, the gradient still goes to one of the four.
#[inline(always)]
pub(crate) fn relu_max_pool_grad(
    grad: &[f32],
    [top, bottom]: [&[f32]; 2],
    channels: usize,
    [scale, shift]: [&Repeated; 2],
    [d_top, d_bottom]: [&mut [f32]; 2],
) {
    let whole = channels - channels % CHANNELS;
    for (x, grad) in grad.chunks_exact(channels).enumerate() {
        let (left, right, end) = (2 * x * channels, (2 * x + 1) * channels, (2 * x + 2) * channels);
        let four = [&top[left..right], &top[right..end], &bottom[left..right], &bottom[right..end]];
        let (d_0, d_1) = d_top[left..end].split_at_mut(channels);
        let (d_2, d_3) = d_bottom[left..end].split_at_mut(channels);
        for c in (0..whole).step_by(CHANNELS) {
            to_largest::<CHANNELS>(grad, four, scale, shift, [d_0, d_1, d_2, d_3], c);
        }
        for c in whole..channels {
            to_largest::<1>(grad, four, scale, shift, [d_0, d_1, d_2, d_3], c);
        }
    }
}

#[inline(always)]
fn to_largest<const N: usize>(
    grad: &[f32],
    four: [&[f32]; 4],
    scale: &Repeated,
    shift: &Repeated,
    d_four: [&mut [f32]; 4],
    c: usize,
) {
    let z = corners::<N>(four, scale, shift, c);
    let grad = some::<N>(grad, c);
    let mut d = [[0.0; N]; 4];
    for i in 0..N {
        let (first_above, first_below) = (z[0][i] >= z[1][i], z[2][i] >= z[3][i]);
        let above = if first_above { z[0][i] } else { z[1][i] };
        let below = if first_below { z[2][i] } else { z[3][i] };
        let in_top = above >= below;
        let largest = if in_top { above } else { below };
        let grad = if largest <= 0.0 { 0.0 } else { grad[i] };
        let (in_above, in_below) = if in_top { (grad, 0.0) } else { (0.0, grad) };
        d[0][i] = if first_above { in_above } else { 0.0 };
        d[1][i] = if first_above { 0.0 } else { in_above };
        d[2][i] = if first_below { in_below } else { 0.0 };
        d[3][i] = if first_below { 0.0 } else { in_below };
    }
    for (to, d) in d_four.into_iter().zip(d) {
        to[c..c + N].copy_from_slice(&d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kinds;

    fn moments(arch: Arch, y: &[f32], channels: usize) -> Moments {
        struct Of<'a>(&'a [f32], usize);
        impl WithSimd for Of<'_> {
            type Output = Moments;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> Moments {
                Moments::of(simd, self.0, self.1)
            }
        }
        arch.dispatch(Of(y, channels))
    }

    /// Mean and squared distances from it of a channel.
    fn plain(y: &[f32], channels: usize, c: usize) -> (f64, f64) {
        let values = || y.iter().skip(c).step_by(channels).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / values().count() as f64;
        (mean, values().map(|value| (value - mean) * (value - mean)).sum())
    }

    /// Numbers of variance about 1/12, without order.
    fn noise(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5).collect()
    }

    fn assert_near(found: &Moments, y: &[f32], channels: usize) {
        assert_eq!(found.count as usize, y.len() / channels);
        for c in 0..channels {
            let (mean, squares) = plain(y, channels, c);
            let off = (found.squares[c] / squares - 1.0).abs();
            assert!(off < 1e-5, "squares of channel {c} off by {off}");
            let off = (found.mean[c] - mean).abs() / (squares / found.count).sqrt();
            assert!(off < 1e-5, "mean of channel {c} off by {off}");
        }
    }

    #[test]
    fn moments_are_those_of_f64_for_outliers_and_large_means() {
        for kind in kinds() {
            for channels in [1, 3, 16, 20] {
                for pixels in [2, 31, 33, 4097] {
                    let mut y = noise(pixels * channels);
                    assert_near(&moments(kind, &y, channels), &y, channels);
                    let large: Vec<f32> = y.iter().map(|y| y * 3.0 + 1e4).collect();
                    assert_near(&moments(kind, &large, channels), &large, channels);
                    y.iter_mut().for_each(|y| *y *= 1e-3);
                    y[..channels].fill(1.0);
                    assert_near(&moments(kind, &y, channels), &y, channels);
                }
            }
        }
    }

    #[test]
    fn moments_of_parts_merge_into_those_of_the_whole() {
        let mut y = noise(900 * 5);
        y[..100 * 5].iter_mut().for_each(|y| *y += 50.0);
        for kind in kinds() {
            let parts = [&y[..100 * 5], &y[100 * 5..101 * 5], &y[101 * 5..]].map(|part| moments(kind, part, 5));
            let merged = parts[1..].iter().fold(parts[0].clone(), Moments::merge);
            assert_near(&merged, &y, 5);
        }
    }

    #[test]
    fn a_pool_of_nan_is_nan_wherever_it_stands_and_its_gradient_goes_to_one_of_four() {
        for channels in [1, 16, 19] {
            let [scale, shift] = [1.0, 0.5].map(|value| Repeated::new((0..channels).map(|_| value)));
            for corner in 0..4 {
                let mut rows = [noise(2 * channels), noise(2 * channels)];
                rows[corner / 2][corner % 2 * channels..][..channels].fill(f32::NAN);
                let [top, bottom] = [&rows[0][..], &rows[1][..]];
                let mut pooled = vec![0.0; channels];
                relu_max_pool([top, bottom], channels, [&scale, &shift], &mut pooled);
                assert!(pooled.iter().all(|value| value.is_nan()), "{channels} channels, corner {corner}");
                let (mut d_top, mut d_bottom) = (vec![7.0; 2 * channels], vec![7.0; 2 * channels]);
                let d = [&mut d_top[..], &mut d_bottom[..]];
                relu_max_pool_grad(&vec![1.0; channels], [top, bottom], channels, [&scale, &shift], d);
                for c in 0..channels {
                    let four = [d_top[c], d_top[channels + c], d_bottom[c], d_bottom[channels + c]];
                    assert_eq!((four.iter().sum::<f32>(), four.iter().filter(|d| **d == 1.0).count()), (1.0, 1));
                }
            }
        }
    }
}
