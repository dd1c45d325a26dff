//! A search of a report: its trials, what they came to, and what it took.

use serde::{Serialize, Serializer};
use takd_grid::study::{Setting, Value};
use takd_store::RunId;

/// The search for the settings of the last network of a path.
#[derive(Clone, Debug, Serialize)]
pub struct StudyReport {
    /// `plane10 → plane2`.
    pub path: String,
    /// What trials are judged by: `held-out accuracy`, `held-out loss`, or, as published, `test accuracy` or `test loss` of the best
    /// epoch.
    pub judged_by: &'static str,
    /// Whether the test images choose, as in the published code: scores then flatter.
    pub as_published: bool,
    /// How many trials it has.
    pub size: usize,
    /// The epochs after which trials are looked at, the full number last.
    pub rungs: Vec<usize>,
    /// The trials whose points are known, in their order.
    pub trials: Vec<TrialReport>,
    /// Whether all trials have ended.
    pub ended: bool,
    /// The best trial's number, from 1; nothing before the end, or if all diverged.
    pub winner: Option<usize>,
    /// How much of the differences between trials each setting explains.
    pub importances: Vec<Importance>,
    /// Epochs that were trained, over all trials and seeds.
    pub epochs: usize,
    /// What the same trials take if none ends early.
    pub epochs_of_whole_trials: usize,
    /// What the trials took, by one after the other.
    pub seconds: f64,
}

/// A point that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct TrialReport {
    /// Its number, from 1.
    pub number: usize,
    /// The settings that are searched, and their values.
    pub values: Vec<SettingValue>,
    /// Its score at each rung that it has come to, as `judged_by` names it; nothing where it diverged.
    pub scores: Vec<Option<f64>>,
    /// How far it has come.
    pub state: TrialState,
    /// Its runs at each rung, one for each of the search's seeds.
    pub runs: Vec<Vec<RunId>>,
}

/// A setting and its value.
#[derive(Clone, Debug, Serialize)]
pub struct SettingValue {
    /// The setting as recipes name it.
    #[serde(serialize_with = "setting_name")]
    pub setting: Setting,
    /// Its value.
    #[serde(serialize_with = "plain_value")]
    pub value: Value,
}

/// How far a trial has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialState {
    /// It goes on.
    Running,
    /// It was trained to the end.
    Whole,
    /// It ended early.
    Early,
    /// It diverged.
    Diverged,
}

/// How much of the differences between trials a setting explains by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Importance {
    /// The setting as recipes name it.
    #[serde(serialize_with = "setting_name")]
    pub setting: Setting,
    /// ω², from 0 to 1: the share of the variance of the scores at the first rung that the setting's values explain, by a one-way
    /// analysis of variance.
    pub share: f64,
}

impl StudyReport {
    /// The best trial of an ended search.
    pub fn best(&self) -> Option<&TrialReport> {
        self.winner.and_then(|number| self.trials.get(number - 1))
    }

    /// How many trials ended early.
    pub fn early(&self) -> usize {
        self.trials.iter().filter(|trial| trial.state == TrialState::Early).count()
    }
}

impl TrialReport {
    /// The score at the last rung that it came to.
    pub fn score(&self) -> Option<f64> {
        self.scores.last().copied().flatten()
    }

    /// `λ 0.35, τ 5`.
    pub fn point(&self) -> String {
        let value = |of: &SettingValue| format!("{} {}", of.setting.symbol(), of.value);
        self.values.iter().map(value).collect::<Vec<_>>().join(", ")
    }

    /// The value of a setting.
    pub fn value(&self, setting: Setting) -> Option<&Value> {
        self.values.iter().find(|of| of.setting == setting).map(|of| &of.value)
    }
}

impl TrialState {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Whole => "whole",
            Self::Early => "early",
            Self::Diverged => "diverged",
        }
    }
}

// serde gives references.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn setting_name<S: Serializer>(setting: &Setting, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(setting.as_str())
}

fn plain_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Value::Number(number) => serializer.serialize_f64(*number),
        Value::Name(name) => serializer.serialize_str(name),
        Value::Flag(flag) => serializer.serialize_bool(*flag),
    }
}
