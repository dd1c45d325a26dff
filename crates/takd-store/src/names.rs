//! What the store's own files are called, and how large they may be.

/// The configuration's canonical form.
pub const CONFIG: &str = "config.toml";
/// The journal.
pub const JOURNAL: &str = "metrics.jsonl";
/// Who began or resumed the run, and when.
pub const STARTS: &str = "starts.jsonl";
/// How the run ended.
pub const ENDING: &str = "ending.json";
/// What a person says of the run.
pub const ANNOTATION: &str = "annotation.json";
/// Locked by the process that writes into the folder.
pub const CLAIM: &str = "claim";

/// How the name of a file begins that is not whole yet.
pub(crate) const WRITING: &str = ".writing-";

/// The most bytes of a file that are read or written.
pub mod limits {
    /// Of `config.toml`: 64 KiB.
    pub const CONFIG: u64 = 64 << 10;
    /// Of `ending.json`: 1 MiB.
    pub const ENDING: u64 = 1 << 20;
    /// Of `starts.jsonl`: 1 MiB.
    pub const STARTS: u64 = 1 << 20;
    /// Of `annotation.json`: 128 KiB.
    pub const ANNOTATION: u64 = 128 << 10;
    /// Of the journal: 256 MiB, more than a million lines.
    pub const JOURNAL: u64 = 256 << 20;
}

/// Whether a file of this name is one that is not whole yet, or that a kill left so.
pub fn is_half_written(name: &str) -> bool {
    name.starts_with(WRITING)
}

/// Whether `name` names a file in a folder, and not elsewhere.
pub(crate) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\\', '\0'])
}

/// Whether a file of this name in a run's folder is the store's own.
pub(crate) fn is_of_the_store(name: &str) -> bool {
    [CONFIG, JOURNAL, STARTS, ENDING, ANNOTATION, CLAIM].contains(&name) || name.starts_with(WRITING)
}
