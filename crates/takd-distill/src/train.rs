//! The training of one run, from its first step or from wherever it was left.

use crate::checkpoint::{LAST, PREVIOUS};
use crate::config::{DataConfig, NUMERICS, RunConfig};
use crate::device::DeviceType;
use crate::event::{Event, Watch};
use crate::logits_key::Limits;
use crate::result::RunResult;
use crate::run::Run;
use crate::runs::{Retry, Runs};
use crate::teaching::Teaching;
use crate::view::PlacedData;
use crate::{Error, Result, steps};
use std::ops::ControlFlow;
use takd_datasets::Dataset;
use takd_ops::Compute;
use takd_store::{Ending, Journal, Start};

/// How a run is trained: everything that changes nothing of its outcome.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it is trained on; the configuration says of which kind that is.
    pub compute: Compute,
    /// Who trains it, with which command; kept beside the run.
    pub start: Start,
    /// Whether a run is trained again that diverged before.
    pub retry: Retry,
}

/// Trains the run `config` on `data`, or goes on with it, or gives its result at once if it was finished before.
///
/// `data` has as many training images as the configuration names, as [`Dataset::limited`] chooses them.
///
/// If `watch` breaks off, the run is saved and [`Error::Stopped`] returned; started again, it ends in the same bits. On a GPU
/// some steps are taken at once and told of afterwards, so that it never waits: the run then stops, and is saved, after the
/// last of them.
///
/// Files of an earlier start that are damaged are named in a warning ([`tracing`]); the run then goes on from the
/// checkpoint before, or begins anew.
///
/// The work is shared out in rayon's pool. Call it from within one (`rayon::scope`, `ThreadPool::install`): from outside,
/// every parallel loop wakes one thread more than there are cores, which costs small networks a tenth of their speed and more.
/// No result depends on the number of threads.
///
/// # Errors
/// If the configuration is not for this data and device, a teacher is not finished, another process is at work on the run
/// ([`Error::Claimed`](takd_store::Error::Claimed), at once), the training diverges or did so before, or a file cannot be
/// read or written.
pub fn train(
    config: &RunConfig,
    data: &Dataset,
    runs: &Runs,
    session: &Session,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<RunResult> {
    let bounds = Bounds { queue_len: steps::queue_len(&session.compute.device), logits: Limits::default() };
    train_within(bounds, config, data, runs, session, watch)
}

/// What bounds the memory of a training, and changes nothing of its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many steps are taken before their results are read.
    pub queue_len: usize,
    pub logits: Limits,
}

/// [`train`] within these bounds.
pub(crate) fn train_within(
    bounds: Bounds,
    config: &RunConfig,
    data: &Dataset,
    runs: &Runs,
    session: &Session,
    watch: &mut Watch<'_>,
) -> Result<RunResult> {
    let Session { compute, start, retry } = session;
    check(config, data, compute)?;
    if let Some(result) = runs.settled(config, *retry)? {
        return Ok(result);
    }
    let id = config.id();
    if config.imported.is_some() {
        return Err(Error::NotImported(id));
    }
    let Some(claim) = runs.claim(&id)? else { return Err(takd_store::Error::Claimed(id).into()) };
    // Between our look and our claim another process may have ended it.
    if let Some(result) = runs.settled(config, *retry)? {
        return Ok(result);
    }
    claim.write_config(config)?;
    claim.add_start(start)?;
    let placed = PlacedData::new(data, compute)?;
    let retried = matches!(runs.ending(&id), Ok(Some(Ending::Failed(_))));
    let teaching = match Teaching::prepare(config, &placed, runs, bounds.logits, watch) {
        // The teacher's fault, and there again at every start: no training can begin.
        Err(Error::NotFinite(reason)) => {
            let journal = Journal::begin(&claim)?;
            claim.end(&Ending::<RunResult>::Failed(reason.clone()), &journal.extent()?, &[])?;
            return Err(Error::NotFinite(reason));
        }
        teaching => teaching?,
    };
    // What the run takes counts from here: not what its teachers' logits took, nor waiting for them.
    let run = Run::new(config, &placed, &claim, bounds.queue_len)?;
    // A damaged one, or one without its network: while a run is at work it has none.
    claim.clear_ending()?;
    if retried {
        // Whatever made it diverge may have touched its checkpoints.
        claim.remove(LAST)?;
        claim.remove(PREVIOUS)?;
    }
    run.go_on(teaching.as_ref(), runs, watch)
}

pub(crate) fn check(config: &RunConfig, data: &Dataset, compute: &Compute) -> Result<()> {
    let (wanted, device) = (&config.data, DeviceType::of(compute));
    let found = DataConfig::of(&data.card, None);
    let problem = if config.device != device {
        format!("it is to be trained on {}, not on {device}", config.device)
    } else if config.numerics != NUMERICS {
        format!("it is of numerics version {}, this program computes by version {NUMERICS}", config.numerics)
    } else if found != *wanted {
        format!("it asks for {wanted:?}, the data set given is {found:?}")
    } else if data.card.height != data.card.width || !config.model.takes(data.card.height) {
        let (name, height, width) = (&data.card.name, data.card.height, data.card.width);
        format!("{} takes no images of {width}x{height}, as those of {name} are", config.model)
    } else if let Some(k) = config.distillation.as_ref().and_then(|kd| kd.top_k)
        && k.get() > data.card.classes()
    {
        let (name, classes) = (&data.card.name, data.card.classes());
        format!("of its teachers' logits the {k} largest are to be kept (`top_k`), and {name} has {classes} classes")
    } else if data.test.is_empty() {
        "there are no images to test on".into()
    } else {
        return Ok(());
    };
    Err(Error::Config(problem))
}

#[cfg(test)]
mod tests;
