//! The sole right to write into a run's folder.

use crate::file::{delete, expect_kind, make_one_folder, open, write_file_before};
use crate::file_system::file_system_of;
use crate::names::{CLAIM, WRITING, is_file_name};
use crate::{Error, FileKind, Result, RunId, read_file};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a lock that another holds is tried again, and after what time each: 50 ms in all, much longer than
/// [`is_claimed`] holds it.
const LOCK_TRIES: usize = 10;
const LOCK_RETRY_EVERY: Duration = Duration::from_millis(5);

/// How often a folder or claim file that comes and goes is opened again: a few milliseconds in all.
const OPEN_TRIES: usize = 1_000;

/// The sole right to write into a run's folder, until it is dropped or the process ends, however that ends.
///
/// It is a lock of the operating system's on the file `claim`. It works between machines on a file system that shares
/// locks between them (NFS does, Lustre if mounted with `flock`). It keeps out whoever asks for a claim, and nobody
/// else.
#[derive(Debug)]
pub struct Claim {
    id: RunId,
    dir: PathBuf,
    file: File,
}

impl Claim {
    /// The claim of the run `id` on its folder `dir`, which is made if it is not there; nothing while somebody else
    /// has it.
    pub(crate) fn acquire(id: &RunId, dir: PathBuf) -> Result<Option<Self>> {
        let Some(file) = lock(&dir, is_still)? else { return Ok(None) };
        let claim = Self { id: id.clone(), dir, file };
        claim.sign();
        claim.sweep()?;
        Ok(Some(claim))
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The place of the file called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Fails if the claim was deleted meanwhile: another process may have begun to write into the folder.
    ///
    /// # Errors
    /// [`Error::ClaimLost`].
    pub fn check(&self) -> Result<()> {
        let path = self.path(CLAIM);
        if is_still(&self.file, &path) { Ok(()) } else { Err(Error::ClaimLost { path }) }
    }

    /// Puts `bytes` into the file called `name`, as [`write_file`](crate::write_file) does.
    ///
    /// # Errors
    /// If the claim is lost, something else than a regular file is there, or the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_before(name, bytes, || Ok(()))
    }

    /// The same; `before` is called when the new file is whole and not yet in its place. If it fails, the file that was
    /// there stays.
    ///
    /// # Errors
    /// As [`write`](Self::write), or if `before` fails.
    pub fn write_before(&self, name: &str, bytes: &[u8], before: impl FnOnce() -> io::Result<()>) -> Result<()> {
        let path = self.file(name)?;
        self.check()?;
        write_file_before(&path, bytes, before)
    }

