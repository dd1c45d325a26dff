//! Why a file's tensors could not be found, before it is known which file it was.

use crate::CheckpointError;
use std::path::Path;

/// As the variants of [`CheckpointError`], without the path.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Damaged(String),
    Tar,
    Object { key: Option<String>, class: String },
    Several(Vec<String>),
}

impl Unreadable {
    pub(crate) fn object(key: Option<&str>, module: &str, name: &str) -> Self {
        Self::Object { key: key.map(str::to_owned), class: format!("{module}.{name}") }
    }

    pub(crate) fn at(self, path: &Path) -> CheckpointError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => CheckpointError::Damaged { path, reason },
            Self::Tar => CheckpointError::Tar { path },
            Self::Object { key, class } => CheckpointError::Object { path, key, class },
            Self::Several(keys) => CheckpointError::Several { path, keys },
        }
    }
}

impl From<String> for Unreadable {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl From<&str> for Unreadable {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }
}
