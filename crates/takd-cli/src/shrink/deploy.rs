//! Makes a folder of the best student and finds out what it is.

use super::Args;
use crate::dry_run::BUDGET;
use crate::experiment::TrainedExperiments;
use crate::progress::loading;
use crate::zoo::{File, export_run};
use anyhow::{Context, Result, bail, ensure};
use indicatif::MultiProgress;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use takd_datasets::Card;
use takd_distill::{Error, latency};
use takd_grid::{Experiment, Plan};
use takd_models::ModelSpec;
use takd_report::{Comparison, Interval, PathReport};
use takd_store::RunId;
use takd_zoo::{Existing, Model, PrecisionCost};

/// What came of it.
#[derive(Serialize)]
pub(super) struct Deployed {
    /// The folder of the best student.
    pub(super) folder: String,
    /// What is in it.
    pub(super) files: Vec<File>,
    /// Its weights, as they are stored there.
    pub(super) weights: PrecisionCost,
    /// Its run.
    pub(super) run: RunId,
    /// The path by which it was trained.
    pub(super) path: String,
    /// That run's own test accuracy.
    pub(super) test_accuracy: f64,
    /// How sure the test images make it.
    pub(super) interval_95: Interval,
    pub(super) test_images: usize,
    /// Processor threads of the latencies.
    pub(super) threads: usize,
    /// Images by which it was chosen.
    pub(super) held_out_images: usize,
    pub(super) seeds: usize,
    /// The teacher, and every student; the best first among these.
    pub(super) teacher: Network,
    pub(super) students: Vec<Network>,
    /// The best student less the one that was trained alone, unless it is that one.
    pub(super) less_alone: Option<Comparison>,
    /// The best student less its teacher.
    pub(super) less_teacher: Option<Comparison>,
}

/// A network that was trained, over all seeds.
#[derive(Serialize)]
pub(super) struct Network {
    pub(super) path: String,
    /// The mean of the seeds.
    pub(super) test_accuracy: Option<f64>,
    /// Over the test images for one seed, else over the seeds.
    pub(super) interval_95: Option<Interval>,
    /// The mean of the seeds; none of a network from elsewhere.
    pub(super) held_out_accuracy: Option<f64>,
    pub(super) parameters: usize,
    /// Of its weights in f32.
    pub(super) weight_bytes: usize,
    /// Of an image: two for each multiplication.
    pub(super) flop: u64,
    /// For one image here.
    pub(super) latency_s: f64,
}

/// Refuses the teacher's own folder.
pub(super) fn check_teacher(teacher: Option<&String>, to: Option<&PathBuf>) -> Result<()> {
    let [Some(teacher), Some(to)] = [teacher.map(Path::new), to.map(PathBuf::as_path)] else { return Ok(()) };
    let same = teacher.canonicalize().ok().zip(to.canonicalize().ok());
    // A file, or the folder itself.
    let is_in = same.is_some_and(|(teacher, to)| teacher == to || teacher.parent() == Some(&to));
    ensure!(!is_in, "{} is the teacher's folder: name another one", to.display());
    Ok(())
}

/// Whether a model that is in the folder may be replaced: if that is asked for, or it is of the same training.
pub(super) fn existing(args: &Args, to: &Path, experiment: &Experiment, card: &Card) -> Result<Existing> {
    let run = Model::open(to).ok().and_then(|model| model.config().training.as_ref()?.run.clone());
    let plan = Plan::new(experiment, &BTreeMap::from([(card.name.clone(), card.clone())]), &|_| None)?;
    let mut students = plan.runs.iter().filter(|planned| planned.path.students()[0] == args.student);
    let is_of_this = run.is_some_and(|run| students.any(|planned| planned.id.to_string() == run));
    Ok(if args.replace || is_of_this { Existing::Replace } else { Existing::Keep })
}

