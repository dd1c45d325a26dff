//! The sole right to write into a run's folder.

use crate::store::CLAIM;
use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What files are called until they are whole.
const WRITING: &str = ".writing-";

/// How often a lock is tried again, and after what time each: 50 ms in all, much longer than [`Claimed::is_claimed`] holds it.
const LOOKS: usize = 10;
const A_LOOK: Duration = Duration::from_millis(5);

/// How often a folder that comes and goes is made again, a few milliseconds in all.
const MOVES: usize = 1_000;

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
        let path = dir.join(CLAIM);
        let open = || {
            make_folder(&dir)?;
            File::options().write(true).create(true).truncate(false).open(&path)
        };
        let (mut moves, mut looks) = (MOVES, LOOKS);
        loop {
            let claim = match open() {
                // Whoever removes the run takes the folder away between our two steps.
                Err(error) if is_moving(&error) && moves > 0 => {
                    moves -= 1;
                    continue;
                }
                claim => claim.map_err(Error::io("write", &path))?,
            };
            match claim.try_lock() {
                Ok(()) => {}
                // Whoever only looks whether there is a claim has it for a moment.
                Err(TryLockError::WouldBlock) if looks > 0 => {
                    looks -= 1;
                    thread::sleep(A_LOOK);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            // Between our opening it and our lock the file may have been deleted: that lock would bind nobody.
            if is_still(&claim, &path) {
                // For people who look; whether it succeeds changes nothing.
                let _ = claim.set_len(0).and_then(|()| writeln!(&claim, "process {}", std::process::id()));
                let claimed = Self { dir, claim };
                claimed.sweep()?;
                return Ok(Some(claimed));
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
        // No other name is needed: nobody else writes here.
        let (path, beside) = (self.path(name), self.path(&format!("{WRITING}{name}")));
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            before()?;
            fs::rename(&beside, &path)?;
            // The rename itself must reach the disk too; not every system lets a folder be opened for that.
            if let Ok(dir) = File::open(&self.dir) {
                dir.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|error| {
            // On a full disk its room is wanted; what cannot be deleted now is swept later.
            let _ = fs::remove_file(&beside);
            Error::io("write", &path)(error)
        })
    }

    /// The file's bytes, or nothing where there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read(&self.path(name))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        remove(&self.path(name))
    }

    /// Deletes the folder, the file called `first` before all others, the claim last: until then nobody else may begin in it.
    pub(crate) fn remove_all(self, first: &str) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read the folder", &self.dir))?;
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        // Before anything is deleted.
        if let Some(path) = paths.iter().find(|path| path.is_dir()) {
            return Err(Error::io("delete", path)(io::Error::other(
                "it is a folder that is not takd's; move it away first",
            )));
        }
        self.remove(first)?;
        paths.iter().filter(|path| !path.ends_with(CLAIM)).try_for_each(|path| remove(path))?;
        self.check()?;
        self.remove(CLAIM)?;
        let Self { dir, claim } = self;
        // A file that is open keeps its folder on some systems.
        drop(claim);
        match fs::remove_dir(&dir) {
            // Somebody has begun anew.
            Err(error) if is_moving(&error) => Ok(()),
            removed => removed.map_err(Error::io("delete", &dir)),
        }
    }

    /// Removes what a kill left half written.
    fn sweep(&self) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read the folder", &self.dir))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(WRITING) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a folder came or went, or came to hold something, while we were at work on it.
fn is_moving(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotFound)
}

/// Makes a folder where there is none, and lets no power failure take it away.
pub(crate) fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    match dir.parent().map(File::open) {
        Some(Ok(parent)) => parent.sync_all(),
        // Not every system lets a folder be opened.
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn two_never_have_the_claim_at_once_though_each_deletes_the_folder() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("make", Path::new("a folder")))?;
        let taken = AtomicBool::new(false);
        let claim_and_delete = || {
            for _ in 0..1_000 {
                if let Some(claimed) = Claimed::try_claim(folder.path().join("run"))? {
                    assert!(!taken.swap(true, Ordering::SeqCst), "another has it too");
                    fs::write(claimed.path("file"), "").map_err(Error::io("write", &claimed.dir))?;
                    taken.store(false, Ordering::SeqCst);
                    claimed.remove_all("file")?;
                }
            }
            Ok::<_, Error>(())
        };
        thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(claim_and_delete));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })?;
        assert!(!folder.path().join("run").exists());
        Ok(())
    }

    #[test]
    fn folder_that_is_deleted_is_claimed_to_the_last() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("make", Path::new("a folder")))?;
        let begin_and_delete = |thread: u8| {
            for _ in 0..200 {
                if let Some(claimed) = Claimed::try_claim(folder.path().join("run"))? {
                    let names = ["a", "b", "c", "d", "e", "f"];
                    let write =
                        |name| fs::write(claimed.path(name), [thread]).map_err(Error::io("write", &claimed.dir));
                    names.into_iter().try_for_each(write)?;
                    for name in names {
                        assert_eq!(claimed.read(name)?, Some(vec![thread]), "another has deleted or written it");
                    }
                    claimed.remove_all("a")?;
                }
            }
            Ok::<_, Error>(())
        };
        thread::scope(|scope| {
            let threads = [1, 2].map(|thread| scope.spawn(move || begin_and_delete(thread)));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })
    }

    #[test]
    fn who_only_looks_whether_a_run_is_claimed_keeps_nobody_from_claiming_it() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("make", Path::new("a folder")))?;
        let dir = folder.path().to_owned();
        let done = AtomicBool::new(false);
        let refused = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Claimed::is_claimed(&dir);
                    thread::sleep(Duration::from_micros(20));
                }
            });
            let claims = (0..1_000).map(|_| Claimed::try_claim(dir.clone()).map(|claim| claim.is_none()));
            let refused = claims.collect::<Result<Vec<bool>>>();
            done.store(true, Ordering::Relaxed);
            refused
        })?;
        assert_eq!(refused.into_iter().filter(|&refused| refused).count(), 0);
        Ok(())
    }
}
