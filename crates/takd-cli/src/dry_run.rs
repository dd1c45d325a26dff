//! `--dry-run`: the runs of a plan, which are done, and what the others take.

use crate::common::{Common, Format};
use crate::output::{self, List};
use anyhow::Result;
use indicatif::FormattedDuration;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use takd_datasets::{Card, DatasetName};
use takd_distill::{Pace, PaceOf, Runs, Status, measure};
use takd_grid::{Cost, Later, Plan, PlannedRun};
use takd_models::ModelSpec;
use takd_ops::Compute;

/// How long each kind of network is measured.
pub(crate) const BUDGET: Duration = Duration::from_millis(600);

/// What a dry run says.
#[derive(Serialize)]
struct DryRun {
    runs: Vec<Planned>,
    /// Seconds that the runs that are not done take here, one after the other.
    seconds: f64,
    /// Seconds that runs are expected to take which searches name as they go on.
    later_seconds: f64,
    /// Bytes that they add to the disk.
    bytes: u64,
}

/// A run.
#[derive(Serialize)]
struct Planned {
    id: String,
    path: String,
    dataset: String,
    seed: u64,
    state: &'static str,
    epochs: usize,
    /// Multiply-adds of the whole run, in 10⁹.
    gmac: f64,
    /// Seconds that are left, by a short measurement here; 0 for a run that is done.
    seconds: f64,
    /// Bytes of its network, and of the logits that are kept for it.
    bytes: u64,
}

pub(crate) fn run(
    common: &Common,
    plan: &Plan,
    cards: &BTreeMap<DatasetName, Card>,
    runs: &Runs,
    compute: &Compute,
) -> Result<()> {
    let mut paces = Paces::new(compute);
    let mut pace = |of| paces.of(of);
    let mut planned = Vec::new();
    for (run, shares_logits) in plan.runs.iter().zip(plan.shares_logits()) {
        let card = &cards[&run.config.data.dataset];
        let share_left = |over: usize| 1.0 - over as f64 / run.config.training.epochs as f64;
        let (state, left) = match runs.status(&run.id) {
            Ok(Status::Finished(_)) => ("done", 0.0),
            Ok(Status::Diverged(_)) if !common.retry => ("diverged", 0.0),
            Ok(Status::Unfinished { epoch }) if epoch > 0 => ("begun", share_left(epoch)),
            Ok(_) if run.config.imported.is_some() => ("to import", 1.0),
            Ok(_) => match runs.beginning(&run.config) {
                Some(beginning) => ("begun", share_left(beginning.training.epochs)),
                None => ("to train", 1.0),
            },
            Err(_) => ("damaged", 1.0),
        };
        let seconds = if left > 0.0 {
            let of = pace_of(run.config.model, run.config.training.batch_size, card);
            let Cost { training, teacher_logits, test } = run.looks.seconds(of, run.path.teachers(), &mut pace)?;
            left * training + test + if shares_logits { 0.0 } else { teacher_logits }
        } else {
            0.0
        };
        planned.push(Planned {
            id: run.id.to_string(),
            path: run.path.to_string(),
            dataset: run.config.data.dataset.to_string(),
            seed: run.config.seed,
            state,
            epochs: run.config.training.epochs,
            gmac: run.cost.total() / 1e9,
            seconds,
            bytes: bytes(run, card, shares_logits),
        });
    }
    let mut later_seconds = 0.0;
    for Later { path, model, dataset, batch_size, looks, .. } in &plan.later {
        let of = pace_of(*model, *batch_size, &cards[dataset]);
        later_seconds += looks.seconds(of, path.teachers(), &mut pace)?.total();
    }
    let left = planned.iter().filter(|run| run.seconds > 0.0);
    let dry_run = DryRun {
        later_seconds,
        seconds: planned.iter().map(|run| run.seconds).sum(),
        bytes: left.map(|run| run.bytes).sum(),
        runs: planned,
    };
    match common.printed.format() {
        Format::Json => output::print_json(&dry_run),
        Format::Csv => output::print(output::csv(dry_run.runs.iter())?.trim_end()),
        Format::Markdown => output::print(&format!("{}\n\n{}", list(&dry_run).to_markdown(), summary(&dry_run))),
        // A page is refused before anything is measured.
        Format::Text | Format::Html => output::print(&format!("{}\n\n{}", list(&dry_run).to_text(), summary(&dry_run))),
    }
}

/// A network on data with this card.
fn pace_of(model: ModelSpec, batch_size: usize, card: &Card) -> PaceOf {
    PaceOf { model, classes: card.classes(), side: card.height, batch_size }
}

/// The paces of networks here, each measured once.
pub(crate) struct Paces<'a> {
    compute: &'a Compute,
    measured: BTreeMap<PaceOf, Pace>,
}

impl<'a> Paces<'a> {
    pub(crate) fn new(compute: &'a Compute) -> Self {
        Self { compute, measured: BTreeMap::new() }
    }

    pub(crate) fn of(&mut self, of: PaceOf) -> takd_distill::Result<Pace> {
        if let Some(pace) = self.measured.get(&of) {
            return Ok(*pace);
        }
        let pace = measure(of, self.compute, BUDGET)?;
        self.measured.insert(of, pace);
        Ok(pace)
    }
}

/// The network, and the logits of its teachers that are kept.
fn bytes(run: &PlannedRun, card: &Card, shares_logits: bool) -> u64 {
    let (config, classes) = (&run.config, card.classes());
    let images = if shares_logits { 0.0 } else { run.looks.taught_once + run.looks.test };
    let logits = config.teachers().len() * images as usize * classes;
    4 * (config.model.parameter_count(classes) + logits) as u64
}

fn list(dry_run: &DryRun) -> List {
    let row = |run: &Planned| {
        vec![
            run.id.clone(),
            run.path.clone(),
            run.dataset.clone(),
            run.seed.to_string(),
            run.epochs.to_string(),
            run.state.to_owned(),
            format!("{:.0}", run.gmac),
            if run.seconds > 0.0 { duration(run.seconds) } else { "–".to_owned() },
        ]
    };
    List {
        header: vec!["run", "path", "data", "seed", "epochs", "state", "GMAC", "time"],
        rows: dry_run.runs.iter().map(row).collect(),
        dispensable: &["GMAC", "epochs", "run", "seed"],
    }
}

fn summary(dry_run: &DryRun) -> String {
    let left = dry_run.runs.iter().filter(|run| run.seconds > 0.0).count();
    let runs = if dry_run.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", dry_run.runs.len()) };
    let later = if dry_run.later_seconds > 0.0 {
        format!(
            "\nSearches name further runs as they go on, which take about {} more.",
            duration(dry_run.later_seconds)
        )
    } else {
        String::new()
    };
    format!(
        "{runs}, {left} to train: about {} here, one after the other, and {} on the disk.{later}\n\
         (GMAC: 10⁹ multiply-adds of the whole run. The time is estimated from a short measurement of each network.)",
        duration(dry_run.seconds),
        indicatif::BinaryBytes(dry_run.bytes)
    )
}

/// `45 s`, `00:12:30`.
fn duration(seconds: f64) -> String {
    match seconds.ceil() {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds => FormattedDuration(Duration::from_secs_f64(seconds)).to_string(),
    }
}
