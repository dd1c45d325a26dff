//! Trains one network, alone or distilled from teachers, and goes on after any interruption.
//!
//! ```text
//! RunConfig ──id()──▶ the run's folder in Runs
//!     │                 ▲ checkpoint each epoch      │ finished before? its result
//!     ▼                 │                            ▼
//!   train(config, data, runs, session, watch) ──▶ RunResult, model.safetensors, metrics.jsonl
//!                 │
//!                 └──▶ teachers' logits, from their own runs in the same Runs
//! ```
//!
//! ```
//! use std::ops::ControlFlow;
//! use takd_datasets::{Drawn, Known, Sources, load};
//! use takd_distill::{
//!     DataConfig, DeviceType, Distillation, KlReduction, NUMERICS, Protocol, Retry, RunConfig, RunSettings, Runs, Session,
//!     train,
//! };
//! use takd_ops::Compute;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
//! let data = load(&Known::Shapes10.into(), &sources, &mut |_| {})?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let runs = Runs::open(folder)?;
//! let session = Session { compute: Compute::cpu(), start: takd_store::Start::now(Vec::new(), "an example".into()), retry: Retry::Never };
//!
//! let alone = |model: &str| -> Result<RunSettings, Box<dyn std::error::Error>> {
//!     let model = model.parse::<takd_models::ModelSpec>()?;
//!     Ok(RunSettings {
//!         numerics: NUMERICS,
//!         device: DeviceType::Cpu,
//!         model,
//!         seed: 31,
//!         data: DataConfig::of(&data.card, None),
//!         training: Protocol::Code.training(model.family(), 1),
//!         imported: None,
//!         distillation: None,
//!     })
//! };
//! let teacher = RunConfig::new(alone("plane4")?)?;
//! let distillation = Distillation {
//!     teachers: vec![teacher.id()],
//!     lambda: 0.5,
//!     temperature: 5.0,
//!     kl_reduction: KlReduction::BatchMean,
//!     top_k: None,
//! };
//! let student = RunConfig::new(RunSettings { distillation: Some(distillation), ..alone("plane2")? })?;
//! for run in [&teacher, &student] {
//!     let result = train(run, &data, &runs, &session, &mut |_| ControlFlow::Continue(()))?;
//!     println!("{}: test accuracy {:.1} %", run.model, 100.0 * result.test.map_or(0.0, |test| test.accuracy));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: a run is a pure function of its [`RunConfig`]. Knows nothing of other runs but its teachers, and prints nothing.

mod accumulation;
mod checkpoint;
mod config;
mod correct;
mod curves;
mod device;
mod error;
mod evaluation;
mod event;
mod given_logits;
mod import;
mod imported;
mod kept_logits;
mod landscape;
mod logits;
mod logits_file;
mod logits_key;
mod logits_source;
mod metrics;
mod names;
mod network_file;
mod optimizer;
mod other_images;
mod pace;
mod protocol;
mod records;
mod result;
mod run;
mod runs;
mod spare;
mod steps;
mod surroundings;
mod teaching;
mod train;
mod training;
mod view;

pub use config::{DataConfig, Distillation, KlReduction, NUMERICS, RunConfig, RunSettings};
pub use device::DeviceType;
pub use error::{Divergence, Error, Result};
pub use evaluation::{Evaluation, TeacherComparison};
pub use event::{Event, Pass};
pub use given_logits::LogitsAbout;
pub use import::{NetworkFromElsewhere, import};
pub use imported::Imported;
pub use landscape::{Landscape, Plane};
pub use names::UnknownName;
pub use other_images::OtherImages;
pub use pace::{Pace, PaceOf, latency, measure};
pub use protocol::Protocol;
pub use records::{EpochRecord, Losses, Record, StepRecord, TrainRecord};
pub use result::RunResult;
pub use runs::{Retry, Runs, Status};
pub use spare::{Spare, SpareFile};
pub use surroundings::landscape;
pub use train::{Session, train};
pub use training::{DecayOn, HoldOut, LrFrom, Pick, RateFrom, Scale, Training};

// The small runs of the integration tests serve tests of what only the crate itself sees too.
#[cfg(test)]
extern crate self as takd_distill;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
