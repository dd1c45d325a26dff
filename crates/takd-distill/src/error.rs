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
    #[error("{} is damaged: {problem}; starting its run again repairs it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A result that cannot be put into a file.
    #[error("cannot be written as a file: {0}")]
    Unwritable(String),
    /// The run has not ended, or its files are gone.
    #[error("the run {id} is not finished: {} has no result; train it first", dir.display())]
    Unfinished {
        /// The run.
        id: RunId,
        /// Its folder.
        dir: PathBuf,
    },
    /// Another process works on the run.
    #[error("another process works on the run {0}; wait until it has ended, or stop it")]
    Claimed(RunId),
    /// No run, or more than one, has an id that begins so, or nothing was given at all.
    #[error("`{prefix}` does not tell one run in {}: {found} runs have an id that begins so; `takd runs ls` lists all", root.display())]
    Prefix {
        /// What was given.
        prefix: String,
        /// How many runs begin with it.
        found: usize,
        /// Where they were sought.
        root: PathBuf,
    },
    /// The loss, the logits or the gradients ceased to be numbers.
    #[error(
        "the training diverged in epoch {epoch}, step {step} (both from 1), at learning rate {lr}: {reason}; use \
             a lower learning rate, λ or τ (last good checkpoint: {})",
        checkpoint.as_ref().map_or("none yet".into(), |path| path.display().to_string())
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
        /// What the run would go on from; nothing where it would begin anew.
        checkpoint: Option<PathBuf>,
    },
    /// Something that has to be a number is none.
    #[error("{0}")]
    NotFinite(String),
    /// Asked to stop. Once the training had begun, a checkpoint was written first; teachers' logits begin again.
    #[error("stopped; the same command goes on where this one left off")]
    Stopped,
    /// The data set could not be used.
    #[error(transparent)]
    Data(#[from] takd_datasets::Error),
    /// The loss could not be computed.
    #[error(transparent)]
    Loss(#[from] takd_loss::Error),
    /// The event file for TensorBoard could not be written.
    #[error("{0}; earlier results are whole, and the run goes on from its last checkpoint when started again")]
    Tensorboard(#[from] takd_tensorboard::Error),
    /// A tensor could not be computed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn unwritable(error: impl Display) -> Self {
        Self::Unwritable(error.to_string())
    }

    pub(crate) fn damaged(path: &Path, problem: &dyn Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}
