//! Plans and executes experiments: many distillation runs that share their teachers.
//!
//! ```text
//! Recipe (a file) ──▶ Experiment ──with cards of the data──▶ Plan: runs, each once, teachers first ──execute──▶ Outcomes
//! ```
//!
//! A run that two paths need, a teacher or the first steps of both, stands in the plan once, because equal configurations
//! have equal ids.
//!
//! ```
//! use takd_datasets::{Sources, load};
//! use takd_distill::DeviceType;
//! use takd_grid::recipe::Recipe;
//! use takd_grid::{Changes, Experiment, Plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//! title = "Does an assistant help?"
//!
//! [[cell]]
//! name = "plain/shapes10"
//! data = "shapes10"
//! paths = ["plane10 -> plane4? -> plane2"]
//! "#;
//! let recipe = Recipe::parse(text, "mine.toml")?;
//! let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu)?;
//! let sources = experiment.sources(Sources { drawn: experiment.drawn, ..Sources::default() })?;
//! let mut cards = std::collections::BTreeMap::new();
//! for name in experiment.datasets() {
//!     let card = load(&name, &sources, &mut |_| {})?.card;
//!     cards.insert(name, card);
//! }
//! let plan = Plan::new(&experiment, &cards, &|_| None)?;
//! let names: Vec<String> = plan.runs.iter().map(|run| run.name()).collect();
//! assert_eq!(names[2], "plane10 → plane4 → plane2 on shapes10, seed 31");
//! // takd_grid::execute(&plan, &data, &runs, &[session], …) trains them; with more sessions, more of them at once.
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: chooses what is trained but takes no step of training, and prints nothing.

mod builder;
mod clock;
mod elsewhere;
mod execute;
mod experiment;
mod experiment_error;
mod in_force;
pub mod path;
mod plan;
pub mod recipe;
pub mod shrink;
pub mod study;

pub use clock::TimeLeft;
pub use elsewhere::{FromElsewhere, HubImport};
pub use execute::{Data, Grow, Outcome, PlanEvent, Trained, execute, execute_growing};
pub use experiment::{Cell, Changes, Experiment, MissingCell, Preset, StandIn};
pub use experiment_error::ExperimentError;
pub use in_force::{DifferentSettings, settings_in_force};
pub use path::DistillationPath;
pub use plan::{
    Cost, Endings, Later, Looks, Plan, PlannedCell, PlannedPath, PlannedRun, PlannedStudy, PlannedTrial, SeedRun,
    TrialOf,
};
