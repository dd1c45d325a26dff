//! What is done to training images, as data: a text that a recipe can hold.

use crate::text::serialised_as_text;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What is done to each training image before it is seen, anew every epoch.
///
/// Parses from and prints as its parts, in the order in which they are done:
///
/// ```text
/// none                    the images as they are
/// crop-flip               4 pixels of black on every side, a random window of the old size, mirrored half of the time
/// crop-flip 8             the same with 8 pixels
/// resized-crop-flip       a random window of 8 to 100 % of the image as it came, scaled, mirrored half of the time
/// resized-crop-flip 0.35  the same with 35 to 100 %
/// randaugment 2 9         two of fourteen operations, of magnitude 9 of 30
/// jitter 0.4              brightness, contrast and saturation, each times 0.6 to 1.4, in any order
/// cutout 8                a square of 8 pixels, made the mean
/// mixup 0.2               each image mixed with another of its batch, by a share of Beta(0.2, 0.2)
/// cutmix 1                a window of each image taken from another of its batch
/// crop-flip + cutout 8    one after the other
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Augmentation {
    /// Which part is seen.
    pub crop: Crop,
    /// Operations chosen at random.
    pub rand_augment: Option<RandAugment>,
    /// How much brightness, contrast and saturation change, above 0: by factors from `1 - jitter`, but not below 0, to
    /// `1 + jitter`, as with torchvision's `ColorJitter`.
    pub jitter: Option<f64>,
    /// Rows and columns of a square that is made the mean, 1 or more (DeVries and Taylor 2017, arXiv 1708.04552). Its middle is
    /// any pixel, so that less of it may lie inside of the image.
    pub cutout: Option<usize>,
    /// How images of a batch are mixed.
    pub mix: Option<Mix>,
}

/// Which part of a training image is seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Crop {
    /// All of it.
    #[default]
    None,
    /// Pad every side with black, cut out a window of the old size at a random place, and mirror it left to right with
    /// probability 1/2. The padding is black before normalisation, as with torchvision's `RandomCrop(32, padding=4)`.
    PadFlip {
        /// Pixels added on every side; 4 is usual for CIFAR.
        padding: usize,
    },
    /// Cut a window out of the image as it came, of any size from `least_area` of its area on and of an aspect ratio from 3/4 to
    /// 4/3, scale it to the images' size, and mirror it with probability 1/2: torchvision's `RandomResizedCrop` and
    /// `RandomHorizontalFlip` (Szegedy et al. 2015, arXiv 1409.4842, section 6).
    ResizedFlip {
        /// Share of the image's area, above 0 and at most 1; 0.08 is usual.
        least_area: f64,
    },
}

/// Operations chosen at random, all of one magnitude (Cubuk et al. 2019, arXiv 1909.13719), as torchvision's `RandAugment` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandAugment {
    /// How many, one after the other.
    pub operations: usize,
    /// How strong, 0 to 30.
    pub magnitude: usize,
}

/// How two images of a batch are mixed, and their labels with them. One share is drawn for a batch; the first image is mixed with
/// the last, the second with the last but one, and so on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mix {
    /// The sum of both, by a share of Beta(α, α) (Zhang et al. 2017, arXiv 1710.09412).
    Mixup {
        /// α, above 0.
        alpha: f64,
    },
    /// A window of one in the other, which takes a share of Beta(α, α) of its area (Yun et al. 2019, arXiv 1905.04899).
    Cutmix {
        /// α, above 0.
        alpha: f64,
    },
}

impl RandAugment {
    /// The largest magnitude.
    pub const STRONGEST: usize = 30;
}

/// A text that is no augmentation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no augmentation: {problem}. Its parts, joined by ` + `: none, crop-flip [PIXELS], resized-crop-flip [LEAST AREA], \
     randaugment OPERATIONS MAGNITUDE, jitter STRENGTH, cutout PIXELS, mixup ALPHA, cutmix ALPHA"
)]
pub struct BadAugmentation {
    text: String,
    problem: String,
}

const USUAL_PADDING: usize = 4;
const USUAL_AREA: f64 = 0.08;

/// The least share of an area, and the least strength, that mean anything.
const LEAST: f64 = 0.001;

