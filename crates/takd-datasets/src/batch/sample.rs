//! One image of a batch, as it is seen in an epoch.

use super::{
    augmentation::{Augmentation, Crop},
    colour::{Property, enhance},
    epoch::Epoch,
    patch::patch,
    window::{Table, Window, normalised},
};
use crate::{Result, resample::Part};
use rand::{Rng, RngExt, seq::SliceRandom};

impl Epoch<'_> {
    /// Writes image `index`, normalised, into `values`, `[height, width, 3]`.
    ///
    /// It depends on the streams, the epoch and the index alone.
    pub(super) fn sample(&self, index: u32, table: &Table, values: &mut [f32]) -> Result<()> {
        let width = self.images.width();
        if self.config.augmentation.is_window() {
            self.window(index).fill(
                &self.images.image(index as usize)?,
                width,
                |bytes| normalised(bytes, table),
                values,
            );
            return Ok(());
        }
        let Augmentation { crop, rand_augment, jitter, cutout, mix: _ } = self.config.augmentation;
        let mut rng = self.stream(index);
        let mut pixels = self.cropped(index, crop, &mut rng)?;
        if let Some(operations) = rand_augment {
            operations.apply(&mut pixels, width, &mut rng);
        }
        if let Some(strength) = jitter {
            let mut order = [Property::Brightness, Property::Contrast, Property::Saturation];
            order.shuffle(&mut rng);
            for property in order {
                let factor = rng.random_range((1.0 - strength).max(0.0)..=1.0 + strength);
                enhance(&mut pixels, width, property, factor as f32);
            }
        }
        let seen = values.as_chunks_mut::<3>().0.iter_mut();
        seen.zip(pixels.as_chunks::<3>().0).for_each(|(pixel, bytes)| *pixel = normalised(bytes, table));
        if let Some(side) = cutout {
            cut_out(values, width, side, &mut rng);
        }
        Ok(())
    }

    /// The part of an image that is seen, `[height, width, 3]`.
    fn cropped(&self, index: u32, crop: Crop, rng: &mut impl Rng) -> Result<Vec<u8>> {
        let (height, width) = (self.images.height(), self.images.width());
        match crop {
            Crop::None => Ok(self.images.image(index as usize)?.into_owned()),
            Crop::PadFlip { padding } => {
                let mut pixels = vec![0; height * width * 3];
                let image = self.images.image(index as usize)?;
                Window::padded(padding, rng).fill(&image, width, |bytes| *bytes, &mut pixels);
                Ok(pixels)
            }
            Crop::ResizedFlip { least_area } => {
                let original = self.images.original(index as usize)?;
                let part = part(original.height, original.width, least_area, rng);
                let is_mirrored: bool = rng.random();
                let mut pixels = original.scaled(part, (height, width), Part::all(height, width)).pixels;
                if is_mirrored {
                    pixels.chunks_exact_mut(width * 3).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
                }
                Ok(pixels)
            }
        }
    }
}

/// A part of an image, at least `least_area` of its area, of an aspect ratio between 3/4 and 4/3: drawn as torchvision's
/// `RandomResizedCrop` draws it.
fn part(height: usize, width: usize, least_area: f64, rng: &mut impl Rng) -> Part {
    const RATIOS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
    /// After which the middle of the image is taken.
    const TRIES: usize = 10;
    let area = (height * width) as f64;
    for _ in 0..TRIES {
        let target = area * rng.random_range(least_area..=1.0);
        let ratio = rng.random_range(RATIOS[0].ln()..=RATIOS[1].ln()).exp();
        let (w, h) = ((target * ratio).sqrt().round() as usize, (target / ratio).sqrt().round() as usize);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let (top, left) = (rng.random_range(0..=height - h), rng.random_range(0..=width - w));
            return Part { top, left, height: h, width: w };
        }
    }
    let ratio = width as f64 / height as f64;
    let (h, w) = if ratio < RATIOS[0] {
        ((width as f64 / RATIOS[0]).round() as usize, width)
    } else if ratio > RATIOS[1] {
        (height, (height as f64 * RATIOS[1]).round() as usize)
    } else {
        (height, width)
    };
    let (h, w) = (h.clamp(1, height), w.clamp(1, width));
    Part { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
}

/// Makes a square the mean, which is 0.
fn cut_out(values: &mut [f32], width: usize, side: usize, rng: &mut impl Rng) {
    let (rows, columns) = patch((values.len() / (3 * width), width), (side, side), rng);
    for row in values.chunks_exact_mut(3 * width).skip(rows.start).take(rows.len()) {
        row[3 * columns.start..3 * columns.end].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_lie_inside_and_have_the_area_and_the_ratio_that_was_asked_for(
            height in 1usize..200, width in 1usize..200, least_area in 0.01f64..1.0, seed: u64,
        ) {
            let Part { top, left, height: h, width: w } = part(height, width, least_area, &mut takd_rng::stream(seed, "part"));
            prop_assert!(h > 0 && w > 0 && top + h <= height && left + w <= width);
            // Sides are whole: each may be half a pixel off. Of an image that is too narrow, the middle is taken.
            let area = least_area * (height * width) as f64;
            prop_assert!((h as f64 + 0.5) * (w as f64 + 0.5) >= area || h == height || w == width);
            let ratio = |w: f64, h: f64| w / h;
            let (w, h) = (w as f64, h as f64);
            prop_assert!(ratio(w + 0.5, (h - 0.5).max(0.1)) >= 0.75 && ratio((w - 0.5).max(0.1), h + 0.5) <= 4.0 / 3.0);
        }

        #[test]
        fn squares_that_are_cut_out_have_their_side_or_end_at_the_border(
            height in 1usize..20, width in 1usize..20, side in 1usize..25, seed: u64,
        ) {
            let mut values = vec![1.0; height * width * 3];
            cut_out(&mut values, width, side, &mut takd_rng::stream(seed, "cutout"));
            let zeros = values.iter().filter(|&&value| value == 0.0).count() / 3;
            let quarter = |size: usize| side.div_ceil(2).min(size);
            prop_assert!(zeros <= side * side && zeros >= quarter(height).min(side / 2 + 1) * quarter(width).min(side / 2 + 1));
        }
    }
}
