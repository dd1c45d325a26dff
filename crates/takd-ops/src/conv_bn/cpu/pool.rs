//! ReLU and max-pooling of a normalised output, and the way back.

use crate::conv_bn::layer::MaxPool;
use crate::cpu::{Repeated, run};
use pulp::{Arch, Simd, WithSimd};

/// ReLU that lets NaN through.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Channels worked on at once. Their number is known to the compiler, and they are read before anything is written, so that
/// no loop waits for another's memory.
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

/// The maxima of `relu(scale · y + shift)` over the windows of an image whose rows have `width` pixels.
pub(super) fn relu_max_pool(
    arch: Arch,
    pool: MaxPool,
    y: &[f32],
    [width, channels]: [usize; 2],
    scale_shift: [&Repeated; 2],
    to: &mut [f32],
) {
    run(arch, ReluMaxPool { pool, y, width, channels, scale_shift, to });
}

struct ReluMaxPool<'a> {
    pool: MaxPool,
    y: &'a [f32],
    width: usize,
    channels: usize,
    scale_shift: [&'a Repeated; 2],
    to: &'a mut [f32],
}

impl WithSimd for ReluMaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.pool {
            MaxPool::Two => self.two(),
            MaxPool::Three => self.three(),
        }
    }
}

impl ReluMaxPool<'_> {
    #[inline(always)]
    fn two(self) {
        let Self { y, width, channels, scale_shift: [scale, shift], to, .. } = self;
        let row = width * channels;
        let whole = channels - channels % CHANNELS;
        for (rows, to) in y.chunks(2 * row).zip(to.chunks_exact_mut(width / 2 * channels)) {
            let (top, bottom) = rows.split_at(row);
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
    }

    #[inline(always)]
    fn three(self) {
        let Self { y, width, channels, scale_shift: [scale, shift], to, .. } = self;
        let whole = channels - channels % CHANNELS;
        let size = [y.len() / channels / width, width];
        let columns = MaxPool::Three.outputs(width);
        for (at, to) in to.chunks_exact_mut(channels).enumerate() {
            let window = &Window::of(size, [at / columns, at % columns]);
            for c in (0..whole).step_by(CHANNELS) {
                let (mut largest, _) = largest_of_window::<CHANNELS>(y, channels, window, scale, shift, c);
                for largest in &mut largest {
                    *largest = relu(*largest);
                }
                to[c..c + CHANNELS].copy_from_slice(&largest);
            }
            for (c, to) in to.iter_mut().enumerate().skip(whole) {
                let ([largest], _) = largest_of_window::<1>(y, channels, window, scale, shift, c);
                *to = relu(largest);
            }
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

/// The larger of two, NaN if either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// The pixels of a window of [`MaxPool::Three`], in order.
struct Window {
    pixels: [usize; 9],
    count: usize,
}

impl Window {
    /// That of the output in row `y` and column `x`. Called in a loop and not given to a closure, because the compiler leaves
    /// closures outside of the function that may use the widest vectors.
    #[inline(always)]
    fn of([height, width]: [usize; 2], [y, x]: [usize; 2]) -> Self {
        let (mut pixels, mut count) = ([0; 9], 0);
        for row in MaxPool::Three.window(y, height) {
            for column in MaxPool::Three.window(x, width) {
                pixels[count] = row * width + column;
                count += 1;
            }
        }
        Self { pixels, count }
    }

    #[inline(always)]
    fn pixels(&self) -> &[usize] {
        &self.pixels[..self.count]
    }
}

/// The largest of `scale · y + shift` over some pixels, `N` channels from `c` on, and which of them is the first that large; NaN
/// is larger than all.
#[inline(always)]
fn largest_of_window<const N: usize>(
    y: &[f32],
    channels: usize,
    window: &Window,
    scale: &Repeated,
    shift: &Repeated,
    c: usize,
) -> ([f32; N], [u32; N]) {
    let (scale, shift) = (some::<N>(scale, c), some::<N>(shift, c));
    let (mut largest, mut first) = ([f32::NEG_INFINITY; N], [0; N]);
    for (index, pixel) in window.pixels().iter().enumerate() {
        let y = some::<N>(y, pixel * channels + c);
        for i in 0..N {
            let z = y[i] * scale[i] + shift[i];
            let takes = z > largest[i] || z.is_nan();
            largest[i] = if takes { z } else { largest[i] };
            first[i] = if takes { index as u32 } else { first[i] };
        }
    }
    (largest, first)
}

/// The gradient of each number of an image before ReLU and [`MaxPool::Three`]: the sum of those of the windows of which it is the
/// (first) largest and above 0.
pub(super) fn relu_max_pool_three_grad(
    arch: Arch,
    grad: &[f32],
    y: &[f32],
    [width, channels]: [usize; 2],
    scale_shift: [&Repeated; 2],
    d_y: &mut [f32],
) {
    run(arch, ReluMaxPoolThreeGrad { grad, y, width, channels, scale_shift, d_y });
}

struct ReluMaxPoolThreeGrad<'a> {
    grad: &'a [f32],
    y: &'a [f32],
    width: usize,
    channels: usize,
    scale_shift: [&'a Repeated; 2],
    d_y: &'a mut [f32],
}

impl WithSimd for ReluMaxPoolThreeGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, y, width, channels, scale_shift: [scale, shift], d_y } = self;
        let whole = channels - channels % CHANNELS;
        d_y.fill(0.0);
        let size = [y.len() / channels / width, width];
        let columns = MaxPool::Three.outputs(width);
        for (at, grad) in grad.chunks_exact(channels).enumerate() {
            let window = &Window::of(size, [at / columns, at % columns]);
            for c in (0..whole).step_by(CHANNELS) {
                add_to_first::<CHANNELS>(grad, y, channels, window, scale, shift, c, d_y);
            }
            for c in whole..channels {
                add_to_first::<1>(grad, y, channels, window, scale, shift, c, d_y);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn add_to_first<const N: usize>(
    grad: &[f32],
    y: &[f32],
    channels: usize,
    window: &Window,
    scale: &Repeated,
    shift: &Repeated,
    c: usize,
    d_y: &mut [f32],
) {
    let (largest, first) = largest_of_window::<N>(y, channels, window, scale, shift, c);
    let mut grad = some::<N>(grad, c);
    for i in 0..N {
        grad[i] = if largest[i] <= 0.0 { 0.0 } else { grad[i] };
    }
    for (index, pixel) in window.pixels().iter().enumerate() {
        let start = pixel * channels + c;
        let d = &mut d_y[start..start + N];
        for i in 0..N {
            d[i] += if first[i] == index as u32 { grad[i] } else { 0.0 };
        }
    }
}

/// Sends the gradient of each pooled number to the (first) largest of its 2×2 block in two rows of y, if that is above 0, and
/// zero elsewhere. If there is NaN, which makes its whole channel NaN, the gradient still goes to one of the four.
pub(super) fn relu_max_pool_grad(
    arch: Arch,
    grad: &[f32],
    y: [&[f32]; 2],
    channels: usize,
    scale_shift: [&Repeated; 2],
    d_y: [&mut [f32]; 2],
) {
    run(arch, ReluMaxPoolGrad { grad, y, channels, scale_shift, d_y });
}

struct ReluMaxPoolGrad<'a> {
    grad: &'a [f32],
    y: [&'a [f32]; 2],
    channels: usize,
    scale_shift: [&'a Repeated; 2],
    d_y: [&'a mut [f32]; 2],
}

impl WithSimd for ReluMaxPoolGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, y: [top, bottom], channels, scale_shift: [scale, shift], d_y: [d_top, d_bottom] } = self;
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

    /// Numbers in no order.
    fn noise(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5).collect()
    }

    #[test]
    fn a_block_with_nan_pools_to_nan_and_its_gradient_goes_to_one_of_four() {
        for (kind, channels) in kinds().into_iter().flat_map(|kind| [1, 16, 19].map(|channels| (kind, channels))) {
            let [scale, shift] = [1.0, 0.5].map(|value| Repeated::new((0..channels).map(|_| value)));
            for corner in 0..4 {
                let mut rows = [noise(2 * channels), noise(2 * channels)];
                rows[corner / 2][corner % 2 * channels..][..channels].fill(f32::NAN);
                let [top, bottom] = [&rows[0][..], &rows[1][..]];
                let mut pooled = vec![0.0; channels];
                relu_max_pool(kind, MaxPool::Two, &rows.concat(), [2, channels], [&scale, &shift], &mut pooled);
                assert!(pooled.iter().all(|value| value.is_nan()), "{channels} channels, corner {corner}");
                let (mut d_top, mut d_bottom) = (vec![7.0; 2 * channels], vec![7.0; 2 * channels]);
                let d = [&mut d_top[..], &mut d_bottom[..]];
                relu_max_pool_grad(kind, &vec![1.0; channels], [top, bottom], channels, [&scale, &shift], d);
                for c in 0..channels {
                    let four = [d_top[c], d_top[channels + c], d_bottom[c], d_bottom[channels + c]];
                    assert_eq!((four.iter().sum::<f32>(), four.iter().filter(|d| **d == 1.0).count()), (1.0, 1));
                }
            }
        }
    }
}
