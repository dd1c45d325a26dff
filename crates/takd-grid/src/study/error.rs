//! Why a search cannot be made.

use super::setting::{MOST_TRIALS, MOST_VALUES, Setting};

/// Why a search cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// A setting that cannot be searched.
    #[error("`{name}` cannot be searched; there are: {known}", name = .0, known = known())]
    UnknownSetting(String),
    /// Nothing is to be searched.
    #[error("there is no setting to search; there are: {}", known())]
    NoSettings,
    /// A setting stands twice.
    #[error("`{}` stands twice", .0.as_str())]
    SettingTwice(Setting),
    /// A setting without values.
    #[error("`{}` has no values", .0.as_str())]
    NoValues(Setting),
    /// More values than are of use.
    #[error("`{}` has {count} values; at most {MOST_VALUES}", setting.as_str())]
    TooManyValues {
        /// The setting.
        setting: Setting,
        /// How many.
        count: usize,
    },
    /// A value that the setting cannot have.
    #[error("`{}` cannot be {value}: its values are {}", setting.as_str(), setting.expected())]
    Value {
        /// The setting.
        setting: Setting,
        /// The value.
        value: String,
    },
    /// A value stands twice.
    #[error("`{}` has the value {value} twice", setting.as_str())]
    Twice {
        /// The setting.
        setting: Setting,
        /// The value.
        value: String,
    },
    /// A range without numbers.
    #[error("`{}` has no value from {from} to {to}: a range rises, by a step above 0", setting.as_str())]
    EmptyRange {
        /// The setting.
        setting: Setting,
        /// Where it begins.
        from: f64,
        /// Where it ends.
        to: f64,
    },
    /// A range of ratios that begins at 0 or below.
    #[error("`{}` begins at {from}, where no ratios are: with scale = \"log\" it begins above 0", setting.as_str())]
    LogFromZero {
        /// The setting.
        setting: Setting,
        /// Where it begins.
        from: f64,
    },
    /// A range of whole numbers without a step.
    #[error("`{}` has whole numbers: its range needs a `step`", .0.as_str())]
    NoStep(Setting),
    /// No trials.
    #[error("a search has at least one trial, and a window of at least one")]
    NoTrials,
    /// More trials than are of use.
    #[error("{0} trials; at most {MOST_TRIALS}")]
    TooManyTrials(usize),
    /// A grid of a space with a range.
    #[error("a grid needs lists, or ranges with a step, for every setting")]
    EndlessGrid,
    /// A grid with more points than trials.
    #[error(
        "the grid has {points} points, and {trials} trials are allowed: allow {points}, or search with \"tpe\" or \"random\""
    )]
    LargeGrid {
        /// The number of its points.
        points: usize,
        /// The trials.
        trials: usize,
    },
}

fn known() -> String {
    Setting::ALL.iter().map(|setting| setting.as_str()).collect::<Vec<_>>().join(", ")
}