/// Below, every share that is drawn is 0 or 1; above, all are 1/2.
const LEAST_ALPHA: f64 = 0.01;
const MOST_ALPHA: f64 = 1000.0;

/// More than any image has.
const MOST_PIXELS: usize = 10_000;

impl Augmentation {
    /// Nothing: for evaluation, and for training without augmentation.
    pub const NONE: Self = Self { crop: Crop::None, rand_augment: None, jitter: None, cutout: None, mix: None };

    /// What is usual for CIFAR.
    pub const CROP_FLIP: Self = Self::crop_flip(USUAL_PADDING);

    /// What is usual for ImageNet.
    pub const RESIZED_CROP_FLIP: Self = Self { crop: Crop::ResizedFlip { least_area: USUAL_AREA }, ..Self::NONE };

    /// A crop of the old size with so many pixels of black on every side, and a flip.
    pub const fn crop_flip(padding: usize) -> Self {
        Self { crop: Crop::PadFlip { padding }, ..Self::NONE }
    }

    /// Refuses numbers that mean nothing, such as a strength below 0.
    ///
    /// # Errors
    /// If its text would not be parsed.
    pub fn check(&self) -> Result<(), BadAugmentation> {
        self.to_string().parse::<Self>().map(|_| ())
    }

    /// Whether pixels are only left out, moved and mirrored.
    pub(super) fn is_window(&self) -> bool {
        *self == Self { crop: self.crop, ..Self::NONE } && !matches!(self.crop, Crop::ResizedFlip { .. })
    }

    /// Whether images are cut out of what they came as.
    pub(super) fn needs_originals(&self) -> bool {
        matches!(self.crop, Crop::ResizedFlip { .. })
    }

    /// Adds what a part of the text says.
    fn add(&mut self, part: &str) -> Result<(), String> {
        let mut words = part.split_whitespace();
        let name = words.next().ok_or("a part of it is empty")?;
        let words: Vec<&str> = words.collect();
        let twice = || format!("`{part}` is one too many");
        let missing = || format!("`{name}` lacks a number");
        let word = |place: usize| words.get(place).copied().ok_or_else(missing);
        let mut taken = 1;
        match name {
            "none" => taken = 0,
            "crop-flip" | "resized-crop-flip" => {
                if self.crop != Crop::None {
                    return Err(twice());
                }
                taken = words.len().min(1);
                self.crop = match (name, words.first()) {
                    ("crop-flip", padding) => Crop::PadFlip {
                        padding: padding.map_or(Ok(USUAL_PADDING), |word| whole(word, 0, MOST_PIXELS))?,
                    },
                    (_, area) => {
                        Crop::ResizedFlip { least_area: area.map_or(Ok(USUAL_AREA), |word| number(word, LEAST, 1.0))? }
                    }
                };
            }
            "randaugment" => {
                taken = 2;
                let operations = whole(word(0)?, 1, 14)?;
                let augment = RandAugment { operations, magnitude: whole(word(1)?, 0, RandAugment::STRONGEST)? };
                self.rand_augment.replace(augment).map_or(Ok(()), |_| Err(twice()))?;
            }
            "jitter" => self.jitter.replace(number(word(0)?, LEAST, 10.0)?).map_or(Ok(()), |_| Err(twice()))?,
            "cutout" => self.cutout.replace(whole(word(0)?, 1, MOST_PIXELS)?).map_or(Ok(()), |_| Err(twice()))?,
            "mixup" | "cutmix" => {
                let alpha = number(word(0)?, LEAST_ALPHA, MOST_ALPHA)?;
                let mix = if name == "mixup" { Mix::Mixup { alpha } } else { Mix::Cutmix { alpha } };
                self.mix.replace(mix).map_or(Ok(()), |_| Err(twice()))?;
            }
            _ => return Err(format!("`{name}` is unknown")),
        }
        match words.get(taken) {
            Some(word) => Err(format!("`{word}` behind `{name}` is one too many")),
            None => Ok(()),
        }
    }
}

fn whole(word: &str, least: usize, most: usize) -> Result<usize, String> {
    let value = word.parse().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("`{word}` is no whole number from {least} to {most}"))
}

