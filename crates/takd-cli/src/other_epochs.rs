//! Finished runs that differ from planned ones in nothing but the number of epochs.

use takd_distill::{RunConfig, RunResult, RunSettings, Runs, Status};
use takd_grid::{Plan, PlannedRun};
use takd_store::{Ending, Listed};

/// A line for those who expect that more epochs continue a finished run; nothing if the plan has no such run.
pub(crate) fn note(plan: &Plan, runs: &Runs) -> Option<String> {
    // Of a run with a teacher the teacher says it already.
    let is_new = |run: &&PlannedRun| {
        run.config.distillation.is_none() && matches!(runs.status(&run.id), Ok(Status::Unfinished { epoch: 0 }))
    };
    let new: Vec<&PlannedRun> = plan.runs.iter().filter(is_new).collect();
    if new.is_empty() {
        return None;
    }
    let listed = runs.list().ok()?;
    let (run, found, epochs) = new.iter().find_map(|run| {
        let wanted = without_epochs(&run.config);
        listed.iter().find_map(|found| Some((run, found, finished_epochs(found, &wanted)?)))
    })?;
    let epoch = if epochs == 1 { "epoch" } else { "epochs" };
    Some(format!(
        "{}: the finished run {} of {epochs} {epoch} is left as it is, and one of {} begins anew: what a run ends in follows from \
         its configuration alone, and the number of epochs belongs to that",
        run.name(),
        found.id,
        run.config.training.epochs
    ))
}

/// How many epochs the run has, if it is finished and is otherwise as wanted.
fn finished_epochs(listed: &Listed<RunConfig, RunResult>, wanted: &RunSettings) -> Option<usize> {
    let config = listed.config.as_ref().ok()?.as_ref()?;
    let finished = matches!(listed.ending, Ok(Some(Ending::Finished(_))));
    (finished && without_epochs(config) == *wanted).then_some(config.training.epochs)
}

/// The settings without the number of epochs, and without those at which the learning rate falls, which follow it.
fn without_epochs(config: &RunConfig) -> RunSettings {
    let mut settings = config.settings().clone();
    settings.training.epochs = 0;
    settings.training.lr.iter_mut().for_each(|piece| piece.epoch = 0);
    settings
}
