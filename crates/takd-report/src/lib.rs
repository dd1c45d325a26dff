//! The results of an experiment: as tables for people, beside the numbers that were published, and as data for programs.
//!
//! ```text
//! Experiment, Plan ─┐                  ┌─▶ to_text(width, style)     a terminal, a pipe
//!                   ├─▶ Report::new ───┼─▶ to_markdown()             a page
//! Runs: how each  ──┘      Report      ├─▶ to_csv()                  a row for each run
//! run ended                            └─▶ serde                     JSON
//!
//! Report ─▶ cells ─▶ paths ─▶ runs: finished, diverged, stopped, missing, no-teacher, unreadable
//!              │        └─▶ mean, standard deviation, 95 % interval over the seeds that have a result
//!              └─▶ comparisons of paths, paired by seed: an interval over the seeds, another over the test images, a verdict
//! ```
//!
//! Every run that the plan has is in the report, whether it has a result or not: a network that diverged is shown, and a
//! mean says of how many seeds it is.
//!
//! ```
//! use takd_datasets::{Drawn, Known, Sources, load};
//! use takd_distill::{DeviceType, Runs};
//! use takd_grid::recipe::Recipe;
//! use takd_grid::{Changes, Experiment, Plan};
//! use takd_report::{Report, Style};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recipe = r#"
//! title = "Does an assistant help?"
//!
//! [defaults]
//! seeds = [20, 31]
//!
//! [[cell]]
//! name = "plain/shapes10"
//! data = "shapes10"
//! paths = ["plane10 -> plane4? -> plane2"]
//! "#;
//! let experiment = Experiment::new(&Recipe::parse(recipe, "mine.toml")?, &Changes::default(), DeviceType::Cpu)?;
//! let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
//! let card = load(&Known::Shapes10.into(), &sources, &mut |_| {})?.card;
//! let plan = Plan::new(&experiment, &[(Known::Shapes10.into(), card)].into(), &|_| None)?;
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let report = Report::new(&experiment, &plan, &Runs::open(folder)?)?;
//! // Nothing is trained yet.
//! assert!(report.to_text(Some(80), Style::Plain).contains("Not finished: 8 of 8 runs"));
//! assert_eq!(report.to_csv().lines().count(), 1 + 8);
//! assert!(report.file_stem().starts_with("does-an-assistant-help-full-sound-"));
//! # Ok(())
//! # }
//! ```
//!
//! Numbers for programs are fractions, never percent: accuracies and other shares are from 0 to 1, the paper's too. People
//! read percent.
//!
//! Invariant: reads how runs ended and which test images they get right and nothing else of them, trains nothing, and writes no file. No number, cell or network
//! of a paper stands in the code: the recipe has them.

mod assistants;
mod by_student;
mod choice;
mod choose;
mod collect;
mod columns;
mod comparison;
mod comparisons;
mod csv;
mod error;
mod figure;
mod figures;
mod file_stem;
mod findings;
mod front;
mod graph;
mod held_out;
mod landscapes;
mod legend;
mod markdown;
mod methods;
mod number;
mod page;
mod path_landscape;
mod paths;
mod report;
mod run;
mod sections;
mod statistics;
mod students;
mod studies;
mod study;
mod study_figures;
mod table;
mod teachers;
mod text;

pub use choice::{Candidate, Choice, Spent};
pub use comparison::{Comparison, OverImages, Verdict};
pub use error::{Error, Result};
pub use figure::Figure;
pub use path_landscape::{PathLandscape, SeedLandscape};
pub use report::{
    CellReport, Method, MissingCellReport, MissingPathReport, PathComparison, PathReport, PublishedReport, Report,
};
pub use run::{Measurements, RunReport, RunState};
pub use statistics::{Interval, Summary};
pub use study::{Importance, SettingValue, StudyReport, TrialReport, TrialState};
pub use text::Style;
