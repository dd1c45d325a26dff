//! A recipe as a value: its cells, its defaults and its quick form.

use super::error::{Located, RecipeError, RecipeProblem, Span};
use super::search::SearchSettings;
use super::settings::Settings;
use crate::path::DistillationPath;
use std::collections::BTreeMap;
use takd_datasets::Normalization;
use takd_models::ModelName;

/// An experiment as a file says it; see the [module](crate::recipe) for the format. All that can be checked without
/// data is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What the experiment asks or makes, in a line.
    pub title: String,
    /// Where it is published.
    pub source: Option<String>,
    /// How its table is laid out.
    pub layout: Layout,
    /// What stands below its table.
    pub notes: Vec<String>,
    /// Settings of all cells.
    pub defaults: Settings,
    /// Its cells: at least one; their names differ.
    pub cells: Vec<RecipeCell>,
    /// What is found by trials, if anything is.
    pub search: Option<SearchSettings>,
    /// A small experiment of the same form.
    pub quick: Option<Quick>,
    pub(super) origin: String,
    pub(super) text: String,
}

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A row for each cell and a column for each method: the student alone (NoKD, a path of one stage), taught by the
    /// teacher (BLKD, two stages), taught by an assistant (TAKD, more stages). Each cell has one student and at most
    /// one path a method.
    Methods,
    /// A row for each path.
    #[default]
    Paths,
    /// Which assistant is best (Tables 2 and 3, Figure 4): paths `T -> A -> S` for several A, `T -> S`, and every network
    /// alone.
    Assistants,
    /// How a student does by the size of its teacher (Figure 2): paths `T -> S` for several T, and every network alone.
    Teachers,
    /// What a teacher's students gain by their size (Figure 3): paths `T -> S` for several S, and every network alone.
    Students,
    /// All paths between two networks as a picture (Figure 5).
    Graph,
}

impl Layout {
    /// Every layout.
    pub const ALL: &'static [Self] =
        &[Self::Methods, Self::Paths, Self::Assistants, Self::Teachers, Self::Students, Self::Graph];

    /// The name as recipes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Methods => "methods",
            Self::Paths => "paths",
            Self::Assistants => "assistants",
            Self::Teachers => "teachers",
            Self::Students => "students",
            Self::Graph => "graph",
        }
    }
}

/// Paths on a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeCell {
    /// Its name, no other cell's.
    pub name: String,
    /// The name of the data set.
    pub data: Located<String>,
    /// Its paths.
    pub paths: CellPaths,
    /// Networks of its paths that were trained elsewhere, and their files.
    pub import: BTreeMap<ModelName, ImportedFile>,
    /// Where the paper has its numbers.
    pub paper_source: Option<String>,
    /// What is to be said about it.
    pub note: Option<String>,
    /// What others reached with the same student, by other methods, in the recipe's order.
    pub published: Vec<Published>,
    /// Its own settings, which win over the recipe's; see [`Recipe::settings`].
    pub settings: Settings,
    /// The place of its header.
    pub at: Span,
}

/// A network that was trained elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedFile {
    /// Its file, or a model of the hub, `user/name` or `user/name@commit`.
    pub file: Located<String>,
    /// What it expects pixels to be scaled by, if that is said.
    pub normalization: Option<Normalization>,
    /// For each class of the data, the number of the output that is its, if that is said.
    pub order: Vec<usize>,
}

/// What was published of a method that is not run here.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The method's name.
    pub method: String,
    /// The student's test accuracy, in percent.
    pub percent: f64,
}

/// The paths of a cell: at least one, none twice.
#[derive(Clone, Debug, PartialEq)]
pub enum CellPaths {
    /// Those of a cell that can be run.
    Known(Vec<CellPath<DistillationPath>>),
    /// Those of a cell that cannot be run yet, as they print.
    Missing {
        /// Why it cannot be run.
        why: String,
        /// Its paths; their networks may not exist.
        paths: Vec<CellPath<String>>,
        /// The same if all of them do: with other data the cell can be run.
        known: Vec<CellPath<DistillationPath>>,
    },
}

/// A path and the paper's number for it.
#[derive(Clone, Debug, PartialEq)]
pub struct CellPath<P> {
    /// The path.
    pub path: P,
    /// The test accuracy that the paper gives for the last network, in percent.
    pub paper: Option<f64>,
    /// The place of its pattern.
    pub at: Span,
}

/// What the quick form of an experiment puts in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quick {
    /// Data sets in place of others, by the names of the others.
    pub data: BTreeMap<String, Located<String>>,
    /// Networks in place of others, by the others.
    pub networks: BTreeMap<ModelName, ModelName>,
    /// How many images built-in data sets have.
    pub drawn: Option<DrawnImages>,
    /// Settings, which win over the cells'.
    pub settings: Settings,
}

/// How many images a built-in data set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnImages {
    /// Training images, 1 or more.
    pub train: usize,
    /// Test images, 1 or more.
    pub test: usize,
}

impl Recipe {
    /// The settings of a cell: its own, then the recipe's.
    pub fn settings(&self, cell: &RecipeCell) -> Settings {
        cell.settings.or(&self.defaults)
    }

    /// What messages call it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The error of something at a place of this recipe that only its user can tell, such as a data set that does not
    /// exist.
    pub fn error(&self, at: Span, problem: impl Into<String>) -> RecipeError {
        RecipeError::new(&self.origin, &self.text, at, RecipeProblem::Conflict(problem.into()))
    }
}

impl RecipeCell {
    /// Its paths if it can be run, none if not.
    pub fn known_paths(&self) -> &[CellPath<DistillationPath>] {
        match &self.paths {
            CellPaths::Known(paths) => paths,
            CellPaths::Missing { known, .. } => known,
        }
    }
}

impl Quick {
    /// The network in place of this one.
    pub fn network(&self, network: ModelName) -> ModelName {
        self.networks.get(&network).copied().unwrap_or(network)
    }

    /// The path in place of this one of the recipe's.
    pub fn path(&self, path: &DistillationPath) -> DistillationPath {
        // `Recipe::parse` refuses a recipe if a stage of one of its paths would have a network twice.
        path.replace(|network| self.network(network)).unwrap_or_else(|_| path.clone())
    }
}
