//! Where runs are kept: one folder a run.

use crate::claim::{self, Claimed};
use crate::metrics::{self, EVENTS, Extent};
use crate::{Error, Record, Result, RunConfig, RunId, RunResult, checkpoint, logits, seal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder that holds the runs' folders.
///
/// ```text
/// <root>/<run id>/config.toml                    what the run is
///                 metrics.jsonl                  a line an epoch, and one every 50 steps
///                 events.out.tfevents.takd       the same for TensorBoard
///                 last.safetensors               everything needed to go on; gone when the run is finished
///                 previous.safetensors           the one before, should the last be damaged; gone with it
///                 model.safetensors              the network of the epoch that counts
///                 result.json                    there exactly when the run is finished
///                 logits-<images>.safetensors    this network's logits, computed once for all it teaches
///                 claim                          locked by the process that writes here
/// ```
///
/// Every file but `metrics.jsonl` and the events is written beside its place, synced and renamed into it; those two only
/// grow, and a checkpoint knows up to where they count. Each is checked when it is read: `config.toml` by the run's id,
/// `metrics.jsonl` by a hash in the checkpoint or the result, the events by their own, the others by a hash in themselves.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// How far a run has come.
#[derive(Clone, Debug)]
pub enum Status {
    /// It has a result, and its files are whole.
    Finished(RunResult),
    /// It has begun and can go on.
    Unfinished {
        /// Epochs that are over.
        epoch: usize,
        /// Whether a process works on it at this moment.
        running: bool,
    },
}

/// Something wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and what helps.
    pub problem: String,
}

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const LAST: &str = "last.safetensors";
pub(crate) const PREVIOUS: &str = "previous.safetensors";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const RESULT: &str = "result.json";
pub(crate) const CLAIM: &str = "claim";

/// What `model.safetensors` holds beside the tensors.
#[derive(Serialize, Deserialize)]
pub(crate) struct ModelHeader {
    pub run: RunId,
    pub model: String,
    pub classes: usize,
    pub epoch: usize,
}

