//! The cells of the paper's Table 1.

use std::{fmt, str::FromStr};
use takd_models::Family;

/// One row of Table 1 of arXiv 1902.03393: a family of networks on a data set. Parses from and prints as `plain/cifar10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    /// Plain CNNs 2, 4 and 10 on CIFAR-10.
    PlainCifar10,
    /// Plain CNNs 2, 4 and 10 on CIFAR-100.
    PlainCifar100,
    /// ResNets 8, 20 and 110 on CIFAR-10.
    ResnetCifar10,
    /// ResNets 8, 20 and 110 on CIFAR-100.
    ResnetCifar100,
    /// ResNets 14, 20 and 50 on ImageNet; not yet runnable.
    ResnetImagenet,
}

/// A name that no cell has, or one whose cell cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// There is no such cell.
    #[error("unknown cell `{name}`; there are: {}", runnable())]
    Unknown {
        /// The name as it was given.
        name: String,
    },
    /// The cell is the paper's, but its networks and data are not here yet.
    #[error("the cell `{cell}` is not yet runnable; those that are: {}", runnable())]
    NotRunnable {
        /// The cell.
        cell: Cell,
    },
}

fn runnable() -> String {
    Cell::RUNNABLE.map(Cell::as_str).join(", ")
}

impl Cell {
    /// Every cell, in the paper's order.
    pub const ALL: [Self; 5] =
        [Self::PlainCifar10, Self::PlainCifar100, Self::ResnetCifar10, Self::ResnetCifar100, Self::ResnetImagenet];

    /// The cells that can be run.
    pub const RUNNABLE: [Self; 4] =
        [Self::PlainCifar10, Self::PlainCifar100, Self::ResnetCifar10, Self::ResnetCifar100];

    /// The name as it is parsed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlainCifar10 => "plain/cifar10",
            Self::PlainCifar100 => "plain/cifar100",
            Self::ResnetCifar10 => "resnet/cifar10",
            Self::ResnetCifar100 => "resnet/cifar100",
            Self::ResnetImagenet => "resnet/imagenet",
        }
    }

    /// The family of its networks.
    pub fn family(self) -> Family {
        match self {
            Self::PlainCifar10 | Self::PlainCifar100 => Family::Plain,
            _ => Family::Resnet,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(name: &str) -> Result<Self, CellError> {
        match Self::ALL.into_iter().find(|cell| cell.as_str() == name) {
            Some(cell) if Self::RUNNABLE.contains(&cell) => Ok(cell),
            Some(cell) => Err(CellError::NotRunnable { cell }),
            None => Err(CellError::Unknown { name: name.to_owned() }),
        }
    }
}
