//! How the hub lays out a known data set: its repository and folder.

use crate::Known;

impl Known {
    /// Its repository on the hub; nothing if it is drawn by code.
    pub fn hub_id(self) -> Option<String> {
        (!self.is_drawn()).then(|| repository(self))
    }
}

/// The hub's repository of the data set.
pub(crate) fn repository(known: Known) -> String {
    match known {
        Known::Mnist => "ylecun/mnist".into(),
        Known::FashionMnist => "zalando-datasets/fashion_mnist".into(),
        _ => format!("uoft-cs/{known}"),
    }
}

/// The folder within that repository that holds the parquet files.
pub(crate) fn folder(known: Known) -> &'static str {
    match known {
        Known::Cifar100 => "cifar100",
        Known::Mnist => "mnist",
        Known::FashionMnist => "fashion_mnist",
        _ => "plain_text",
    }
}
