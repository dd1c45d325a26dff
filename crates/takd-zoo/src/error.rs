//! What can be wrong with a model folder, each with the file and what to do about it.

use std::path::PathBuf;
use takd_models::CheckpointError;
use takd_store::{printable, printable_path};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be opened, written or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written, is no regular file, or is too large.
    #[error(transparent)]
    Store(#[from] takd_store::Error),
    /// A folder lacks one of the two files that make it a model.
    #[error("there is no {}: a model is a folder with config.json and model.safetensors", printable_path(path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A configuration is not JSON, lacks a field, or says what cannot be.
    #[error("{}: {}", printable_path(path), printable(problem))]
    Config {
        /// The file; `config.json` alone if there is none yet.
        path: PathBuf,
        /// What is wrong, and where it stands if that is known.
        problem: String,
    },
    /// A configuration is of another version of the format.
    #[error(
        "{} has format_version {found}, and this version of takd reads {known}: use a newer takd",
        printable_path(path)
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is read.
        known: u64,
    },
    /// The weights are those of another network, or their file is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor cannot be that of a model.
    #[error("{}: tensor `{}` {}", printable_path(path), tensor.escape_debug(), printable(problem))]
    Weights {
        /// The file; `model.safetensors` alone if there is none yet.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it, and what to do about it.
        problem: String,
    },
    /// A file would be so large that it would not be read again.
    #[error("{name} would have {found} bytes, and at most {limit} are read of it")]
    TooLarge {
        /// The file's name.
        name: &'static str,
        /// Its bytes.
        found: usize,
        /// The most bytes that are read.
        limit: u64,
    },
    /// A folder is there already.
    #[error("{} is there already; choose another folder, or have it replaced", printable_path(path))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that was to be replaced is no model.
    #[error("{} is not replaced, because it is no model of takd's: {}", printable_path(path), printable(reason))]
    NotAModel {
        /// The folder.
        path: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// An image could not be read.
    #[error(transparent)]
    Image(#[from] takd_datasets::Error),
    /// The pixels of an image are not as many as the network takes.
    #[error("image {index} (from 0) has {found} bytes; this model takes {side}x{side} pixels of 3 bytes, {expected}")]
    ImageSize {
        /// Which of the images.
        index: usize,
        /// Its bytes.
        found: usize,
        /// The bytes that it should have.
        expected: usize,
        /// Rows and columns of the network's images.
        side: usize,
    },
    /// The network's answer is not a number.
    #[error("the network's answer to image {index} (from 0) is not a number: its weights are too large")]
    NotANumber {
        /// Which of the images.
        index: usize,
    },
    /// The network could not be computed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
