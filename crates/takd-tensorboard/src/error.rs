//! What can go wrong with an event file.

use crate::MAX_TAG_BYTES;
use std::path::{Path, PathBuf};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an event file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be created, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `create`, `read`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// TensorBoard would not find a file of this name.
    #[error("TensorBoard would not find {}: the name must contain `tfevents`, as in `events.out.tfevents.0`",
            path.display())]
    Name {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The file does not begin with a version event. It was not changed.
    #[error("{} is not an event file and was not changed; move it away or choose another name", path.display())]
    NotEventFile {
        /// The file.
        path: PathBuf,
    },
    /// A tag is empty or too long.
    #[error("cannot write a scalar to {}: its tag has {bytes} bytes, but must have 1 to {MAX_TAG_BYTES}", path.display())]
    Tag {
        /// The file.
        path: PathBuf,
        /// The tag's length.
        bytes: usize,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
