//! Plans and executes many distillation runs that share their teachers.
//!
//! ```text
//! Table1 { cells, protocol, seeds, … } ──plan──▶ Plan { runs: each once, teachers first; rows } ──execute──▶ Outcomes
//! ```
//!
//! A run that two rows need, a teacher, a student's first steps along a path, stands in the plan once, because equal
//! configurations have equal ids.
//!
//! ```
//! use takd_datasets::{Drawn, Sources, load};
//! use takd_distill::{DeviceType, Protocol};
//! use takd_grid::{Cell, Preset, Table1};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = Table1 {
//!     cells: vec![Cell::PlainCifar10],
//!     preset: Preset::Quick,
//!     protocol: Protocol::Sound,
//!     device: DeviceType::Cpu,
//!     epochs: Some(1),
//!     seeds: vec![31],
//!     lambda: 0.5,
//!     temperature: 5.0,
//! };
//! let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
//! let mut data = std::collections::BTreeMap::new();
//! for name in table.datasets() {
//!     data.insert(name, load(name, &sources, &mut |_| {})?);
//! }
//! let plan = table.plan(&data)?;
//! let names: Vec<String> = plan.runs.iter().map(|run| run.name()).collect();
//! assert_eq!(names[4], "plane10 → plane4 → plane2 on shapes10, seed 31");
//! // takd_grid::execute(&plan, &data, &store, &[device], …) trains them, on more devices more of them at once.
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: chooses recipes but takes no step of training, and prints nothing.

mod cell;
mod clock;
mod execute;
mod path;
mod plan;
mod preset;

pub use cell::{Cell, CellError};
pub use clock::TimeLeft;
pub use execute::{Happening, Outcome, execute};
pub use path::{DistillationPath, PathError, PathExperiment, Strength};
pub use plan::{Plan, PlannedRun, Row, SeedRuns, Table1};
pub use preset::{Preset, Trio, UnknownPreset};
