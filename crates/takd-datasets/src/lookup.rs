//! Looking for a data set's parquet files in one folder.

use crate::{Error, Looked, Result, Split, regular_file, shard_names};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// What came of looking for a data set's files.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// They are there.
    Found(Files),
    /// They are in none of these places.
    Missing(Vec<Looked>),
}

/// The parquet files of both splits, each in their order.
#[derive(Debug)]
pub(crate) struct Files {
    /// The folder that they are in.
    pub(crate) folder: PathBuf,
    pub(crate) train: Vec<PathBuf>,
    pub(crate) test: Vec<PathBuf>,
}

/// How a file looks from outside. Two equal stamps are taken for the same contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    name: String,
    bytes: u64,
    /// Nanoseconds from 1970 to when it was last written; `None` if the system does not tell.
    modified_ns: Option<u64>,
}

/// The most bytes of a parquet file that is read. CIFAR's files have 120 million; as uncompressed pixels they would have 154.
pub(crate) const MAX_PARQUET_BYTES: u64 = 1 << 30;

/// How many of a folder's other names a message lists.
const MAX_NAMES_LISTED: usize = 5;

/// Looks for both splits in this folder alone.
pub(crate) fn in_folder(folder: &Path) -> Result<Lookup> {
    let missing = |found: String| {
        let place = folder.join("{train,test}-*.parquet").display().to_string();
        Ok(Lookup::Missing(vec![Looked { place, found }]))
    };
    let mut names: Vec<String> = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|source| Error::Io { path: folder.into(), source })?;
                names.extend(entry.file_name().into_string());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return missing("not a folder".into()),
        Err(error) if regular_file::is_missing(&error) => return missing("no such folder".into()),
        Err(error) => return missing(format!("the folder cannot be read ({error})")),
    }
    names.sort();
    let train = shard_names::files_of(Split::Train, folder, &names)?;
    let test = shard_names::files_of(Split::Test, folder, &names)?;
    match (train.is_empty(), test.is_empty()) {
        (false, false) => Ok(Lookup::Found(Files { folder: folder.into(), train, test })),
        (true, true) => missing(format!("no such files{}", listed(&names))),
        (true, false) => missing("test files, but none for train".into()),
        (false, true) => missing("train files, but none for test".into()),
    }
}

/// What a folder holds instead.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return " (the folder is empty)".into();
    }
    let first = names[..names.len().min(MAX_NAMES_LISTED)].join(", ");
    let more = names.len().saturating_sub(MAX_NAMES_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(" (the folder holds {first}{more})")
}

impl Files {
    /// How every file looks from outside, in order; `None` if one is gone. Opens none.
    pub(crate) fn stamps(&self) -> Result<Option<Vec<FileStamp>>> {
        let mut stamps = Vec::new();
        for path in self.train.iter().chain(&self.test) {
            let metadata = match fs::metadata(path) {
                Ok(metadata) => metadata,
                Err(error) if regular_file::is_missing(&error) => return Ok(None),
                Err(source) => return Err(Error::Io { path: path.into(), source }),
            };
            regular_file::check(path, &metadata, MAX_PARQUET_BYTES)?;
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            stamps.push(FileStamp {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes: metadata.len(),
                modified_ns: modified.and_then(|time| time.as_nanos().try_into().ok()),
            });
        }
        Ok(Some(stamps))
    }
}
