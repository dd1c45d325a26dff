//! Plans an experiment, trains what is left of it and prints what came of it.

use crate::common::{Common, Format};
use crate::device::for_each_job;
use crate::progress::{Progress, loading};
use crate::{dry_run, other_epochs, output};
use anyhow::{Context, Result, bail};
use indicatif::MultiProgress;
use signal_hook::flag;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use takd_datasets::Catalog;
use takd_distill::{DeviceType, Runs, Session};
use takd_grid::{Experiment, ExperimentError, Outcome, Plan, execute};
use takd_ops::Compute;
use takd_report::Report;
use takd_store::RunId;

/// Does what `common` asks of an experiment, which is made for the device that is trained on.
pub(crate) fn run(
    common: &Common,
    screen: &MultiProgress,
    experiment: impl FnOnce(DeviceType) -> Result<Experiment, ExperimentError>,
) -> Result<()> {
    common.explain_single_seed();
    if common.dry_run && common.format() == Format::Html {
        bail!("--dry-run has no results for a page; it prints text, markdown, csv or json");
    }
    let compute = common.device.open()?;
    let experiment = experiment(DeviceType::of(&compute))?;
    let catalog = common.catalog(experiment.drawn);
    let cards = cards(common, &experiment, &catalog, screen)?;
    let plan = Plan::new(&experiment, &cards)?;
    let runs = common.runs()?;
    if common.dry_run {
        return dry_run::run(common, &plan, &cards, &runs, &compute);
    }
    if let Some(line) = other_epochs::note(&plan, &runs).filter(|_| !common.quiet) {
        output::note(&line);
    }
    let outcomes = train(common, &plan, &catalog, &runs, &compute, screen)?;
    let report = Report::new(&experiment, &plan, &runs)?;
    let kept = keep(common, &report, &runs)?;
    match common.format() {
        Format::Json => output::print_json(&report)?,
        Format::Csv => output::print(report.to_csv().trim_end())?,
        Format::Html => output::print(report.to_html(&runs).trim_end())?,
        Format::Markdown => output::print(report.to_markdown().trim_end())?,
        Format::Text => {
            let (style, width) = output::table_style();
            output::print(&format!(
                "{}\nThe same as a page with figures, Markdown and CSV: {kept}.html, .md and .csv",
                report.to_text(width, style)
            ))?;
        }
    }
    complete(&plan, &outcomes)
}

/// The cards of the data sets, with a line on where each comes from and what is odd about it.
fn cards(
    common: &Common,
    experiment: &Experiment,
    catalog: &Catalog,
    screen: &MultiProgress,
) -> Result<BTreeMap<takd_datasets::DatasetName, takd_datasets::Card>> {
    let mut cards = BTreeMap::new();
    for name in experiment.datasets() {
        let card = loading(common.quiet, screen, |progress| catalog.card(name, progress))?;
        if !common.quiet {
            let limit = experiment.cells.iter().filter(|cell| cell.dataset == name).find_map(|cell| cell.limit);
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
fn train(
    common: &Common,
    plan: &Plan,
    catalog: &Catalog,
    runs: &Runs,
    compute: &Compute,
    screen: &MultiProgress,
) -> Result<HashMap<RunId, Outcome>> {
    let sessions: Vec<Session> = for_each_job(compute, common.jobs, plan.runs.len())?
        .into_iter()
        .map(|compute| Session { compute, start: Common::start(), retry: common.retry() })
        .collect();
    let stop = stop_flag()?;
    let mut progress = Progress::new(plan, common.quiet, screen);
    let data = |config: &takd_distill::DataConfig| {
        let load = |progress: &mut dyn FnMut(takd_datasets::Progress<'_>)| {
            catalog.load_limited(config.dataset, config.train_images, progress)
        };
        Ok(loading(common.quiet, screen, load)?)
    };
    let outcomes = execute(plan, &data, runs, &sessions, &mut |index, run, event| {
        progress.show(index, run, &event);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.end();
    Ok(outcomes?)
}

/// Writes the report beside the runs, in files that are this experiment's alone; gives their path without an ending.
fn keep(common: &Common, report: &Report, runs: &Runs) -> Result<String> {
    let folder = common.out.join("tables");
    takd_store::make_folder(&folder)?;
    let stem = folder.join(report.file_stem());
    takd_store::write_file(&stem.with_extension("html"), report.to_html(runs).as_bytes())?;
    takd_store::write_file(&stem.with_extension("md"), report.to_markdown().as_bytes())?;
    takd_store::write_file(&stem.with_extension("csv"), report.to_csv().as_bytes())?;
    Ok(stem.display().to_string())
}

/// An error that says which runs have no result, and why, if there are any.
fn complete(plan: &Plan, outcomes: &HashMap<RunId, Outcome>) -> Result<()> {
    let failures = plan.runs.iter().filter_map(|run| match outcomes.get(&run.id)? {
        Outcome::Finished(_) => None,
        Outcome::Diverged(reason) => Some(format!("\n  {}: {reason}", run.name())),
        Outcome::NoTeacher => Some(format!("\n  {}: not begun, because its teacher has no result", run.name())),
    });
    let failures: String = failures.collect();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("not every run has a result:{failures}\n(--retry trains those again that diverged)")
}

/// Set by Ctrl-C and by the signals with which a system or a cluster asks programs to end; the second time, the program
/// ends at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
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
