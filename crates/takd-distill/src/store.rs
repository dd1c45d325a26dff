//! Where runs are kept: one folder a run.

use crate::checkpoint::{self, Header};
use crate::claim::{self, Claimed};
use crate::metrics::{self, EVENTS, Extent};
use crate::{EpochRecord, Error, Recipe, Record, Result, RunConfig, RunId, RunResult, logits, seal};
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
///                 logits-<images>….safetensors   this network's logits, computed once for all it teaches
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
        claim::make_folder(root).map_err(Error::io("make the folder", root))?;
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
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let mut runs: Vec<RunId> = names.filter_map(|name| RunId::try_from(name).ok()).collect();
        runs.sort();
        Ok(runs)
    }

    /// The one run whose id begins with `prefix`.
    ///
    /// # Errors
    /// Where there is none, or more than one, or `prefix` is empty.
    pub fn find(&self, prefix: &str) -> Result<RunId> {
        let mut runs = self.runs()?;
        runs.retain(|id| id.as_str().starts_with(prefix));
        match <[RunId; 1]>::try_from(runs) {
            // Nothing at all is no beginning, even of the only one: it may be an unset variable.
            Ok([id]) if !prefix.is_empty() => Ok(id),
            found => {
                let found = found.map_or_else(|runs| runs.len(), |one| one.len());
                Err(Error::Prefix { prefix: prefix.into(), found, root: self.root.clone() })
            }
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
        let Some(ResultFile { result, metrics }) = self.result_file(id)? else { return Ok(None) };
        let path = self.dir(id).join(METRICS);
        metrics::check(&path, &expected(&path)?, &metrics)?;
        model_bytes(&self.dir(id).join(MODEL), id, |epoch| epoch == result.epoch)?;
        Ok(Some(result))
    }

    fn result_file(&self, id: &RunId) -> Result<Option<ResultFile>> {
        let path = self.dir(id).join(RESULT);
        let Some(bytes) = claim::read(&path)? else { return Ok(None) };
        let file: ResultFile = seal::from_json(&path, &bytes)?;
        match file.result.run == *id {
            true => Ok(Some(file)),
            false => Err(Error::damaged(&path, &format!("it belongs to run {}", file.result.run))),
        }
    }

    /// Whether the folder of a finished run is as the end of its training leaves it.
    pub(crate) fn is_tidy(&self, id: &RunId) -> bool {
        let dir = self.dir(id);
        let events = || self.records(id).and_then(|records| metrics::check_events(&dir.join(EVENTS), &records));
        let whole =
            |path: &PathBuf| claim::read(path).ok().flatten().is_some_and(|b| logits::check(path, &b, id).is_ok());
        let kept = logits::files(&dir).is_ok_and(|files| files.iter().all(whole));
        [LAST, PREVIOUS].iter().all(|name| !dir.join(name).exists()) && events().is_ok() && kept
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
        for name in [LAST, PREVIOUS] {
            let path = self.dir(id).join(name);
            if let Some(bytes) = claim::read(&path)? {
                let epoch = checkpoint::header(&path, &bytes, id)?.position.epoch;
                return Ok(Status::Unfinished { epoch });
            }
        }
        Ok(Status::Unfinished { epoch: 0 })
    }

    /// Whether a process works on a run at this moment.
    pub fn is_running(&self, id: &RunId) -> bool {
        Claimed::is_claimed(&self.dir(id))
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
    /// A kill may leave a run without its last checkpoint, the one before or its result, and kept logits are computed when
    /// they are wanted: that they are missing is no finding, nor is a folder in which nothing was begun. Of an unfinished run
    /// that a process works on at this moment only the configuration, the checkpoints and kept logits are looked at.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn verify(&self, id: &RunId) -> Result<Vec<Finding>> {
        let dir = self.dir(id);
        let begun = [CONFIG, METRICS, LAST, PREVIOUS, MODEL, RESULT].iter().any(|name| dir.join(name).exists());
        if dir.is_dir() && !begun {
            return Ok(Vec::new());
        }
        let mut findings = Findings::default();
        let config = self.config(id).and_then(|config| config.ok_or_else(|| gone(&dir.join(CONFIG))));
        let config = findings.note(config)?;
        let result = findings.note(self.result_file(id))?.flatten();
        let mut checkpoint = None;
        for name in [LAST, PREVIOUS] {
            let path = dir.join(name);
            if let Some(bytes) = claim::read(&path)? {
                let header = findings.note(checkpoint::header(&path, &bytes, id))?;
                checkpoint = checkpoint.or(header);
            }
        }
        let (metrics, model) = (dir.join(METRICS), dir.join(MODEL));
        let lines = || expected(&metrics);
        let mut records = None;
        if let Some(ResultFile { result, metrics: extent }) = &result {
            let checked = lines().and_then(|lines| {
                metrics::check(&metrics, &lines, extent)?;
                metrics::parse(&metrics, &lines)
            });
            records = findings.note(checked)?;
            findings.note(model_bytes(&model, id, |epoch| epoch == result.epoch))?;
        } else if let Some(Header { position, metrics: extent, .. }) = &checkpoint
            && !Claimed::is_claimed(&dir)
        {
            records = findings.note(lines().and_then(|lines| metrics::seen(&metrics, &lines, extent)))?;
            if let (Some(config), Some(records)) = (&config, &records) {
                let epochs = metrics::epochs(records.clone());
                findings.note(check_model_so_far(&model, id, &config.recipe, &epochs, position.epoch))?;
            }
        }
        if let Some(records) = records {
            findings.note(metrics::check_events(&dir.join(EVENTS), &records))?;
        }
        for path in logits::files(&dir)? {
            let bytes = claim::read(&path)?.unwrap_or_default();
            findings.note(logits::check(&path, &bytes, id))?;
        }
        for teacher in config.into_iter().filter_map(|config| config.distillation).flat_map(|kd| kd.teachers) {
            if self.finished(&teacher).ok().flatten().is_none() {
                let problem = "it is the teacher's run, and is unfinished or damaged";
                findings.note(Err::<(), _>(Error::damaged(&self.dir(&teacher), &problem)))?;
            }
        }
        Ok(findings.0)
    }

    /// Deletes a run.
    ///
    /// # Errors
    /// [`Error::Claimed`] while a process works on it; where somebody has put a folder into its own, and nothing is deleted;
    /// where a file cannot be deleted.
    pub fn remove(&self, id: &RunId) -> Result<()> {
        let Some(folder) = self.claim(id)? else { return Err(Error::Claimed(id.clone())) };
        // The result first, so that what a kill leaves of the folder is not taken for a finished run.
        folder.remove_all(RESULT)
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// What was found to be whole; damage is noted, other errors are passed on.
    fn note<T>(&mut self, checked: Result<T>) -> Result<Option<T>> {
        match checked {
            Ok(whole) => Ok(Some(whole)),
            Err(Error::Damaged { path, problem }) => {
                self.0.push(Finding { file: path, problem });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// For a file that must be there.
pub(crate) fn gone(path: &Path) -> Error {
    Error::damaged(path, &"it is gone")
}

/// The bytes of a file that must be there.
fn expected(path: &Path) -> Result<Vec<u8>> {
    claim::read(path)?.ok_or_else(|| gone(path))
}

/// The bytes of the file of a network, which is that of run `id` and of an epoch that fits.
pub(crate) fn model_bytes(path: &Path, id: &RunId, fits: impl FnOnce(usize) -> bool) -> Result<Vec<u8>> {
    let bytes = expected(path)?;
    let (ModelHeader { run, epoch, .. }, _) = seal::from_safetensors::<ModelHeader>(path, &bytes)?;
    match run == *id && fits(epoch) {
        true => Ok(bytes),
        false => Err(Error::damaged(path, &format!("it is the network of run {run}, epoch {epoch}"))),
    }
}

/// Fails unless the file holds what a run needs of it that goes on after `over` epochs, whose records are `epochs`.
pub(crate) fn check_model_so_far(
    path: &Path,
    id: &RunId,
    recipe: &Recipe,
    epochs: &[EpochRecord],
    over: usize,
) -> Result<()> {
    let picked = recipe.picked_epoch(epochs);
    match (1..=over).contains(&picked) {
        // The network of that epoch, or of one that the checkpoint does not know of and that will come again.
        true => model_bytes(path, id, |epoch| epoch == picked || epoch > over).map(drop),
        false => Ok(()),
    }
}