fn number(word: &str, least: f64, most: f64) -> Result<f64, String> {
    let value = word.parse().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("`{word}` is no number from {least} to {most}"))
}

impl FromStr for Augmentation {
    type Err = BadAugmentation;

    fn from_str(text: &str) -> Result<Self, BadAugmentation> {
        let mut augmentation = Self::NONE;
        for part in text.split('+') {
            augmentation.add(part).map_err(|problem| BadAugmentation { text: text.to_owned(), problem })?;
        }
        Ok(augmentation)
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.crop {
            Crop::None => {}
            Crop::PadFlip { padding: USUAL_PADDING } => parts.push("crop-flip".to_owned()),
            Crop::PadFlip { padding } => parts.push(format!("crop-flip {padding}")),
            Crop::ResizedFlip { least_area: USUAL_AREA } => parts.push("resized-crop-flip".to_owned()),
            Crop::ResizedFlip { least_area } => parts.push(format!("resized-crop-flip {least_area}")),
        }
        parts.extend(
            self.rand_augment
                .map(|RandAugment { operations, magnitude }| format!("randaugment {operations} {magnitude}")),
        );
        parts.extend(self.jitter.map(|strength| format!("jitter {strength}")));
        parts.extend(self.cutout.map(|side| format!("cutout {side}")));
        parts.extend(self.mix.map(|mix| match mix {
            Mix::Mixup { alpha } => format!("mixup {alpha}"),
            Mix::Cutmix { alpha } => format!("cutmix {alpha}"),
        }));
        if parts.is_empty() { f.pad("none") } else { f.pad(&parts.join(" + ")) }
    }
}

serialised_as_text!(Augmentation, BadAugmentation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_printed_as_it_is_parsed() {
        for text in [
            "none",
            "crop-flip",
            "crop-flip 8",
            "resized-crop-flip",
            "resized-crop-flip 0.35",
            "randaugment 2 9",
            "jitter 0.4 + cutmix 1",
            "crop-flip + randaugment 1 30 + jitter 1 + cutout 8 + mixup 0.2",
        ] {
            assert_eq!(text.parse::<Augmentation>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn one_augmentation_has_one_text() {
        for text in ["cutout 8+crop-flip 4", "crop-flip + cutout 08", "none + crop-flip+  cutout 8 "] {
            assert_eq!(text.parse::<Augmentation>().unwrap().to_string(), "crop-flip + cutout 8", "{text}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused_however_they_came() {
        for wrong in [
            Augmentation { jitter: Some(-1.0), ..Augmentation::NONE },
            Augmentation { jitter: Some(f64::NAN), ..Augmentation::NONE },
            Augmentation { cutout: Some(0), ..Augmentation::NONE },
            Augmentation { crop: Crop::ResizedFlip { least_area: 2.0 }, ..Augmentation::NONE },
            Augmentation { mix: Some(Mix::Cutmix { alpha: 0.0 }), ..Augmentation::NONE },
            Augmentation { rand_augment: Some(RandAugment { operations: 2, magnitude: 31 }), ..Augmentation::NONE },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        for right in [Augmentation::NONE, Augmentation::CROP_FLIP, Augmentation::RESIZED_CROP_FLIP] {
            right.check().unwrap();
        }
    }

    #[test]
    fn other_texts_are_refused_and_say_why() {
        for (text, problem) in [
            ("", "empty"),
            ("crop-flip +", "empty"),
            ("crop", "`crop` is unknown"),
            ("crop-flip + resized-crop-flip", "one too many"),
            ("cutout 8 + cutout 8", "one too many"),
            ("mixup 1 + cutmix 1", "one too many"),
            ("cutout", "lacks a number"),
            ("cutout 0", "no whole number"),
            ("cutout 8 8", "`8` behind `cutout`"),
            ("randaugment 2", "lacks a number"),
            ("randaugment 2 31", "0 to 30"),
            ("jitter NaN", "no number from 0.001 to 10"),
            ("mixup inf", "no number from 0.01 to 1000"),
            ("cutmix 0", "no number from 0.01 to 1000"),
            ("resized-crop-flip 0", "no number from 0.001 to 1"),
            ("resized-crop-flip 1.1", "from 0.001 to 1"),
        ] {
            let error = text.parse::<Augmentation>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
