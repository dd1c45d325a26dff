//! The names of data sets.

use crate::{BadFit, Fit, Known, MAX_SIDE, text::serialised_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A data set's name: that of a known one, or one of the user's own, and the size that its images are scaled to, if they are.
///
/// ```text
/// cifar10          a known data set, its images as they are
/// photos           somebody's own
/// photos@64        the same, its images scaled to 64x64
/// photos@224of256  the same, scaled otherwise: see [`Fit`]
/// ```
///
/// Parses from, prints as and is serialised as that text. A name says nothing of where the images are: see
/// [`DatasetRef`](crate::DatasetRef).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName {
    text: String,
    /// Bytes of the name itself, without the size.
    own: usize,
}

/// The longest name, so that files can be named by it.
const MAX_LENGTH: usize = 80;

impl DatasetName {
    /// The name of a known data set, or of one of the user's own.
    ///
    /// # Errors
    /// If it is no name: small letters, digits, `-`, `_` and `.` are, up to 80, a letter or digit first.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let all = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c));
        if first && all && name.len() <= MAX_LENGTH {
            Ok(Self { text: name.to_owned(), own: name.len() })
        } else {
            Err(BadName(name.to_owned()))
        }
    }

    /// The nearest name to any text, such as that of a folder: other characters become `-`.
    pub fn nearest(text: &str) -> Self {
        let allowed =
            |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c.to_ascii_lowercase() } else { '-' };
        let name: String = text.chars().map(allowed).collect();
        let name = name.trim_matches(['-', '_', '.']);
        let name = &name[..name.len().min(MAX_LENGTH)];
        Self::new(name).unwrap_or_else(|_| Self { text: "images".into(), own: "images".len() })
    }

    /// The same data set, its images scaled.
    pub fn scaled(&self, fit: Fit) -> Self {
        Self { text: format!("{}@{fit}", self.as_unscaled()), own: self.own }
    }

    /// The name as it is parsed and printed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without the size.
    pub fn as_unscaled(&self) -> &str {
        &self.text[..self.own]
    }

    /// The same data set, its images as they are.
    pub fn unscaled(&self) -> Self {
        Self { text: self.as_unscaled().to_owned(), own: self.own }
    }

    /// What the images are scaled to, if the name says so.
    pub fn fit(&self) -> Option<Fit> {
        self.text.get(self.own + 1..).and_then(|fit| fit.parse().ok())
    }

    /// Which of the known data sets it is, if it is one.
    pub fn known(&self) -> Option<Known> {
        Known::ALL.into_iter().find(|known| known.as_str() == self.as_unscaled())
    }

    /// Whether the images are drawn by code, so that no file is needed.
    pub fn is_drawn(&self) -> bool {
        self.known().is_some_and(Known::is_drawn)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName(text.to_owned());
        match text.split_once('@') {
            None => Self::new(text),
            Some((name, fit)) => {
                Ok(Self::new(name).map_err(|_| bad())?.scaled(fit.parse().map_err(|_: BadFit| bad())?))
            }
        }
    }
}

serialised_as_text!(DatasetName, BadName);

impl From<Known> for DatasetName {
    fn from(known: Known) -> Self {
        let text = known.as_str().to_owned();
        Self { own: text.len(), text }
    }
}

/// What was given, and kept here, cannot be a data set's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of a data set: such a name has small letters, digits, -, _ and ., at most {MAX_LENGTH}, and may end in @ and \
     the size of its images, such as 64 (1 to {MAX_SIDE}) or 224of256"
)]
pub struct BadName(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_prints_as_it_parses_and_is_serialised_as_it_prints() {
        for (text, known, fit) in [
            ("cifar10", Some(Known::Cifar10), None),
            ("shapes100@64", Some(Known::Shapes100), Some("64")),
            ("my-photos.v2", None, None),
            ("my_photos@512", None, Some("512")),
            ("my-photos@224of256", None, Some("224of256")),
        ] {
            let name: DatasetName = text.parse().unwrap();
            let fit: Option<Fit> = fit.map(|fit| fit.parse().unwrap());
            assert_eq!((name.as_str(), name.known(), name.fit()), (text, known, fit));
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<DatasetName>(&json).unwrap(), name);
        }
        for known in Known::ALL {
            assert_eq!(DatasetName::from(known).known(), Some(known));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "Photos",
            "my photos",
            "a/b",
            "..",
            ".hidden",
            "photos@",
            "photos@0",
            "photos@064",
            "photos@513",
            "photos@64of64",
            "@64",
            "ä",
        ] {
            assert!(text.parse::<DatasetName>().is_err(), "{text}");
        }
        assert!("x".repeat(81).parse::<DatasetName>().is_err());
    }

    #[test]
    fn every_text_has_a_nearest_name() {
        for (text, name) in [
            ("photos", "photos"),
            ("My Photos (2)", "my-photos--2"),
            ("..", "images"),
            ("Größe", "gr--e"),
            ("", "images"),
            ("\u{1b}[31m", "31m"),
        ] {
            assert_eq!(DatasetName::nearest(text).as_str(), name);
        }
    }
}
