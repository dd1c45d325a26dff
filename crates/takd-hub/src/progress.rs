//! How far a transfer has come.

/// How far a file has come. Each begins with `done` 0 and ends with `done == total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub stage: Stage,
    /// To which file.
    pub what: &'a str,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It is downloaded.
    Download,
    /// Another program downloads it, and is waited for.
    Wait,
    /// It is uploaded.
    Upload,
}
