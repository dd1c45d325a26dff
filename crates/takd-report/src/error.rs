//! What can go wrong.

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The plan was made from another experiment.
    #[error("the plan is not the experiment's: {0}")]
    OtherPlan(String),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
