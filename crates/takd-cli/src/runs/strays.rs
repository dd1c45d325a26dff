//! What kills left half written beside the runs: tables, cards, records of imported files, recipes, folders of models, pixels of data
//! sets.

use anyhow::{Context, Result};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use takd_store::names::is_half_written;

/// Folders of a results folder in which files are written beside the runs.
const FOLDERS: [&str; 5] = ["tables", "cards", "imports", "recipes", "models"];

/// Nobody writes one file for so long.
const LEFT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The half-written files in a folder that nobody writes any more, or the files of a half-written folder.
pub(super) struct Strays {
    pub folder: PathBuf,
    /// Their names; none of a half-written folder in which nothing was written yet.
    pub files: Vec<String>,
    pub bytes: u64,
}

/// Those of a results folder.
pub(super) fn find(out: &Path) -> Vec<Strays> {
    let folders = FOLDERS.map(|name| out.join(name)).into_iter().chain([out.to_owned()]);
    folders.flat_map(in_folder).collect()
}

/// A folder that cannot be read has none.
fn in_folder(folder: PathBuf) -> Vec<Strays> {
    let (mut loose, mut half_folders) = (Strays { files: Vec::new(), bytes: 0, folder }, Vec::new());
    for entry in fs::read_dir(&loose.folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Of a link this is the link itself.
        let Some(metadata) = entry.metadata().ok().filter(|found| is_half_written(&name) && is_left(found)) else {
            continue;
        };
        if metadata.is_file() {
            loose.bytes += metadata.len();
            loose.files.push(name);
        } else if metadata.is_dir() {
            half_folders.extend(half_written_folder(entry.path()));
        }
    }
    loose.files.sort();
    half_folders.sort_by(|one: &Strays, other| one.folder.cmp(&other.folder));
    let loose = (!loose.files.is_empty()).then_some(loose);
    loose.into_iter().chain(half_folders).collect()
}

/// A half-written folder with its files; nothing if it has anything else, which takd does not write there.
fn half_written_folder(folder: PathBuf) -> Option<Strays> {
    let (mut files, mut bytes) = (Vec::new(), 0);
    for entry in fs::read_dir(&folder).ok()? {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok().filter(|found| found.is_file() && is_left(found))?;
        bytes += metadata.len();
        files.push(entry.file_name().into_string().ok()?);
    }
    files.sort();
    Some(Strays { folder, files, bytes })
}

/// Whether it was last written so long ago that nobody is at it.
fn is_left(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > LEFT_FOR)
}

pub(super) fn delete(folder: &Path, files: &[String]) -> Result<()> {
    let gone = |path: &Path| format!("cannot delete {}", path.display());
    for path in files.iter().map(|name| folder.join(name)) {
        fs::remove_file(&path).with_context(|| gone(&path))?;
    }
    if folder.file_name().is_some_and(|name| is_half_written(&name.to_string_lossy())) {
        fs::remove_dir(folder).with_context(|| gone(folder))?;
    }
    Ok(())
}
