//! Why a recipe or some paths make no experiment.

use crate::path::DistillationPath;
use crate::recipe::RecipeError;
use crate::study::SearchError;

/// Why a recipe makes no experiment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExperimentError {
    /// Something in the recipe.
    #[error(transparent)]
    Recipe(#[from] Box<RecipeError>),
    /// A cell that the recipe does not have.
    #[error("there is no cell `{name}`; there are: {}", known.join(", "))]
    UnknownCell {
        /// The name as it was given.
        name: String,
        /// Those that can be run.
        known: Vec<String>,
    },
    /// A cell that cannot be run yet.
    #[error("the cell `{name}` cannot be run: {why}")]
    Missing {
        /// The cell.
        name: String,
        /// Why.
        why: String,
    },
    /// Other data for more than one cell.
    #[error("{data} can take the place of the data of one cell only, and these are {}: name one", cells.join(", "))]
    SeveralCells {
        /// The other data.
        data: String,
        /// The cells that are wanted.
        cells: Vec<String>,
    },
    /// The quick form of a recipe that has none.
    #[error("the recipe {0} has no quick form: it has no [quick]")]
    NoQuick(String),
    /// A list of values, one a step, of another length than a path.
    #[error(
        "{setting} has {values} values, and the path {path} has {}: give one value, or one for each step",
        steps(path)
    )]
    Steps {
        /// `λ` or `τ`.
        setting: &'static str,
        /// How many values it has.
        values: usize,
        /// The path.
        path: Box<DistillationPath>,
    },
    /// A search that cannot be made.
    #[error("the search of the cell `{cell}`: {error}")]
    Search {
        /// The cell.
        cell: String,
        /// Why.
        error: SearchError,
    },
    /// A search whose result nobody could trust.
    #[error("the search of the cell `{cell}`: {problem}")]
    Untrustworthy {
        /// The cell.
        cell: String,
        /// Why.
        problem: String,
    },
    /// A value that is given and searched as well.
    #[error("{setting} is given, and it is also among what is searched: leave out the one or the other")]
    GivenAndSearched {
        /// λ or τ.
        setting: &'static str,
    },
    /// Data sets that cannot be.
    #[error("{0}")]
    Data(String),
    /// A preset that does not exist.
    #[error("unknown preset `{0}`; there are: full, quick")]
    UnknownPreset(String),
}

fn steps(path: &DistillationPath) -> String {
    match path.steps() {
        0 => "no step".to_owned(),
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}
