//! The data sets whose names, classes and numbers are known.

use crate::{
    Normalization,
    class_names::{CIFAR10, CIFAR100, SHAPES, textured_shapes},
};
use std::fmt;

/// A data set that is known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Known {
    /// CIFAR-10: 50 000 + 10 000 photographs of 10 classes (Krizhevsky, 2009).
    Cifar10,
    /// CIFAR-100: as many photographs of 100 classes, by their fine labels (Krizhevsky, 2009).
    Cifar100,
    /// 10 classes drawn by code: see [`crate::drawn`].
    Shapes10,
    /// 100 classes drawn by code: see [`crate::drawn`].
    Shapes100,
}

/// What everybody's copy of a data set has in common.
pub(crate) struct Facts {
    pub(crate) train: usize,
    pub(crate) test: usize,
    /// Of the training images.
    pub(crate) normalization: Normalization,
}

impl Known {
    /// Every known data set.
    pub const ALL: [Self; 4] = [Self::Cifar10, Self::Cifar100, Self::Shapes10, Self::Shapes100];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Shapes10 => "shapes10",
            Self::Shapes100 => "shapes100",
        }
    }

    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 | Self::Shapes10 => 10,
            Self::Cifar100 | Self::Shapes100 => 100,
        }
    }

    /// The classes' names, in the order of the labels.
    pub fn class_names(self) -> Vec<String> {
        match self {
            Self::Cifar10 => CIFAR10.map(String::from).to_vec(),
            Self::Cifar100 => CIFAR100.map(String::from).to_vec(),
            Self::Shapes10 => SHAPES.map(String::from).to_vec(),
            Self::Shapes100 => textured_shapes(),
        }
    }

    /// Whether the images are drawn by code, so that no file is needed.
    pub fn is_drawn(self) -> bool {
        matches!(self, Self::Shapes10 | Self::Shapes100)
    }

    pub(crate) fn licence(self) -> &'static str {
        match self {
            Self::Cifar10 | Self::Cifar100 => {
                "none stated by its authors; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)"
            }
            Self::Shapes10 | Self::Shapes100 => "MIT OR Apache-2.0, as the code that draws it",
        }
    }

    pub(crate) fn facts(self) -> Option<Facts> {
        let (mean, std) = match self {
            Self::Cifar10 => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            Self::Cifar100 => ([0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762]),
            Self::Shapes10 | Self::Shapes100 => return None,
        };
        Some(Facts { train: 50_000, test: 10_000, normalization: Normalization { mean, std } })
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_name() {
        for known in Known::ALL {
            let mut names = known.class_names();
            assert_eq!(names.len(), known.classes());
            names.sort();
            names.dedup();
            assert_eq!(names.len(), known.classes(), "{known}");
        }
    }
}
