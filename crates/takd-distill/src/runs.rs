//! The folder that holds the runs' folders.

use crate::checkpoint::{self, LAST, PREVIOUS};
use crate::config::RunConfig;
use crate::correct::{self, CORRECT};
use crate::curves::{self, EVENTS};
use crate::landscape::{Landscape, Plane};
use crate::network_file::{self, MODEL};
use crate::records::{Record, epochs};
use crate::result::RunResult;
use crate::{Error, Result, landscape, logits_file, logits_key};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use takd_models::Family;
use takd_store::{Ending, EndingFile, Finding, Findings, RunId, Store};

/// The folder that holds the runs' folders: a [`Store`] of [`RunConfig`] and [`RunResult`], and what training knows of its files.
///
/// ```text
/// <root>/<run id>/config.toml                    what the run is: its canonical form
///                 metrics.jsonl                  a line an epoch, and one every 50 steps
///                 events.out.tfevents.takd       the same for TensorBoard
///                 starts.jsonl                   which command, version and host trained it, and when
///                 last.safetensors               everything needed to go on, also for more epochs
///                 previous.safetensors           the one before, in case the last is damaged; gone when the run is finished
///                 model.safetensors              the network of the epoch that counts; or the logits that a teacher is known by
///                 correct.json                   which test images that network gets right
///                 landscape-<plane>.json         the loss around that network, if it was asked for
///                 ending.json                    how the run ended: finished with a result, diverged, or stopped
///                 logits-<images>….safetensors   this network's logits, computed once for all it teaches; several if they are many
///                 annotation.json                tags and a note of whoever looks at it; no part of the run
///                 claim                          locked by the process that writes here
/// ```
#[derive(Clone, Debug)]
pub struct Runs {
    store: Store<RunConfig, RunResult>,
}

/// Whether a run that diverged before is trained again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retry {
    /// No: it would diverge again, for it is a pure function of its configuration.
    #[default]
    Never,
    /// Yes: another version, or a machine without the fault that it had, may do better.
    Diverged,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// It has a result.
    Finished(RunResult),
    /// It diverged: when, and what ceased to be a number.
    Diverged(String),
    /// It has begun and can go on.
    Unfinished {
        /// Epochs that are over.
        epoch: usize,
    },
}

impl Deref for Runs {
    type Target = Store<RunConfig, RunResult>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Runs {
    /// The runs in `root`, which is made if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { store: Store::open(root, is_own_file)? })
    }

    /// What a run ended with, if it is finished. All that it leaves is read and checked, network and metrics too: a run
    /// without its network is not finished, because it may be wanted as a teacher. ([`Store::outcome`] looks at less.)
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn finished(&self, id: &RunId) -> Result<Option<RunResult>> {
        let Some(EndingFile { ending: Ending::Finished(result), journal, .. }) = self.ending_file(id)? else {
            return Ok(None);
        };
        self.check_journal(id, &journal)?;
        network_file::read(&self.dir(id).join(MODEL), id, |epoch| epoch == result.epoch)?;
        Ok(Some(result))
    }

    /// The result of a run that need not be trained; nothing if it has to be, also because one of its files is damaged, which a
    /// warning tells ([`tracing`]). What a kill right after its end left undone is done.
    ///
    /// # Errors
    /// [`Error::DivergedBefore`] unless `retry` says otherwise; if a file cannot be read.
    pub fn settled(&self, config: &RunConfig, retry: Retry) -> Result<Option<RunResult>> {
        let id = config.id();
        if let Ok(Some(Ending::Failed(reason))) = self.ending(&id)
            && retry == Retry::Never
        {
            return Err(Error::DivergedBefore { id, reason });
        }
        let whole = || match self.config(&id)? {
            Some(_) => self.finished(&id),
            None => Ok(None),
        };
        let result = match whole() {
            Err(error) if error.is_damage() => {
                let again = if config.imported.is_some() { "imported" } else { "trained" };
                tracing::warn!("{error}; the run is to be {again} again");
                return Ok(None);
            }
            result => result?,
        };
        if result.is_some() && !self.is_tidy(&id) {
            // Who may not write here, or not now, gets the result all the same.
            if let Err(error) = self.tidy(&id) {
                tracing::warn!("{error}");
            }
        }
        Ok(result)
    }

