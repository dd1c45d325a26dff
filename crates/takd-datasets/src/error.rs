//! What can be wrong with a data set, each with where it was and what to do about it.

use crate::{DatasetName, Split};
use std::path::PathBuf;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a data set could not be loaded or a batch not be made. Each message names the file, row or value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No data set goes by this name.
    #[error("there is no data set `{name}`: choose one of {}", DatasetName::list())]
    UnknownName {
        /// The name that was asked for.
        name: String,
    },

    /// The data set is in none of the places where it was looked for.
    #[error("{}", not_found(*.name, .looked))]
    NotFound {
        /// The data set.
        name: DatasetName,
        /// Each place, with what was found there instead.
        looked: Vec<Looked>,
    },

    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A file ends before its contents do.
    #[error(
        "{} is truncated: {found} bytes, {expected}; copy or download it again (delete this one first)",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// What it should have been, in words.
        expected: String,
    },

    /// A file's contents are not what its format promises.
    #[error("{} is damaged or not such a file: {problem}; copy or download it again (delete this one first)", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was wrong, and at which byte where that is known.
        problem: String,
    },

    /// A file lacks a column or holds it in another type.
    #[error(
        "{} has no column {wanted}; its columns are {}: this is not {name} in the hub's layout",
        path.display(), found.join(", ")
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The data set it was read as.
        name: DatasetName,
        /// The column and its type.
        wanted: String,
        /// The columns there are, with their types.
        found: Vec<String>,
    },

    /// One row of a file holds no usable image or label.
    #[error("{}, row {row} (from 0): {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row within that file, counted from 0.
        row: usize,
        /// What was wrong.
        problem: String,
    },

    /// Some of a split's numbered files are missing.
    #[error("{}: {missing} is missing, one of the {of} files of the {split} split: copy it there too", folder.display())]
    MissingShard {
        /// The folder that holds the others.
        folder: PathBuf,
        /// The split.
        split: Split,
        /// The missing file's name.
        missing: String,
        /// How many there should be.
        of: usize,
    },

    /// The hub answered, but not with the data set.
    #[error("the hub's `{repo}`: {problem}")]
    Hub {
        /// The hub's name for the data set.
        repo: String,
        /// What it answered or failed to send.
        problem: String,
    },

    /// A split has no images.
    #[error("the {split} split of {name} has no images: {remedy}")]
    Empty {
        /// The data set.
        name: DatasetName,
        /// The split.
        split: Split,
        /// What to do.
        remedy: String,
    },

    /// Pixels, labels and dimensions given to [`crate::Images::new`] do not fit together.
    #[error(
        "{pixels} bytes of pixels and {labels} labels do not make images of {height}x{width}x3: \
         each needs one label and {} bytes", height.saturating_mul(*width).saturating_mul(3)
    )]
    Shape {
        /// Bytes of pixels.
        pixels: usize,
        /// Number of labels.
        labels: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
    },

    /// An order names an image that is not there.
    #[error("the order asks for image {index}, but there are {len}: make it with `epoch_order({len}, …)`")]
    Index {
        /// The index.
        index: u32,
        /// Number of images.
        len: usize,
    },

    /// Batches of no images.
    #[error("a batch of 0 images was asked for: set `batch_size` to 1 or more")]
    BatchSize,

    /// The tensor of a batch could not be made or moved to its device.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A place where a data set was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The folder or hub repository.
    pub place: String,
    /// What was there instead.
    pub found: String,
}

fn not_found(name: DatasetName, looked: &[Looked]) -> String {
    let mut message = format!("the data set {name} was not found. Looked for in:\n");
    for Looked { place, found } in looked {
        message += &format!("  - {place}: {found}\n");
    }
    message += &format!(
        "Give it with `--data-dir DIR`, where DIR holds {}; \
         or use `--preset quick`, which trains on built-in images and needs no data",
        crate::local::layout(name)
    );
    message
}
