//! A teacher's logits, computed once and kept in its run's folder for all that it teaches.

use crate::event::{Event, Pass, Watch};
use crate::kept_logits::{KeptLogits, LogitsKey};
use crate::runs::Runs;
use crate::{Error, Result};
use std::time::Duration;
use takd_models::Network;
use takd_store::RunId;

/// How often another process's claim is looked at.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// The kept logits of the network of run `teacher`; computed with `network()` if they are not there or damaged.
pub(crate) fn open_or_compute(
    runs: &Runs,
    teacher: &RunId,
    key: LogitsKey<'_>,
    network: &mut dyn FnMut() -> Result<Network>,
    watch: &mut Watch<'_>,
) -> Result<KeptLogits> {
    let path = runs.dir(teacher).join(key.file());
    if let Ok(Some(kept)) = KeptLogits::open(&path, teacher, &key) {
        return Ok(kept);
    }
    // Before there is a claim, which would make a folder for a run that was deleted; and below again.
    runs.model(teacher)?;
    let claim = loop {
        match runs.claim(teacher)? {
            Some(claim) => break claim,
            // Another of its students computes them.
            None if watch(Event::Waiting(teacher)).is_break() => return Err(Error::Stopped),
            None => std::thread::sleep(POLL_EVERY),
        }
    };
    // While we waited it may have been damaged or deleted, and its network be that of an epoch on the way.
    runs.model(teacher)?;
    match KeptLogits::open(&path, teacher, &key) {
        Ok(Some(kept)) => return Ok(kept),
        Ok(None) => {}
        Err(error) if error.is_damage() => tracing::warn!("{error}; it is computed again"),
        Err(error) => return Err(error),
    }
    KeptLogits::keep(&claim, &key, compute(teacher, &key, &network()?, watch)?)
}

/// `[images, classes]`, row by row.
fn compute(teacher: &RunId, key: &LogitsKey<'_>, network: &Network, watch: &mut Watch<'_>) -> Result<Vec<f32>> {
    let all: Vec<u32> = (0..key.images() as u32).collect();
    let values = key.view.logits(network, &all, key.form, Pass::TeacherLogits, watch)?;
    if let Some(at) = values.iter().position(|logit| !logit.is_finite()) {
        let (image, value) = (at / key.classes, values[at]);
        return Err(Error::NotFinite(format!(
            "the logits of the teacher, run {teacher}, hold {value} for image {image}"
        )));
    }
    Ok(values)
}
