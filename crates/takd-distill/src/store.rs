//! Where runs are kept: one folder a run, every file written beside its place and renamed into it.

use crate::{Error, Result, RunConfig, RunId, RunResult};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder that holds the runs' folders.
///
/// ```text
/// <root>/<run id>/config.toml          what the run is
///                 metrics.jsonl        one line an epoch
///                 last.safetensors     everything needed to go on; gone when the run is finished
///                 model.safetensors    the network of the epoch that counts
///                 result.json          there exactly when the run is finished
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The runs in `root`, which is made where it is not there.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(Error::io("make the folder", root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of a run.
    pub fn dir(&self, id: &RunId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// What a run ended with, or nothing where it is not finished.
    ///
    /// # Errors
    /// Where its file cannot be read or is damaged.
    pub fn result(&self, id: &RunId) -> Result<Option<RunResult>> {
        let path = self.dir(id).join(RESULT);
        match fs::read(&path) {
            Ok(bytes) => parse_json(&path, &bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// What a run ended with, where all that it is to leave is there. A run without its network is not finished: it may be
    /// wanted as a teacher.
    ///
    /// # Errors
    /// Where its file cannot be read or is damaged.
    pub fn finished(&self, id: &RunId) -> Result<Option<RunResult>> {
        let dir = self.dir(id);
        let whole = [CONFIG, METRICS, MODEL].iter().all(|name| dir.join(name).is_file());
        if whole { self.result(id) } else { Ok(None) }
    }

    /// A run's configuration, or nothing where the run was never begun.
    ///
    /// # Errors
    /// Where its file cannot be read or is damaged.
    pub fn config(&self, id: &RunId) -> Result<Option<RunConfig>> {
        let path = self.dir(id).join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(|error| Error::damaged(&path, &error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The file of the network that a finished run ended with.
    ///
    /// # Errors
    /// [`Error::Teacher`] where the run is not finished.
    pub fn model(&self, id: &RunId) -> Result<PathBuf> {
        let dir = self.dir(id);
        let path = dir.join(MODEL);
        if self.finished(id)?.is_some() { Ok(path) } else { Err(Error::Teacher { id: id.clone(), dir }) }
    }
}

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const LAST: &str = "last.safetensors";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const RESULT: &str = "result.json";
const CLAIM: &str = "claim";

/// How often another process's claim is looked at.
const PATIENCE: Duration = Duration::from_millis(200);

/// A run's folder while this process has the sole right to write into it.
pub(crate) struct Claimed {
    dir: PathBuf,
    /// Its lock ends with the process, however that ends.
    _claim: File,
}

impl Claimed {
    /// Waits until nobody else works on the run; `waiting` is asked now and then whether to go on.
    pub(crate) fn wait(dir: PathBuf, waiting: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(Error::io("make the folder", &dir))?;
        let path = dir.join(CLAIM);
        let claim = File::create(&path).map_err(Error::io("write", &path))?;
        loop {
            match claim.try_lock() {
                Ok(()) => return Ok(Self { dir, _claim: claim }),
                Err(TryLockError::WouldBlock) => {
                    if waiting().is_break() {
                        return Err(Error::Stopped);
                    }
                    std::thread::sleep(PATIENCE);
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts `bytes` into the file called `name`: whole, or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let write = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".writing-");
            // Readable by whom the user lets read other files, not by the user alone as temporary files are.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = builder.tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            // The rename itself must reach the disk too; not every system lets a folder be opened for that.
            if let Ok(dir) = File::open(&self.dir) {
                dir.sync_all()?;
            }
            Ok(())
        };
        write().map_err(Error::io("write", &path))
    }

    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::Config(error.to_string()))?;
        bytes.push(b'\n');
        self.write(name, &bytes)
    }

    /// The file's bytes, or nothing where there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("delete", &path)(error)),
            _ => Ok(()),
        }
    }
}

pub(crate) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::damaged(path, &error))
}
