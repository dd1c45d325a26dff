//! A toy program whose runs are kept: it counts down from a number.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use takd_store::{Canonical, Claim, Configuration, ConfigurationError, Ending, Journal, RunId};
use tempfile::TempDir;

/// What the toy program writes itself.
pub const ROCKET: &str = "rocket.safetensors";

#[derive(Clone, Debug, PartialEq)]
pub struct Countdown {
    pub from: u64,
    pub needs: Vec<RunId>,
}

impl Countdown {
    pub fn new(from: u64) -> Self {
        Self { from, needs: Vec::new() }
    }

    pub fn after(from: u64, needs: &[&Self]) -> Self {
        Self { from, needs: needs.iter().map(|need| need.id()).collect() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    schema: u64,
    from: u64,
    #[serde(default)]
    needs: Vec<RunId>,
}

impl Configuration for Countdown {
    fn canonical(&self) -> String {
        let mut form = Canonical::new();
        form.integer("schema", 1).integer("from", self.from);
        if !self.needs.is_empty() {
            form.list("needs", self.needs.iter().map(RunId::as_str));
        }
        form.finish().expect("the tests count from small numbers")
    }

    fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let fields: Fields =
            toml::from_str(text).map_err(|error| ConfigurationError::Invalid(error.message().into()))?;
        match fields.schema {
            1 => Ok(Self { from: fields.from, needs: fields.needs }),
            schema => Err(ConfigurationError::OtherVersion { found: format!("schema {schema}; this is schema 1") }),
        }
    }

    fn needs(&self) -> Vec<RunId> {
        self.needs.clone()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Landed {
    pub steps: u64,
    pub height: f64,
}

pub type Store = takd_store::Store<Countdown, Landed>;

pub fn open(root: &Path) -> Store {
    Store::open(root, |name| name == ROCKET || name.starts_with("photo-")).unwrap()
}

/// An empty store, as long as the folder is kept.
pub fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

/// Begins a run, and leaves it at work.
pub fn begin(store: &Store, config: &Countdown) -> Claim {
    let claim = store.claim(&config.id()).unwrap().unwrap();
    claim.write_config(config).unwrap();
    claim
}

pub fn outcome(config: &Countdown) -> Landed {
    Landed { steps: config.from, height: 0.1 + config.from as f64 }
}

/// Runs to the end.
pub fn finish(store: &Store, config: &Countdown) {
    let claim = begin(store, config);
    let mut journal = Journal::begin(&claim).unwrap();
    (1..=config.from).rev().for_each(|step| journal.add(&step).unwrap());
    claim.write(ROCKET, &vec![7; 1000]).unwrap();
    let extent = journal.extent().unwrap();
    claim.end(&Ending::Finished(outcome(config)), &extent, &[ROCKET]).unwrap();
}

/// What is in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// The files that [`Store::verify`] names.
pub fn named(store: &Store, config: &Countdown) -> Vec<PathBuf> {
    store.verify(&config.id()).unwrap().into_vec().into_iter().map(|finding| finding.file).collect()
}
