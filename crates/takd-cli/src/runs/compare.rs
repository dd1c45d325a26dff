//! `takd runs compare`.

use super::place::Place;
use super::summary::{Listing, Summary};
use crate::{output, values};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::fmt::Write;
use takd_distill::{RunConfig, Runs};
use takd_grid::path::DistillationPath;
use takd_report::{Comparison, Interval, RunReport, RunState};
use takd_store::RunId;

/// Say how much better some runs are than others, and how surely: seed by seed, over the seeds that both have.
///
/// Each side is a path, such as `plane10 -> plane4 -> plane2`, which stands for all its runs, or the ids of runs with commas
/// between. The interval over the seeds says what other seeds would give; the one over the test images says what other images
/// of the same kind would.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs compare 'plane10 -> plane4 -> plane2' 'plane10 -> plane2'
      does the assistant help?
  takd runs compare 7b76,90ab 1f0c,22de
      any runs: of each side one for each seed
  takd runs compare plane4 plane2 --data cifar10 --epochs 20 --json
      where a folder has several kinds of runs

Exit status: 0, whatever comes out; 1 if there are no such runs, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// A path, or ids of runs
    first: String,
    /// What it is compared with: a path, or ids of runs
    second: String,
    /// Only runs on this data set
    #[arg(long, value_name = "DATASET")]
    data: Option<String>,
    /// Only runs of so many epochs
    #[arg(long, value_parser = values::epochs_of_a_run, allow_negative_numbers = true)]
    epochs: Option<usize>,
    #[command(flatten)]
    place: Place,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Some runs, one for each seed.
#[derive(Serialize)]
struct Side {
    name: String,
    runs: Vec<RunReport>,
    #[serde(skip)]
    dataset: String,
    /// The configuration that all of them have but for their seeds.
    #[serde(skip)]
    like: Option<RunConfig>,
}

#[derive(Serialize)]
struct Compared {
    first: Side,
    second: Side,
    #[serde(flatten)]
    comparison: Comparison,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let listed = Listing::of(&runs)?.summaries(&runs);
    let [first, second] = [&args.first, &args.second].map(|name| side(name, &listed, &runs, args));
    let (first, second) = (first?, second?);
    let data = |side: &Side| side.like.as_ref().map(|config| config.data.checksum.clone());
    ensure!(
        data(&first) == data(&second),
        "{} was trained on {}, and {} on {}: accuracies on different images cannot be compared",
        first.name,
        first.dataset,
        second.name,
        second.dataset
    );
    let comparison = Comparison::of(&first.runs, &second.runs, &runs).with_context(|| {
        let seeds = |side: &Side| {
            let finished = side.runs.iter().filter(|run| run.state.measurements().is_some());
            let seeds: Vec<String> = finished.map(|run| run.seed.to_string()).collect();
            if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") }
        };
        format!(
            "no seed is finished on both sides: {} has {}, {} has {}",
            first.name,
            seeds(&first),
            second.name,
            seeds(&second)
        )
    })?;
    let compared = Compared { first, second, comparison };
    if args.json { output::print_json(&compared) } else { output::print(&text(&compared)) }
}

/// The runs that a name stands for.
fn side(name: &str, listed: &[Summary], runs: &Runs, args: &Args) -> Result<Side> {
    let path: Result<DistillationPath, _> = name.parse();
    let wanted: Vec<&Summary> = match &path {
        Ok(path) => {
            let path = path.to_string();
            let wanted = |run: &&Summary| {
                run.path.as_ref() == Some(&path)
                    && args.data.as_ref().is_none_or(|dataset| run.dataset.as_ref() == Some(dataset))
                    && args.epochs.is_none_or(|epochs| run.epochs == Some(epochs))
            };
            listed.iter().filter(wanted).collect()
        }
        Err(error) if name.contains("->") || name.contains('→') => return Err(error.clone().into()),
        Err(_) => {
            let ids: Vec<RunId> = name.split(',').map(|id| runs.find(id.trim())).collect::<Result<_, _>>()?;
            listed.iter().filter(|run| ids.contains(&run.id)).collect()
        }
    };
    let name = path.map_or_else(|_| name.to_owned(), |path| path.to_string());
    ensure!(!wanted.is_empty(), "there are no runs of {name} here; `takd runs ls` lists what there is");
    let mut side = Side { name, runs: Vec::new(), dataset: String::new(), like: None };
    for run in wanted {
        let Some((seed, dataset)) = run.seed.zip(run.dataset.clone()) else {
            bail!("the configuration of run {} cannot be read; `takd runs verify` says why", run.id)
        };
        if let Some(other) = side.runs.iter().find(|other| other.seed == seed) {
            bail!(
                "{} has several runs of seed {seed}, {} and {}: choose by --data and --epochs, or name the runs by their ids",
                side.name,
                other.run,
                run.id
            );
        }
        let config = runs.config(&run.id)?.with_context(|| format!("the run {} was deleted meanwhile", run.id))?;
        match &side.like {
            None => side.like = Some(config),
            Some(like) if same_but_for_seed(like, &config) => {}
            Some(_) => bail!(
                "the runs {} and {} of {} differ in more than their seeds: `takd runs show` says in what; choose by --data and \
                 --epochs, or name the runs by their ids",
                side.runs[0].run,
                run.id,
                side.name
            ),
        }
        side.dataset = dataset;
        side.runs.push(RunReport { seed, run: run.id.clone(), state: RunState::of(runs, &run.id) });
    }
    side.runs.sort_by_key(|run| run.seed);
    Ok(side)
}

/// Whether two runs differ in nothing but their seeds, and with these in the runs that taught them.
fn same_but_for_seed(one: &RunConfig, other: &RunConfig) -> bool {
    let without = |config: &RunConfig| {
        let mut settings = config.settings().clone();
        settings.seed = 0;
        if let Some(distillation) = &mut settings.distillation {
            distillation.teachers.clear();
        }
        settings
    };
    without(one) == without(other)
}

fn text(compared: &Compared) -> String {
    let Compared { first, second, comparison } = compared;
    let mut text = format!("{}, less {}, on {}\n\n", first.name, second.name, first.dataset);
    let points = |share: f64| format!("{:+.2}", 100.0 * share + 0.0);
    let interval = |Interval { low, high }: Interval| format!("{} to {}", points(low), points(high));
    let seeds: Vec<String> = comparison.seeds.iter().map(u64::to_string).collect();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("seeds", &seeds.join(", "));
    if !comparison.diverged.is_empty() {
        let diverged: Vec<String> = comparison.diverged.iter().map(u64::to_string).collect();
        line("diverged", &diverged.join(", "));
    }
    line("difference", &format!("{} points of test accuracy", points(comparison.test_accuracy.mean)));
    let over_seeds = comparison.test_accuracy.interval_95.map_or_else(
        || "unknown: there is a single seed".to_owned(),
        |over_seeds| format!("{} (95 %, Student's t)", interval(over_seeds)),
    );
    line("over seeds", &over_seeds);
    let over_images = comparison.over_images.map_or_else(
        || "unknown: it is not kept which test images these runs get right".to_owned(),
        |images| format!("{} (95 %, paired over {} test images)", interval(images.interval_95), images.images),
    );
    line("over images", &over_images);
    line("better?", &comparison.in_words());
    text.trim_end().to_owned()
}
