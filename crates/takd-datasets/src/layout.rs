//! How the hub lays out a known data set: its repository and folder.

use crate::Known;

/// The hub's repository of the data set.
pub(crate) fn repository(known: Known) -> String {
    format!("uoft-cs/{known}")
}

/// The folder within that repository that holds the parquet files.
pub(crate) fn folder(known: Known) -> &'static str {
    match known {
        Known::Cifar100 => "cifar100",
        _ => "plain_text",
    }
}