    /// The finished run that `config` begins like and can go on from, which leaves the longest one's epochs out: it differs in
    /// nothing but fewer epochs ([`RunConfig::beginnings`]), and its last checkpoint is there.
    pub fn beginning(&self, config: &RunConfig) -> Option<RunConfig> {
        config.beginnings().find(|shorter| {
            let id = shorter.id();
            self.dir(&id).join(LAST).is_file() && matches!(self.ending(&id), Ok(Some(Ending::Finished(_))))
        })
    }

    /// The file of the network that a finished run ended with.
    ///
    /// # Errors
    /// [`Error::Unfinished`] if the run is not finished; [`Error::NoNetwork`] if it is logits from a file; if a file is damaged.
    pub fn model(&self, id: &RunId) -> Result<PathBuf> {
        self.check_finished(id)?;
        match self.config(id)? {
            Some(config) if config.model.family() == Family::Logits => Err(Error::NoNetwork(id.clone())),
            _ => Ok(self.dir(id).join(MODEL)),
        }
    }

    /// Fails unless the run is finished and whole.
    pub(crate) fn check_finished(&self, id: &RunId) -> Result<()> {
        self.finished(id)?.map(drop).ok_or_else(|| Error::unfinished(id, self.dir(id)))
    }

    /// How far a run has come, by its small files alone.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn status(&self, id: &RunId) -> Result<Status> {
        Ok(match self.ending(id)? {
            Some(Ending::Finished(result)) => Status::Finished(result),
            Some(Ending::Failed(reason)) => Status::Diverged(reason),
            Some(Ending::Stopped) | None => {
                let epoch = epochs(self.records(id)?).last().map_or(0, |record| record.epoch);
                Status::Unfinished { epoch }
            }
        })
    }

    /// What was measured while a run was trained, up to now.
    ///
    /// # Errors
    /// If the file cannot be read or a line of it is damaged.
    pub fn records(&self, id: &RunId) -> Result<Vec<Record>> {
        Ok(self.store.records(id)?)
    }

    /// The event file of a run, there or not, which TensorBoard shows.
    pub fn curves(&self, id: &RunId) -> PathBuf {
        self.dir(id).join(EVENTS)
    }

    /// The loss around the network of a run on this plane, if it was computed before; see [`landscape`](fn@crate::landscape).
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn kept_landscape(&self, config: &RunConfig, plane: Plane) -> Result<Option<Landscape>> {
        let id = config.id();
        let plane = plane.within(config.data.train_images);
        landscape::read(&self.dir(&id).join(landscape::file(&plane)), &id)
    }

    /// What was computed before of the loss around the network of a run, on whichever planes.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn kept_landscapes(&self, id: &RunId) -> Result<Vec<Landscape>> {
        let kept = files(&self.dir(id), landscape::is_landscape)?;
        kept.iter().filter_map(|path| landscape::read(path, id).transpose()).collect()
    }

    /// Of each test image whether the network of a finished run gets it right; nothing if the run is not finished, or its file
    /// is gone. The network may be gone.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn correct(&self, id: &RunId) -> Result<Option<Vec<bool>>> {
        match self.ending_file(id)?.map(|file| file.ending) {
            Some(Ending::Finished(_)) => correct::read(&self.dir(id).join(CORRECT), id),
            _ => Ok(None),
        }
    }

    /// What is wrong with a run's files; nothing if every one is as it was written.
    ///
    /// A kill may leave a run without its last checkpoint, the one before or its ending, and kept logits are computed when
    /// they are wanted: that they are missing is no finding, nor is a folder in which nothing was begun. Of an unfinished run
    /// that a process works on at this moment only the configuration, the checkpoints and kept logits are checked.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn verify(&self, id: &RunId) -> Result<Vec<Finding>> {
        let dir = self.dir(id);
        let mut findings = self.store.verify(id)?;
        let config = self.config(id).ok().flatten();
        let ending = self.ending_file(id).ok().flatten();
        let mut last = None;
        for name in [LAST, PREVIOUS] {
            let header = note(&mut findings, checkpoint::read_header(&dir.join(name), id))?.flatten();
            last = last.or(header.map(|header| (name, header)));
        }
        let finished = match &ending {
            Some(EndingFile { ending: Ending::Finished(result), journal, .. }) => Some((result, journal)),
            _ => None,
        };
        let mut records = None;
        if let Some((result, journal)) = finished {
            records = self.store.records_at::<Record>(id, journal).ok();
            note(&mut findings, network_file::read(&dir.join(MODEL), id, |epoch| epoch == result.epoch))?;
            note(&mut findings, correct::read(&dir.join(CORRECT), id))?;
        } else if let Some((name, header)) = &last
            && !self.is_claimed(id).unwrap_or(false)
        {
            records = note(&mut findings, self.store.records_at::<Record>(id, &header.metrics).map_err(Error::from))?;
            if let (Some(config), Some(records)) = (&config, &records) {
                let (epochs, over) = (epochs(records.clone()), header.position.epoch);
                note(&mut findings, checkpoint::check_position(&dir.join(name), header.position, &epochs))?;
                note(&mut findings, network_file::check_so_far(&dir.join(MODEL), config, &epochs, over))?;
            }
        }
        if let Some(records) = records {
            note(&mut findings, curves::check(&dir.join(EVENTS), &records))?;
        }
        for path in logits_files(&dir)? {
            note(&mut findings, logits_file::check(&path, id))?;
        }
        for path in files(&dir, landscape::is_landscape)? {
            note(&mut findings, landscape::read(&path, id))?;
        }
        for teacher in config.iter().flat_map(|config| config.teachers()) {
            if !matches!(self.finished(teacher), Ok(Some(_))) {
                findings.add(&self.dir(teacher), "it is the teacher's run, and is unfinished or damaged");
            }
        }
        Ok(findings.into_vec())
    }

    /// Whether the folder of a finished run is as the end of its training leaves it.
    fn is_tidy(&self, id: &RunId) -> bool {
        let dir = self.dir(id);
        let curves = || self.records(id).and_then(|records| curves::check(&dir.join(EVENTS), &records));
        let kept =
            || logits_files(&dir).is_ok_and(|files| files.iter().all(|path| logits_file::check(path, id).is_ok()));
        let last = || checkpoint::read_header(&dir.join(LAST), id).is_ok();
        let correct = || correct::read(&dir.join(CORRECT), id).is_ok();
        !dir.join(PREVIOUS).exists() && curves().is_ok() && kept() && last() && correct()
    }

    /// Brings the folder of a finished run to where the end of its training leaves it, unless another process works on it.
    fn tidy(&self, id: &RunId) -> Result<()> {
        let Some(claim) = self.claim(id)? else { return Ok(()) };
        // Between our look and our claim it may have been removed, and begun anew.
        if self.finished(id)?.is_none() {
            return Ok(());
        }
        claim.remove(PREVIOUS)?;
        let dir = self.dir(id);
        if checkpoint::read_header(&dir.join(LAST), id).is_err_and(|error| error.is_damage()) {
            claim.remove(LAST)?;
        }
        if correct::read(&dir.join(CORRECT), id).is_err_and(|error| error.is_damage()) {
            claim.remove(CORRECT)?;
        }
        for path in logits_files(&dir)? {
            if logits_file::check(&path, id).is_err_and(|error| error.is_damage()) {
                // Computed again for the next student that needs it.
                claim.remove(&path.file_name().unwrap_or_default().to_string_lossy())?;
            }
        }
        curves::mend(&claim, &self.records(id)?)
    }
}

/// Adds the damage that was found to the findings; other errors are passed on.
fn note<T>(findings: &mut Findings, checked: Result<T>) -> Result<Option<T>> {
    match checked {
        Ok(whole) => Ok(Some(whole)),
        Err(Error::Store(error)) => Ok(findings.note(Err(error))?),
        Err(error) => Err(error),
    }
}

/// Whether training writes a file of this name into a run's folder.
fn is_own_file(name: &str) -> bool {
    [LAST, PREVIOUS, MODEL, CORRECT, EVENTS].contains(&name)
        || logits_key::is_logits(name)
        || landscape::is_landscape(name)
}

/// The files of kept logits in a run's folder.
fn logits_files(dir: &Path) -> Result<Vec<PathBuf>> {
    files(dir, logits_key::is_logits)
}

/// The files of a run's folder whose names are wanted, in their order.
fn files(dir: &Path, is_wanted: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(takd_store::Error::io("read the folder", dir)(error).into()),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| is_wanted(&path.file_name().unwrap_or_default().to_string_lossy()));
    files.sort();
    Ok(files)
}
