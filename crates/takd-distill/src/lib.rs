//! Trains one network, alone or distilled from a teacher, and goes on after any interruption.
//!
//! ```text
//! RunConfig ──id()──▶ folder of the run in a Store
//!     │                 ▲ checkpoint each epoch      │ finished before? its result
//!     ▼                 │                            ▼
//!   train(config, data, store, device, watch) ──▶ RunResult, model.safetensors, metrics.jsonl
//!                 │
//!                 └──▶ teacher's logits, from its own run in the same Store
//! ```
//!
//! ```
//! use candle_core::Device;
//! use std::ops::ControlFlow;
//! use takd_datasets::{DatasetName, Drawn, Sources, load};
//! use takd_distill::{DataConfig, DeviceType, Distillation, NUMERICS, Protocol, RunConfig, Store, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
//! let data = load(DatasetName::Shapes10, &sources, &mut |_| {})?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let store = Store::open(folder)?;
//!
//! let alone = |model: &str| -> Result<RunConfig, Box<dyn std::error::Error>> {
//!     let model = model.parse::<takd_models::ModelSpec>()?;
//!     Ok(RunConfig {
//!         numerics: NUMERICS,
//!         device: DeviceType::Cpu,
//!         model,
//!         seed: 31,
//!         data: DataConfig::of(&data),
//!         recipe: Protocol::Code.recipe(model.family(), 1),
//!         distillation: None,
//!     })
//! };
//! let teacher = alone("plane4")?;
//! let distillation = Some(Distillation { teachers: vec![teacher.id()?], lambda: 0.5, temperature: 5.0 });
//! let student = RunConfig { distillation, ..alone("plane2")? };
//! for run in [&teacher, &student] {
//!     let result = train(run, &data, &store, &Device::Cpu, &mut |_| ControlFlow::Continue(()))?;
//!     println!("{}: {:.1} % of the test images", run.model, 100.0 * result.test.accuracy);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: a run is a pure function of its [`RunConfig`]. Knows nothing of other runs but its teacher, and prints nothing.

mod checkpoint;
mod claim;
mod config;
mod error;
mod evaluate;
mod logits;
mod metrics;
mod optimizer;
mod recipe;
mod run;
mod seal;
mod steps;
mod store;
mod teaching;
mod train;

pub use config::{DataConfig, DeviceType, Distillation, NUMERICS, RunConfig, RunId, limit_training_images};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, TeacherComparison};
pub use metrics::{EpochRecord, Record, StepRecord};
pub use recipe::{Augment, DecayOn, HoldOut, KlReduction, LrFrom, Pick, Protocol, Recipe, Scale, UnknownProtocol};
pub use store::{Finding, Status, Store};
pub use train::{Event, Pass, RunResult, train};

use train::Watch;

// The small runs of the integration tests serve tests of what only the crate itself sees too.
#[cfg(test)]
extern crate self as takd_distill;