/// What `result.json` holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct ResultFile {
    #[serde(flatten)]
    pub result: RunResult,
    pub metrics: Extent,
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

    /// Every run that was begun, in the order of the ids.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<RunId>> {
        let entries = fs::read_dir(&self.root).map_err(Error::io("read the folder", &self.root))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut runs: Vec<RunId> = names.filter_map(|name| RunId::try_from(name).ok()).collect();
        runs.sort();
        Ok(runs)
    }

    /// The one run whose id begins with `prefix`.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn find(&self, prefix: &str) -> Result<RunId> {
        let mut runs = self.runs()?;
        runs.retain(|id| id.as_str().starts_with(prefix));
        match <[RunId; 1]>::try_from(runs) {
            Ok([id]) => Ok(id),
            Err(runs) => Err(Error::Prefix { prefix: prefix.into(), found: runs.len(), root: self.root.clone() }),
        }
    }

    /// The sole right to write into a run's folder; nothing while another process has it.
    pub(crate) fn claim(&self, id: &RunId) -> Result<Option<Claimed>> {
        Claimed::try_claim(self.dir(id))
    }

    /// A run's configuration, or nothing where the run was never begun.
    ///
    /// # Errors
    /// Where its file cannot be read, or is not the one of this run.
    pub fn config(&self, id: &RunId) -> Result<Option<RunConfig>> {
        let path = self.dir(id).join(CONFIG);
        let Some(bytes) = claim::read(&path)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|error| Error::damaged(&path, &error))?;
        let config: RunConfig = toml::from_str(text).map_err(|error| Error::damaged(&path, &error.message()))?;
        match config.id()? == *id {
            true => Ok(Some(config)),
            false => Err(Error::damaged(&path, &"it is another run's configuration")),
        }
    }

    /// What a run ended with, or nothing where it is not finished. All that it is to leave is looked at: a run without its
    /// network is not finished, for it may be wanted as a teacher.
    ///
    /// # Errors
    /// Where a file cannot be read or is damaged.
    pub fn finished(&self, id: &RunId) -> Result<Option<RunResult>> {
        let dir = self.dir(id);
        let file = |name: &str| Ok::<_, Error>(claim::read(&dir.join(name))?.map(|bytes| (dir.join(name), bytes)));
        let Some((path, bytes)) = file(RESULT)? else { return Ok(None) };
        let ResultFile { result, metrics } = seal::from_json(&path, &bytes)?;
        if result.run != *id {
            return Err(Error::damaged(&path, &format!("it belongs to run {}", result.run)));
        }
        let gone = |name| Error::damaged(&dir.join(name), &"it is gone");
        let (path, bytes) = file(METRICS)?.ok_or_else(|| gone(METRICS))?;
        metrics::check(&path, &bytes, &metrics)?;
        let (path, bytes) = file(MODEL)?.ok_or_else(|| gone(MODEL))?;
        let (header, _) = seal::from_safetensors::<ModelHeader>(&path, &bytes)?;
        if (&header.run, header.epoch) != (id, result.epoch) {
            let problem = format!("it is the network of run {}, epoch {}", header.run, header.epoch);
            return Err(Error::damaged(&path, &problem));
        }
        Ok(Some(result))
    }

    /// The file of the network that a finished run ended with.
    ///
    /// # Errors
    /// [`Error::Unfinished`] where the run is not finished; where a file is damaged.
    pub fn model(&self, id: &RunId) -> Result<PathBuf> {
        let dir = self.dir(id);
        let path = dir.join(MODEL);
        if self.finished(id)?.is_some() { Ok(path) } else { Err(Error::Unfinished { id: id.clone(), dir }) }
    }

    /// How far a run has come.
    ///
    /// # Errors
    /// Where a file cannot be read or is damaged.
    pub fn status(&self, id: &RunId) -> Result<Status> {
        if let Some(result) = self.finished(id)? {
            return Ok(Status::Finished(result));
        }
        let running = Claimed::is_claimed(&self.dir(id));
        for name in [LAST, PREVIOUS] {
            let path = self.dir(id).join(name);
            if let Some(bytes) = claim::read(&path)? {
                let epoch = checkpoint::header(&path, &bytes, id)?.position.epoch;
                return Ok(Status::Unfinished { epoch, running });
            }
        }
        Ok(Status::Unfinished { epoch: 0, running })
    }

    /// What was measured while a run was trained, up to now.
    ///
    /// # Errors
    /// Where the file cannot be read or a line of it is damaged.
    pub fn records(&self, id: &RunId) -> Result<Vec<Record>> {
        let path = self.dir(id).join(METRICS);
        let mut lines = claim::read(&path)?.unwrap_or_default();
        // A process may be writing its next line.
        lines.truncate(lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
        metrics::parse(&path, &lines)
    }

    /// The runs that this one has taught, or is to teach.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn taught_by(&self, teacher: &RunId) -> Result<Vec<RunId>> {
        let mut runs = self.runs()?;
        // A run whose configuration is damaged names no teacher.
        let teaches = |config: RunConfig| config.distillation.is_some_and(|kd| kd.teachers.contains(teacher));
        runs.retain(|id| self.config(id).ok().flatten().is_some_and(teaches));
        Ok(runs)
    }

    /// What is wrong with a run's files; nothing where every one is as it was written.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn verify(&self, id: &RunId) -> Result<Vec<Finding>> {
        let dir = self.dir(id);
        let mut findings = Vec::new();
        let mut note = |checked: Result<()>| match checked {
            Err(Error::Damaged { path, problem }) => {
                findings.push(Finding { file: path, problem });
                Ok(())
            }
            checked => checked,
        };
        let config = self.config(id);
        let teachers = match &config {
            Ok(Some(RunConfig { distillation: Some(kd), .. })) => kd.teachers.clone(),
            _ => Vec::new(),
        };
        let present = config.and_then(|config| config.ok_or_else(|| Error::damaged(&dir.join(CONFIG), &"it is gone")));
        note(present.map(drop))?;
        note(self.finished(id).map(drop))?;
        for name in [LAST, PREVIOUS] {
            let path = dir.join(name);
            if let Some(bytes) = claim::read(&path)? {
                note(checkpoint::header(&path, &bytes, id).map(drop))?;
            }
        }
        if let Ok(Some(_)) = self.finished(id) {
            note(metrics::check_events(&dir.join(EVENTS), &self.records(id)?))?;
        }
        for path in logits::files(&dir)? {
            let bytes = claim::read(&path)?.unwrap_or_default();
            note(logits::check(&path, &bytes, id))?;
        }
        for teacher in teachers {
            if self.finished(&teacher).ok().flatten().is_none() {
                note(Err(Error::damaged(
                    &self.dir(&teacher),
                    &"it is the teacher's run, and is not finished or damaged",
                )))?;
            }
        }
        Ok(findings)
    }

    /// Deletes a run.
    ///
    /// # Errors
    /// [`Error::Claimed`] while a process works on it; where a file cannot be deleted.
    pub fn remove(&self, id: &RunId) -> Result<()> {
        let dir = self.dir(id);
        let Some(folder) = self.claim(id)? else { return Err(Error::Claimed(id.clone())) };
        // First, so that what a kill leaves of the folder is not taken for a finished run.
        folder.remove(RESULT)?;
        fs::remove_dir_all(&dir).map_err(Error::io("delete", &dir))
    }
}
