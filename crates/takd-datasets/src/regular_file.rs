//! Opening files that somebody else made: regular ones only, of a limited size.
//!
//! A path is followed if it is a symbolic link, because the hub's cache consists of links to its blobs. What it leads to is
//! looked at before it is opened, and again afterwards, so that a named pipe or a device neither keeps the caller waiting nor
//! fills its memory.

use crate::{Error, Result};
use std::{
    fs::{self, File, Metadata},
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

pub(crate) use takd_hub::regular_file::is_missing;

/// Opens a regular file of at most `limit` bytes.
pub(crate) fn open(path: &Path, limit: u64) -> Result<File> {
    Ok(takd_hub::regular_file::open(path, limit)?)
}

/// The bytes of a regular file of at most `limit` of them; `None` if there is no such file.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    Ok(takd_hub::regular_file::read(path, limit)?)
}

/// Refuses what is no regular file of at most `limit` bytes.
pub(crate) fn check(path: &Path, metadata: &Metadata, limit: u64) -> Result<()> {
    Ok(takd_hub::regular_file::check(path, metadata, limit)?)
}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    /// Systems that tell no time have sizes alone.
    modified: Option<SystemTime>,
}

impl Stamp {
    /// Of the file at `path`; links are followed.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The bytes of a regular file that looked like this when its data set was listed, if that was seen.
pub(crate) fn read_unchanged(path: &Path, limit: u64, stamp: Option<Stamp>) -> Result<Vec<u8>> {
    let mut file = open(path, limit)?;
    check_unchanged(path, &file, stamp)?;
    let mut bytes = Vec::new();
    (&mut file).take(limit).read_to_end(&mut bytes).map_err(|source| Error::Io { path: path.into(), source })?;
    // Who writes into it while it is read leaves it another.
    check_unchanged(path, &file, stamp)?;
    Ok(bytes)
}

fn check_unchanged(path: &Path, file: &File, stamp: Option<Stamp>) -> Result<()> {
    let metadata = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?;
    if stamp.is_some_and(|stamp| stamp != Stamp::from(&metadata)) {
        Err(Error::FileChanged { path: path.into() })
    } else {
        Ok(())
    }
}

/// So many bytes, from an offset, of a file that looked like this when its data set was listed.
pub(crate) fn read_part(path: &Path, stamp: Option<Stamp>, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut file = open(path, u64::MAX)?;
    check_unchanged(path, &file, stamp)?;
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut part = Vec::new();
    (&mut file).take(bytes).read_to_end(&mut part).map_err(io)?;
    check_unchanged(path, &file, stamp)?;
    if part.len() as u64 != bytes {
        let expected = format!("but {bytes} were to be read from byte {offset}: it was changed meanwhile");
        return Err(Error::Truncated { path: path.into(), found: offset + part.len() as u64, expected });
    }
    Ok(part)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn named_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    #[test]
    fn regular_file_is_read_through_links_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "12345").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read(&file, 5).unwrap().unwrap(), b"12345");
        assert_eq!(read(&link, 5).unwrap().unwrap(), b"12345");
        let error = read(&link, 4).unwrap_err();
        assert!(matches!(error, Error::TooLarge { found: 5, limit: 4, .. }), "{error}");
        assert_eq!(read(&dir.path().join("none"), 5).unwrap(), None);
        assert_eq!(read(&file.join("below"), 5).unwrap(), None);
    }

    #[test]
    fn pipes_devices_and_folders_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("zeros"));
        named_pipe(&pipe);
        symlink("/dev/zero", &link).unwrap();
        for (path, expected) in [(&*pipe, "a named pipe"), (&*link, "a device"), (dir.path(), "a folder")] {
            let error = open(path, 1 << 30).unwrap_err();
            assert!(matches!(error, Error::NotAFile { kind, .. } if kind == expected), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}
