//! The names of the data sets.

use crate::class_names::{CIFAR10, CIFAR100, SHAPES, textured_shapes};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A data set's name. Parses from, prints as and is serialised as `cifar10`, `cifar100`, `shapes10` or `shapes100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum DatasetName {
    /// CIFAR-10: 50 000 + 10 000 photographs of 10 classes (Krizhevsky, 2009).
    Cifar10,
    /// CIFAR-100: as many photographs of 100 classes, by their fine labels (Krizhevsky, 2009).
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

    /// Whether the images are drawn by code, so that no file is needed.
    pub fn is_drawn(self) -> bool {
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

    /// The classes' names, in the order of the labels.
    pub fn class_names(self) -> Vec<String> {
        match self {
            Self::Cifar10 => CIFAR10.map(String::from).to_vec(),
            Self::Cifar100 => CIFAR100.map(String::from).to_vec(),
            Self::Shapes10 => SHAPES.map(String::from).to_vec(),
            Self::Shapes100 => textured_shapes(),
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| UnknownName(name.into()))
    }
}

impl TryFrom<String> for DatasetName {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<DatasetName> for &'static str {
    fn from(name: DatasetName) -> Self {
        name.as_str()
    }
}

/// No data set has the name that was asked for, which is kept here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no data set `{0}`: choose one of {list}", list = DatasetName::ALL.map(DatasetName::as_str).join(", "))]
pub struct UnknownName(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_prints_as_it_parses_and_is_serialised_as_it_prints() {
        for name in DatasetName::ALL {
            assert_eq!(name.to_string().parse::<DatasetName>().unwrap(), name);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<DatasetName>(&json).unwrap(), name);
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
    }
}
