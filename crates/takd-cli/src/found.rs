//! Finds a network by what a person calls it: a file, a folder, or a model of the hub.

use crate::progress::transferring;
use anyhow::{Context, Result, bail};
use indicatif::MultiProgress;
use std::path::{Path, PathBuf};
use takd_hub::{Hub, Lookup, ModelFiles, Repository};
use takd_store::printable_path;

/// A network that is here.
pub(crate) enum Found {
    /// A file with weights.
    File(PathBuf),
    /// The folder of a model.
    Folder(PathBuf),
    /// A model of the hub, whose files lie in its cache: its name, with the commit if that is known.
    Hub { name: String, files: ModelFiles },
}

/// How far a search may go, and how it is shown.
pub(crate) struct Reach<'a> {
    /// Whether it stays off the network.
    pub offline: bool,
    /// Whether its progress is hidden.
    pub quiet: bool,
    pub screen: &'a MultiProgress,
}

/// What is called so: a file or folder here, or else a model of the hub, which is downloaded if it is not in the cache as it is there.
///
/// # Errors
/// If the name is one of the hub's and there is neither a file or folder nor such a model, or its files cannot be had.
pub(crate) fn find(name: &Path, reach: &Reach<'_>) -> Result<Found> {
    if name.is_dir() {
        return Ok(Found::Folder(name.to_owned()));
    }
    match name.to_str().map(Repository::model_at) {
        Some(Ok(repository)) if !name.exists() => on_the_hub(&repository, reach),
        _ => Ok(Found::File(name.to_owned())),
    }
}

/// The model of the hub, whatever is called so here.
///
/// # Errors
/// If there is none, or its files cannot be had.
pub(crate) fn on_the_hub(repository: &Repository, reach: &Reach<'_>) -> Result<Found> {
    let hub = Hub::from_env();
    let hub = Hub { offline: hub.offline || reach.offline, ..hub };
    let name = repository.to_string();
    let found = transferring(reach.quiet, reach.screen, |progress| hub.find_model(repository, progress));
    match found
        .with_context(|| format!("there is no file or folder {name} here, and the hub's model cannot be used"))?
    {
        Lookup::Found(files) => {
            let at = files.commit.as_ref().map(|commit| repository.at_commit(commit).to_string());
            Ok(Found::Hub { name: at.unwrap_or(name), files })
        }
        Lookup::Missing(looked) => {
            let places = looked.iter().map(|looked| format!("\n  - {}: {}", looked.place, looked.found));
            bail!(
                "there is no file or folder {name} here, nor a model of that name on the hub. Looked for in:{}",
                places.collect::<String>()
            )
        }
    }
}

impl Found {
    /// The file with the weights, and what is said of them in a `config.json`. That of a folder may be missing.
    pub(crate) fn files(&self) -> (PathBuf, Option<PathBuf>) {
        match self {
            Self::File(file) => (file.clone(), None),
            Self::Folder(folder) => (folder.join("model.safetensors"), Some(folder.join("config.json"))),
            Self::Hub { files, .. } => (files.weights.clone(), files.config.clone()),
        }
    }

    /// Refuses a model of which nobody knows whether it has a `config.json`, which says what it expects.
    ///
    /// # Errors
    /// If the cache has none, and the hub was not asked.
    pub(crate) fn check_config(&self) -> Result<()> {
        match self {
            Self::Hub { name, files } if !files.config_is_known => bail!(
                "the hub's cache has no config.json of {name}, and the hub could not be asked whether there is one: run it once online"
            ),
            _ => Ok(()),
        }
    }

    /// What it is called, for messages and recipes.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Folder(path) => printable_path(path),
            Self::Hub { name, .. } => name.clone(),
        }
    }
}
