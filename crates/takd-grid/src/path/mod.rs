//! The path language: distillation paths, and patterns that stand for several of them.
//!
//! ```text
//! plane10 -> plane4 -> plane2             a path: three stages, two steps
//! plane10 + resnet20 -> plane2            a stage of two networks, which teach together
//! {plane2, plane4}                        one of these: two paths
//! plane10 -> plane4? -> plane2            with or without plane4: two paths
//! ```
//!
//! A *stage* is a network, or several joined by `+`. A *step* leads from one stage to the next: each network of a stage
//! alone is taught by all networks of the stage before it. `→` may stand for `->`; white space is free.
//!
//! In a pattern, `{a, b}` is one of its choices, each a network or several joined by `+`; `?` after a network or after
//! braces means with or without. They may be joined by `+`: `{plane8, plane6} + resnet20? -> plane2` is four paths. A
//! stage that is wholly left out is skipped; the first and the last cannot be. Braces do not nest.
//!
//! ```
//! use takd_grid::path::{DistillationPath, PathPattern};
//!
//! let path: DistillationPath = "plane10 -> plane4 -> plane2".parse()?;
//! assert_eq!(path.stages().len(), 3);
//!
//! let figure_5: PathPattern = "plane10 -> plane8? -> plane6? -> plane4? -> plane2".parse()?;
//! assert_eq!(figure_5.paths().len(), 8);
//! assert_eq!(figure_5.paths()[2].to_string(), "plane10 → plane8 → plane4 → plane2");
//!
//! let error = "plane10->".parse::<DistillationPath>().unwrap_err();
//! assert_eq!(error.to_string(), "empty step in `plane10->`, column 10");
//! # Ok::<(), takd_grid::path::PathError>(())
//! ```
//!
//! Invariant: knows the names of networks and nothing else.

mod distillation_path;
mod error;
mod pattern;
mod syntax;

pub use distillation_path::{DistillationPath, Stage};
pub use error::{PathError, PathProblem};
pub(crate) use pattern::expand_names;
pub use pattern::{MAX_NETWORKS, MAX_PATHS, MAX_STAGES, PathPattern};
