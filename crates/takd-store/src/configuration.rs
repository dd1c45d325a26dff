//! What a configuration must be able to do so that its runs can be kept.

use crate::{CanonicalError, RunId, printable};

/// Everything that a run's outcome depends on.
pub trait Configuration: Sized {
    /// The canonical form: equal exactly if two configurations mean the same run. It is what the run's id is the hash
    /// of, and, byte for byte, what stands in the run's `config.toml`. [`Canonical`](crate::Canonical) writes it.
    fn canonical(&self) -> String;

    /// Reads a canonical form.
    ///
    /// # Errors
    /// If it is not one, or one of another version of the program. The text is as it was written, whatever it says: its
    /// hash has been checked.
    fn parse(text: &str) -> Result<Self, ConfigurationError>;

    /// The runs whose outcomes this one needs, such as those of its teachers.
    fn needs(&self) -> Vec<RunId>;

    /// The run's id.
    fn id(&self) -> RunId {
        RunId::of(&self.canonical())
    }
}

/// Why a text is not a configuration that this version of the program understands.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigurationError {
    /// It was written by another version.
    #[error("it has {}", printable(found))]
    OtherVersion {
        /// What tells the version, such as `schema 3; this is schema 2`.
        found: String,
    },
    /// It says something that cannot be.
    #[error("{}", printable(.0))]
    Invalid(String),
}

impl From<CanonicalError> for ConfigurationError {
    fn from(error: CanonicalError) -> Self {
        Self::Invalid(error.to_string())
    }
}
