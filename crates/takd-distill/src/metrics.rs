//! `metrics.jsonl` and its copy for TensorBoard: what was measured while a run was trained, in the order of time.

use crate::claim::{self, Claimed};
use crate::store::METRICS;
use crate::{Error, Evaluation, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::vec::IntoIter;
use takd_tensorboard::{EventWriter, Scalar};

/// The event file; TensorBoard looks for this in its name.
pub(crate) const EVENTS: &str = "events.out.tfevents.takd";

/// Steps from one line about a step to the next.
pub(crate) const STEPS_A_LINE: usize = 50;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// One training step; every fiftieth has a line.
    Step(StepRecord),
    /// One epoch.
    Epoch(EpochRecord),
}

/// One training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which one, from 1, counted through all epochs.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// The loss of its images, before it.
    pub loss: f64,
    /// Share of them that the network got right, before it.
    pub accuracy: f64,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which one, from 1.
    pub epoch: usize,
    /// Its last step, from 1, counted through all epochs.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Mean of the loss over its images, each as the network was when it was seen.
    pub train_loss: f64,
    /// Share of them that the network got right, as it was then.
    pub train_accuracy: f64,
    /// On the held-out images, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// On the test images, where the protocol looks at them each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Evaluation>,
}

/// How much of `metrics.jsonl` a checkpoint knows of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extent {
    bytes: u64,
    blake3: String,
}

/// Both files, open at their ends.
pub(crate) struct Metrics<'a> {
    folder: &'a Claimed,
    path: PathBuf,
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
    events: EventWriter,
}

impl<'a> Metrics<'a> {
    /// Empty files.
    pub(crate) fn begin(folder: &'a Claimed) -> Result<Self> {
        folder.check()?;
        let path = folder.path(METRICS);
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        let events = new_events(&folder.path(EVENTS), &[])?;
        Ok(Self { folder, path, file, bytes: 0, hasher: blake3::Hasher::new(), events })
    }

    /// The files as they were at `extent`, without what came later; and what they hold.
    pub(crate) fn go_on(folder: &'a Claimed, extent: &Extent) -> Result<(Self, Vec<Record>)> {
        folder.check()?;
        let path = folder.path(METRICS);
        let open = File::options().read(true).write(true).open(&path);
        let mut file = open.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::damaged(&path, &"it is gone"),
            _ => Error::io("write", &path)(error),
        })?;
        let mut lines = Vec::new();
        (&mut file).take(extent.bytes).read_to_end(&mut lines).map_err(Error::io("read", &path))?;
        let records = seen(&path, &lines, extent)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&lines);
        let end = file.set_len(extent.bytes).and_then(|()| file.seek(SeekFrom::End(0)));
        end.map_err(Error::io("write", &path))?;
        // Derived from the records, so that it need not be trusted: made anew unless it begins with just these.
        let events_path = folder.path(EVENTS);
        let last_step = records.iter().map(Record::step).max().unwrap_or(0) as i64;
        let events = match check_events(&events_path, &records) {
            // An epoch has the step of its last step: what comes again is not always told by its step alone.
            Ok(later) if later.iter().all(|scalar| scalar.step > last_step) => {
                EventWriter::resume(&events_path, last_step, now())?
            }
            _ => new_events(&events_path, &records)?,
        };
        Ok((Self { folder, path, file, bytes: extent.bytes, hasher, events }, records))
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<()> {
        // Else it might be written into what another process has begun to write.
        self.folder.check()?;
        let mut line = serde_json::to_vec(record).map_err(Error::unwritable)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))?;
        self.hasher.update(&line);
        self.bytes += line.len() as u64;
        show(&mut self.events, record)
    }

    /// All of it so far, safe on the disk.
    pub(crate) fn extent(&mut self) -> Result<Extent> {
        self.events.flush()?;
        self.file.sync_data().map_err(Error::io("write", &self.path))?;
        Ok(Extent { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }
}

/// Fails unless `lines`, the whole file, is what `extent` has seen.
pub(crate) fn check(path: &Path, lines: &[u8], extent: &Extent) -> Result<()> {
    let whole = Extent { bytes: lines.len() as u64, blake3: blake3::hash(lines).to_hex().to_string() };
    match whole == *extent {
        true => Ok(()),
        false => Err(Error::damaged(path, &"it is not what the run's result has seen of it")),
    }
}

/// The records that `extent` has seen, which the file's `lines` must begin with.
pub(crate) fn seen(path: &Path, lines: &[u8], extent: &Extent) -> Result<Vec<Record>> {
    let seen = usize::try_from(extent.bytes).ok().and_then(|bytes| lines.get(..bytes));
    match seen.filter(|seen| blake3::hash(seen).to_hex().as_str() == extent.blake3) {
        Some(seen) => parse(path, seen),
        None => Err(Error::damaged(path, &"it is not what the checkpoint has seen of it")),
    }
}

/// The records of a file's lines.
pub(crate) fn parse(path: &Path, lines: &[u8]) -> Result<Vec<Record>> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| Error::damaged(path, &error))).collect()
}

