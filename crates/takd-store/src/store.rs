//! A folder of runs.

use crate::file::{expect_kind, make_folder};
use crate::names::{CONFIG, JOURNAL, STARTS, is_half_written, is_of_the_store, limits};
use crate::removal::{self, OwnFiles, Removed};
use crate::{
    Claim, Configuration, Ending, EndingFile, Error, Expected, Extent, FileKind, Result, RunId, Start, claim, ending,
    journal, read_file, start,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// A folder that holds the runs' folders: of configurations `C`, with outcomes `O`.
pub struct Store<C, O> {
    root: PathBuf,
    is_own: OwnFiles,
    of: PhantomData<fn() -> (C, O)>,
}

/// What a listing says of a run. A run of which something cannot be read is listed all the same.
#[derive(Debug)]
pub struct Listed<C, O> {
    /// The run.
    pub id: RunId,
    /// As [`Store::config`].
    pub config: Result<Option<C>>,
    /// As [`Store::ending`].
    pub ending: Result<Option<Ending<O>>>,
    /// As [`Store::is_claimed`].
    pub claimed: Result<bool>,
}

impl<C: Configuration, O: Serialize + DeserializeOwned> Store<C, O> {
    /// The runs in the folder `root`, which is made if it is not there. `is_own` tells which files the user of this
    /// crate writes into runs' folders beside the store's.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path, is_own: OwnFiles) -> Result<Self> {
        make_folder(root)?;
        Ok(Self { root: root.to_owned(), is_own, of: PhantomData })
    }

    /// The folder that holds the runs' folders.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a run, there or not.
    pub fn dir(&self, id: &RunId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Every run that was begun, in the order of the ids.
    ///
    /// A link that is called like a run is listed, and refused by all else: else it would silently be missing.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn ids(&self) -> Result<Vec<RunId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::io("read the folder", &self.root))? {
            let entry = entry.map_err(Error::io("read the folder", &self.root))?;
            let is_one = entry.file_type().is_ok_and(|found| found.is_dir() || found.is_symlink());
            let name = entry.file_name().into_string();
            ids.extend(name.ok().filter(|_| is_one).and_then(|name| RunId::try_from(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// The one run whose id begins with `prefix`.
    ///
    /// # Errors
    /// [`Error::Prefix`] if there is none, or more than one, or `prefix` is empty; if the folder cannot be read.
    pub fn find(&self, prefix: &str) -> Result<RunId> {
        let mut ids = self.ids()?;
        ids.retain(|id| id.as_str().starts_with(prefix));
        match <[RunId; 1]>::try_from(ids) {
            // An empty prefix names nothing, not even the only run: it may be an unset variable.
            Ok([id]) if !prefix.is_empty() => Ok(id),
            found => {
                let found = found.map_or_else(|ids| ids.len(), |one| one.len());
                Err(Error::Prefix { prefix: prefix.into(), found, root: self.root.clone() })
            }
        }
    }

    /// What is known of every run, from its small files alone: no file of the user's is opened.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed<C, O>>> {
        let listed = self.ids()?.into_iter().map(|id| Listed {
            config: self.config(&id),
            ending: self.ending(&id),
            claimed: self.is_claimed(&id),
            id,
        });
        // But for those that were removed meanwhile.
        Ok(listed.filter(|run| !matches!(run.config, Ok(None)) || self.dir(&run.id).exists()).collect())
    }

    /// A run's configuration, or nothing if the run was never begun.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file is not the one of this run, [`Error::Foreign`] if it is and another version of
    /// the program made it; if it cannot be read.
    pub fn config(&self, id: &RunId) -> Result<Option<C>> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(None) };
        let path = dir.join(CONFIG);
        let Some(bytes) = read_file(&path, limits::CONFIG)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| Error::damaged(&path, error))?;
        if RunId::of(&text) != *id {
            return Err(Error::damaged(&path, format!("it is not the configuration of run {id}")));
        }
        let config = C::parse(&text).map_err(|error| Error::foreign(&path, error))?;
        if config.canonical() == text {
            Ok(Some(config))
        } else {
            Err(Error::foreign(&path, format!("this version calls the same run {}", config.id())))
        }
    }

    /// How a run ended, or nothing if it has not ended.
    ///
    /// The files that belong to the ending must be there with the lengths that they had then. Their bytes are not read:
    /// [`verify`](Self::verify) and the user of this crate do that.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its file is damaged or is another run's, or a file that belongs to the ending is gone or
    /// has another length; [`Error::Foreign`] if another version of the program wrote it; if a file cannot be read.
    pub fn ending(&self, id: &RunId) -> Result<Option<Ending<O>>> {
        let Some(file) = self.ending_file(id)? else { return Ok(None) };
        let dir = self.dir(id);
        ending::check_files(&dir, &file)?;
        ending::check_journal_length(&dir, &file)?;
        Ok(Some(file.ending))
    }

    /// What a run's `ending.json` holds, or nothing if there is none. Other files are not looked at.
    ///
    /// # Errors
    /// As [`ending`](Self::ending), of that file alone.
    pub fn ending_file(&self, id: &RunId) -> Result<Option<EndingFile<O>>> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(None) };
        ending::read(&dir, id)
    }

    /// The outcome of a finished run; nothing if it is not finished.
    ///
    /// # Errors
    /// As [`ending`](Self::ending).
    pub fn outcome(&self, id: &RunId) -> Result<Option<O>> {
        Ok(match self.ending(id)? {
            Some(Ending::Finished(outcome)) => Some(outcome),
            _ => None,
        })
    }

    /// The starts of a run: the first and the last 20. Damaged lines are passed over.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn starts(&self, id: &RunId) -> Result<Vec<Start>> {
        self.existing_dir(id)?.map_or(Ok(Vec::new()), |dir| start::read(&dir.join(STARTS)))
    }

    /// The records of a run's journal, up to now.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is damaged.
    pub fn records<R: DeserializeOwned>(&self, id: &RunId) -> Result<Vec<R>> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(Vec::new()) };
        let path = dir.join(JOURNAL);
        journal::parse_growing(&path, &journal::read(&path)?.unwrap_or_default())
    }

    /// The records of a run's journal at `extent`, whose hash is checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the journal does not begin with what `extent` has seen, [`Error::Foreign`] if its
    /// records are not `R`s; if the file cannot be read.
    pub fn records_at<R: DeserializeOwned>(&self, id: &RunId, extent: &Extent) -> Result<Vec<R>> {
        let (path, lines) = self.journal(id, extent)?;
        journal::parse_seen(&path, journal::seen(&path, &lines, extent)?)
    }

    /// Fails unless the whole journal of a run is what `extent` has seen.
    ///
    /// # Errors
    /// [`Error::Damaged`], or if the file cannot be read.
    pub fn check_journal(&self, id: &RunId, extent: &Extent) -> Result<()> {
        let (path, lines) = self.journal(id, extent)?;
        if Extent::of(&lines) == *extent {
            Ok(())
        } else {
            Err(Error::damaged(&path, "its bytes are not those that it had when its run ended"))
        }
    }

    /// The journal's path and bytes; it must be there unless `extent` is empty.
    fn journal(&self, id: &RunId, extent: &Extent) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.dir(id).join(JOURNAL);
        let lines = match self.existing_dir(id)? {
            Some(_) => journal::read(&path)?,
            None => None,
        };
        match lines {
            None if extent.bytes > 0 => Err(Error::damaged(&path, "it is gone")),
            lines => Ok((path, lines.unwrap_or_default())),
        }
    }

    /// The sole right to write into a run's folder, which is made if it is not there; nothing while somebody else has
    /// it.
    ///
    /// What a kill left half written is deleted.
    ///
    /// # Errors
    /// [`Error::WrongKind`] if the folder or its claim is a link or the like, [`Error::NoLocks`] if the file system
    /// has no locks; if the folder cannot be made or written into.
    pub fn claim(&self, id: &RunId) -> Result<Option<Claim>> {
        Claim::acquire(id, self.dir(id))
    }

    /// Whether somebody works on a run at this moment.
    ///
    /// # Errors
    /// If that cannot be told: [`Error::NoLocks`], [`Error::WrongKind`], or the claim cannot be read.
    pub fn is_claimed(&self, id: &RunId) -> Result<bool> {
        claim::is_claimed(&self.dir(id))
    }

    /// The runs that need this one, as far as their configurations can be read.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn dependents(&self, id: &RunId) -> Result<Vec<RunId>> {
        let mut ids = self.ids()?;
        ids.retain(|other| self.config(other).ok().flatten().is_some_and(|config| config.needs().contains(id)));
        Ok(ids)
    }

    /// The runs that `config` needs and that are not finished here, or not whole as far as [`ending`](Self::ending)
    /// looks.
    pub fn missing_needs(&self, config: &C) -> Vec<RunId> {
        let mut needs = config.needs();
        needs.retain(|id| !matches!(self.outcome(id), Ok(Some(_))));
        needs
    }

    /// How many bytes the files in a run's folder have; folders in it and links are not followed.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn size(&self, id: &RunId) -> Result<u64> {
        self.size_of(id, |_| true)
    }

    /// How many bytes [`remove`](Self::remove) frees: those of the run's own files, and of nobody else's.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn own_size(&self, id: &RunId) -> Result<u64> {
        self.size_of(id, |name| is_of_the_store(name) || self.is_own(name))
    }

    /// The bytes of the files in a run's folder with such names.
    fn size_of(&self, id: &RunId, counts: impl Fn(&str) -> bool) -> Result<u64> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(0) };
        let entries = fs::read_dir(&dir).map_err(Error::io("read the folder", &dir))?.flatten();
        let counted = entries.filter(|entry| counts(&entry.file_name().to_string_lossy()));
        // Whatever is deleted meanwhile has no size.
        let files = counted.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file);
        Ok(files.map(|metadata| metadata.len()).sum())
    }

    /// What a kill left half written in a run's folder, which the next claim deletes: names and lengths.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn half_written(&self, id: &RunId) -> Result<Vec<Expected>> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::io("read the folder", &dir))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata().ok().filter(|metadata| metadata.is_file() && is_half_written(&name));
            found.extend(metadata.map(|metadata| Expected { name, bytes: metadata.len() }));
        }
        Ok(found)
    }

    /// Whether anything of a run was begun: its folder holds more than a claim, what a kill left half written, and what a person
    /// says of it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn was_begun(&self, id: &RunId) -> Result<bool> {
        self.existing_dir(id)?.map_or(Ok(false), |dir| self.is_begun(&dir))
    }

    /// Deletes a run: the store's files and those that are the user's of this crate, and its folder if nothing else
    /// is in it.
    ///
    /// # Errors
    /// [`Error::Claimed`] while somebody works on it, [`Error::WrongKind`] if its folder is a link, and nothing is
    /// deleted then; if a file cannot be deleted.
    pub fn remove(&self, id: &RunId) -> Result<Removed> {
        if self.existing_dir(id)?.is_none() {
            return Ok(Removed::default());
        }
        let claim = self.claim(id)?.ok_or_else(|| Error::Claimed(id.clone()))?;
        removal::remove(claim, self.is_own)
    }

    /// The folder of a run; nothing if it is not there.
    pub(crate) fn existing_dir(&self, id: &RunId) -> Result<Option<PathBuf>> {
        let dir = self.dir(id);
        Ok(expect_kind(&dir, FileKind::Folder)?.map(|_| dir))
    }

    /// Whether a file of this name is one that the user of this crate writes.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        (self.is_own)(name)
    }
}

impl Claim {
    /// Writes the configuration of the run.
    ///
    /// # Errors
    /// If it is the configuration of another run, is larger than the limit, or as [`Claim::write`].
    pub fn write_config(&self, config: &impl Configuration) -> Result<()> {
        let (path, text) = (self.path(CONFIG), config.canonical());
        if RunId::of(&text) != *self.id() {
            let other = RunId::of(&text);
            return Err(Error::Unwritable(format!(
                "the configuration is that of run {other}, not of run {}",
                self.id()
            )));
        }
        if text.len() as u64 > limits::CONFIG {
            return Err(Error::TooLarge { path, limit: limits::CONFIG });
        }
        self.write(CONFIG, text.as_bytes())
    }
}

impl<C, O> Clone for Store<C, O> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), is_own: self.is_own, of: PhantomData }
    }
}

impl<C, O> fmt::Debug for Store<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("root", &self.root).finish_non_exhaustive()
    }
}
