//! How large an experiment is.

use crate::Cell;
use std::{fmt, str::FromStr};
use takd_datasets::{DatasetName, Drawn};
use takd_distill::{Augment, LrFrom, Protocol, Recipe};
use takd_models::{Family, ModelSpec};

/// How large an experiment is: networks, data and epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// The paper's own networks, data sets and epochs.
    Full,
    /// Built-in images and few epochs: all four cells in two minutes on two cores, with nothing to download.
    Quick,
}

/// A name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown preset `{name}`; there are: full, quick")]
pub struct UnknownPreset {
    /// The name as it was given.
    pub name: String,
}

/// The networks of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trio {
    /// The large network.
    pub teacher: ModelSpec,
    /// The one of middle size.
    pub assistant: ModelSpec,
    /// The small one, that is wanted.
    pub student: ModelSpec,
}

impl Preset {
    /// The name as it is parsed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }

    /// What the cell's networks are trained on.
    pub fn dataset(self, cell: Cell) -> DatasetName {
        match (self, cell) {
            (Self::Full, Cell::PlainCifar10 | Cell::ResnetCifar10) => DatasetName::Cifar10,
            (Self::Full, _) => DatasetName::Cifar100,
            (Self::Quick, Cell::PlainCifar10 | Cell::ResnetCifar10) => DatasetName::Shapes10,
            (Self::Quick, _) => DatasetName::Shapes100,
        }
    }

    /// How many images the built-in data sets have.
    pub fn drawn(self) -> Drawn {
        match self {
            Self::Full => Drawn { train: 50_000, test: 10_000, seed: 0 },
            Self::Quick => Drawn { train: 2_500, test: 1_000, seed: 0 },
        }
    }

    /// The cell's networks.
    pub fn trio(self, cell: Cell) -> Trio {
        let sizes = match (self, cell.family()) {
            (_, Family::Plain) => [10, 4, 2],
            (Self::Full, Family::Resnet) => [110, 20, 8],
            (Self::Quick, Family::Resnet) => [20, 14, 8],
        };
        let [teacher, assistant, student] =
            sizes.map(|size| ModelSpec::new(cell.family(), size).expect("sizes above are those of the families"));
        Trio { teacher, assistant, student }
    }

    /// The cell's recipe; `epochs` of the preset's own where none is given.
    pub fn recipe(self, cell: Cell, protocol: Protocol, epochs: Option<usize>) -> Recipe {
        let family = cell.family();
        let own = match self {
            Self::Full => protocol.epochs(family),
            Self::Quick => 6,
        };
        let recipe = protocol.recipe(family, epochs.unwrap_or(own));
        match self {
            Self::Full => recipe,
            Self::Quick => short(&recipe, family),
        }
    }

    /// Seeds where none are given.
    pub fn seeds(self, protocol: Protocol) -> Vec<u64> {
        match (self, protocol) {
            // The published code's own three, so that there is a deviation to report.
            (Self::Full, Protocol::Sound) => vec![20, 31, 55],
            _ => vec![31],
        }
    }
}

/// The recipe for a few hundred steps in all, where the paper's rates are for many thousands: what differs is the learning
/// rate, with one fall before the last epoch, no augmentation, and smaller batches for ResNets, which need more steps.
fn short(recipe: &Recipe, family: Family) -> Recipe {
    let (batch_size, lr) = match family {
        Family::Plain => (128, 0.01),
        Family::Resnet => (32, 0.02),
    };
    let mut pieces = vec![LrFrom { epoch: 0, lr }];
    if recipe.epochs > 1 {
        pieces.push(LrFrom { epoch: recipe.epochs - 1, lr: lr / 10.0 });
    }
    Recipe { batch_size, lr: pieces, augmentation: Augment::None, ..*recipe }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let known = [Self::Full, Self::Quick].into_iter().find(|preset| preset.as_str() == name);
        known.ok_or_else(|| UnknownPreset { name: name.to_owned() })
    }
}