    /// The bytes of the file called `name`, at most `limit`, or nothing if there is no such file.
    ///
    /// # Errors
    /// As [`read_file`].
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        read_file(&self.file(name)?, limit)
    }

    /// Deletes the file called `name` if it is there.
    ///
    /// # Errors
    /// If the claim is lost, something else than a regular file is there, or the file cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name)?;
        self.check()?;
        delete(&path)
    }

    /// Deletes the claim's file, and the folder if it is empty then: that of a run of which nothing was written.
    ///
    /// # Errors
    /// If the claim is lost, or cannot be deleted.
    pub fn give_up_folder(self) -> Result<()> {
        self.check()?;
        delete(&self.path(CLAIM))?;
        let Self { dir, file, .. } = self;
        // A file that is open keeps its folder on some systems.
        drop(file);
        match fs::remove_dir(&dir) {
            // It is not empty, or somebody has begun anew.
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(()),
            removed => removed.map_err(Error::io("delete", &dir)),
        }
    }

    /// The place of a file that is not the claim's own.
    fn file(&self, name: &str) -> Result<PathBuf> {
        if is_file_name(name) && name != CLAIM { Ok(self.path(name)) } else { Err(Error::FileName(name.to_owned())) }
    }

    /// Says who works here, for people who look; nothing depends on it.
    fn sign(&self) {
        if has_one_name(&self.file) {
            let _ = self.file.set_len(0).and_then(|()| writeln!(&self.file, "process {}", std::process::id()));
        }
    }

    /// Deletes what a kill left half written.
    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read the folder", &self.dir))? {
            let entry = entry.map_err(Error::io("read the folder", &self.dir))?;
            let is_file = entry.file_type().is_ok_and(|found| found.is_file());
            if is_file && entry.file_name().to_string_lossy().starts_with(WRITING) {
                delete(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether somebody has the claim on the folder `dir` at this moment.
pub(crate) fn is_claimed(dir: &Path) -> Result<bool> {
    if expect_kind(dir, FileKind::Folder)?.is_none() {
        return Ok(false);
    }
    let path = dir.join(CLAIM);
    let Some(file) = open(&path, OpenOptions::new().read(true), "read")? else { return Ok(false) };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(lock_error(&path, error)),
    }
}

/// The claim's file, locked; nothing while somebody else has it.
fn lock(dir: &Path, is_still: impl Fn(&File, &Path) -> bool) -> Result<Option<File>> {
    let path = dir.join(CLAIM);
    let mut lock_tries = LOCK_TRIES;
    for _ in 0..OPEN_TRIES {
        let Some(file) = open_claim(dir, &path)? else { continue };
        loop {
            match file.try_lock() {
                Ok(()) if is_still(&file, &path) => return Ok(Some(file)),
                // Between our opening it and our lock it was deleted: that lock would keep nobody out.
                Ok(()) => break,
                // Whoever only looks whether there is a claim holds it for a moment.
                Err(TryLockError::WouldBlock) if lock_tries > 0 => {
                    lock_tries -= 1;
                    thread::sleep(LOCK_RETRY_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(lock_error(&path, error)),
            }
        }
    }
    Err(Error::Unsteady { path })
}

/// The claim's file; nothing if whoever removes the run took the folder away between our two steps.
fn open_claim(dir: &Path, path: &Path) -> Result<Option<File>> {
    if expect_kind(dir, FileKind::Folder)?.is_none() {
        match make_one_folder(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            made => made.map_err(Error::io("make the folder", dir))?,
        }
    }
    open(path, OpenOptions::new().write(true).create(true).truncate(false), "write")
}

fn lock_error(path: &Path, source: io::Error) -> Error {
    if has_no_locks(&source) {
        Error::NoLocks { path: path.to_owned(), file_system: file_system_of(path), source }
    } else {
        Error::io("lock", path)(source)
    }
}

/// Whether a lock was refused because the file system has none: ENOSYS, EOPNOTSUPP, ENOLCK.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_nolck = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOLCK);
    #[cfg(not(unix))]
    let is_nolck = false;
    is_nolck || error.kind() == io::ErrorKind::Unsupported
}

/// Whether `path` still names the file that is open.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    inode(file.metadata()).is_some_and(|open| inode(fs::symlink_metadata(path)) == Some(open))
}

/// A file that is open cannot be deleted here.
#[cfg(not(unix))]
fn is_still(_: &File, _: &Path) -> bool {
    true
}

/// Whether the file has no second name elsewhere (a hard link), under which its bytes may be somebody's own.
fn has_one_name(file: &File) -> bool {
    #[cfg(unix)]
    let names = file.metadata().map_or(0, |metadata| std::os::unix::fs::MetadataExt::nlink(&metadata));
    #[cfg(not(unix))]
    let names = u64::from(file.metadata().is_ok());
    names == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tempfile::TempDir;

    /// In memory if there is such a place, for a disk takes milliseconds to sync each folder that is made.
    fn folder() -> TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    fn claim(dir: &Path) -> Option<Claim> {
        Claim::acquire(&RunId::of("test"), dir.to_owned()).unwrap()
    }

    #[test]
    fn two_never_have_the_claim_at_once_though_each_deletes_the_folder() {
        let folder = folder();
        let dir = folder.path().join("run");
        let taken = AtomicBool::new(false);
        let claim_and_delete = || {
            for _ in 0..1_000 {
                if let Some(claim) = claim(&dir) {
                    assert!(!taken.swap(true, Ordering::SeqCst), "another has it too");
                    fs::write(claim.path("file"), "").unwrap();
                    taken.store(false, Ordering::SeqCst);
                    claim.remove("file").unwrap();
                    claim.give_up_folder().unwrap();
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(claim_and_delete);
            scope.spawn(claim_and_delete);
        });
        assert!(!dir.exists());
    }

    #[test]
    fn folder_that_is_deleted_is_claimed_to_the_last() {
        let folder = folder();
        let dir = folder.path().join("run");
        let begin_and_delete = |thread: u8| {
            for _ in 0..200 {
                if let Some(claim) = claim(&dir) {
                    let names = ["a", "b", "c", "d", "e", "f"];
                    names.into_iter().for_each(|name| fs::write(claim.path(name), [thread]).unwrap());
                    for name in names {
                        let found = claim.read(name, 1).unwrap();
                        assert_eq!(found, Some(vec![thread]), "another has deleted or written it");
                    }
                    names.into_iter().for_each(|name| claim.remove(name).unwrap());
                    claim.give_up_folder().unwrap();
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| begin_and_delete(1));
            scope.spawn(|| begin_and_delete(2));
        });
    }

    #[test]
    fn who_only_looks_whether_a_run_is_claimed_keeps_nobody_from_claiming_it() {
        let folder = folder();
        let done = AtomicBool::new(false);
        let refused = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    is_claimed(folder.path()).unwrap();
                    thread::sleep(Duration::from_micros(20));
                }
            });
            let refused = (0..1_000).filter(|_| claim(folder.path()).is_none()).count();
            done.store(true, Ordering::Relaxed);
            refused
        });
        assert_eq!(refused, 0);
    }

    #[test]
    fn claim_whose_file_never_stays_the_same_is_an_error_and_not_an_endless_loop() {
        let folder = folder();
        let mut looks = std::cell::Cell::new(0);
        let never_the_same = |_: &File, _: &Path| {
            looks.set(looks.get() + 1);
            false
        };
        let error = lock(folder.path(), never_the_same).unwrap_err();
        assert!(matches!(&error, Error::Unsteady { path } if *path == folder.path().join(CLAIM)), "{error}");
        assert_eq!(*looks.get_mut(), OPEN_TRIES);
    }

    #[test]
    fn file_system_without_locks_is_named_with_what_to_do() {
        let path = Path::new("/proc/claim");
        let message = lock_error(path, io::ErrorKind::Unsupported.into()).to_string();
        for part in ["/proc/claim", "has no file locks", "local disk", "`nolock`", "`flock`"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        #[cfg(target_os = "linux")]
        assert!(message.contains("the file system `proc` at /proc"), "{message}");
        assert!(matches!(lock_error(path, io::ErrorKind::PermissionDenied.into()), Error::Io { action: "lock", .. }));
    }

    #[cfg(unix)]
    #[test]
    fn every_number_that_means_no_locks_is_known() {
        use rustix::io::Errno;
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP] {
            let error = lock_error(Path::new("claim"), errno.into());
            assert!(matches!(error, Error::NoLocks { .. }), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::IO, Errno::INTR] {
            assert!(matches!(lock_error(Path::new("claim"), errno.into()), Error::Io { .. }), "{errno}");
        }
    }
}
