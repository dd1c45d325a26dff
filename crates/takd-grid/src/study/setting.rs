//! Settings that can be searched, and values of them.

use std::fmt;
use takd_datasets::Augmentation;
use takd_distill::{DecayOn, KlReduction};

/// The most values of a setting.
pub const MOST_VALUES: usize = 10_000;

/// The most trials of a study.
pub const MOST_TRIALS: usize = 2000;

/// A setting that a study may search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    /// λ, the teachers' share of the loss.
    Lambda,
    /// τ, what logits are divided by.
    Temperature,
    /// How the KL term is averaged.
    KlReduction,
    /// The first learning rate; later ones keep their ratio to it.
    LearningRate,
    /// Momentum.
    Momentum,
    /// Whether momentum is applied in Nesterov's form.
    Nesterov,
    /// L2 penalty.
    WeightDecay,
    /// What the penalty falls on.
    WeightDecayOn,
    /// What is done to training images.
    Augmentation,
    /// Images a step.
    BatchSize,
    /// The run's seed: what the published code searches too.
    Seed,
}

impl Setting {
    /// Every setting.
    pub const ALL: &'static [Self] = &[
        Self::Lambda,
        Self::Temperature,
        Self::KlReduction,
        Self::LearningRate,
        Self::Momentum,
        Self::Nesterov,
        Self::WeightDecay,
        Self::WeightDecayOn,
        Self::Augmentation,
        Self::BatchSize,
        Self::Seed,
    ];

    /// The key as recipes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Temperature => "temperature",
            Self::KlReduction => "kl_reduction",
            Self::LearningRate => "lr",
            Self::Momentum => "momentum",
            Self::Nesterov => "nesterov",
            Self::WeightDecay => "weight_decay",
            Self::WeightDecayOn => "weight_decay_on",
            Self::Augmentation => "augmentation",
            Self::BatchSize => "batch_size",
            Self::Seed => "seed",
        }
    }

    /// The setting of this key.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|setting| setting.as_str() == key)
    }

    /// The name as tables have it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Lambda => "λ",
            Self::Temperature => "τ",
            other => other.as_str(),
        }
    }

    /// Whether it says something about the teaching, and so nothing about a network that is trained alone.
    pub fn is_of_teaching(self) -> bool {
        matches!(self, Self::Lambda | Self::Temperature | Self::KlReduction)
    }

    /// What its values may be, in words.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Lambda => "numbers from 0 to 1",
            Self::Temperature | Self::LearningRate => "finite numbers above 0",
            Self::KlReduction => "\"batch-mean\" or \"mean\"",
            Self::Momentum => "numbers from 0 to below 1",
            Self::Nesterov => "true or false",
            Self::WeightDecay => "finite numbers of 0 or more",
            Self::WeightDecayOn => "\"all\" or \"weights\"",
            Self::Augmentation => "augmentations, such as \"none\" or \"crop-flip\"",
            Self::BatchSize => "whole numbers of 1 or more",
            Self::Seed => "whole numbers of 0 or more",
        }
    }

    pub(super) fn allows(self, value: &Value) -> bool {
        const MOST: f64 = 1e9;
        let whole = |number: f64, least: f64| number.fract() == 0.0 && (least..=MOST).contains(&number);
        match (self, value) {
            (Self::Lambda, &Value::Number(number)) => (0.0..=1.0).contains(&number),
            (Self::Temperature | Self::LearningRate, &Value::Number(number)) => number.is_finite() && number > 0.0,
            (Self::Momentum, Value::Number(number)) => (0.0..1.0).contains(number),
            (Self::WeightDecay, &Value::Number(number)) => number.is_finite() && number >= 0.0,
            (Self::BatchSize, &Value::Number(number)) => whole(number, 1.0),
            (Self::Seed, &Value::Number(number)) => whole(number, 0.0),
            (Self::Nesterov, Value::Flag(_)) => true,
            (Self::KlReduction, Value::Name(name)) => name.parse::<KlReduction>().is_ok(),
            (Self::WeightDecayOn, Value::Name(name)) => name.parse::<DecayOn>().is_ok(),
            (Self::Augmentation, Value::Name(name)) => name.parse::<Augmentation>().is_ok(),
            _ => false,
        }
    }

    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::BatchSize | Self::Seed)
    }
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// One of a few names.
    Name(String),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Name(name) => f.pad(name),
            Self::Flag(flag) => fmt::Display::fmt(flag, f),
        }
    }
}
