//! The data sets whose names, classes and numbers are known.

use crate::{
    Normalization,
    class_names::{CIFAR10, CIFAR100, FASHION_MNIST, SHAPES, textured_shapes},
};
use std::fmt;

/// A data set that is known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Known {
    /// CIFAR-10: 50 000 + 10 000 photographs of 10 classes (Krizhevsky, 2009).
    Cifar10,
    /// CIFAR-100: as many photographs of 100 classes, by their fine labels (Krizhevsky, 2009).
    Cifar100,
    /// MNIST: 60 000 + 10 000 handwritten digits, grey, 28 x 28 (LeCun et al., 1998).
    Mnist,
    /// Fashion-MNIST: as many pictures of 10 kinds of clothing, grey, 28 x 28 (Xiao et al., 2017).
    FashionMnist,
    /// 10 classes drawn by code: see [`crate::drawn`].
    Shapes10,
    /// 100 classes drawn by code: see [`crate::drawn`].
    Shapes100,
}

/// What everybody's copy of a data set has in common.
pub(crate) struct Facts {
    pub(crate) train: usize,
    pub(crate) test: usize,
    /// Whether all classes are of one size.
    pub(crate) is_balanced: bool,
    /// Of the training images.
    pub(crate) normalization: Normalization,
}

impl Known {
    /// Every known data set.
    pub const ALL: [Self; 6] =
        [Self::Cifar10, Self::Cifar100, Self::Mnist, Self::FashionMnist, Self::Shapes10, Self::Shapes100];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Shapes10 => "shapes10",
            Self::Shapes100 => "shapes100",
        }
    }

    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 | Self::Mnist | Self::FashionMnist | Self::Shapes10 => 10,
            Self::Cifar100 | Self::Shapes100 => 100,
        }
    }

    /// The classes' names, in the order of the labels.
    pub fn class_names(self) -> Vec<String> {
        match self {
            Self::Cifar10 => CIFAR10.map(String::from).to_vec(),
            Self::Cifar100 => CIFAR100.map(String::from).to_vec(),
            Self::Mnist => (0..10).map(|digit| digit.to_string()).collect(),
            Self::FashionMnist => FASHION_MNIST.map(String::from).to_vec(),
            Self::Shapes10 => SHAPES.map(String::from).to_vec(),
            Self::Shapes100 => textured_shapes(),
        }
    }

    /// Rows and columns of its images.
    pub fn side(self) -> usize {
        match self {
            Self::Mnist | Self::FashionMnist => 28,
            Self::Cifar10 | Self::Cifar100 | Self::Shapes10 | Self::Shapes100 => 32,
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
            Self::Mnist => {
                "none stated by its authors; cite LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998)"
            }
            Self::FashionMnist => "MIT; cite Xiao et al., arXiv 1708.07747",
            Self::Shapes10 | Self::Shapes100 => "MIT OR Apache-2.0, as the code that draws it",
        }
    }

    pub(crate) fn facts(self) -> Option<Facts> {
        let (train, mean, std) = match self {
            Self::Cifar10 => (50_000, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            Self::Cifar100 => (50_000, [0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762]),
            Self::Mnist => (60_000, [0.1307; 3], [0.3081; 3]),
            Self::FashionMnist => (60_000, [0.2860; 3], [0.3530; 3]),
            Self::Shapes10 | Self::Shapes100 => return None,
        };
        let normalization = Normalization { mean, std };
        // MNIST has as many of each digit as were written.
        Some(Facts { train, test: 10_000, is_balanced: self != Self::Mnist, normalization })
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
