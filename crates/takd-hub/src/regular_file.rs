//! Opening files that somebody else made: regular ones only, of a limited size.
//!
//! A path is followed if it is a symbolic link, because the hub's cache consists of links to its blobs. What it leads to is
//! looked at before it is opened, and again afterwards, so that a named pipe or a device neither keeps the caller waiting nor
//! fills its memory.

use crate::{Error, Result};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::Read,
    path::Path,
};

/// Opens a regular file of at most `limit` bytes.
///
/// # Errors
/// If it is no such file, or cannot be opened.
pub fn open(path: &Path, limit: u64) -> Result<File> {
    let io = |source| Error::Io { path: path.into(), source };
    check(path, &fs::metadata(path).map_err(io)?, limit)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Between the two looks the file may become a pipe; opening one then returns at once.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(io)?;
    check(path, &file.metadata().map_err(io)?, limit)?;
    Ok(file)
}

/// The bytes of a regular file of at most `limit` of them; `None` if there is no such file.
///
/// # Errors
/// As [`open`], or if it cannot be read.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match open(path, limit) {
        Ok(file) => file,
        Err(Error::Io { source, .. }) if is_missing(&source) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One byte more shows that the file has grown since.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Io { path: path.into(), source })?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.into(), found: bytes.len() as u64, limit });
    }
    Ok(Some(bytes))
}

/// Refuses what is no regular file of at most `limit` bytes.
///
/// # Errors
/// If it is none, or larger.
pub fn check(path: &Path, metadata: &Metadata, limit: u64) -> Result<()> {
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.into(), kind: kind(metadata) });
    }
    if metadata.len() > limit {
        return Err(Error::TooLarge { path: path.into(), found: metadata.len(), limit });
    }
    Ok(())
}

/// Whether the error says that there is no such file.
pub fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn kind(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let file_type = metadata.file_type();
        if file_type.is_fifo() {
            return "a named pipe";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_char_device() || file_type.is_block_device() {
            return "a device";
        }
    }
    if metadata.is_dir() { "a folder" } else { "something else" }
}
