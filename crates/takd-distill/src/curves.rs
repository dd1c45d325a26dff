//! The copy of a run's metrics that TensorBoard shows.

use crate::evaluation::Evaluation;
use crate::records::{Losses, Record};
use crate::{Error, Result};
use std::path::Path;
use std::time::SystemTime;
use std::vec::IntoIter;
use takd_store::Claim;
use takd_tensorboard::{EventWriter, Scalar};

/// The event file; TensorBoard looks for this in its name.
pub(crate) const EVENTS: &str = "events.out.tfevents.takd";

/// The most bytes that it may have: several times those of the metrics that it shows.
const AT_MOST: u64 = 4 * takd_store::limits::JOURNAL;

/// The event file of a run that goes on after `records`, open at its end. It follows from the records, so it need not be
/// trusted: it is made anew unless it begins with just these.
pub(crate) fn resume(claim: &Claim, records: &[Record]) -> Result<EventWriter> {
    let path = claim.path(EVENTS);
    let last_step = records.iter().map(Record::step).max().unwrap_or(0) as i64;
    match after(&path, records) {
        // An epoch has the step of its last step: what comes again is not always told by its step alone.
        Ok(later) if !records.is_empty() && later.iter().all(|scalar| scalar.step > last_step) => {
            Ok(EventWriter::resume(&path, last_step, now())?)
        }
        _ => begin(claim, records),
    }
}

/// Makes the event file of a finished run anew if it is damaged.
pub(crate) fn mend(claim: &Claim, records: &[Record]) -> Result<()> {
    if check(&claim.path(EVENTS), records).is_err() {
        begin(claim, records)?.flush()?;
    }
    Ok(())
}

/// Fails unless the event file begins with what TensorBoard is to see of `records`.
pub(crate) fn check(path: &Path, records: &[Record]) -> Result<()> {
    after(path, records).map(drop)
}

/// Shows a record.
pub(crate) fn add(events: &mut EventWriter, record: &Record) -> Result<()> {
    let now = now();
    for (tag, value) in scalars(record) {
        events.scalar(&tag, value as f32, record.step() as i64, now)?;
    }
    Ok(())
}

/// An event file of `records`, in the place of any that is there.
fn begin(claim: &Claim, records: &[Record]) -> Result<EventWriter> {
    claim.remove(EVENTS)?;
    let mut events = EventWriter::create(&claim.path(EVENTS), now())?;
    records.iter().try_for_each(|record| add(&mut events, record))?;
    Ok(events)
}

/// What stands in the event file after what TensorBoard is to see of `records`, which it must begin with.
fn after(path: &Path, records: &[Record]) -> Result<Vec<Scalar>> {
    let bytes = takd_store::read_file(path, AT_MOST)?.ok_or_else(|| Error::gone(path))?;
    let found = takd_tensorboard::parse(path, &bytes).map_err(|error| Error::damaged(path, error))?;
    let mut found = found.into_iter();
    let shown = |record: &Record| {
        let step = record.step() as i64;
        scalars(record).into_iter().map(move |(tag, value)| (tag, value as f32, step)).collect::<Vec<_>>()
    };
    let next = |found: &mut IntoIter<Scalar>| found.next().map(|scalar| (scalar.tag, scalar.value, scalar.step));
    if records.iter().flat_map(shown).all(|scalar| next(&mut found) == Some(scalar)) {
        Ok(found.collect())
    } else {
        Err(Error::damaged(path, "it does not hold what metrics.jsonl does"))
    }
}

/// Seconds since the start of 1970; 0 if the clock says less.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// What TensorBoard shows of a record: names and values.
fn scalars(record: &Record) -> Vec<(String, f64)> {
    let mut scalars = Vec::new();
    let mut add = |group: &str, name: &str, value: f64| scalars.push((format!("{group}/{name}"), value));
    let losses = |add: &mut dyn FnMut(&str, &str, f64), group: &str, loss: &Losses| {
        add(group, "loss", loss.loss);
        add(group, "cross_entropy", loss.cross_entropy);
        if let Some(kl) = loss.kl {
            add(group, "kl", kl);
        }
    };
    match record {
        Record::Step(record) => {
            losses(&mut add, "step", &record.loss);
            add("step", "accuracy", record.accuracy);
            add("step", "lr", record.lr);
        }
        Record::Epoch(record) => {
            losses(&mut add, "train", &record.train.loss);
            add("train", "accuracy", record.train.accuracy);
            for (group, evaluation) in [("held_out", &record.held_out), ("test", &record.test)] {
                let Some(evaluation) = evaluation else { continue };
                let Evaluation { loss, accuracy, top5_accuracy, calibration_error, .. } = *evaluation;
                add(group, "loss", loss);
                add(group, "accuracy", accuracy);
                add(group, "top5_accuracy", top5_accuracy);
                add(group, "calibration_error", calibration_error);
            }
        }
    }
    scalars
}
