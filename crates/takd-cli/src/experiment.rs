//! Plans an experiment, trains what is left of it and prints what came of it.

use crate::common::{Common, Format};
use crate::device::for_each_job;
use crate::found::Reach;
use crate::progress::{Progress, loading};
use crate::{dry_run, elsewhere, imagenet, known_files, other_epochs, output, reports};
use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::MultiProgress;
use signal_hook::flag;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use takd_datasets::Catalog;
use takd_distill::{DeviceType, RunResult, Runs, Session};
use takd_grid::{
    Endings, Experiment, ExperimentError, Outcome, Plan, PlanEvent, PlannedRun, execute_growing, settings_in_force,
};
use takd_ops::Compute;
use takd_report::Report;
use takd_store::{Ending, RunId};

/// What an experiment was trained with, for what is done with its networks afterwards.
pub(crate) struct Workplace<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) runs: &'a Runs,
    pub(crate) compute: &'a Compute,
    pub(crate) plan: &'a Plan,
    /// Which of the experiments it is.
    pub(crate) place: usize,
    /// Set when it is to stop.
    pub(crate) stop: &'a AtomicBool,
}

/// Does what `common` asks of experiments, which are made for the device that is trained on: all of them in one plan.
pub(crate) fn run(
    common: &Common,
    screen: &MultiProgress,
    experiments: impl FnOnce(DeviceType) -> Result<Vec<Experiment>, ExperimentError>,
) -> Result<()> {
    run_and(common, screen, experiments, |_, _| Ok(()))
}

