//! What can go wrong in a run.

use crate::other_images::OtherImages;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use takd_datasets::Augmentation;
use takd_models::ModelSpec;
use takd_store::RunId;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run did not end. What was finished before stays whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense, or not for these data.
    #[error("invalid run configuration: {0}")]
    Config(String),
    /// A file of a run could not be read or written, is damaged, or belongs to another process.
    #[error(transparent)]
    Store(#[from] takd_store::Error),
    /// The run has not ended, or its files are gone.
    #[error("the run {id} is not finished: train it first (its folder is {})", takd_store::printable_path(dir))]
    Unfinished {
        /// The run.
        id: RunId,
        /// Its folder.
        dir: PathBuf,
    },
    /// The loss, the logits or the gradients ceased to be numbers.
    #[error("{0}")]
    Diverged(Divergence),
    /// The run diverged when it was trained before.
    #[error("the run {id} {reason}; it is not trained again unless that is asked for")]
    DivergedBefore {
        /// The run.
        id: RunId,
        /// When, and what ceased to be a number.
        reason: String,
    },
    /// A file with a network that was trained elsewhere cannot be taken in.
    #[error("cannot import {}: {reason}", takd_store::printable_path(path))]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds a teacher's logits and does not say of which images they are.
    #[error(
        "cannot import {}: it holds logits, but its metadata do not say of which images: they need `checksum`, the one in the card of \
         the data set",
        takd_store::printable_path(.0)
    )]
    NoChecksum(PathBuf),
    /// A file holds a teacher's logits of other images.
    #[error(transparent)]
    OtherImages(Box<OtherImages>),
    /// A network that was trained elsewhere does not have one output for a class of the data, by their names.
    #[error(
        "{} has {} for the class {} of {data}",
        takd_store::printable(name),
        if *found == 0 { "no output" } else { "more than one output" },
        takd_store::printable(class)
    )]
    OutputOfClass {
        /// What the network is called.
        name: String,
        /// The class.
        class: String,
        /// The data.
        data: String,
        /// How many of its outputs are called so.
        found: usize,
    },
    /// A run whose network was trained elsewhere is not there, so that it cannot be had by training.
    #[error("the run {0} was trained elsewhere, and its files are gone or damaged: import its file again")]
    NotImported(RunId),
    /// A network is asked for of a run that has none.
    #[error("the run {0} is a teacher that is known by the logits in a file: it has no network")]
    NoNetwork(RunId),
    /// A teacher that is known by its logits is to teach on images that it has not seen so.
    #[error(
        "{student} is to be taught by logits from a file, which are those of the images as they are, and its images are augmented \
         ({augmentation}): train it on images that are not (`augmentation = \"none\"`)"
    )]
    Augmented {
        /// The student.
        student: ModelSpec,
        /// What is done to its images.
        augmentation: Augmentation,
    },
    /// A file holds no known network.
    #[error(transparent)]
    Checkpoint(#[from] takd_models::CheckpointError),
    /// A value that has to be a number is not.
    #[error("{0}")]
    NotFinite(String),
    /// Asked to stop. If the training had begun, a checkpoint was written first; teachers' logits go on with the file at which
    /// they were.
    #[error("stopped; the same command goes on from here")]
    Stopped,
    /// The data set could not be used.
    #[error(transparent)]
    Data(#[from] takd_datasets::Error),
    /// The loss could not be computed.
    #[error(transparent)]
    Loss(#[from] takd_loss::Error),
    /// The event file for TensorBoard could not be written.
    #[error(transparent)]
    Tensorboard(#[from] takd_tensorboard::Error),
    /// A tensor could not be computed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// When a training diverged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "diverged in epoch {epoch}, step {step} (both from 1), at learning rate {lr}: {reason}; use a lower learning rate, λ or τ \
     (last good checkpoint: {})",
    checkpoint.as_ref().map_or("none yet".into(), |path| takd_store::printable_path(path))
)]
pub struct Divergence {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// The learning rate of that step.
    pub lr: f64,
    /// What ceased to be a number.
    pub reason: String,
    /// What the run would go on from; nothing if it would begin anew.
    pub checkpoint: Option<PathBuf>,
}

impl Error {
    pub(crate) fn unfinished(id: &RunId, dir: PathBuf) -> Self {
        Self::Unfinished { id: id.clone(), dir }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Display) -> Self {
        takd_store::Error::damaged(path, problem).into()
    }

    /// For a file that must be there.
    pub(crate) fn gone(path: &Path) -> Self {
        Self::damaged(path, "it is gone")
    }

    /// Whether a file was found not to be as it was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(takd_store::Error::Damaged { .. }))
    }
}

/// What was found, or nothing if it is damaged: then it is made again, and a warning says so.
pub(crate) fn repaired<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_damage() => {
            tracing::warn!("{error}; it is made again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
