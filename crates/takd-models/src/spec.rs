//! A network described by data: its family and size, parsed from its name and printed back to the same name.

use std::fmt;
use std::str::FromStr;

/// The two families of the paper's CIFAR experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// "VGG-like" stack of 3×3 convolutions; its size is their number.
    Plain,
    /// CIFAR ResNet of basic blocks (He et al. 2016, section 4.2); its size is its depth, 6n + 2.
    Resnet,
}

impl Family {
    /// The sizes this family comes in, ascending.
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Self::Plain => &[2, 4, 6, 8, 10],
            Self::Resnet => &[8, 14, 20, 26, 32, 44, 56, 110],
        }
    }

    /// What a model's name begins with. The plain CNNs are called "plane" as in the published code.
    fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "plane",
            Self::Resnet => "resnet",
        }
    }
}

/// Which network: a family and one of its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelSpec {
    family: Family,
    size: usize,
}

/// A name that no network has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown model `{name}`; there are: {}", all_names().join(", "))]
pub struct UnknownModel {
    /// The name as it was given.
    pub name: String,
}

fn all_names() -> Vec<String> {
    ModelSpec::all().map(|spec| spec.to_string()).collect()
}

impl ModelSpec {
    /// The network of this family and size, or `None` where the family has no such size.
    pub fn new(family: Family, size: usize) -> Option<Self> {
        family.sizes().contains(&size).then_some(Self { family, size })
    }

    /// Every network there is, by family, then size.
    pub fn all() -> impl Iterator<Item = Self> {
        [Family::Plain, Family::Resnet]
            .into_iter()
            .flat_map(|family| family.sizes().iter().map(move |&size| Self { family, size }))
    }

    /// Plain CNN or ResNet.
    pub fn family(self) -> Family {
        self.family
    }

    /// Number of convolutions of a plain CNN, depth of a ResNet.
    pub fn size(self) -> usize {
        self.size
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.family.prefix(), self.size)
    }
}

impl FromStr for ModelSpec {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::all().find(|spec| spec.to_string() == name).ok_or_else(|| UnknownModel { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_and_prints_back() {
        for spec in ModelSpec::all() {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_list_of_what_exists() {
        for name in ["", "plane", "plane3", "plane02", "resnet18", "Plane2", "plane2 "] {
            let message = name.parse::<ModelSpec>().unwrap_err().to_string();
            assert!(message.contains("plane10") && message.contains("resnet110"), "{message}");
        }
    }
}
