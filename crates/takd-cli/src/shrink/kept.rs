//! Recipes that were made before: the measurement that a recipe stands on comes out a little different each time, and the same command
//! must go on with the same runs.

use crate::text_file;
use anyhow::Result;
use std::path::{Path, PathBuf};
use takd_datasets::Card;
use takd_grid::recipe::MAX_BYTES;
use takd_grid::shrink::Shrink;

/// The hexadecimal digits of the hash.
const DIGITS: usize = 8;

/// The file of the recipe for what is wanted.
pub(super) fn file(out: &Path, wanted: &Shrink<'_>, card: &Card) -> PathBuf {
    let hash = blake3::hash(format!("{wanted:?} {}", card.checksum).as_bytes()).to_hex();
    let name = format!("shrink-{}-{}-{}.toml", wanted.student, card.name.as_unscaled(), &hash[..DIGITS]);
    out.join("recipes").join(name)
}

/// Its text, if it was made before.
pub(super) fn read(file: &Path) -> Result<Option<String>> {
    text_file::read(file, "a recipe", MAX_BYTES as u64)
}
