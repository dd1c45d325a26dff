//! What kills left half written beside the runs: tables, cards, records of imported files, pixels of data sets.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use takd_store::names::is_half_written;

/// Nobody writes one file for so long.
const LEFT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The half-written files in a folder that nobody writes any more.
pub(super) struct Strays {
    pub folder: PathBuf,
    pub files: Vec<String>,
    pub bytes: u64,
}

/// Those of a results folder.
pub(super) fn find(out: &Path) -> Vec<Strays> {
    let folders = ["tables", "cards", "imports"].map(|name| out.join(name)).into_iter().chain([out.to_owned()]);
    folders.map(in_folder).filter(|strays| !strays.files.is_empty()).collect()
}

/// A folder that cannot be read has none.
fn in_folder(folder: PathBuf) -> Strays {
    let mut strays = Strays { files: Vec::new(), bytes: 0, folder };
    for entry in fs::read_dir(&strays.folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Of a link this is the link itself.
        let Some(metadata) = entry.metadata().ok().filter(|found| found.is_file() && is_half_written(&name)) else {
            continue;
        };
        let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > LEFT_FOR) {
            strays.bytes += metadata.len();
            strays.files.push(name);
        }
    }
    strays.files.sort();
    strays
}

pub(super) fn delete(folder: &Path, files: &[String]) -> Result<()> {
    files
        .iter()
        .map(|name| folder.join(name))
        .try_for_each(|path| fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display())))
}
