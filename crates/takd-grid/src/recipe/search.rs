//! The search of an experiment, as far as a recipe says it.

use super::error::RecipeProblem;
use super::keys::TableKind;
use super::settings;
use super::table::{Entry, Item, Result, Table};
use crate::study::{Dimension, Objective, Pruning, Sampler, Search, SearchError, Setting, Space, Value};
use takd_distill::Protocol;

/// A search, each part absent unless it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchSettings {
    /// Which settings, and their values.
    pub space: Option<Space>,
    /// How many trials, 1 or more.
    pub trials: Option<usize>,
    /// How many are tried at once, 1 or more.
    pub window: Option<usize>,
    /// How they choose their points.
    pub sampler: Option<Sampler>,
    /// How they end early.
    pub pruning: Option<Pruning>,
    /// What they are to be best in.
    pub objective: Option<Objective>,
    /// The epochs of a trial that does not end early, 1 or more.
    pub epochs: Option<usize>,
    /// The seeds of its runs: at least one, none twice.
    pub seeds: Option<Vec<u64>>,
    /// The study's seed.
    pub seed: Option<u64>,
}

impl SearchSettings {
    /// These settings; those of `others` for what is absent here.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            space: self.space.clone().or_else(|| others.space.clone()),
            trials: self.trials.or(others.trials),
            window: self.window.or(others.window),
            sampler: self.sampler.or(others.sampler),
            pruning: self.pruning.or(others.pruning),
            objective: self.objective.or(others.objective),
            epochs: self.epochs.or(others.epochs),
            seeds: self.seeds.clone().or_else(|| others.seeds.clone()),
            seed: self.seed.or(others.seed),
        }
    }

    /// The whole search: what is absent is as it is usual under a protocol.
    pub fn search(&self, protocol: Protocol) -> Search {
        let usual = Search::usual(protocol);
        Search {
            space: self.space.clone().unwrap_or(usual.space),
            trials: self.trials.unwrap_or(usual.trials),
            window: self.window.unwrap_or(usual.window),
            sampler: self.sampler.unwrap_or(usual.sampler),
            pruning: self.pruning.unwrap_or(usual.pruning),
            objective: self.objective.unwrap_or(usual.objective),
            epochs: self.epochs.or(usual.epochs),
            seeds: self.seeds.clone().unwrap_or(usual.seeds),
            seed: self.seed.unwrap_or(usual.seed),
        }
    }
}

/// Reads a recipe's `[search]`.
pub(super) fn read(item: &Item<'_>) -> Result<SearchSettings> {
    let table = item.table(TableKind::Search, "a table such as { trials = 40 }")?;
    let count = |key| table.get(key).map(|item| settings::whole(&item)).transpose();
    let settings = SearchSettings {
        space: table.get("space").map(|item| space(&item)).transpose()?,
        trials: count("trials")?,
        window: count("window")?,
        sampler: table.get("sampler").map(|item| item.word(Sampler::ALL, Sampler::as_str)).transpose()?,
        pruning: table.get("pruning").map(|item| item.word(Pruning::ALL, Pruning::as_str)).transpose()?,
        objective: table.get("objective").map(|item| item.word(Objective::ALL, Objective::as_str)).transpose()?,
        epochs: count("epochs")?,
        seeds: table.get("seeds").map(|item| settings::seeds(&item)).transpose()?,
        seed: table.get("seed").map(|item| item.whole(0, super::MAX_SEED)).transpose()?,
    };
    Ok(settings)
}

fn space(item: &Item<'_>) -> Result<Space> {
    const EXPECTED: &str = "a table such as { lambda = { from = 0.05, to = 1.0, step = 0.05 } }";

    // Unknown keys are refused with a hint here, and the values are read in the order written below.
    item.table(TableKind::Space, EXPECTED)?;
    let refused = |at, error: SearchError| item.source.error(at, RecipeProblem::Conflict(error.to_string()));
    let mut dimensions = Vec::new();
    for Entry { key, key_at, value } in item.entries(EXPECTED)? {
        let unknown = || refused(key_at, SearchError::UnknownSetting(key.to_owned()));
        let setting = Setting::named(key).ok_or_else(unknown)?;
        dimensions.push(dimension(setting, &value)?.map_err(|error| refused(value.at, error))?);
    }
    Space::new(dimensions).map_err(|error| refused(item.at, error))
}

/// A list of values, or a range.
fn dimension(setting: Setting, item: &Item<'_>) -> Result<std::result::Result<Dimension, SearchError>> {
    const EXPECTED: &str = "a list of values, or a range such as { from = 0.05, to = 1.0, step = 0.05 } or \
                            { from = 0.001, to = 0.1, scale = \"log\" }";

    if let Some(items) = item.as_list() {
        return Ok(Dimension::listed(setting, items.iter().map(value).collect::<Result<_>>()?));
    }
    let table: Table<'_> = item.table(TableKind::Range, EXPECTED)?;
    let number = |item: Item<'_>| item.number("a number", |_| true);
    let (from, to) = (number(table.require("from")?)?, number(table.require("to")?)?);
    let scale = table.get("scale").map(|item| item.word(&[false, true], |log| if log { "log" } else { "linear" }));
    let log = scale.transpose()?.unwrap_or(false);
    match table.get("step") {
        Some(step) if log => {
            let problem = "a range has a `step`, or the `scale` \"log\", not both".into();
            Err(item.source.error(step.at, RecipeProblem::Conflict(problem)))
        }
        Some(step) => Ok(Dimension::stepped(setting, from, to, number(step)?)),
        None => Ok(Dimension::range(setting, from, to, log)),
    }
}

fn value(item: &Item<'_>) -> Result<Value> {
    match (item.as_text(), item.flag()) {
        (Some(name), _) => Ok(Value::Name(name.to_owned())),
        (None, Ok(flag)) => Ok(Value::Flag(flag)),
        (None, Err(_)) => item.number("a number, a name, true or false", |_| true).map(Value::Number),
    }
}
