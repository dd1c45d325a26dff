//! What can go wrong in a store.

use crate::{InvalidRunId, RunId, printable, printable_path};
use std::fmt::{self, Display};
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something in a store could not be done.
///
/// Messages are safe to print: file names and what was read from files pass through [`printable`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot {action} {}: {source}", printable_path(path))]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not hold what was written into it.
    #[error("{} is damaged: {}", printable_path(path), printable(problem))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is intact, but this version of the program does not understand it.
    #[error(
        "{} was made by another version of the program and is left alone: {}",
        printable_path(path),
        printable(reason)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is not understood.
        reason: String,
    },
    /// A link, pipe, device or the like stands in the place of a file or of a run's folder.
    #[error("{} is {found}, and {expected} is expected there; it is left alone: move it away", printable_path(path))]
    WrongKind {
        /// The place.
        path: PathBuf,
        /// What should be there.
        expected: FileKind,
        /// What is there.
        found: FileKind,
    },
    /// A folder that was to be replaced holds something that this program did not write.
    #[error(
        "{} holds {}, which would be lost; choose another folder, or move it away",
        printable_path(path),
        printable_path(found)
    )]
    NotOwn {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: PathBuf,
    },
    /// A file is larger than any that the program writes there.
    #[error("{} is larger than {limit} bytes, which no file of its kind is; move it away", printable_path(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read or written.
        limit: u64,
    },
    /// A value that cannot be put into a file, or not be read from it again.
    #[error("cannot be written as a file: {}", printable(.0))]
    Unwritable(String),
    /// A file's name that would leave the run's folder, or is the store's own.
    #[error("`{}` cannot be the name of a file in a run's folder", printable(.0))]
    FileName(String),
    /// Another process, or another part of this one, writes into the run's folder.
    #[error("another process works on the run {0}; wait until it has ended, or stop it")]
    Claimed(RunId),
    /// The claim's file was deleted or replaced while it was held, so that another process may have begun to write.
    #[error("{} was deleted while its run was at work; nothing more is written into the folder", printable_path(path))]
    ClaimLost {
        /// The claim's file.
        path: PathBuf,
    },
    /// The claim's file is another one each time it is looked at.
    #[error("{} is replaced or deleted again and again while it is being locked", printable_path(path))]
    Unsteady {
        /// The claim's file.
        path: PathBuf,
    },
    /// The file system has no locks.
    #[error(
        "cannot lock {}: {file_system} has no file locks ({source}), without which two processes could write into one \
         run; use a results folder on a local disk, or mount the file system with locks (NFS with its lock service and \
         without `nolock`, Lustre with `flock`)",
        printable_path(path)
    )]
    NoLocks {
        /// The claim's file.
        path: PathBuf,
        /// Which file system that is on, for people.
        file_system: String,
        /// The system's reason.
        source: io::Error,
    },
    /// No run, or more than one, has an id that begins so, or nothing was given at all.
    #[error(
        "`{}` does not name one run in {}: {found} runs have an id that begins so",
        printable(prefix),
        printable_path(root)
    )]
    Prefix {
        /// What was given.
        prefix: String,
        /// How many runs begin with it.
        found: usize,
        /// Where they were sought.
        root: PathBuf,
    },
    /// A text that is not a run id.
    #[error(transparent)]
    Id(#[from] InvalidRunId),
}

impl Error {
    /// For `map_err`: the system's refusal to do `action` to `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The file at `path` does not hold what was written into it.
    pub fn damaged(path: &Path, problem: impl Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }

    /// The file at `path` is intact and not understood.
    pub fn foreign(path: &Path, reason: impl Display) -> Self {
        Self::Foreign { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn unwritable(error: impl Display) -> Self {
        Self::Unwritable(error.to_string())
    }
}

/// What stands at a path, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A named pipe (FIFO).
    Pipe,
    /// A socket, a device or anything else.
    Other,
}

impl FileKind {
    pub(crate) fn of(file_type: FileType) -> Self {
        if file_type.is_symlink() {
            return Self::Link;
        }
        if file_type.is_file() {
            return Self::File;
        }
        if file_type.is_dir() {
            return Self::Folder;
        }
        #[cfg(unix)]
        if std::os::unix::fs::FileTypeExt::is_fifo(&file_type) {
            return Self::Pipe;
        }
        Self::Other
    }
}

impl Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Pipe => "a named pipe",
            Self::Other => "a device or socket",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_carries_a_terminals_escape_sequences_out_of_a_file() {
        let hostile = "\u{1b}[2J\u{202e}\u{7}";
        let path = Path::new(hostile);
        let owned = || hostile.to_owned();
        let errors = [
            Error::io("read", path)(io::Error::other("no")),
            Error::damaged(path, hostile),
            Error::foreign(path, hostile),
            Error::WrongKind { path: path.into(), expected: FileKind::File, found: FileKind::Link },
            Error::NotOwn { path: path.into(), found: path.into() },
            Error::TooLarge { path: path.into(), limit: 1 },
            Error::Unwritable(owned()),
            Error::FileName(owned()),
            Error::ClaimLost { path: path.into() },
            Error::Unsteady { path: path.into() },
            Error::NoLocks { path: path.into(), file_system: "nfs".into(), source: io::Error::other("no") },
            Error::Prefix { prefix: owned(), found: 2, root: path.into() },
            Error::Id(InvalidRunId(owned())),
        ];
        for error in errors {
            let message = error.to_string();
            assert_eq!(printable(&message), message);
        }
    }
}
