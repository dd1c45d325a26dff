//! The data sets there are, by name.

use crate::{Error, Result};
use std::{fmt, str::FromStr};

/// A data set's name. Parses from and prints as `cifar10`, `cifar100`, `shapes10`, `shapes100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetName {
    /// CIFAR-10: 50 000 + 10 000 photographs of 10 kinds of thing (Krizhevsky, 2009).
    Cifar10,
    /// CIFAR-100: as many photographs, of 100 kinds of thing, by their fine labels (Krizhevsky, 2009).
    Cifar100,
    /// 10 classes drawn by code: see [`crate::drawn`].
    Shapes10,
    /// 100 classes drawn by code: see [`crate::drawn`].
    Shapes100,
}

impl DatasetName {
    /// Every data set.
    pub const ALL: [Self; 4] = [Self::Cifar10, Self::Cifar100, Self::Shapes10, Self::Shapes100];

    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 | Self::Shapes10 => 10,
            Self::Cifar100 | Self::Shapes100 => 100,
        }
    }

    /// Whether the images are drawn by code, so that nothing need be downloaded.
    pub fn is_builtin(self) -> bool {
        matches!(self, Self::Shapes10 | Self::Shapes100)
    }

    /// The name as it is parsed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Shapes10 => "shapes10",
            Self::Shapes100 => "shapes100",
        }
    }

    /// All names, for messages.
    pub(crate) fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The classes' names, in the order of the labels.
    pub fn class_names(self) -> Vec<String> {
        match self {
            Self::Cifar10 => CIFAR10.map(String::from).to_vec(),
            Self::Cifar100 => CIFAR100.map(String::from).to_vec(),
            Self::Shapes10 | Self::Shapes100 => crate::drawn::class_names(self),
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| Error::UnknownName { name: name.into() })
    }
}

#[rustfmt::skip]
const CIFAR10: [&str; 10] = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
];

#[rustfmt::skip]
const CIFAR100: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_prints_as_it_parses() {
        for name in DatasetName::ALL {
            assert_eq!(name.to_string().parse::<DatasetName>().unwrap(), name);
        }
    }

    #[test]
    fn unknown_name_is_refused_with_the_list_of_what_exists() {
        let message = "cifar11".parse::<DatasetName>().unwrap_err().to_string();
        assert_eq!(message, "there is no data set `cifar11`: choose one of cifar10, cifar100, shapes10, shapes100");
    }

    #[test]
    fn every_class_has_its_own_name() {
        for name in DatasetName::ALL {
            let mut names = name.class_names();
            assert_eq!(names.len(), name.classes());
            names.sort();
            names.dedup();
            assert_eq!(names.len(), name.classes(), "{name}");
        }
        // CIFAR's own lists are alphabetical, and a label is a place in them.
        assert!(CIFAR10.is_sorted() && CIFAR100.is_sorted());
    }
}
