//! The sole right to write into a run's folder.

use crate::store::CLAIM;
use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What files are called until they are whole.
const WRITING: &str = ".writing-";

/// A run's folder while this process alone may write into it.
pub(crate) struct Claimed {
    dir: PathBuf,
    /// Its lock ends with the process, however that ends.
    claim: File,
}

impl Claimed {
    /// The right to write into `dir`, which is made where it is not there; nothing while somebody else has it.
    ///
    /// The lock is the operating system's, on the file `claim`: a process that dies loses it. It works between machines
    /// on a file system that shares locks between them (NFS does, Lustre when mounted with `flock`).
    pub(crate) fn try_claim(dir: PathBuf) -> Result<Option<Self>> {
        fs::create_dir_all(&dir).map_err(Error::io("make the folder", &dir))?;
        let path = dir.join(CLAIM);
        loop {
            let claim = File::options().write(true).create(true).truncate(false).open(&path);
            let claim = claim.map_err(Error::io("write", &path))?;
            match claim.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            // Between our opening it and our lock the file may have been deleted: that lock would bind nobody.
            if is_still(&claim, &path) {
                // For people who look; whether it succeeds changes nothing.
                let _ = claim.set_len(0).and_then(|()| writeln!(&claim, "process {}", std::process::id()));
                return Ok(Some(Self { dir, claim }));
            }
        }
    }

    /// Whether a process works in `dir` at this moment.
    pub(crate) fn is_claimed(dir: &Path) -> bool {
        let claim = File::open(dir.join(CLAIM));
        claim.is_ok_and(|claim| matches!(claim.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Fails where the claim was deleted under us: another process may have begun to write here.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.path(CLAIM);
        match is_still(&self.claim, &path) {
            true => Ok(()),
            false => {
                Err(Error::io("hold the claim", &path)(io::Error::other("it was deleted while the run was at work")))
            }
        }
    }

    /// Puts `bytes` into the file called `name`: whole and on the disk, or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_before(name, bytes, || Ok(()))
    }

    /// The same; `before` is done when the new file is whole and not yet in its place.
    pub(crate) fn write_before(&self, name: &str, bytes: &[u8], before: impl FnOnce() -> io::Result<()>) -> Result<()> {
        self.check()?;
        let path = self.path(name);
        let write = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(WRITING);
            // Readable by whom the user lets read other files, not by the user alone as temporary files are.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = builder.tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            before()?;
            file.persist(&path)?;
            // The rename itself must reach the disk too; not every system lets a folder be opened for that.
            if let Ok(dir) = File::open(&self.dir) {
                dir.sync_all()?;
            }
            Ok(())
        };
        write().map_err(Error::io("write", &path))
    }

    /// The file's bytes, or nothing where there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read(&self.path(name))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        remove(&self.path(name))
    }

    /// Removes what a kill left half written.
    pub(crate) fn sweep(&self) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read the folder", &self.dir))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(WRITING) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// The file's bytes, or nothing where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Deletes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", path)(error)),
        _ => Ok(()),
    }
}

/// Whether `path` still names the file that is open.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(file.metadata()).is_some_and(|open| id(fs::metadata(path)) == Some(open))
}

/// A file that is open cannot be deleted here.
#[cfg(not(unix))]
fn is_still(_: &File, _: &Path) -> bool {
    true
}
