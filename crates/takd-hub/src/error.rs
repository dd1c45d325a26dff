//! What can go wrong with a repository of the hub, each with what to do about it.

use std::path::PathBuf;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the files of a repository could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the cache could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// Something other than a regular file stands where a file is expected. It was not opened.
    #[error("{} is {kind}, and only a regular file is read: put the file itself there", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        kind: &'static str,
    },

    /// A file is larger than any such file may be. It was not read.
    #[error("{} has {found} bytes, and at most {limit} are read of such a file: it is not one", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },

    /// The token has characters that none has. The hub was not asked.
    #[error("{}", unsound_token(place))]
    Token {
        /// Where it stands.
        place: String,
    },

    /// The hub answered, but not with what was asked for.
    #[error("the hub's `{repo}`: {problem}")]
    Hub {
        /// The repository's name.
        repo: String,
        /// What it answered or failed to send.
        problem: String,
    },
}

/// Why files were not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Nothing names the user to the hub.
    #[error(
        "there is no token for {endpoint}: make one that may write at {endpoint}/settings/tokens, and put it into HF_TOKEN{}",
        file.as_ref().map(|file| format!(" or into the file {}", file.display())).unwrap_or_default()
    )]
    NoToken {
        /// The hub.
        endpoint: String,
        /// The file in which one was looked for, if there is a home folder.
        file: Option<PathBuf>,
    },

    /// The token has characters that none has.
    #[error("{}", unsound_token(place))]
    Token {
        /// Where it stands.
        place: String,
    },

    /// The network is not to be used.
    #[error("{endpoint} is not asked, because HF_HUB_OFFLINE is set: unset it to push")]
    Offline {
        /// The hub.
        endpoint: String,
    },

    /// A push did not come to its end.
    #[error("`{repo}` was not pushed: {problem}; {left}")]
    Failed {
        /// The repository's name.
        repo: String,
        /// What went wrong.
        problem: String,
        /// How the repository was left.
        left: String,
    },
}

fn unsound_token(place: &str) -> String {
    format!("the token in {place} has spaces, control characters or others that no token has: set it anew")
}
