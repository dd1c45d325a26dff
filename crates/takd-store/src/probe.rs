//! Whether a file system does what a store needs of it.

use crate::claim::is_claimed;
use crate::file_system::file_system_of;
use crate::{Claim, Error, Result, RunId};
use std::path::Path;

/// Tries in a temporary folder in `folder`, which is deleted again, what a store needs of the file system there: that a lock
/// keeps others out, and that a file takes the place of another as a whole. Returns the file system's name for people.
///
/// # Errors
/// [`Error::NoLocks`] if there are no locks or they keep nobody out; if nothing can be written, renamed or deleted there.
pub fn probe(folder: &Path) -> Result<String> {
    let place = tempfile::Builder::new().prefix(".takd-probe-").tempdir_in(folder);
    let place = place.map_err(Error::io("write into", folder))?;
    let dir = place.path().join("run");
    let kept_out = |kept_out: bool, path: &Path| {
        let no_locks = || Error::NoLocks {
            path: path.to_owned(),
            file_system: file_system_of(path),
            source: std::io::Error::other("a lock that one has does not keep others out"),
        };
        if kept_out { Ok(()) } else { Err(no_locks()) }
    };
    let id = RunId::of("probe");
    let claim = Claim::acquire(&id, dir.clone())?;
    let Some(claim) = claim else { return Err(Error::Claimed(id)) };
    kept_out(is_claimed(&dir)?, &dir)?;
    for bytes in [b"old", b"new"] {
        claim.write("file", bytes)?;
        if claim.read("file", 8)?.as_deref() != Some(bytes.as_slice()) {
            return Err(Error::damaged(&claim.path("file"), "it does not hold what was written into it just now"));
        }
    }
    drop(claim);
    let path = place.path().to_owned();
    place.close().map_err(Error::io("delete", &path))?;
    Ok(file_system_of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file_system = probe(folder.path()).unwrap();
        assert!(file_system.contains("file system"), "{file_system}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn folder_that_cannot_be_written_into_is_named() {
        let error = probe(Path::new("/no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("cannot write into /no/such/folder"), "{error}");
    }
}
