//! Files that are read within a limit, and written whole or not at all.

use crate::names::WRITING;
use crate::{Error, FileKind, Result};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The bytes of the regular file at `path`, or nothing if there is no file.
///
/// A link in its place is not followed, and no pipe or device is opened. A caller that lets its user choose a file
/// through a link gives its [canonical](Path::canonicalize) path.
///
/// # Errors
/// If something else than a regular file is there, it has more than `limit` bytes, or it cannot be read.
pub fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path, OpenOptions::new().read(true), "read")? else { return Ok(None) };
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let too_large = || Error::TooLarge { path: path.to_owned(), limit };
    if length > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let room = bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX));
    room.map_err(|error| Error::io("read", path)(io::Error::new(io::ErrorKind::OutOfMemory, error)))?;
    // The file may be growing.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(Some(bytes)) }
}

/// Puts `bytes` into the file at `path`: whole and on the disk, or not at all.
///
/// They are written into a new file beside it (its name begins with `.writing-`), which is synced and renamed into
/// its place; then the folder is synced. A kill or a full disk leaves the old file or the new one. The new file may
/// be read by whoever may read other files of this user (by the umask).
///
/// # Errors
/// If a folder, link, pipe or the like stands at `path`, or the file cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file_before(path, bytes, || Ok(()))
}

/// The same, unless there is a file already; says whether it was written. Of several processes that write at once, one does.
///
/// # Errors
/// As [`write_file`].
pub fn write_new_file(path: &Path, bytes: &[u8]) -> Result<bool> {
    if expect_kind(path, FileKind::File)?.is_some() {
        return Ok(false);
    }
    let write = || match whole_file(path, bytes)?.persist_noclobber(path) {
        Ok(_) => sync_folder(folder_of(path)).map(|()| true),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error),
    };
    write().map_err(Error::io("write", path))
}

/// The same as [`write_file`]; `before` is called when the new file is whole and not yet in its place.
pub(crate) fn write_file_before(path: &Path, bytes: &[u8], before: impl FnOnce() -> io::Result<()>) -> Result<()> {
    expect_kind(path, FileKind::File)?;
    let write = || {
        let file = whole_file(path, bytes)?;
        before()?;
        file.persist(path)?;
        // The rename itself must reach the disk too.
        sync_folder(folder_of(path))
    };
    write().map_err(Error::io("write", path))
}

/// A new file beside `path` with these bytes, which are on the disk; it is deleted when it is dropped.
fn whole_file(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Without this nobody but the user could read it. The umask still holds.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes the folder `path`, and those above it, if they are not there, and lets no power failure take them away.
///
/// # Errors
/// If something else is in its place, or it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    missing.into_iter().rev().try_for_each(|folder| match make_one_folder(folder) {
        Err(_) if folder.is_dir() => Ok(()),
        made => made.map_err(Error::io("make the folder", folder)),
    })
}

/// Makes the folder `path` in one that is there.
pub(crate) fn make_one_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    sync_folder(folder_of(path))
}

/// What is at `path`, if it is of the kind expected, links not followed; nothing if nothing is; an error if it is of
/// another kind.
pub(crate) fn expect_kind(path: &Path, expected: FileKind) -> Result<Option<Metadata>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(Error::io("read", path))?,
    };
    let found = FileKind::of(metadata.file_type());
    if found == expected {
        Ok(Some(metadata))
    } else {
        Err(Error::WrongKind { path: path.to_owned(), expected, found })
    }
}

/// Opens a regular file, links not followed; nothing if it is not there.
pub(crate) fn open(path: &Path, options: &OpenOptions, action: &'static str) -> Result<Option<File>> {
    // Before it is opened, which would already act on a device.
    expect_kind(path, FileKind::File)?;
    let file = match without_following(options).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(Error::io(action, path))?,
    };
    let found = FileKind::of(file.metadata().map_err(Error::io(action, path))?.file_type());
    if found == FileKind::File {
        Ok(Some(file))
    } else {
        Err(Error::WrongKind { path: path.to_owned(), expected: FileKind::File, found })
    }
}

/// Should the file be replaced by a link or a pipe at this moment: neither is followed or waited for.
#[cfg(unix)]
fn without_following(options: &OpenOptions) -> OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = options.clone();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

#[cfg(not(unix))]
fn without_following(options: &OpenOptions) -> OpenOptions {
    options.clone()
}

/// Deletes a regular file if it is there.
pub(crate) fn delete(path: &Path) -> Result<()> {
    if expect_kind(path, FileKind::File)?.is_none() {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", path)(error)),
        _ => Ok(()),
    }
}

/// The folder that `path` is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Lets what was made, renamed or deleted in a folder reach the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Not every system lets a folder be opened, nor every file system let it be synced.
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}
