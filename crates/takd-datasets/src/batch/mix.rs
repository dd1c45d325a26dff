//! Images of a batch mixed with each other, and their labels with them.

use super::{augmentation::Mix, patch::patch};
use rand::Rng;
use rand_distr::{Beta, Distribution};

/// How a batch was mixed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    /// The label that has most of each image.
    pub(super) most: Vec<u32>,
    /// The other one.
    pub(super) rest: Vec<u32>,
    /// How much of it, 0 to 1/2.
    pub(super) share: f64,
}

impl Mix {
    /// Mixes the first image with the last, the second with the last but one, and so on; in a batch of an odd number, the one in the
    /// middle stays. `values` are `[images, height, width, 3]`, finished.
    pub(super) fn apply(
        self,
        values: &mut [f32],
        labels: &[u32],
        (height, width): (usize, usize),
        rng: &mut impl Rng,
    ) -> Shares {
        let (Self::Mixup { alpha } | Self::Cutmix { alpha }) = self;
        // How much of an image stays.
        let mut own = Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(rng));
        let size = height * width * 3;
        let window = match self {
            Self::Mixup { .. } => None,
            Self::Cutmix { .. } => {
                let length = |side: usize| (side as f64 * (1.0 - own).sqrt()) as usize;
                let (rows, columns) = patch((height, width), (length(height), length(width)), rng);
                own = 1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64;
                Some((rows, columns))
            }
        };
        let images = values.len() / size;
        let (front, back) = values.split_at_mut(images.div_ceil(2) * size);
        for (one, other) in front.chunks_exact_mut(size).zip(back.chunks_exact_mut(size).rev()) {
            match &window {
                None => {
                    let own = own as f32;
                    for (a, b) in one.iter_mut().zip(other) {
                        (*a, *b) = (own * *a + (1.0 - own) * *b, own * *b + (1.0 - own) * *a);
                    }
                }
                Some((rows, columns)) => {
                    for row in rows.clone() {
                        let cut = (row * width + columns.start) * 3..(row * width + columns.end) * 3;
                        one[cut.clone()].swap_with_slice(&mut other[cut]);
                    }
                }
            }
        }
        let others: Vec<u32> = labels.iter().rev().copied().collect();
        if own >= 0.5 {
            Shares { most: labels.to_vec(), rest: others, share: 1.0 - own }
        } else {
            Shares { most: others, rest: labels.to_vec(), share: own }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Images of one value each: 0, 1, 2, …
    fn plain(images: usize, size: usize) -> Vec<f32> {
        (0..images).flat_map(|image| vec![image as f32; size * size * 3]).collect()
    }

    proptest! {
        #[test]
        fn each_image_is_of_its_two_labels_in_their_shares(
            images in 1usize..7, size in 1usize..9, is_cutmix: bool, alpha in prop::sample::select(vec![0.01, 0.05, 0.2, 1.0, 4.0, 1000.0]), seed: u64,
        ) {
            let mix = if is_cutmix { Mix::Cutmix { alpha } } else { Mix::Mixup { alpha } };
            let mut values = plain(images, size);
            let labels: Vec<u32> = (0..images as u32).collect();
            let shares = mix.apply(&mut values, &labels, (size, size), &mut takd_rng::stream(seed, "mix"));
            prop_assert!((0.0..=0.5).contains(&shares.share));
            for (image, values) in values.chunks_exact(size * size * 3).enumerate() {
                let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
                let (most, rest) = (f64::from(shares.most[image]), f64::from(shares.rest[image]));
                prop_assert!((mean - (most * (1.0 - shares.share) + rest * shares.share)).abs() < 1e-5);
                prop_assert_eq!(most + rest, (images - 1) as f64);
                if is_cutmix {
                    prop_assert!(values.iter().all(|&v| f64::from(v) == most || f64::from(v) == rest));
                }
            }
        }
    }
}
