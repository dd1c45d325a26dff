//! The files of a model: its weights, and what it says of itself.

use crate::{Hub, Looked, Lookup, Progress, Repository, Result, cache, repository::is_commit};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What files of weights are called, the best first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What a model says of itself.
const CONFIG: &str = "config.json";

/// The most bytes of weights.
const MAX_WEIGHTS: u64 = 4 << 30;

/// The most bytes of `config.json`.
const MAX_CONFIG: u64 = 1 << 20;

/// The files of a model in the cache; no links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// `model.safetensors`, or else `pytorch_model.bin`.
    pub weights: PathBuf,
    /// `config.json`, if the model has one.
    pub config: Option<PathBuf>,
    /// Whether the hub or the cache said if it has one. If not, there is none in the cache, and the hub was not asked.
    pub config_is_known: bool,
    /// The commit that they are of, if the cache says one.
    pub commit: Option<String>,
}

impl Hub {
    /// The model's files as they are at `main`: downloaded, unless the cache has them as they are there. If the hub is out of reach, those of
    /// the cache. At a commit nothing is asked of the hub if the cache has them.
    ///
    /// # Errors
    /// If the repository has no weights, they are larger than 4 GiB, `config.json` is larger than 1 MiB, or a file cannot be had whole and
    /// verified.
    pub fn find_model(
        &self,
        repository: &Repository,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Lookup<ModelFiles>> {
        let cached = match self.model_in_cache(repository)? {
            // A commit does not change.
            Lookup::Found(files) if repository.commit().is_some() && files.config_is_known => {
                return Ok(Lookup::Found(files));
            }
            cached => cached,
        };
        let mut listing = match (self.list(repository)?, cached) {
            (Lookup::Found(listing), Lookup::Found(cached)) => {
                let is_whole = cached.config.is_some() || !listing.has(CONFIG);
                if listing.commit.is_some() && listing.commit == cached.commit && is_whole {
                    return Ok(Lookup::Found(ModelFiles { config_is_known: true, ..cached }));
                }
                listing
            }
            (Lookup::Found(listing), Lookup::Missing(_)) => listing,
            (Lookup::Missing(_), Lookup::Found(cached)) => return Ok(Lookup::Found(cached)),
            (Lookup::Missing(hub), Lookup::Missing(mut looked)) => {
                looked.extend(hub);
                return Ok(Lookup::Missing(looked));
            }
        };
        let Some(weights) = WEIGHTS.into_iter().find(|name| listing.has(name)) else {
            return Err(listing.error(format!("it lists no {}", WEIGHTS.join(" and no "))));
        };
        listing.pin();
        // Weights that are there without it would be taken for a model that says nothing of itself.
        let config = listing.has(CONFIG).then_some((CONFIG, MAX_CONFIG));
        listing.download(config.into_iter().chain([(weights, MAX_WEIGHTS)]), progress)?;
        match self.model_in_cache(repository)? {
            Lookup::Found(files) => {
                if !listing.has(CONFIG) {
                    self.mark_no_config(repository, files.commit.as_deref());
                }
                Ok(Lookup::Found(ModelFiles { config_is_known: true, ..files }))
            }
            Lookup::Missing(looked) => {
                let found: Vec<String> = looked.into_iter().map(|looked| looked.found).collect();
                Err(listing.error(format!("after the download its cache holds {}", found.join(", "))))
            }
        }
    }

    /// Notes in the cache that the model has no `config.json` at a commit, so that it is known without the hub too. If that cannot be
    /// written, the hub is asked again.
    fn mark_no_config(&self, repository: &Repository, commit: Option<&str>) {
        let Some((cache, commit)) = self.cache.as_ref().zip(commit) else { return };
        let mark = cache::no_such_file(cache, repository, commit, CONFIG);
        let folder = mark.parent().map_or(Ok(()), fs::create_dir_all);
        let _ = folder.and_then(|()| fs::write(&mark, ""));
    }

    /// The model's files as an earlier download left them. Asks nothing of the network.
    fn model_in_cache(&self, repository: &Repository) -> Result<Lookup<ModelFiles>> {
        let snapshots = match self.snapshots(repository)? {
            Lookup::Found(snapshots) => snapshots,
            Lookup::Missing(looked) => return Ok(Lookup::Missing(looked)),
        };
        let mut found = Vec::new();
        for snapshot in snapshots {
            let weights = WEIGHTS.into_iter().find_map(|name| Some((name, real(&snapshot.join(name))?)));
            let config = real(&snapshot.join(CONFIG));
            match (weights, config) {
                (None, _) => found.push(format!("no {}", WEIGHTS.join(" and no "))),
                (Some((name, Err(_))), _) => found.push(format!("{} leads nowhere", snapshot.join(name).display())),
                (_, Some(Err(_))) => found.push(format!("{} leads nowhere", snapshot.join(CONFIG).display())),
                (Some((_, Ok(weights))), config) => {
                    let commit = snapshot.file_name().and_then(|name| name.to_str()).filter(|name| is_commit(name));
                    let (commit, config) = (commit.map(str::to_owned), config.and_then(io::Result::ok));
                    let is_marked = |commit| {
                        let cache = self.cache.as_ref();
                        cache.is_some_and(|cache| cache::no_such_file(cache, repository, commit, CONFIG).exists())
                    };
                    let config_is_known = config.is_some() || commit.as_deref().is_some_and(is_marked);
                    return Ok(Lookup::Found(ModelFiles { weights, config, config_is_known, commit }));
                }
            }
        }
        Ok(Lookup::Missing(vec![Looked { place: self.cache_place(repository), found: found.join(", ") }]))
    }
}

/// The file that a link of the cache leads to; nothing if nothing of that name is there.
fn real(path: &Path) -> Option<io::Result<PathBuf>> {
    fs::symlink_metadata(path).is_ok().then(|| fs::canonicalize(path))
}
