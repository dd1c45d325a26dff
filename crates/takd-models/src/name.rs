//! Names of networks as people write them, and what a name that no network has was probably meant to be.

use std::fmt;
use std::str::FromStr;

/// The families of the paper's experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// "VGG-like" stack of 3×3 convolutions; its size is their number.
    Plain,
    /// CIFAR ResNet of basic blocks (He et al. 2016, section 4.2); its size is its depth, 6n + 2.
    Resnet,
    /// ResNet for ImageNet (He et al. 2016, table 1) in torchvision's layout; its size is its depth.
    ImagenetResnet,
    /// A teacher that is known by its logits alone: it has no layers, and no network can be built of it.
    Logits,
}

impl Family {
    /// Those of networks.
    const ALL: [Self; 3] = [Self::Plain, Self::Resnet, Self::ImagenetResnet];

    /// The sizes that this family comes in, ascending.
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Self::Plain => &[2, 4, 6, 8, 10],
            Self::Resnet => &[8, 14, 20, 26, 32, 44, 56, 110],
            Self::ImagenetResnet => &[14, 18, 20, 26, 34, 50, 101],
            Self::Logits => &[],
        }
    }

    /// What a network's name begins with. The plain CNNs are called "plane" as in the published code.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "plane",
            Self::Resnet => "resnet",
            Self::ImagenetResnet => "imagenet-resnet",
            Self::Logits => "logits",
        }
    }
}

/// How many channels the layers of a plain CNN have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// The paper's CIFAR-10 networks.
    Narrow,
    /// The paper's CIFAR-100 networks.
    Wide,
}

impl Width {
    const ALL: [Self; 2] = [Self::Narrow, Self::Wide];

    /// The paper's width for data of this many classes: narrow up to 10, wide above.
    pub(crate) fn of_paper(classes: usize) -> Self {
        if classes <= 10 { Self::Narrow } else { Self::Wide }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
        })
    }
}

/// A network's name as people and recipes write it; it prints as it was written.
///
/// `plane10` leaves the width to the data: the paper's for their number of classes. `plane10-narrow` and `plane10-wide`
/// pin it. [`ModelName::spec`] gives the network that is meant.
///
/// ```
/// use takd_models::ModelName;
///
/// let name: ModelName = "plane10".parse()?;
/// assert_eq!(name.spec(10), "plane10".parse()?);
/// assert_eq!(name.spec(100), "plane10-wide".parse()?);
/// # Ok::<(), takd_models::UnknownModel>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName {
    pub(crate) family: Family,
    pub(crate) size: usize,
    /// `None` for ResNets, and for plain CNNs whose name leaves it to the data.
    pub(crate) width: Option<Width>,
}

impl ModelName {
    /// `logits`: a teacher that is known by its logits alone. It stands in paths, and is none of [`ModelName::all`].
    pub const LOGITS: Self = Self { family: Family::Logits, size: 0, width: None };

    /// The names that mention no width, by family, then size.
    pub fn all() -> impl Iterator<Item = Self> {
        let names = |family: Family| family.sizes().iter().map(move |&size| Self { family, size, width: None });
        Family::ALL.into_iter().flat_map(names)
    }

    /// Plain CNN or ResNet, for CIFAR or ImageNet; or no network but logits.
    pub fn family(self) -> Family {
        self.family
    }

    /// Number of convolutions of a plain CNN, depth of a ResNet.
    pub fn size(self) -> usize {
        self.size
    }

    /// The names of its family with the same width, itself among them, ascending by size.
    pub fn family_members(self) -> impl Iterator<Item = Self> {
        self.family.sizes().iter().map(move |&size| Self { size, ..self })
    }

    /// The names of the single networks that this name can mean.
    pub(crate) fn pinned(self) -> Vec<Self> {
        match (self.family, self.width) {
            (Family::Plain, None) => Width::ALL.map(|width| Self { width: Some(width), ..self }).to_vec(),
            _ => vec![self],
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.prefix())?;
        if self.family != Family::Logits {
            write!(f, "{}", self.size)?;
        }
        self.width.map_or(Ok(()), |width| write!(f, "-{width}"))
    }
}

impl FromStr for ModelName {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::all()
            .chain(Self::all().flat_map(Self::pinned))
            .chain([Self::LOGITS])
            .find(|known| known.to_string() == name)
            .ok_or_else(|| UnknownModel::new(name, |nearest| nearest.to_string()))
    }
}

/// A name that no network has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown network `{}`; {}", name.escape_debug(), advice(nearest))]
pub struct UnknownModel {
    /// The name as it was given.
    pub name: String,
    /// The known names that come nearest, ascending by size; none if nothing is near.
    pub nearest: Vec<String>,
}

impl UnknownModel {
    /// `print` writes a known name as the caller's type prints it.
    pub(crate) fn new(name: &str, print: impl Fn(ModelName) -> String) -> Self {
        Self { name: name.to_owned(), nearest: nearest(name).into_iter().map(print).collect() }
    }
}

fn advice(nearest: &[String]) -> String {
    match nearest {
        [] => format!("there are {}", ModelName::all().map(|known| known.to_string()).collect::<Vec<_>>().join(", ")),
        [one] => format!("did you mean `{one}`?"),
        [others @ .., last] => format!("did you mean `{}` or `{last}`?", others.join("`, `")),
    }
}