/// Those of the records that are of an epoch.
pub(crate) fn epochs(records: Vec<Record>) -> Vec<EpochRecord> {
    let epoch = |record| match record {
        Record::Epoch(record) => Some(record),
        Record::Step(_) => None,
    };
    records.into_iter().filter_map(epoch).collect()
}

/// What comes later in the event file than what TensorBoard is to see of `records`, which it must begin with.
pub(crate) fn check_events(path: &Path, records: &[Record]) -> Result<Vec<Scalar>> {
    let mut found = takd_tensorboard::read(path).map_err(|error| Error::damaged(path, &error))?.into_iter();
    let mut expected = records
        .iter()
        .flat_map(|record| record.scalars().into_iter().map(|(tag, value)| (tag, value as f32, record.step() as i64)));
    let found_next = |found: &mut IntoIter<Scalar>| found.next().map(|scalar| (scalar.tag, scalar.value, scalar.step));
    match expected.all(|scalar| found_next(&mut found) == Some(scalar)) {
        true => Ok(found.collect()),
        false => Err(Error::damaged(path, &"it does not hold what metrics.jsonl does")),
    }
}

/// Makes the event file of a finished run anew where it is damaged.
pub(crate) fn mend_events(folder: &Claimed, records: &[Record]) -> Result<()> {
    folder.check()?;
    let path = folder.path(EVENTS);
    if check_events(&path, records).is_err() {
        new_events(&path, records)?.flush()?;
    }
    Ok(())
}

/// An event file of `records`, in the place of any that is there.
fn new_events(path: &Path, records: &[Record]) -> Result<EventWriter> {
    claim::remove(path)?;
    let mut events = EventWriter::create(path, now())?;
    records.iter().try_for_each(|record| show(&mut events, record))?;
    Ok(events)
}

fn show(events: &mut EventWriter, record: &Record) -> Result<()> {
    let now = now();
    for (tag, value) in record.scalars() {
        events.scalar(&tag, value as f32, record.step() as i64, now)?;
    }
    Ok(())
}

/// Seconds since the start of 1970; 0 where the clock says less.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Record {
    fn step(&self) -> usize {
        match self {
            Self::Step(record) => record.step,
            Self::Epoch(record) => record.step,
        }
    }

    /// What TensorBoard shows of it.
    fn scalars(&self) -> Vec<(String, f64)> {
        let own = |pairs: &[(&str, f64)]| pairs.iter().map(|&(tag, value)| (tag.to_owned(), value)).collect::<Vec<_>>();
        match self {
            Self::Step(record) => {
                own(&[("step/loss", record.loss), ("step/accuracy", record.accuracy), ("step/lr", record.lr)])
            }
            Self::Epoch(record) => {
                let mut scalars = own(&[("train/loss", record.train_loss), ("train/accuracy", record.train_accuracy)]);
                for (name, evaluation) in [("held_out", &record.held_out), ("test", &record.test)] {
                    scalars.extend(evaluation.iter().flat_map(|evaluation| {
                        let Evaluation { loss, accuracy, top5_accuracy, calibration_error, .. } = *evaluation;
                        [
                            (format!("{name}/loss"), loss),
                            (format!("{name}/accuracy"), accuracy),
                            (format!("{name}/top5_accuracy"), top5_accuracy),
                            (format!("{name}/calibration_error"), calibration_error),
                        ]
                    }));
                }
                scalars
            }
        }
    }
}
