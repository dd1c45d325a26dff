//! Per-channel arithmetic over rows of channels-last numbers.
//!
//! Coefficients are repeated to a few hundred numbers, so that a loop runs over whole rows whatever the number of
//! channels is, and the compiler turns it into vectors.

use super::buffer::Buffer;

/// Numbers to which coefficients are repeated at least.
const PERIOD: usize = 256;

/// Each channel's coefficient, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Repeated(Vec<f32>);

impl Repeated {
    pub(crate) fn new(coefficients: impl ExactSizeIterator<Item = f32>) -> Self {
        let times = PERIOD.div_ceil(coefficients.len().max(1));
        let once: Vec<f32> = coefficients.collect();
        Self(once.repeat(times))
    }

    fn period(&self) -> usize {
        self.0.len()
    }
}

/// ReLU that lets NaN through.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `Some(relu)` or the identity, chosen outside the loops.
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
    pub(crate) fn read(&self, start: usize, to: &mut [f32]) {
        match self {
            Self::Dense(values) => to.copy_from_slice(&values[start..start + to.len()]),
            Self::Lazy { y, scale, shift, activation } => {
                let y = &y[start..start + to.len()];
                match activation {
                    Activation::Identity => affine(y, scale, shift, |x| x, to),
                    Activation::Relu => affine(y, scale, shift, relu, to),
                }
            }
        }
    }
}

/// `to = then(scale · y + shift)`.
#[inline(always)]
fn affine(y: &[f32], scale: &Repeated, shift: &Repeated, then: impl Fn(f32) -> f32, to: &mut [f32]) {
    for (y, to) in y.chunks(scale.period()).zip(to.chunks_mut(scale.period())) {
        for (((to, &y), &scale), &shift) in to.iter_mut().zip(y).zip(&scale.0).zip(&shift.0) {
            *to = then(y * scale + shift);
        }
    }
}

/// `to = relu(scale · y + shift + to)`.
#[inline(always)]
pub(crate) fn add_relu(y: &[f32], scale: &Repeated, shift: &Repeated, to: &mut [f32]) {
    for (y, to) in y.chunks(scale.period()).zip(to.chunks_mut(scale.period())) {
        for (((to, &y), &scale), &shift) in to.iter_mut().zip(y).zip(&scale.0).zip(&shift.0) {
            *to = relu(y * scale + shift + *to);
        }
    }
}

/// `to = activation(scale · y + shift)`.
#[inline(always)]
pub(crate) fn normalise(y: &[f32], scale: &Repeated, shift: &Repeated, activation: Activation, to: &mut [f32]) {
    match activation {
        Activation::Identity => affine(y, scale, shift, |x| x, to),
        Activation::Relu => affine(y, scale, shift, relu, to),
    }
}

/// Sums per channel of some pixels: how many there are, their mean, and the squared distances from it.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub count: f64,
    pub mean: Vec<f64>,
    pub squares: Vec<f64>,
}

impl Moments {
    /// Of `[pixels, channels]` numbers.
    #[inline(always)]
    pub(crate) fn of(y: &[f32], channels: usize) -> Self {
        // Distances from the first pixel, so that a large mean does not swallow a small variance.
        let origin = Repeated::new(y[..channels].iter().copied());
        let period = origin.period();
        let (mut sums, mut squares) = (vec![0.0f32; period], vec![0.0f32; period]);
        for y in y.chunks(period) {
            for (((&y, &origin), sum), square) in y.iter().zip(&origin.0).zip(&mut sums).zip(&mut squares) {
                let distance = y - origin;
                *sum += distance;
                *square += distance * distance;
            }
        }
        let count = (y.len() / channels) as f64;
        let (sums, squares) = (fold(&sums, channels), fold(&squares, channels));
        let mean = sums.iter().zip(&origin.0).map(|(sum, &origin)| f64::from(origin) + sum / count).collect();
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

/// Sums of the repetitions of each channel.
fn fold(repeated: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for repetition in repeated.chunks_exact(channels) {
        for (sum, &value) in sums.iter_mut().zip(repetition) {
            *sum += f64::from(value);
        }
    }
    sums
}

/// Per channel `Σ dz` and `Σ dz · (y − mean)`.
pub(crate) struct GradSums<'a> {
    mean: &'a Repeated,
    channels: usize,
    plain: Vec<f32>,
    centred: Vec<f32>,
}

impl<'a> GradSums<'a> {
    pub(crate) fn new(mean: &'a Repeated, channels: usize) -> Self {
        Self { mean, channels, plain: vec![0.0; mean.period()], centred: vec![0.0; mean.period()] }
    }

    /// Adds a row.
    #[inline(always)]
    pub(crate) fn add(&mut self, dz: &[f32], y: &[f32]) {
        let period = self.mean.period();
        for (dz, y) in dz.chunks(period).zip(y.chunks(period)) {
            let sums = self.plain.iter_mut().zip(&mut self.centred);
            for (((&dz, &y), &mean), (plain, centred)) in dz.iter().zip(y).zip(&self.mean.0).zip(sums) {
                *plain += dz;
                *centred += dz * (y - mean);
            }
        }
    }

    pub(crate) fn finish(self) -> [Vec<f64>; 2] {
        [fold(&self.plain, self.channels), fold(&self.centred, self.channels)]
    }
}

/// `dz = grad` where `scale · y + shift` is above 0, else 0.
#[inline(always)]
pub(crate) fn relu_grad(grad: &[f32], y: &[f32], scale: &Repeated, shift: &Repeated, dz: &mut [f32]) {
    let period = scale.period();
    for ((grad, y), dz) in grad.chunks(period).zip(y.chunks(period)).zip(dz.chunks_mut(period)) {
        for ((((dz, &grad), &y), &scale), &shift) in dz.iter_mut().zip(grad).zip(y).zip(&scale.0).zip(&shift.0) {
            *dz = if y * scale + shift <= 0.0 { 0.0 } else { grad };
        }
    }
}

/// Zeroes `grad` where the ReLU's output was 0.
#[inline(always)]
pub(crate) fn mask(grad: &mut [f32], output: &[f32]) {
    for (grad, &output) in grad.iter_mut().zip(output) {
        *grad = if output <= 0.0 { 0.0 } else { *grad };
    }
}

/// `to = by_dz · dz + by_y · y + constant`: the gradient through the normalisation.
#[inline(always)]
pub(crate) fn through(dz: &[f32], y: &[f32], [by_dz, by_y, constant]: [&Repeated; 3], to: &mut [f32]) {
    let period = by_dz.period();
    for ((dz, y), to) in dz.chunks(period).zip(y.chunks(period)).zip(to.chunks_mut(period)) {
        let coefficients = by_dz.0.iter().zip(&by_y.0).zip(&constant.0);
        for (((to, &dz), &y), ((&by_dz, &by_y), &constant)) in to.iter_mut().zip(dz).zip(y).zip(coefficients) {
            *to = by_dz * dz + (by_y * y + constant);
        }
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
    let (scale, shift) = (some::<N>(&scale.0, c), some::<N>(&shift.0, c));
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
    scale: &Repeated,
    shift: &Repeated,
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
    scale: &Repeated,
    shift: &Repeated,
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
