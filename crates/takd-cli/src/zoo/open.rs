//! Finds a model by its folder or its name.

use crate::common::is_in_pool;
use crate::foreign_config::ForeignConfig;
use crate::found::{self, Found, Reach};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use takd_hub::Repository;
use takd_zoo::Model;

/// Where models are that come with takd's sources.
const ZOO: &str = "models";

/// What was named, a model of that name in `models`, or one of the hub.
fn find(name: &Path, reach: &Reach<'_>) -> Result<Found> {
    let in_zoo = Path::new(ZOO).join(name);
    let places: [PathBuf; 2] = [name.to_owned(), in_zoo];
    if let Some(found) = places.iter().find(|place| place.join("config.json").exists()) {
        return Ok(Found::Folder(found.clone()));
    }
    if name.exists() {
        bail!("{} is no model: it has no config.json; `takd export RUN DIR` makes one of a run", name.display());
    }
    if name.to_str().is_some_and(|name| Repository::model_at(name).is_ok()) {
        return found::find(name, reach);
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

/// The model of that name.
pub(super) fn model(name: &Path, reach: &Reach<'_>) -> Result<Model> {
    debug_assert!(is_in_pool());
    let found = find(name, reach)?;
    found.check_config()?;
    let (weights, config) = found.files();
    let is_foreign = config.as_ref().is_none_or(|config| ForeignConfig::read(config).is_some());
    if let (Found::Hub { name, .. }, true) = (&found, is_foreign) {
        bail!(
            "{name} is no model of takd's, which says itself how it is used; `takd import {name}` takes it in as a teacher"
        );
    }
    let opened = Model::open_files(&config.unwrap_or_default(), &weights);
    opened.with_context(|| format!("cannot use the model {}", found.name()))
}
