//! The name of a run: a hash of its configuration.

use crate::printable;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Number of hexadecimal digits of an id: 64 bits, so that among a million runs two equal ids are unlikelier than 1 in
/// 10 million.
const DIGITS: usize = 16;

/// A run's id: 16 lower-case hexadecimal digits, the name of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunId(String);

impl RunId {
    /// The id of the run whose configuration has this canonical form: the first 16 hexadecimal digits of the form's
    /// BLAKE3 hash.
    pub fn of(canonical: &str) -> Self {
        Self(blake3::hash(canonical.as_bytes()).to_hex()[..DIGITS].to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a run id: one has 16 hexadecimal digits (0 to 9, a to f)", printable(.0))]
pub struct InvalidRunId(pub String);

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(id: String) -> Result<Self, InvalidRunId> {
        let is_id = id.len() == DIGITS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(Self(id)) } else { Err(InvalidRunId(id)) }
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(id: &str) -> Result<Self, InvalidRunId> {
        Self::try_from(id.to_owned())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_text_is_pinned() {
        assert_eq!(RunId::of("").as_str(), "af1349b9f5f9a1a6");
        assert_eq!(RunId::of("schema = 1\n").as_str(), &blake3::hash(b"schema = 1\n").to_hex()[..16]);
    }

    #[test]
    fn id_is_sixteen_lower_case_digits_and_nothing_else() {
        assert_eq!("0123456789abcdef".parse::<RunId>().unwrap().to_string(), "0123456789abcdef");
        for text in
            ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", "../../../../etc/"]
        {
            assert_eq!(text.parse::<RunId>(), Err(InvalidRunId(text.to_owned())));
            assert!(serde_json::from_str::<RunId>(&format!("{text:?}")).is_err());
        }
    }

    #[test]
    fn id_is_padded_as_text_is() {
        let id = RunId::of("");
        assert_eq!(format!("{id:<20}|"), "af1349b9f5f9a1a6    |");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"af1349b9f5f9a1a6\"");
    }
}
