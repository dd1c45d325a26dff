//! Finds a model by its folder or its name.

use crate::common::is_in_pool;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use takd_zoo::Model;

/// Where models are that come with takd's sources.
const ZOO: &str = "models";

/// The folder of a model: what was named, or of that name in `models`.
pub(super) fn folder(name: &Path) -> Result<PathBuf> {
    let in_zoo = Path::new(ZOO).join(name);
    let places = [name.to_owned(), in_zoo];
    if let Some(found) = places.iter().find(|place| place.join("config.json").exists()) {
        return Ok(found.clone());
    }
    if name.exists() {
        bail!("{} is no model: it has no config.json; `takd export RUN DIR` makes one of a run", name.display());
    }
    let known = known();
    let known = if known.is_empty() { String::new() } else { format!("; {ZOO} has: {}", known.join(", ")) };
    bail!("there is no model {} here{known}; `takd export RUN DIR` makes one of a run", name.display())
}

/// The models in `models`.
fn known() -> Vec<String> {
    let entries = std::fs::read_dir(ZOO).into_iter().flatten().flatten();
    let models = entries.filter(|entry| entry.path().join("config.json").exists());
    let mut names: Vec<String> = models.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(super) fn model(name: &Path) -> Result<Model> {
    debug_assert!(is_in_pool());
    let folder = folder(name)?;
    Model::open(&folder).with_context(|| format!("cannot use the model {}", folder.display()))
}
