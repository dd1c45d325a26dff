//! How much of a journal somebody has seen.

use serde::{Deserialize, Serialize};

/// The first bytes of a journal: how many, and their hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// How many.
    pub bytes: u64,
    /// Their BLAKE3 hash, 64 hexadecimal digits.
    pub blake3: String,
}

impl Extent {
    /// That of all of `lines`.
    pub fn of(lines: &[u8]) -> Self {
        Self { bytes: lines.len() as u64, blake3: blake3::hash(lines).to_hex().to_string() }
    }
}

/// That of an empty journal, or of none.
impl Default for Extent {
    fn default() -> Self {
        Self::of(b"")
    }
}
