//! A network described by data, parsed from its name and printed back to the same name.

use crate::name::{Family, ModelName, UnknownModel, Width};
use std::fmt;
use std::str::FromStr;

/// Which network: its family, its size and the width of its layers. All but the number of logits follows from it.
///
/// Its name says all of it and is the same whatever the data: `plane10` is the narrow one, `plane10-wide` the wide one.
/// (A [`ModelName`] is what people write; there, `plane10` means whichever the data ask for.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelSpec {
    family: Family,
    size: usize,
    /// `None` for ResNets.
    width: Option<Width>,
}

impl ModelName {
    /// The network that this name means for data of so many classes.
    pub fn spec(self, classes: usize) -> ModelSpec {
        let width = match self.family {
            Family::Plain => Some(self.width.unwrap_or(Width::of_paper(classes))),
            Family::Resnet | Family::ImagenetResnet | Family::Logits => None,
        };
        ModelSpec { family: self.family, size: self.size, width }
    }
}

impl ModelSpec {
    /// What people call it beside data of so many classes: the shortest [`ModelName`] that means it there.
    pub fn name(self, classes: usize) -> ModelName {
        let Self { family, size, width } = self;
        let short = ModelName { family, size, width: None };
        if short.spec(classes) == self { short } else { ModelName { family, size, width } }
    }

    /// Every network there is, by family, then size, then width.
    pub fn all() -> impl Iterator<Item = Self> {
        // All these names say which network they mean, whatever the number of classes.
        ModelName::all().flat_map(ModelName::pinned).map(|name| name.spec(0))
    }

    /// Plain CNN or ResNet, for CIFAR or ImageNet; or no network but logits.
    pub fn family(self) -> Family {
        self.family
    }

    /// Number of convolutions of a plain CNN, depth of a ResNet.
    pub fn size(self) -> usize {
        self.size
    }

    /// The width of a plain CNN; a ResNet comes in one width.
    pub fn width(self) -> Option<Width> {
        self.width
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.width.filter(|&width| width == Width::Wide);
        ModelName { family: self.family, size: self.size, width }.fmt(f)
    }
}

impl FromStr for ModelSpec {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let known = Self::all().chain([ModelName::LOGITS.spec(0)]).find(|spec| spec.to_string() == name);
        known.ok_or_else(|| {
            // A name as this type prints it: the width that it leaves open is the narrow one.
            UnknownModel::new(name, |nearest| nearest.spec(0).to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_parses_from_the_name_that_it_prints() {
        for spec in ModelSpec::all() {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
        let names: Vec<_> = ModelSpec::all().map(|spec| spec.to_string()).collect();
        assert_eq!(names[..3], ["plane2", "plane2-wide", "plane4"]);
        assert_eq!(names.len(), 2 * 5 + 8 + 7);
        let logits = ModelName::LOGITS.spec(10);
        assert_eq!((logits.to_string().parse(), logits.name(10)), (Ok(logits), ModelName::LOGITS));
    }

    #[test]
    fn a_name_means_the_papers_width_for_the_number_of_classes_unless_it_pins_one() {
        let meant = |name: &str, classes| name.parse::<ModelName>().unwrap().spec(classes).to_string();
        assert_eq!(
            [1, 10, 11, 100].map(|classes| meant("plane6", classes)),
            ["plane6", "plane6", "plane6-wide", "plane6-wide"]
        );
        assert_eq!([10, 100].map(|classes| meant("plane6-narrow", classes)), ["plane6"; 2]);
        assert_eq!([10, 100].map(|classes| meant("plane6-wide", classes)), ["plane6-wide"; 2]);
        assert_eq!([10, 100].map(|classes| meant("resnet8", classes)), ["resnet8"; 2]);
        for spec in ModelSpec::all() {
            assert_eq!([10, 100].map(|classes| spec.name(classes).spec(classes)), [spec; 2]);
        }
        let wide: ModelSpec = "plane6-wide".parse().unwrap();
        assert_eq!([10, 100].map(|classes| wide.name(classes).to_string()), ["plane6-wide", "plane6"]);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known_ones() {
        for (name, nearest) in [
            ("plane3", "did you mean `plane2` or `plane4`?"),
            ("Plane2-wide", "did you mean `plane2-wide`?"),
            // One network, one name.
            ("plane10-narrow", "did you mean `plane10`?"),
            ("resnet18", "did you mean `resnet20` or `imagenet-resnet18`?"),
        ] {
            let message = name.parse::<ModelSpec>().unwrap_err().to_string();
            assert_eq!(message, format!("unknown network `{name}`; {nearest}"));
        }
    }
}
