//! Operations chosen at random.

use super::{
    augmentation::RandAugment,
    colour::{Property, autocontrast, enhance, equalize, posterize, solarize},
    warp,
};
use rand::{Rng, RngExt};

/// One of the operations, all equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Enhance(Property),
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Operation {
    pub(super) const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Enhance(Property::Brightness),
        Self::Enhance(Property::Saturation),
        Self::Enhance(Property::Contrast),
        Self::Enhance(Property::Sharpness),
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether it goes either way.
    fn is_signed(self) -> bool {
        use Operation::{Enhance, Rotate, ShearX, ShearY, TranslateX, TranslateY};
        matches!(self, ShearX | ShearY | TranslateX | TranslateY | Rotate | Enhance(_))
    }

    /// Applies it to an image `[height, width, 3]`, as strong as torchvision's of this magnitude.
    pub(super) fn apply(self, pixels: &mut Vec<u8>, width: usize, magnitude: usize, is_negative: bool) {
        let height = pixels.len() / (3 * width);
        let share = magnitude as f64 / RandAugment::STRONGEST as f64;
        let sign = if is_negative { -1.0 } else { 1.0 };
        let far = |side: usize| (sign * share * 150.0 / 331.0 * side as f64) as isize;
        match self {
            Self::Identity => {}
            Self::ShearX => *pixels = warp::shear_x(pixels, width, sign * share * 0.3),
            Self::ShearY => *pixels = warp::shear_y(pixels, width, sign * share * 0.3),
            Self::TranslateX => *pixels = warp::translate(pixels, width, far(width), 0),
            Self::TranslateY => *pixels = warp::translate(pixels, width, 0, far(height)),
            Self::Rotate => *pixels = warp::rotate(pixels, width, sign * share * 30.0),
            Self::Enhance(property) => enhance(pixels, width, property, (1.0 + sign * share * 0.9) as f32),
            Self::Posterize => posterize(pixels, 8 - (share * 4.0).round_ties_even() as u32),
            Self::Solarize => solarize(pixels, 255.0 * (1.0 - share)),
            Self::AutoContrast => autocontrast(pixels),
            Self::Equalize => equalize(pixels),
        }
    }
}

impl RandAugment {
    /// Applies as many operations as it says to an image `[height, width, 3]`.
    pub(super) fn apply(self, pixels: &mut Vec<u8>, width: usize, rng: &mut impl Rng) {
        for _ in 0..self.operations {
            let operation = Operation::ALL[rng.random_range(0..Operation::ALL.len())];
            let is_negative = operation.is_signed() && rng.random();
            operation.apply(pixels, width, self.magnitude, is_negative);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn written(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written").join(name)).unwrap()
    }

    #[test]
    fn every_operation_is_torchvisions() {
        use Operation::{
            AutoContrast, Enhance, Equalize, Identity, Posterize, Rotate, ShearX, ShearY, Solarize, TranslateX,
            TranslateY,
        };
        let name = |operation| match operation {
            Identity => "Identity",
            ShearX => "ShearX",
            ShearY => "ShearY",
            TranslateX => "TranslateX",
            TranslateY => "TranslateY",
            Rotate => "Rotate",
            Enhance(Property::Brightness) => "Brightness",
            Enhance(Property::Saturation) => "Color",
            Enhance(Property::Contrast) => "Contrast",
            Enhance(Property::Sharpness) => "Sharpness",
            Posterize => "Posterize",
            Solarize => "Solarize",
            AutoContrast => "AutoContrast",
            Equalize => "Equalize",
        };
        let mut wrong = Vec::new();
        for operation in Operation::ALL {
            for magnitude in [9, RandAugment::STRONGEST] {
                for is_negative in [false, true] {
                    if is_negative && !operation.is_signed() {
                        continue;
                    }
                    let file = format!("{}{magnitude}{}", name(operation), if is_negative { "-" } else { "" });
                    let mut pixels = written("pictures/rgb.png.rgb");
                    operation.apply(&mut pixels, 40, magnitude, is_negative);
                    let expected = written(&format!("views/{file}.rgb"));
                    let differing = pixels.iter().zip(&expected).filter(|(a, b)| a != b).count();
                    if differing > 0 || pixels.len() != expected.len() {
                        wrong.push((file, differing));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "bytes that differ: {wrong:?}");
    }
}
