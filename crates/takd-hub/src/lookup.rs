//! What a search ends in.

/// What was looked for, or where it was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is in none of these places.
    Missing(Vec<Looked>),
}

/// A place where something was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The folder or hub repository.
    pub place: String,
    /// What was there instead.
    pub found: String,
}
