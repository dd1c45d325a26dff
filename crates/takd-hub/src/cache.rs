//! What earlier downloads left in the cache, in the layout of the hub's own tools.
//!
//! ```text
//! models--owner--name/refs/main: <commit>   snapshots/<commit>/<file> ──▶ blobs/<etag>
//! ```

use crate::{Hub, Looked, Lookup, Repository, Result, regular_file};
use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The most bytes of `refs/main`, which holds the 40 digits of a commit.
const MAX_REF_BYTES: u64 = 1024;

impl Hub {
    /// Where the cache has the repository, for messages.
    pub fn cache_place(&self, repository: &Repository) -> String {
        match &self.cache {
            Some(cache) => format!("the hub's cache, {}", folder(cache, repository).display()),
            None => "the hub's cache".into(),
        }
    }

    /// The folders in which the cache may have the repository's files as they are at `main`, or at the commit at which it is asked for, the
    /// likeliest first. Not all of them need be
    /// there or whole.
    ///
    /// # Errors
    /// If `refs/main` is no regular file, too large, or cannot be read.
    pub fn snapshots(&self, repository: &Repository) -> Result<Lookup<Vec<PathBuf>>> {
        let missing = |found: &str| {
            Ok(Lookup::Missing(vec![Looked { place: self.cache_place(repository), found: found.into() }]))
        };
        let Some(cache) = &self.cache else { return missing("no home folder; set HF_HOME") };
        let folder = folder(cache, repository);
        if let Some(commit) = repository.commit() {
            let snapshot = folder.join("snapshots").join(commit);
            return if snapshot.is_dir() {
                Ok(Lookup::Found(vec![snapshot]))
            } else {
                missing("not there at that commit")
            };
        }
        let snapshots = match regular_file::read(&folder.join("refs").join("main"), MAX_REF_BYTES)? {
            Some(commit) => {
                let commit = String::from_utf8_lossy(&commit).trim().to_owned();
                if !commit.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return missing("its refs/main names no commit");
                }
                vec![folder.join("snapshots").join(commit)]
            }
            // A cache that was copied without it: the newest snapshot that is whole is taken.
            None => newest_first(&folder.join("snapshots")),
        };
        if snapshots.is_empty() { missing("not there") } else { Ok(Lookup::Found(snapshots)) }
    }
}

/// The mark of a file that a repository does not have at a commit, as the hub's own tools leave it.
pub(crate) fn no_such_file(cache: &Path, repository: &Repository, commit: &str, file: &str) -> PathBuf {
    folder(cache, repository).join(".no_exist").join(commit).join(file)
}

fn folder(cache: &Path, repository: &Repository) -> PathBuf {
    cache.join(repository.repo().folder_name())
}

/// The folders in a folder, that which was written last first.
fn newest_first(folder: &Path) -> Vec<PathBuf> {
    let written =
        |path: &PathBuf| fs::metadata(path).and_then(|there| there.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort_by_key(|path| std::cmp::Reverse(written(path)));
    folders
}