/// The names nearest to an unknown one: of the family whose name is spelled most alike, the sizes nearest as numbers
/// (as text, `resnet18` would be nearer to `resnet8` than to `resnet20`).
fn nearest(name: &str) -> Vec<ModelName> {
    /// More mistakes than these make another word.
    const MOST_EDITS: usize = 2;

    let name = name.trim().to_lowercase();
    let edits = strsim::damerau_levenshtein;
    let (mut letters, mut rest) = split_after(&name, |c| c.is_ascii_alphabetic());
    let two_words;
    if edits(letters, "imagenet") <= MOST_EDITS {
        let (second, after) = split_after(rest, |c| c.is_ascii_alphabetic());
        two_words = format!("{letters}-{second}");
        (letters, rest) = (&two_words, after);
    }
    let (digits, suffix) = split_after(rest, |c| c.is_ascii_digit());
    let alike = Family::ALL.into_iter().filter(|family| edits(letters, family.prefix()) <= MOST_EDITS);
    let Some(family) = alike.min_by_key(|family| edits(letters, family.prefix())) else { return Vec::new() };
    let width = match family {
        Family::Plain => Width::ALL.into_iter().find(|width| edits(suffix, &width.to_string()) <= MOST_EDITS),
        Family::Resnet | Family::ImagenetResnet | Family::Logits => None,
    };
    // No digits: every size is as near. More digits than a number holds: the largest number.
    let distance =
        |size: usize| if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX).abs_diff(size) };
    let least = family.sizes().iter().map(|&size| distance(size)).min();
    let sizes = family.sizes().iter().copied().filter(|&size| Some(distance(size)) == least);
    // The same depth in the other family of ResNets may be what was meant.
    let other = (family == Family::Resnet).then_some(Family::ImagenetResnet);
    let other = other.into_iter().flat_map(|family| family.sizes().iter().map(move |&size| (family, size)));
    let other = other.filter(|(_, size)| least > Some(0) && digits.parse() == Ok(*size));
    let names = sizes.map(|size| (family, size)).chain(other);
    names.map(|(family, size)| ModelName { family, size, width }).collect()
}

/// Splits off the leading characters of a kind; separators between the two parts are dropped.
fn split_after(text: &str, is_of_kind: impl Fn(char) -> bool) -> (&str, &str) {
    let (head, tail) = text.split_at(text.find(|c| !is_of_kind(c)).unwrap_or(text.len()));
    (head, tail.trim_start_matches(['-', '_', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_prints_as_it_was_written() {
        for bare in ModelName::all() {
            assert_eq!(bare.to_string().parse(), Ok(bare));
            for pinned in bare.pinned() {
                assert_eq!(pinned.to_string().parse(), Ok(pinned));
            }
        }
        let written = ["plane10", "plane10-narrow", "plane10-wide", "resnet110", "imagenet-resnet50"];
        assert_eq!(written.map(|name| name.parse::<ModelName>().unwrap().to_string()), written);
    }

    #[test]
    fn logits_have_a_name_that_is_no_networks() {
        assert_eq!("logits".parse(), Ok(ModelName::LOGITS));
        assert_eq!(ModelName::LOGITS.to_string(), "logits");
        assert!(ModelName::all().all(|name| name != ModelName::LOGITS));
        assert!("logits0".parse::<ModelName>().is_err());
    }

    #[test]
    fn names_are_ordered_by_family_and_size() {
        let mut names: Vec<ModelName> =
            ["resnet8", "plane10", "plane2-wide", "plane2"].map(|name| name.parse().unwrap()).to_vec();
        names.sort();
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["plane2", "plane2-wide", "plane10", "resnet8"]
        );
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known_ones() {
        for (name, nearest) in [
            ("plane3", "did you mean `plane2` or `plane4`?"),
            ("plane9", "did you mean `plane8` or `plane10`?"),
            ("plane02", "did you mean `plane2`?"),
            ("plane2 ", "did you mean `plane2`?"),
            ("Plane10", "did you mean `plane10`?"),
            ("plain4", "did you mean `plane4`?"),
            ("Plane10-Wide", "did you mean `plane10-wide`?"),
            ("plane10-narow", "did you mean `plane10-narrow`?"),
            ("plane3-wide", "did you mean `plane2-wide` or `plane4-wide`?"),
            ("plane", "did you mean `plane2`, `plane4`, `plane6`, `plane8` or `plane10`?"),
            ("resnet18", "did you mean `resnet20` or `imagenet-resnet18`?"),
            ("imagenet-resnet51", "did you mean `imagenet-resnet50`?"),
            ("ImageNet ResNet-18", "did you mean `imagenet-resnet18`?"),
            ("imagnet_resnet50", "did you mean `imagenet-resnet50`?"),
            ("ResNet-110", "did you mean `resnet110`?"),
            ("resent8", "did you mean `resnet8`?"),
            ("resnet8-wide", "did you mean `resnet8`?"),
            ("resnet99999999999999999999999", "did you mean `resnet110`?"),
        ] {
            let message = name.parse::<ModelName>().unwrap_err().to_string();
            assert_eq!(message, format!("unknown network `{name}`; {nearest}"));
        }
    }

    #[test]
    fn names_like_no_other_are_refused_with_the_list_of_all() {
        for name in ["", "10", "vgg16", "densenet121", "->", "größe"] {
            let message = name.parse::<ModelName>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("unknown network `{name}`; there are plane2, ")), "{message}");
            assert!(
                message.contains("plane10") && message.contains("resnet110") && message.ends_with("imagenet-resnet101"),
                "{message}"
            );
        }
    }
}
