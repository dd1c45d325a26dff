//! Mean and variance of a convolution's output, per channel.

use crate::cpu::{Add, Repeated, Sums};
use pulp::{Arch, Simd};

/// Sums per channel of some pixels: how many there are, their mean, and the squared distances from it.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub count: f64,
    pub mean: Vec<f64>,
    pub squares: Vec<f64>,
}

/// Pixels whose mean the distances are taken from.
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
    pub(super) fn of(arch: Arch, y: &[f32], channels: usize) -> Self {
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
        sums.add(arch, Distance, [&origin], [y]);
        let count = pixels as f64;
        let [sums, squares] = sums.finish();
        let mean = sums.iter().zip(&*origin).map(|(sum, &origin)| f64::from(origin) + sum / count).collect();
        let squares = sums.iter().zip(&squares).map(|(sum, square)| positive(square - sum * sum / count)).collect();
        Self { count, mean, squares }
    }

    /// The moments of both together (Chan et al. 1979).
    pub(super) fn merge(mut self, other: &Self) -> Self {
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

/// Zero for what rounding left below zero. NaN stays NaN, which `f64::max` would turn into zero.
fn positive(square: f64) -> f64 {
    if square < 0.0 { 0.0 } else { square }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kinds;

    /// Mean and squared distances from it of a channel.
    fn plain(y: &[f32], channels: usize, c: usize) -> (f64, f64) {
        let values = || y.iter().skip(c).step_by(channels).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / values().count() as f64;
        (mean, values().map(|value| (value - mean) * (value - mean)).sum())
    }

    /// Numbers in no order, of variance about 1/12.
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
                    assert_near(&Moments::of(kind, &y, channels), &y, channels);
                    let large: Vec<f32> = y.iter().map(|y| y * 3.0 + 1e4).collect();
                    assert_near(&Moments::of(kind, &large, channels), &large, channels);
                    y.iter_mut().for_each(|y| *y *= 1e-3);
                    y[..channels].fill(1.0);
                    assert_near(&Moments::of(kind, &y, channels), &y, channels);
                }
            }
        }
    }

    #[test]
    fn moments_of_parts_merge_into_those_of_the_whole() {
        let mut y = noise(900 * 5);
        y[..100 * 5].iter_mut().for_each(|y| *y += 50.0);
        for kind in kinds() {
            let parts = [&y[..100 * 5], &y[100 * 5..101 * 5], &y[101 * 5..]].map(|part| Moments::of(kind, part, 5));
            let merged = parts[1..].iter().fold(parts[0].clone(), Moments::merge);
            assert_near(&merged, &y, 5);
        }
    }
}
