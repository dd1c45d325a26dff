//! Finished runs that differ from planned ones in nothing but the number of epochs.

use takd_distill::{RunConfig, RunResult, RunSettings, Runs, Status};
use takd_grid::{Plan, PlannedRun};
use takd_store::{Ending, Listed};

/// A line for those who ask for other epochs of a finished run: whether it goes on, or why it begins anew. Nothing if the plan
/// has no such run.
pub(crate) fn note(plan: &Plan, runs: &Runs) -> Option<String> {
    // Of a run with a teacher the teacher says it already.
    let is_new = |run: &&PlannedRun| {
        run.config.distillation.is_none() && matches!(runs.status(&run.id), Ok(Status::Unfinished { epoch: 0 }))
    };
    let new: Vec<&PlannedRun> = plan.runs.iter().filter(is_new).collect();
    if new.is_empty() {
        return None;
    }
    if let Some((run, beginning)) = new.iter().find_map(|run| Some((run, runs.beginning(&run.config)?))) {
        let (name, id, over) = (run.name(), beginning.id(), epochs(beginning.training.epochs));
        return Some(format!("{name}: goes on from the end of the finished run {id} of {over}"));
    }
    let listed = runs.list().ok()?;
    let (run, found, over) = new.iter().find_map(|run| {
        let wanted = without_epochs(&run.config);
        listed.iter().find_map(|found| Some((run, found, finished_epochs(found, &wanted)?)))
    })?;
    let why = if run.config.training.epochs < over {
        "a finished run is kept as it ended, not as it was before"
    } else if run.config.beginnings().any(|shorter| shorter.id() == found.id) {
        "its last checkpoint is gone"
    } else {
        "the learning rate changes in other epochs"
    };
    let (name, id, over, wanted) = (run.name(), &found.id, epochs(over), run.config.training.epochs);
    Some(format!("{name}: the finished run {id} of {over} is left as it is, and one of {wanted} begins anew: {why}"))
}

/// `1 epoch`, `2 epochs`.
fn epochs(count: usize) -> String {
    if count == 1 { "1 epoch".to_owned() } else { format!("{count} epochs") }
}

/// How many epochs the run has, if it is finished and is otherwise as wanted.
fn finished_epochs(listed: &Listed<RunConfig, RunResult>, wanted: &RunSettings) -> Option<usize> {
    let config = listed.config.as_ref().ok()?.as_ref()?;
    let finished = matches!(listed.ending, Ok(Some(Ending::Finished(_))));
    (finished && without_epochs(config) == *wanted).then_some(config.training.epochs)
}

/// The settings without the number of epochs, and without the rates that the first one falls to, which follow it.
fn without_epochs(config: &RunConfig) -> RunSettings {
    let mut settings = config.settings().clone();
    settings.training.epochs = 0;
    settings.training.lr.truncate(1);
    settings
}
