//! Content-addressed, crash-safe folders of runs.
//!
//! A *run* is a pure function of its configuration. Its id is the hash of the configuration's canonical form, and names
//! the folder that keeps what came of it:
//!
//! ```text
//! <root>/<run id>/config.toml     what the run is: the canonical form, whose hash is the id
//!                 metrics.jsonl   the journal: one line a record, only growing
//!                 starts.jsonl    which command, program and host began or resumed the run, and when
//!                 ending.json     how it ended: finished with an outcome, failed for a reason, or stopped
//!                 annotation.json tags and a note of whoever looks at it; no part of the run
//!                 claim           locked by the process that writes here
//!                 …               files of the user of this crate
//! ```
//!
//! One process at a time writes into a run's folder, and every file but the journal is written beside its place,
//! synced and renamed into it: a kill, a power failure or a full disk leaves the old file or the new one. Each file
//! is checked when it is read: `config.toml` by the run's id, the journal by a hash in whatever relies on it, the
//! others by a hash in themselves (`starts.jsonl` and `annotation.json`, on which nothing depends, have none).
//!
//! A results folder may come from anybody. Only regular files are opened, each within a stated limit; links are
//! neither followed nor deleted, nor is what the run did not write; and what is read from a file reaches messages
//! without its control characters.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use takd_store::{Canonical, Configuration, ConfigurationError, Ending, Journal, RunId, Start, Store};
//!
//! /// Counts down from a number. Its fields are private, so that a value without a canonical form cannot be made.
//! struct Countdown {
//!     from: u64,
//!     canonical: String,
//! }
//!
//! impl Countdown {
//!     fn new(from: u64) -> Result<Self, ConfigurationError> {
//!         let canonical = Canonical::new().integer("schema", 1).integer("from", from).finish()?;
//!         Ok(Self { from, canonical })
//!     }
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Fields {
//!     schema: u64,
//!     from: u64,
//! }
//!
//! impl Configuration for Countdown {
//!     fn canonical(&self) -> String {
//!         self.canonical.clone()
//!     }
//!
//!     fn parse(text: &str) -> Result<Self, ConfigurationError> {
//!         let fields = toml::from_str(text).map_err(|error| ConfigurationError::Invalid(error.message().into()));
//!         let fields: Fields = fields?;
//!         match fields.schema {
//!             1 => Self::new(fields.from),
//!             schema => Err(ConfigurationError::OtherVersion { found: format!("schema {schema}; this is schema 1") }),
//!         }
//!     }
//!
//!     fn needs(&self) -> Vec<RunId> {
//!         Vec::new()
//!     }
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Landed {
//!     steps: u64,
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let store: Store<Countdown, Landed> = Store::open(folder, |name| name == "rocket.txt")?;
//! let config = Countdown::new(3)?;
//!
//! // Nobody else works on the run while this is held.
//! let claim = store.claim(&config.id())?.expect("nobody has it");
//! claim.write_config(&config)?;
//! claim.add_start(&Start::now(vec!["countdown".into(), "3".into()], "countdown 0.1.0".into()))?;
//! let mut journal = Journal::begin(&claim)?;
//! for step in (1..=config.from).rev() {
//!     journal.add(&step)?;
//! }
//! claim.write("rocket.txt", b"up and away")?;
//! claim.end(&Ending::Finished(Landed { steps: 3 }), &journal.extent()?, &["rocket.txt"])?;
//! drop(journal);
//! drop(claim);
//!
//! assert_eq!(store.outcome(&config.id())?, Some(Landed { steps: 3 }));
//! assert_eq!(store.records::<u64>(&config.id())?, [3, 2, 1]);
//! assert_eq!(store.list()?.len(), 1);
//! assert!(store.verify(&config.id())?.is_empty());
//! assert!(store.remove(&config.id())?.left.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariant: knows nothing of training. What a configuration says and what an outcome is are the user's of this crate;
//! the store only keeps them.

mod annotation;
mod canonical;
mod claim;
mod configuration;
mod ending;
mod error;
mod extent;
mod file;
mod file_system;
mod folder;
mod id;
mod journal;
pub mod names;
mod printable;
mod probe;
mod removal;
pub mod seal;
mod start;
mod store;
mod verify;

pub use annotation::{Annotation, InvalidTag, Tag};
pub use canonical::{Canonical, CanonicalError, Value};
pub use claim::Claim;
pub use configuration::{Configuration, ConfigurationError};
pub use ending::{Ending, EndingFile, Expected};
pub use error::{Error, FileKind, Result};
pub use extent::Extent;
pub use file::{make_folder, read_file, write_file, write_new_file};
pub use folder::{check_folder, write_folder};
pub use id::{InvalidRunId, RunId};
pub use journal::Journal;
pub use names::limits;
pub use printable::{printable, printable_path};
pub use probe::probe;
pub use removal::{OwnFiles, Removed};
pub use start::{Start, date, shell_quoted};
pub use store::{Listed, Store};
pub use verify::{Finding, Findings};

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
