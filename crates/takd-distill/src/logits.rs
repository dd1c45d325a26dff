//! A teacher's logits, computed once and kept in its run's folder for all that it teaches.

use crate::event::{Event, Watch};
use crate::kept_logits::KeptLogits;
use crate::logits_file::{Expected, HeldIn, LogitsFile, Rows};
use crate::logits_key::LogitsKey;
use crate::logits_source::LogitsSource;
use crate::runs::Runs;
use crate::view::BATCH;
use crate::{Error, Result};
use std::ops::Range;
use std::time::Duration;
use takd_store::{Claim, RunId};

/// How often another process's claim is looked at.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Images whose logits are all in memory before what is kept of them is chosen.
const PIECE: usize = 16 * BATCH;

/// The kept logits of run `teacher`; those of files that are not there or damaged are computed with
/// `source()`, file by file, so that a pass that is broken off goes on with the file at which it was.
pub(crate) fn open_or_compute(
    runs: &Runs,
    teacher: &RunId,
    key: LogitsKey<'_>,
    held_in: HeldIn,
    source: &mut dyn FnMut() -> Result<LogitsSource>,
    watch: &mut Watch<'_>,
) -> Result<KeptLogits> {
    let open = |images: &Range<usize>| {
        let &LogitsKey { classes, keep, .. } = &key;
        let expected = Expected { teacher, images: images.len(), classes, keep };
        LogitsFile::open(&runs.dir(teacher).join(key.file(images)), &expected, held_in)
    };
    let mut files: Vec<(Range<usize>, Option<LogitsFile>)> =
        key.files().map(|images| (images.clone(), open(&images).ok().flatten())).collect();
    if files.iter().any(|(_, file)| file.is_none()) {
        // Before there is a claim, which would make a folder for a run that was deleted; and below again.
        runs.check_finished(teacher)?;
        let claim = claim(runs, teacher, watch)?;
        // While we waited it may have been damaged or deleted, and its network be that of an epoch on the way.
        runs.check_finished(teacher)?;
        for (images, file) in files.iter_mut().filter(|(_, file)| file.is_none()) {
            *file = match open(images) {
                Err(error) if error.is_damage() => {
                    tracing::warn!("{error}; it is computed again");
                    None
                }
                file => file?,
            };
        }
        let missing: usize = files.iter().filter(|(_, file)| file.is_none()).map(|(images, _)| images.len()).sum();
        let mut opened = None;
        let mut done = 0;
        for (images, file) in files.iter_mut().filter(|(_, file)| file.is_none()) {
            let source = match &mut opened {
                Some(source) => source,
                none => none.insert(source()?),
            };
            // Of all files that are computed.
            let mut watch = |event: Event<'_>| match event {
                Event::Pass { pass, done: own, .. } => watch(Event::Pass { pass, done: done + own, total: missing }),
                event => watch(event),
            };
            compute(&claim, &key, images, source, &mut watch)?;
            done += images.len();
            *file = open(images)?;
        }
    }
    let whole = |(images, file): (Range<usize>, Option<LogitsFile>)| {
        file.ok_or_else(|| Error::gone(&runs.dir(teacher).join(key.file(&images))))
    };
    Ok(KeptLogits::new(&key, files.into_iter().map(whole).collect::<Result<_>>()?))
}

/// The claim of the teacher's run, once no other of its students computes logits.
fn claim(runs: &Runs, teacher: &RunId, watch: &mut Watch<'_>) -> Result<Claim> {
    loop {
        match runs.claim(teacher)? {
            Some(claim) => return Ok(claim),
            None if watch(Event::Waiting(teacher)).is_break() => return Err(Error::Stopped),
            None => std::thread::sleep(POLL_EVERY),
        }
    }
}

/// Writes the file with the logits of these images. Tells of the images that are done, of the file's.
fn compute(
    claim: &Claim,
    key: &LogitsKey<'_>,
    images: &Range<usize>,
    source: &LogitsSource,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let mut rows = Rows::new(key.keep);
    for first in images.clone().step_by(PIECE) {
        let piece: Vec<u32> = (first..images.end.min(first + PIECE)).map(|image| image as u32).collect();
        let before = first - images.start;
        let mut watch = |event: Event<'_>| match event {
            Event::Pass { pass, done, .. } => watch(Event::Pass { pass, done: before + done, total: images.len() }),
            event => watch(event),
        };
        let values = source.logits(key, &piece, &mut watch)?;
        if let Some(at) = values.iter().position(|logit| !logit.is_finite()) {
            let (teacher, image, value) = (claim.id(), first + at / key.classes, values[at]);
            return Err(Error::NotFinite(format!(
                "the logits of the teacher, run {teacher}, hold {value} for image {image}"
            )));
        }
        rows.add(values, key.classes)?;
    }
    rows.write(claim, &key.file(images), key.classes)
}

#[cfg(test)]
mod tests;
