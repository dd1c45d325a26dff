//! Repositories of the Hugging Face hub: found in its cache, downloaded into it, and models pushed.
//!
//! ```text
//! HF_ENDPOINT, HF_HOME, HF_TOKEN, … ──▶ Hub
//!                                        ├─ snapshots     what earlier downloads left in the cache
//!                                        ├─ download      list ──▶ checked files in the cache, in the layout of the hub's own tools
//!                                        ├─ find_model    both of these, for a model's weights and config.json
//!                                        └─ push          files ──▶ one commit
//! ```
//!
//! What is downloaded is checked: its length, its SHA-256 or, of a small file, its name in Git; names, commits and ETags that would lead
//! out of the cache are refused. What is in the cache already is taken as the hub's tools left it.
//!
//! ```no_run
//! use takd_hub::{Hub, Lookup, Repository};
//!
//! let hub = Hub::from_env();
//! let repository = Repository::model("timm/resnet18.a1_in1k")?;
//! let found = hub.find_model(&repository, &mut |progress| {
//!     println!("{}: {} of {} bytes", progress.what, progress.done, progress.total);
//! })?;
//! match found {
//!     Lookup::Found(files) => println!("{}", files.weights.display()),
//!     Lookup::Missing(looked) => looked.iter().for_each(|looked| println!("{}: {}", looked.place, looked.found)),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariant: it knows nothing of images and networks, executes nothing and prints nothing. The token is sent to the hub alone. What a
//! push sends becomes visible by its commit, or not at all.

mod agent;
mod cache;
mod download;
mod error;
mod hub;
mod lfs;
mod lookup;
mod model;
mod progress;
mod push;
pub mod regular_file;
mod repository;
mod sender;

pub use download::Listing;
pub use error::{Error, PushError, Result};
pub use hub::{Hub, Token, is_set};
pub use lookup::{Looked, Lookup};
pub use model::ModelFiles;
pub use progress::{Progress, Stage};
pub use push::{Push, Pushed, PushedFile, Visibility};
pub use repository::{InvalidName, Repository};

/// Its example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
