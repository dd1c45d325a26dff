//! The training of one run, from its first step or from wherever it was left.

use crate::claim::{self, Claimed};
use crate::config::{DeviceType, NUMERICS};
use crate::evaluate::{Evaluation, PlacedData, TeacherComparison};
use crate::run::Run;
use crate::store::{CONFIG, LAST, PREVIOUS, RESULT};
use crate::teaching::Teaching;
use crate::{Distillation, EpochRecord, Error, Result, RunConfig, RunId, Store, logits, metrics, steps};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use takd_datasets::Dataset;

/// What a run ended with, as in `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub run: RunId,
    /// The epoch, from 1, whose network counts.
    pub epoch: usize,
    /// That network on the test images.
    pub test: Evaluation,
    /// That network on the held-out images, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// That network and its teachers on the test images, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teachers: Option<TeacherComparison>,
    /// Number of trainable values.
    pub parameters: usize,
    /// What the training took, interruptions left out.
    pub seconds: f64,
}

/// What happens in a run while it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another process works on this run, whose logits are needed; told again and again until that has ended.
    Waiting(&'a RunId),
    /// Images are taken through a network that is not trained.
    Pass {
        /// What for.
        pass: Pass,
        /// Images so far.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// The training begins after `done` of `total` steps.
    Started {
        /// Steps of an earlier start that need not be taken again.
        done: usize,
        /// Steps of the whole run.
        total: usize,
    },
    /// A step was taken.
    Step {
        /// Steps so far.
        done: usize,
        /// Steps of the whole run.
        total: usize,
        /// Epoch of this step, from 1.
        epoch: usize,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Share of the epoch's images so far that the network got right.
        accuracy: f64,
    },
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// What images are taken through a network for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// For a teacher's logits, which are kept.
    TeacherLogits,
    /// To see how it does on the held-out images.
    HeldOut,
    /// To see how it does on the test images.
    Test,
}

/// Is told what happens, and says whether to go on.
pub(crate) type Watch<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// Trains the run `config` on `data`, or goes on with it, or gives its result at once where it was finished before.
///
/// Where `watch` breaks off, the run is saved and [`Error::Stopped`] returned; started again, it ends in the same bits. On a GPU
/// some steps are taken at once and told of afterwards, so that it never waits: the run then stops, and is saved, after the last
/// of them.
///
/// Files of an earlier start that are damaged are named in a warning ([`tracing`]); the run then goes on from the
/// checkpoint before, or begins anew.
///
/// The work is shared out in rayon's pool. Call it from within one (`rayon::scope`, `ThreadPool::install`): from outside,
/// every parallel loop wakes one thread more than there are cores, which costs small networks a tenth of their speed and more.
/// No result depends on the number of threads.
///
/// # Errors
/// Where the configuration makes no sense or is not for this data and device, a teacher is not finished, another process
/// is at work on the run ([`Error::Claimed`], at once), the training diverges, or a file cannot be read or written.
pub fn train(
    config: &RunConfig,
    data: &Dataset,
    store: &Store,
    device: &Device,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<RunResult> {
    train_queued(steps::queue_len(device), config, data, store, device, watch)
}

/// [`train`], which reads what steps left once in `queue_len` of them.
pub(crate) fn train_queued(
    queue_len: usize,
    config: &RunConfig,
    data: &Dataset,
    store: &Store,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<RunResult> {
    check(config, data, device)?;
    let id = config.id()?;
    let finished = match (store.config(&id), store.finished(&id)) {
        (Ok(Some(_)), Ok(result)) => result,
        _ => None,
    };
    if let Some(result) = &finished
        && store.is_tidy(&id)
    {
        return Ok(result.clone());
    }
    let folder = match (store.claim(&id), finished) {
        (Ok(Some(folder)), _) => folder,
        // Who may not tidy up gets the result all the same.
        (_, Some(result)) => return Ok(result),
        (claim, None) => return Err(claim.err().unwrap_or(Error::Claimed(id))),
    };
    if repaired(store.config(&id))?.is_none() {
        let text = toml::to_string(config).map_err(Error::unwritable)?;
        folder.write(CONFIG, text.as_bytes())?;
    }
    if let Some(result) = repaired(store.finished(&id))? {
        if let Err(error) = tidy(&folder, store, &id) {
            tracing::warn!("{error}");
        }
        return Ok(result);
    }
    let placed = PlacedData::on(device, data)?;
    let teaching = Teaching::prepare(config, &placed, store, watch)?;
    // What the run takes counts from here: not what its teachers' logits took, nor waiting for them.
    let run = Run::new(config, &id, &placed, &folder, queue_len)?;
    // A damaged one, or one without its network: while a run is at work it has none.
    folder.remove(RESULT)?;
    run.go_on(teaching.as_ref(), store, watch)
}

/// What is damaged is made again: it counts as not there.
pub(crate) fn repaired<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error @ Error::Damaged { .. }) => {
            tracing::warn!("{error}");
            Ok(None)
        }
        found => found,
    }
}

/// Brings the folder of a finished run to where the end of its training leaves it, should that have been cut short.
fn tidy(folder: &Claimed, store: &Store, id: &RunId) -> Result<()> {
    folder.remove(LAST)?;
    folder.remove(PREVIOUS)?;
    for path in logits::files(&store.dir(id))? {
        if let Some(bytes) = claim::read(&path)?
            && logits::check(&path, &bytes, id).is_err()
        {
            // Computed again for the next that it teaches.
            claim::remove(&path)?;
        }
    }
    metrics::mend_events(folder, &store.records(id)?)
}

fn check(config: &RunConfig, data: &Dataset, device: &Device) -> Result<()> {
    let RunConfig { recipe, data: wanted, .. } = config;
    let found = (data.name, data.checksum.as_str(), data.train.len());
    let fits = |kd: &Distillation| (0.0..=1.0).contains(&kd.lambda) && kd.temperature > 0.0 && !kd.teachers.is_empty();
    let problem = if config.distillation.as_ref().is_some_and(|kd| !fits(kd)) {
        "λ is from 0 to 1, τ is above 0, and there is a teacher at least".into()
    } else if recipe.lr.first().is_none_or(|first| first.epoch > 0) {
        "its learning rate must begin with epoch 0".into()
    } else if config.device != DeviceType::of(device) {
        format!("it is to be trained on {:?}, not on {:?}", config.device, DeviceType::of(device))
    } else if config.numerics != NUMERICS {
        format!("it is of numerics version {}, this program computes by version {NUMERICS}", config.numerics)
    } else if found != (wanted.dataset, wanted.checksum.as_str(), wanted.train_images) {
        format!("it asks for {wanted:?}, the data set given is {found:?}")
    } else if recipe.epochs == 0 || recipe.batch_size == 0 {
        "it has no epochs, or no images a step".into()
    } else if recipe.held_out(wanted.train_images) >= wanted.train_images || data.test.is_empty() {
        "no images are left to train or to test on".into()
    } else {
        return Ok(());
    };
    Err(Error::Config(problem))
}

#[cfg(test)]
mod tests;
