//! How files look from outside.

use crate::{Error, Result, regular_file};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, time::UNIX_EPOCH};

/// How the files of a data set look from outside. Equal stamps are taken for the same contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps {
    /// How many files there are.
    files: u64,
    /// Their bytes, all together.
    bytes: u64,
    /// BLAKE3 of each one's path, size and time of writing.
    digest: String,
}

impl Stamps {
    /// Bytes of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of these files; `None` if one is gone. Opens none.
    pub(crate) fn of(paths: &[PathBuf]) -> Result<Option<Self>> {
        let mut hasher = blake3::Hasher::new_derive_key("takd-datasets stamps of files");
        let mut stamps = Self::default();
        for path in paths {
            let metadata = match fs::metadata(path) {
                Ok(metadata) => metadata,
                Err(error) if regular_file::is_missing(&error) => return Ok(None),
                Err(source) => return Err(Error::Io { path: path.into(), source }),
            };
            regular_file::check(path, &metadata, u64::MAX)?;
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let name = path.as_os_str().as_encoded_bytes();
            for part in [&(name.len() as u64).to_le_bytes()[..], name, &metadata.len().to_le_bytes()] {
                hasher.update(part);
            }
            // Systems that tell no time have sizes alone.
            hasher.update(&modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
            stamps.files += 1;
            stamps.bytes += metadata.len();
        }
        stamps.digest = hasher.finalize().to_hex().to_string();
        Ok(Some(stamps))
    }
}
