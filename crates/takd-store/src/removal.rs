//! Deletes what is a run's own, and nothing else.

use crate::names::{CLAIM, ENDING, is_of_the_store};
use crate::{Claim, Error, Result};
use std::fs;
use std::path::PathBuf;

/// Whether a file of this name in a run's folder is one that the user of this crate writes itself, and is deleted with
/// the run. The store knows its own files.
pub type OwnFiles = fn(name: &str) -> bool;

/// What is left of a run that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files, folders and links in the run's folder that are somebody else's. If there are any, the folder is left too.
    pub left: Vec<PathBuf>,
}

/// Deletes the run's own files, and its folder if nothing else is in it.
pub(crate) fn remove(claim: Claim, is_own: OwnFiles) -> Result<Removed> {
    let (mut own, mut left) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(claim.dir()).map_err(Error::io("read the folder", claim.dir()))? {
        let entry = entry.map_err(Error::io("read the folder", claim.dir()))?;
        // A link is nothing that was written here, whatever its name.
        let is_file = entry.file_type().map_err(Error::io("read", &entry.path()))?.is_file();
        match entry.file_name().into_string() {
            Ok(name) if name == CLAIM => {}
            Ok(name) if is_file && (is_of_the_store(&name) || is_own(&name)) => own.push(name),
            _ => left.push(entry.path()),
        }
    }
    // How it ended first, so that what a kill leaves of the folder is not taken for a finished run.
    own.sort_by_key(|name| name != ENDING);
    own.iter().try_for_each(|name| claim.remove(name))?;
    // The claim last: until then nobody else begins here.
    claim.give_up_folder()?;
    left.sort();
    Ok(Removed { left })
}
