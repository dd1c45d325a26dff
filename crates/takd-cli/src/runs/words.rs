//! Sizes, dates and commands as they are printed.

use crate::common::DEFAULT_OUT;
use std::path::Path;
use takd_store::{Start, Tag};

/// `9.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `2026-11-26 14:05`, UTC.
pub(super) fn date(seconds: u64) -> String {
    takd_store::date(seconds).unwrap_or_else(|| "–".into())
}

/// `baseline, for-the-paper`.
pub(super) fn tags(tags: &[Tag]) -> String {
    tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")
}

/// The command of a start with the folder in which the run lies now: it may have been moved since.
pub(super) fn command_line_in(start: &Start, out: &Path) -> String {
    let out = out.display().to_string();
    let mut command = start.command.clone();
    let named = command.iter().position(|word| word == "--out").filter(|place| place + 1 < command.len());
    if let Some(place) = named {
        command[place + 1] = out;
    } else if let Some(word) = command.iter_mut().find(|word| word.starts_with("--out=")) {
        *word = format!("--out={out}");
    } else if out != DEFAULT_OUT {
        command.extend(["--out".into(), out]);
    }
    Start { command, ..start.clone() }.command_line()
}
