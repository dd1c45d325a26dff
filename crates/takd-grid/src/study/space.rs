//! What a study searches: settings, and the values that each may have.

use super::error::SearchError;
use super::setting::{MOST_VALUES, Setting, Value};
use std::fmt;

/// The values that a setting may have: those of a list, or the numbers of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// These, each once; numbers in rising order.
    Listed(Vec<Value>),
    /// All numbers of a range.
    Range {
        /// The least.
        from: f64,
        /// The largest, above it.
        to: f64,
        /// Whether equal ratios count alike, and not equal differences.
        log: bool,
    },
}

/// A setting, and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    pub(super) setting: Setting,
    pub(super) values: Values,
}

impl Dimension {
    /// A setting that has one of these values.
    ///
    /// # Errors
    /// If there are none or too many, or one stands twice or is none of the setting's.
    pub fn listed(setting: Setting, mut values: Vec<Value>) -> Result<Self, SearchError> {
        check_count(setting, values.len())?;
        if let Some(value) = values.iter().find(|value| !setting.allows(value)) {
            return Err(SearchError::Value { setting, value: value.to_string() });
        }
        let number = |value: &Value| if let Value::Number(number) = value { *number } else { 0.0 };
        values.sort_by(|a, b| number(a).total_cmp(&number(b)));
        for (place, value) in values.iter().enumerate() {
            if values[..place].contains(value) {
                return Err(SearchError::Twice { setting, value: value.to_string() });
            }
        }
        Ok(Self { setting, values: Values::Listed(values) })
    }

    /// A setting that has one of the numbers `from`, `from + step`, … up to `to`.
    ///
    /// # Errors
    /// If the range is empty or has too many numbers, or one of them is none of the setting's.
    pub fn stepped(setting: Setting, from: f64, to: f64, step: f64) -> Result<Self, SearchError> {
        // Also what is not a number is no step.
        let steps = ((to - from) / step + 1e-9).floor();
        let is_range = from.is_finite() && to.is_finite() && step > 0.0 && steps >= 0.0;
        if !is_range {
            return Err(SearchError::EmptyRange { setting, from, to });
        }
        check_count(setting, steps.min(1e9) as usize + 1)?;
        // Not 0.15000000000000002: the number that one would write down.
        let tidy = |number: f64| format!("{number:.12}").parse().unwrap_or(number);
        Self::listed(
            setting,
            (0..=steps as usize).map(|place| Value::Number(tidy(from + place as f64 * step))).collect(),
        )
    }

    /// A setting that has any number from `from` to `to`.
    ///
    /// # Errors
    /// If the range is empty, begins at 0 though its ratios count, or the setting's values are whole numbers or names.
    pub fn range(setting: Setting, from: f64, to: f64, log: bool) -> Result<Self, SearchError> {
        if !(from.is_finite() && to.is_finite() && from < to) {
            return Err(SearchError::EmptyRange { setting, from, to });
        }
        if log && from <= 0.0 {
            return Err(SearchError::LogFromZero { setting, from });
        }
        if setting.is_whole() {
            return Err(SearchError::NoStep(setting));
        }
        for end in [from, to] {
            if !setting.allows(&Value::Number(end)) {
                return Err(SearchError::Value { setting, value: end.to_string() });
            }
        }
        Ok(Self { setting, values: Values::Range { from, to, log } })
    }

    /// The setting.
    pub fn setting(&self) -> Setting {
        self.setting
    }

    /// Its values.
    pub fn values(&self) -> &Values {
        &self.values
    }
}

fn check_count(setting: Setting, count: usize) -> Result<(), SearchError> {
    match count {
        0 => Err(SearchError::NoValues(setting)),
        count if count > MOST_VALUES => Err(SearchError::TooManyValues { setting, count }),
        _ => Ok(()),
    }
}

/// What a trial tries: a value for each setting of the space, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Point(pub(super) Vec<(Setting, Value)>);

impl Point {
    /// The settings and their values.
    pub fn values(&self) -> &[(Setting, Value)] {
        &self.0
    }

    /// The value of a setting, if it is searched.
    pub fn get(&self, setting: Setting) -> Option<&Value> {
        self.0.iter().find(|(own, _)| *own == setting).map(|(_, value)| value)
    }

    /// The number of a setting, if it is searched.
    pub fn number(&self, setting: Setting) -> Option<f64> {
        match self.get(setting)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Point {
    /// `λ 0.35, τ 5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (setting, value)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {value}", setting.symbol())?;
        }
        Ok(())
    }
}

/// The settings that a study searches, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    dimensions: Vec<Dimension>,
}

impl Space {
    /// The space of these settings.
    ///
    /// # Errors
    /// If there are none, or one stands twice.
    pub fn new(dimensions: Vec<Dimension>) -> Result<Self, SearchError> {
        if dimensions.is_empty() {
            return Err(SearchError::NoSettings);
        }
        for (place, Dimension { setting, .. }) in dimensions.iter().enumerate() {
            if dimensions[..place].iter().any(|other| other.setting == *setting) {
                return Err(SearchError::SettingTwice(*setting));
            }
        }
        Ok(Self { dimensions })
    }

    /// Its settings with their values.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The part of it that says something about a network that nobody teaches; nothing if no setting does.
    pub fn alone(&self) -> Option<Self> {
        let own = self.dimensions.iter().filter(|dimension| !dimension.setting.is_of_teaching());
        Self::new(own.cloned().collect()).ok()
    }

    /// The number of its points, unless it has a range.
    pub fn points(&self) -> Option<usize> {
        self.dimensions.iter().try_fold(1_usize, |points, dimension| match &dimension.values {
            Values::Listed(values) => Some(points.saturating_mul(values.len())),
            Values::Range { .. } => None,
        })
    }

    /// The point of this place in the grid of all points: the last setting's values change first.
    pub(super) fn point_at(&self, mut place: usize) -> Point {
        let mut values = Vec::new();
        for Dimension { setting, values: all } in self.dimensions.iter().rev() {
            if let Values::Listed(all) = all {
                values.push((*setting, all[place % all.len()].clone()));
                place /= all.len();
            }
        }
        values.reverse();
        Point(values)
    }
}
