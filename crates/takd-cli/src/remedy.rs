//! What a person is told when something fails: the libraries' error, and what to do about it on the command line.

use takd_datasets::Error as DataError;
use takd_distill::{Error as TrainError, OtherImages};
use takd_store::Error as StoreError;

/// How a command can do without images of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithoutData {
    /// With `--preset quick`.
    QuickPreset,
    /// With `--data shapes10`.
    DrawnDataset,
    /// Not at all.
    No,
}

/// The error with its causes, but for those that it tells itself, and the remedy.
pub(crate) fn message(error: &anyhow::Error, without_data: WithoutData) -> String {
    let message = error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message.as_str() {
        "" => cause,
        told if told.contains(&cause) => message,
        told => format!("{told}: {cause}"),
    });
    match remedy(error, without_data) {
        Some(remedy) => format!("{message}\n{remedy}"),
        None => message,
    }
}

fn remedy(error: &anyhow::Error, without_data: WithoutData) -> Option<String> {
    if let Some(error) = find::<DataError>(error) {
        return of_data(error, without_data);
    }
    match error.chain().find_map(|cause| cause.downcast_ref()) {
        Some(TrainError::Augmented { .. }) => return Some("--augmentation none leaves the images as they are".into()),
        Some(TrainError::NoChecksum(_)) => return Some(CHECKSUM.into()),
        Some(TrainError::OtherImages(other)) => return Some(of_other_images(other)),
        _ => {}
    }
    if let Some(TrainError::OutputOfClass { .. }) = error.chain().find_map(|cause| cause.downcast_ref()) {
        return Some(
            "--order, or in a recipe `order`, says for each class of the data, in their order, the number of the output that is \
             its, from 0"
                .into(),
        );
    }
    match find::<StoreError>(error)? {
        StoreError::Damaged { .. } => {
            Some("`takd runs verify` lists what is damaged, and the command that trains it again".into())
        }
        StoreError::Prefix { .. } => Some("`takd runs ls` lists all runs".into()),
        StoreError::NoLocks { .. } => Some("--out names another results folder".into()),
        _ => None,
    }
}

/// Where the checksum of a file of logits comes from.
const CHECKSUM: &str = "`takd data show DATA --json` prints the checksum, with the same --size if there is one; `takd logits` writes \
                        such files";

fn of_other_images(other: &OtherImages) -> String {
    match other.at_other_size().map(|name| name.fit()) {
        Some(Some(fit)) => format!("--size {fit} scales the images as they were for these logits"),
        Some(None) => "these logits are of the images as they come: leave --size out".into(),
        None => CHECKSUM.into(),
    }
}

/// The error of this type in the chain, or inside of one of takd-distill's, which passes it on as its own.
fn find<T: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&T> {
    error
        .chain()
        .find_map(|cause| {
            let inner = match cause.downcast_ref()? {
                TrainError::Data(error) => error as &(dyn std::error::Error + 'static),
                TrainError::Store(error) => error,
                _ => return None,
            };
            inner.downcast_ref()
        })
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

fn of_data(error: &DataError, without_data: WithoutData) -> Option<String> {
    let place = match error {
        DataError::NotFound { folder: Some(_), .. } => "The place is the one that --data or --data-dir names",
        DataError::NotFound { folder: None, .. } => {
            "Its place is named with --data PATH, or with --data-dir DIR for a known data set"
        }
        DataError::NoSuchPlace { near: None, .. } => "--data names a file or folder of images",
        _ => return None,
    };
    let without = match without_data {
        WithoutData::QuickPreset => "; --preset quick needs no data, because it trains on images drawn by code",
        WithoutData::DrawnDataset => "; --data shapes10 needs no data, because its images are drawn by code",
        WithoutData::No => "",
    };
    Some(format!("{place}{without}"))
}