/// The same, with something done for each report before it is printed and kept.
pub(crate) fn run_and(
    common: &Common,
    screen: &MultiProgress,
    experiments: impl FnOnce(DeviceType) -> Result<Vec<Experiment>, ExperimentError>,
    finish: impl FnMut(&mut Report, &Workplace<'_>) -> Result<()>,
) -> Result<()> {
    let Some(trained) = train_all(common, screen, experiments, finish)? else { return Ok(()) };
    trained.print(common)?;
    trained.check_complete()
}

/// Experiments after their training.
pub(crate) struct TrainedExperiments {
    pub(crate) reports: Vec<Report>,
    /// Where the reports are kept, without an ending.
    kept: Vec<String>,
    pub(crate) catalog: Catalog,
    pub(crate) runs: Runs,
    pub(crate) compute: Compute,
    plan: Plan,
    outcomes: HashMap<RunId, Outcome>,
    /// Set when it is to stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl TrainedExperiments {
    pub(crate) fn print(&self, common: &Common) -> Result<()> {
        reports::print(&common.printed, &self.reports, &self.runs)?;
        if common.printed.format() == Format::Text {
            let kept: String = self.kept.iter().map(|kept| format!("\n  {kept}.html, .md, .csv")).collect();
            output::print(&format!("\nThe same as a page with figures, as Markdown and as CSV:{kept}"))?;
        }
        Ok(())
    }

    /// An error that says which runs have no result, and why, if there are any.
    pub(crate) fn check_complete(&self) -> Result<()> {
        complete(&self.plan, &self.outcomes)
    }
}

/// Trains experiments, or lists what that takes if only this is asked for, and then gives nothing. Something is done for each report
/// before it is kept.
pub(crate) fn train_all(
    common: &Common,
    screen: &MultiProgress,
    experiments: impl FnOnce(DeviceType) -> Result<Vec<Experiment>, ExperimentError>,
    mut finish: impl FnMut(&mut Report, &Workplace<'_>) -> Result<()>,
) -> Result<Option<TrainedExperiments>> {
    if common.print_config {
        print_config(&experiments(DeviceType::Cpu)?)?;
        return Ok(None);
    }
    common.explain_single_seed();
    if common.dry_run && common.printed.format() == Format::Html {
        bail!("--dry-run has no results for a page; it prints text, markdown, csv or json");
    }
    let compute = common.place.device.open()?;
    let mut experiments = experiments(DeviceType::of(&compute))?;
    let reach = Reach { offline: common.place.offline, quiet: common.quiet, screen };
    elsewhere::find_models(&mut experiments, &reach)?;
    reports::check("all", &common.printed, experiments.len())?;
    let drawn = experiments.first().map(|experiment| experiment.drawn).unwrap_or_default();
    ensure!(
        experiments.iter().all(|experiment| experiment.drawn == drawn),
        "these recipes draw different numbers of built-in images, so that they cannot be trained in one plan"
    );
    let catalog = common.place.catalog(&experiments)?;
    let cards = cards(common, &experiments, &catalog, screen)?;
    let runs = common.place.runs()?;
    let planned = |ended: &Endings<'_>| {
        experiments.iter().map(|experiment| Plan::new(experiment, &cards, ended)).collect::<Result<Vec<_>, _>>()
    };
    // By what has ended before; a run that diverged and is trained again has not.
    let before = |id: &RunId| runs.ending(id).ok().flatten().filter(|ending| !(common.retry && is_failed(ending)));
    let plan = Plan::merged(&planned(&before)?);
    if common.dry_run {
        dry_run::run(common, &plan, &cards, &runs, &compute)?;
        return Ok(None);
    }
    if let Some(line) = other_epochs::note(&plan, &runs).filter(|_| !common.quiet) {
        output::note(&line);
    }
    let stop = stop_flag()?;
    elsewhere::take_in(common, &experiments, &plan, (&catalog, &runs, &compute), &stop, screen)?;
    known_files::keep(&common.place.out, &experiments)?;
    let searches = experiments.iter().flat_map(|experiment| &experiment.cells).any(|cell| cell.search.is_some());
    let grow = |outcomes: &HashMap<RunId, Outcome>| {
        let ended = |id: &RunId| outcomes.get(id).map(ending);
        if searches { planned(&ended).map(|plans| Some(Plan::merged(&plans))) } else { Ok(None) }
    };
    let (plan, outcomes) = train(common, plan, grow, &catalog, &runs, &compute, &stop, screen)?;
    let plans = planned(&|id| outcomes.get(id).map(ending))?;
    let mut made = Vec::new();
    for (place, (experiment, plan)) in experiments.iter().zip(&plans).enumerate() {
        let mut report = Report::new(experiment, plan, &runs)?;
        // What is there is kept, whatever becomes of what is still to be done.
        reports::keep(&common.place, &report, &runs)?;
        finish(
            &mut report,
            &Workplace { catalog: &catalog, runs: &runs, compute: &compute, plan, place, stop: &stop },
        )?;
        made.push(report);
    }
    let kept = made.iter().map(|report| reports::keep(&common.place, report, &runs));
    let kept = kept.collect::<Result<Vec<_>>>()?;
    Ok(Some(TrainedExperiments { reports: made, kept, catalog, runs, compute, plan, outcomes, stop }))
}

/// Prints the settings in force, which do not depend on the device.
fn print_config(experiments: &[Experiment]) -> Result<()> {
    let settings = settings_in_force(experiments);
    let settings = settings.map_err(|error| anyhow!("{error}: name one cell with --cells"))?;
    output::print(&format!(
        "# The settings in force: --config takes this file, and flags win over it.\n{}",
        settings.trim_end()
    ))
}

/// The cards of the data sets, with a line on where each comes from and what is odd about it.
fn cards(
    common: &Common,
    experiments: &[Experiment],
    catalog: &Catalog,
    screen: &MultiProgress,
) -> Result<BTreeMap<takd_datasets::DatasetName, takd_datasets::Card>> {
    let mut cards = BTreeMap::new();
    let cells = || experiments.iter().flat_map(|experiment| &experiment.cells);
    let names: BTreeSet<_> = experiments.iter().flat_map(Experiment::datasets).collect();
    for name in names {
        let card = match loading(common.quiet, screen, |progress| catalog.card(&name, progress)) {
            Err(takd_datasets::Error::NotFound { .. } | takd_datasets::Error::NoSuchPlace { .. })
                if common.dry_run && imagenet::is_it(&name) =>
            {
                imagenet::card(name.clone())
            }
            card => card?,
        };
        if !common.quiet {
            let limit = cells().filter(|cell| cell.data.name == name).find_map(|cell| cell.limit);
            // The origin of drawn images begins with their name.
            let origin = card.origin.strip_prefix(&format!("{name}: ")).unwrap_or(&card.origin);
            output::note(&format!("{name}: {} training and {} test images, {origin}", card.train, card.test));
            if let Some(limit) = limit.filter(|&limit| limit > card.train) {
                output::note(&format!(
                    "{name}: a limit of {limit} changes nothing: there are {} training images",
                    card.train
                ));
            }
        }
        for note in &card.notes {
            output::note(&format!("{name}: {note}"));
        }
        cards.insert(name, card);
    }
    Ok(cards)
}

/// Trains what is not trained yet, while its progress is shown, until a signal.
#[expect(clippy::too_many_arguments, reason = "each is another part of the workplace")]
fn train(
    common: &Common,
    plan: Plan,
    mut grow: impl FnMut(&HashMap<RunId, Outcome>) -> takd_distill::Result<Option<Plan>> + Send,
    catalog: &Catalog,
    runs: &Runs,
    compute: &Compute,
    stop: &AtomicBool,
    screen: &MultiProgress,
) -> Result<(Plan, HashMap<RunId, Outcome>)> {
    let sessions: Vec<Session> =
        for_each_job(compute, common.jobs, if is_whole(&plan) { plan.runs.len() } else { usize::MAX })?
            .into_iter()
            .map(|compute| Session { compute, start: Common::start(), retry: common.retry() })
            .collect();
    let mut progress = Progress::new(&plan, common.quiet, screen);
    let data = |config: &takd_distill::DataConfig| {
        let load = |progress: &mut dyn FnMut(takd_datasets::Progress<'_>)| {
            catalog.load_limited(&config.dataset, config.train_images, progress)
        };
        Ok(loading(common.quiet, screen, load)?)
    };
    let observer = &mut |index: usize, run: &PlannedRun, event: PlanEvent<'_>| {
        progress.show(index, run, &event);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let executed = execute_growing(plan, &mut grow, &data, runs, &sessions, observer);
    progress.end();
    Ok(executed?)
}

/// Whether the plan has all its runs.
fn is_whole(plan: &Plan) -> bool {
    plan.cells.iter().flat_map(|cell| &cell.studies).all(|study| study.ended)
}

fn ending(outcome: &Outcome) -> Ending<RunResult> {
    match outcome {
        Outcome::Finished(result) => Ending::Finished(result.clone()),
        Outcome::Diverged(reason) => Ending::Failed(reason.clone()),
        Outcome::NoTeacher => Ending::Failed("its teacher has no result".into()),
    }
}

fn is_failed(ending: &Ending<RunResult>) -> bool {
    matches!(ending, Ending::Failed(_))
}

/// An error that says which runs have no result, and why, if there are any.
fn complete(plan: &Plan, outcomes: &HashMap<RunId, Outcome>) -> Result<()> {
    // A trial that diverges is a result of its search.
    let studies = || plan.cells.iter().flat_map(|cell| &cell.studies);
    let trials: HashSet<&RunId> =
        studies().flat_map(|study| &study.trials).flat_map(|trial| trial.runs.iter().flatten()).collect();
    let without = studies().filter(|study| study.ended && study.winner.is_none());
    let without = without.map(|study| format!("\n  {}: all {} trials of its search diverged", study.path, study.size));
    let failures =
        plan.runs.iter().filter(|run| !trials.contains(&run.id)).filter_map(|run| match outcomes.get(&run.id)? {
            Outcome::Finished(_) => None,
            Outcome::Diverged(reason) => Some(format!("\n  {}: {reason}", run.name())),
            Outcome::NoTeacher => Some(format!("\n  {}: not begun, because its teacher has no result", run.name())),
        });
    let failures: String = failures.chain(without).collect();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("not every run has a result:{failures}\n(--retry trains those again that diverged)")
}

/// Set by Ctrl-C and by the signals with which a system or a cluster asks programs to end; the second time, the program
/// ends at once.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    #[cfg(unix)]
    use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    let signals = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2];
    #[cfg(not(unix))]
    let signals = [SIGINT, SIGTERM];
    for signal in signals {
        // In this order: the flag is not yet set when the first signal comes.
        let second = flag::register_conditional_shutdown(signal, i32::from(crate::exit::STOPPED), stop.clone());
        second.and_then(|_| flag::register(signal, stop.clone())).context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}