pub(super) fn deploy(
    args: &Args,
    to: &Path,
    existing: Existing,
    trained: &TrainedExperiments,
    screen: &MultiProgress,
) -> Result<Deployed> {
    let TrainedExperiments { reports, catalog, runs, compute, stop, .. } = trained;
    let cell = reports.iter().flat_map(|report| &report.cells).next().context("the recipe has a cell")?;
    let ranked = cell.by_held_out(&args.student.to_string());
    let Some((best, run)) = ranked.first().and_then(|best| Some((*best, best.best_by_held_out()?))) else {
        let reasons = cell.paths.iter().flat_map(|path| &path.runs).filter_map(|run| run.state.reason());
        bail!("no student has a result: {}", reasons.collect::<Vec<_>>().join("; "));
    };
    let teacher = teacher(&cell.paths, best)?;
    let quiet = args.common.quiet;
    let config = runs.config(&run.run)?.context("the best run has a configuration")?;
    let data = loading(quiet, screen, |progress| catalog.load(&config.data.dataset, progress))?;
    let wanted = args.form.wanted(true, existing);
    let check_stop = || if stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) };
    check_stop()?;
    let written = export_run(&run.run, runs, &data, &compute.device, &wanted, to, quiet, screen)?;

    let mut latencies = BTreeMap::new();
    let mut network = |path: &PathReport| -> Result<Network> {
        check_stop()?;
        let model = path.network;
        let latency_s = match latencies.get(&model) {
            Some(known) => *known,
            None => latency(model, cell.classes, cell.side, compute, BUDGET)?,
        };
        latencies.insert(model, latency_s);
        Ok(about(path, model, cell.classes, cell.side, latency_s))
    };
    let stored = written.config.weights;
    let weights = written.config.precisions.into_iter().find(|cost| cost.precision == stored);
    let measurements = run.state.measurements().context("the best run is finished")?;
    let alone = ranked.iter().find(|path| path.stages.len() == 1 && path.path != best.path);
    Ok(Deployed {
        folder: to.display().to_string(),
        files: written.files,
        weights: weights.context("what its precision costs was measured")?,
        run: run.run.clone(),
        path: best.path.clone(),
        test_accuracy: measurements.test_accuracy,
        interval_95: Interval::of_share(measurements.test_accuracy, measurements.test_images),
        test_images: measurements.test_images,
        threads: rayon::current_num_threads(),
        held_out_images: config.training.held_out(config.data.train_images),
        seeds: best.runs.len(),
        teacher: network(teacher)?,
        students: ranked.iter().map(|path| network(path)).collect::<Result<_>>()?,
        less_alone: alone.and_then(|alone| Comparison::of(&best.runs, &alone.runs, runs)),
        less_teacher: Comparison::of(&best.runs, &teacher.runs, runs),
    })
}

/// The network at the beginning of the first path along which the student is taught.
fn teacher<'a>(paths: &'a [PathReport], best: &PathReport) -> Result<&'a PathReport> {
    let student = best.stages.last().cloned().unwrap_or_default();
    let first = paths.iter().filter(|path| path.stages.len() > 1 && path.stages.last() == Some(&student));
    let first = first.map(|path| &path.stages[0]).next().context("the recipe has a path with a teacher")?;
    paths.iter().find(|path| path.stages.len() == 1 && path.stages[0] == *first).context("the teacher has a run")
}

fn about(path: &PathReport, model: ModelSpec, classes: usize, side: usize, latency_s: f64) -> Network {
    let parameters = model.parameter_count(classes);
    let images = path.runs.iter().find_map(|run| run.state.measurements()).map_or(0, |run| run.test_images);
    let summary = path.test_accuracy;
    Network {
        path: path.path.clone(),
        test_accuracy: summary.map(|summary| summary.mean),
        interval_95: summary
            .map(|summary| summary.interval_95.unwrap_or_else(|| Interval::of_share(summary.mean, images))),
        held_out_accuracy: path.held_out_accuracy(),
        parameters,
        weight_bytes: size_of::<f32>() * parameters,
        flop: 2 * model.multiply_adds(classes, side),
        latency_s,
    }
}
