//! Mean and standard deviation of each channel.

use crate::{Images, Result};
use serde::{Deserialize, Serialize};

/// The mean and standard deviation of each channel, red, green, blue, for pixels scaled to `[0, 1]`.
///
/// A pixel `p` of 0 to 255 enters a network as `(p / 255 - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, never 0.
    pub std: [f32; 3],
}

/// Sums over pixels, in whole numbers, so that they depend on nothing but the pixels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// How many pixels.
    pixels: u64,
    /// Of each channel's values.
    sums: [u64; 3],
    /// Of their squares.
    squares: [u64; 3],
}

impl Sums {
    pub(crate) fn add(&mut self, pixels: &[u8]) {
        for pixel in pixels.as_chunks::<3>().0 {
            for (channel, &value) in pixel.iter().enumerate() {
                let value = u64::from(value);
                self.sums[channel] += value;
                self.squares[channel] += value * value;
            }
        }
        self.pixels += pixels.len() as u64 / 3;
    }
}

impl Normalization {
    /// What the published code of the teacher-assistant paper uses for CIFAR-10 and CIFAR-100: the figures of CIFAR-100.
    pub const PUBLISHED_CODE: Self = Self { mean: [0.507, 0.487, 0.441], std: [0.267, 0.256, 0.276] };

    /// What is usual for photographs: the figures of ImageNet, as torchvision's networks have them.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// The mean and the (population) standard deviation of these images' own pixels.
    ///
    /// Sums are taken in whole numbers, so the result depends on nothing but the pixels. A deviation of less than one grey level
    /// is given as 1/255, so that it can be divided by; so is that of no images at all.
    ///
    /// # Errors
    /// If images that are in files cannot be decoded any more.
    pub fn measure(images: &Images) -> Result<Self> {
        let Sums { pixels, sums, squares } = images.sums()?;
        let n = pixels.max(1) as f64;
        let mean = sums.map(|sum| sum as f64 / n);
        let variance = [0, 1, 2].map(|channel| squares[channel] as f64 / n - mean[channel] * mean[channel]);
        Ok(Self {
            mean: mean.map(|mean| (mean / 255.0) as f32),
            std: variance.map(|variance| (variance.max(1.0).sqrt() / 255.0) as f32),
        })
    }

    /// For each channel, what each of the 256 values of a byte becomes.
    pub fn table(&self) -> [[f32; 256]; 3] {
        let mut table = [[0.0; 256]; 3];
        for (channel, values) in table.iter_mut().enumerate() {
            for (byte, value) in values.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - self.mean[channel]) / self.std[channel];
            }
        }
        table
    }
}
