//! How the hub lays out a data set: its repository, folder and columns.

use crate::DatasetName;

/// The hub's repository of the data set.
pub(crate) fn repository(name: DatasetName) -> String {
    format!("uoft-cs/{name}")
}

/// The folder within that repository that holds the parquet files.
pub(crate) fn folder(name: DatasetName) -> &'static str {
    match name {
        DatasetName::Cifar100 => "cifar100",
        _ => "plain_text",
    }
}

/// The column of the images' files, PNG or JPEG.
pub(crate) const IMAGE_COLUMN: &str = "img.bytes";

/// The column of the labels.
pub(crate) fn label_column(name: DatasetName) -> &'static str {
    match name {
        DatasetName::Cifar100 => "fine_label",
        _ => "label",
    }
}

/// What a folder of the user's must hold, for messages.
pub(crate) fn description(name: DatasetName) -> String {
    format!(
        "{name}/{}/train-*.parquet and test-*.parquet as on the hub (columns `{IMAGE_COLUMN}`, PNG or JPEG, and `{}`)",
        folder(name),
        label_column(name)
    )
}
