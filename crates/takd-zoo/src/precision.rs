//! In how many bits weights are stored.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How the weights of convolutions and fully connected layers are stored. Biases and batch normalisation, a few numbers a channel,
/// are 32-bit floats always, and so is all arithmetic.
///
/// ```text
/// f32    as they were trained                                    4 bytes a weight
/// f16    rounded to half precision                               2
/// int8   integers of -127 to 127, times a scale for each         1, and 4 for each channel
///        output channel: its largest weight is ±127 times that
/// ```
///
/// Parses from, prints as and is serialised as these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WeightPrecision {
    /// 32-bit floats: nothing is lost.
    #[default]
    F32,
    /// 16-bit floats (IEEE binary16).
    F16,
    /// 8-bit integers with a scale for each output channel.
    Int8,
}

impl WeightPrecision {
    /// All of them, the most precise first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];
}

impl fmt::Display for WeightPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for WeightPrecision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        let known = Self::ALL.into_iter().find(|known| known.to_string() == text);
        known.ok_or_else(|| UnknownPrecision(text.to_owned()))
    }
}

impl TryFrom<String> for WeightPrecision {
    type Error = UnknownPrecision;

    fn try_from(text: String) -> Result<Self, UnknownPrecision> {
        text.parse()
    }
}

impl From<WeightPrecision> for String {
    fn from(precision: WeightPrecision) -> Self {
        precision.to_string()
    }
}

/// A text, kept here, that names no precision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision `{}` of weights: f32, f16 and int8 are known", .0.escape_debug())]
pub struct UnknownPrecision(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_as_they_are_parsed() {
        for precision in WeightPrecision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("INT8".parse::<WeightPrecision>().is_err());
    }
}
