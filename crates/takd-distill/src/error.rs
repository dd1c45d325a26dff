//! What can go wrong in a run.

use crate::RunId;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run did not end. What was finished before stays whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error("this run's configuration cannot be: {0}")]
    Config(String),
    /// A file of a run could not be read or written.
    #[error("cannot {action} {}: {source}; earlier results are whole, and the run goes on from its last checkpoint when \
             started again", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of a run holds something else than this program wrote.
    #[error("{} is damaged: {problem}; delete the run's folder {} and start again", path.display(), folder(path).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The teacher has not been trained, or its files are gone.
    #[error("the teacher's run {id} is not finished: {} has no result; train it first", dir.display())]
    Teacher {
        /// The teacher's run.
        id: RunId,
        /// Its folder.
        dir: PathBuf,
    },
    /// The loss or the logits ceased to be numbers.
    #[error(
        "the training diverged in epoch {epoch}, step {step} (both from 1), at learning rate {lr}: {reason}; use \
             a lower learning rate, λ or τ (last good checkpoint: {})", checkpoint.display()
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
        /// The learning rate.
        lr: f64,
        /// What ceased to be a number.
        reason: String,
        /// What the run would go on from.
        checkpoint: PathBuf,
    },
    /// Asked to stop; a checkpoint was written first.
    #[error("stopped; the same command goes on where this one left off")]
    Stopped,
    /// The data set could not be used.
    #[error(transparent)]
    Data(#[from] takd_datasets::Error),
    /// The loss could not be computed.
    #[error(transparent)]
    Loss(#[from] takd_loss::Error),
    /// A tensor could not be computed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: &dyn Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}
