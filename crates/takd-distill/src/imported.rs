//! A network that was trained elsewhere and came in a file, or a teacher of which only its logits did.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use takd_datasets::Normalization;
use takd_store::Canonical;

/// A network that was trained elsewhere: its file, and what has to be known of it before images can be shown to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The BLAKE3 hash of the file, 64 hexadecimal digits.
    pub file: String,
    /// The mean that it expects pixels to be scaled by; see [`Normalization`]. Of logits, for which no image is looked at, it is 0, and
    /// the deviation 1.
    pub mean: [f32; 3],
    /// The standard deviation, likewise.
    pub std: [f32; 3],
    /// For each class of the data, the number of the file's output (of logits, the column) that is its; empty if they are the same in the
    /// same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<usize>,
}

impl Imported {
    /// What makes no sense in it.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { file, mean, std, outputs } = self;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if file.len() != 64 || !file.bytes().all(is_digit) {
            Some(format!("`{}` is no hash of a file: it has 64 digits from 0 to f", file.escape_debug()))
        } else if mean.iter().any(|mean| !mean.is_finite()) {
            Some(format!("the mean {mean:?} of its pixels is none of numbers"))
        } else if std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
            Some(format!("the deviation {std:?} of its pixels is none of numbers above 0"))
        } else if outputs.iter().collect::<BTreeSet<_>>().len() != outputs.len() {
            Some("one of its outputs is that of two classes".into())
        } else {
            None
        }
    }

    /// What it expects pixels to be scaled by.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.mean, std: self.std }
    }

    /// The same without an order of outputs that changes nothing, for a file with so many of them.
    #[must_use]
    pub fn simplified(self, outputs: usize) -> Self {
        let changes = !self.outputs.iter().copied().eq(0..outputs);
        Self { outputs: if changes { self.outputs } else { Vec::new() }, ..self }
    }

    pub(crate) fn write(&self, form: &mut Canonical) {
        let Self { file, mean, std, outputs } = self;
        // The shortest digits that give the same 32-bit number again.
        let numbers = |three: &[f32; 3]| three.map(|number| number.to_string().parse().unwrap_or(f64::NAN));
        form.table("imported");
        form.text("file", file);
        form.list("mean", numbers(mean));
        form.list("std", numbers(std));
        if !outputs.is_empty() {
            form.list("outputs", outputs.iter().map(|&output| output as u64));
        }
    }
}
