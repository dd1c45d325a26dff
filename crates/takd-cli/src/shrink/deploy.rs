//! Makes a folder of the best student and finds out what it is.

use super::Args;
use super::best::{best_run, held_out, ranked};
use crate::dry_run::BUDGET;
use crate::experiment::Workplace;
use crate::progress::loading;
use crate::zoo::{Wanted, export_run};
use anyhow::{Context, Result, bail};
use indicatif::MultiProgress;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use takd_datasets::Card;
use takd_distill::latency;
use takd_models::ModelSpec;
use takd_report::{Comparison, Interval, PathReport, Report};
use takd_store::RunId;
use takd_zoo::{Existing, Extras, Model, OnnxInput, WeightPrecision};

/// What came of it.
#[derive(Serialize)]
pub(super) struct Deployed {
    /// The folder of the best student.
    pub(super) folder: String,
    /// Its run.
    pub(super) run: RunId,
    /// The path by which it was trained.
    pub(super) path: String,
    /// That run's own test accuracy.
    pub(super) test_accuracy: f64,
    /// How sure the test images make it.
    pub(super) interval_95: Interval,
    pub(super) test_images: usize,
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

/// The folder that is to be made, which is free or has a model already.
pub(super) fn folder(args: &Args, card: &Card) -> Result<PathBuf> {
    let usual = || args.common.place.out.join("models").join(format!("{}-{}", args.student, card.name));
    let folder = args.to.clone().unwrap_or_else(usual);
    let is_free = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if !is_free && Model::open(&folder).is_err() {
        bail!("{} has something that is not a model: name another folder with --to", folder.display());
    }
    Ok(folder)
}

pub(super) fn deploy(
    args: &Args,
    to: &Path,
    report: &Report,
    place: &Workplace<'_>,
    screen: &MultiProgress,
) -> Result<Deployed> {
    let cell = report.cells.first().context("the recipe has a cell")?;
    let ranked = ranked(cell, &args.student.to_string());
    let Some(((best, _), run)) = ranked.first().and_then(|best| Some((best, best_run(best.0)?))) else {
        let reasons = cell.paths.iter().flat_map(|path| &path.runs).filter_map(|run| run.state.reason());
        bail!("no student has a result: {}", reasons.collect::<Vec<_>>().join("; "));
    };
    let teacher = best_teacher(&cell.paths, best)?;
    let quiet = args.common.quiet;
    let config = place.runs.config(&run.run)?.context("the best run has a configuration")?;
    let data = loading(quiet, screen, |progress| place.catalog.load(&config.data.dataset, progress))?;
    let wanted = Wanted {
        precision: WeightPrecision::F32,
        extras: Extras { onnx: Some(OnnxInput::Pixels), python: true },
        licence: None,
        notes: &[],
        measured: true,
        existing: Existing::Replace,
    };
    export_run(&run.run, place.runs, &data, &place.compute.device, &wanted, to, quiet, screen)?;

    let mut latencies = BTreeMap::new();
    let mut network = |path: &PathReport| -> Result<Network> {
        let model = path.network;
        let latency_s = match latencies.get(&model) {
            Some(known) => *known,
            None => latency(model, cell.classes, cell.side, place.compute, BUDGET)?,
        };
        latencies.insert(model, latency_s);
        Ok(about(path, model, cell.classes, cell.side, latency_s))
    };
    let measurements = run.state.measurements().context("the best run is finished")?;
    let alone = ranked.iter().map(|(path, _)| *path).find(|path| path.stages.len() == 1 && path.path != best.path);
    Ok(Deployed {
        folder: to.display().to_string(),
        run: run.run.clone(),
        path: best.path.clone(),
        test_accuracy: measurements.test_accuracy,
        interval_95: Interval::of_share(measurements.test_accuracy, measurements.test_images),
        test_images: measurements.test_images,
        seeds: best.runs.len(),
        teacher: network(teacher)?,
        students: ranked.iter().map(|(path, _)| network(path)).collect::<Result<_>>()?,
        less_alone: alone.and_then(|alone| Comparison::of(&best.runs, &alone.runs, place.runs)),
        less_teacher: Comparison::of(&best.runs, &teacher.runs, place.runs),
    })
}

/// The network at the beginning of the longest path that is not the student alone.
fn best_teacher<'a>(paths: &'a [PathReport], best: &PathReport) -> Result<&'a PathReport> {
    let student = best.stages.last().cloned().unwrap_or_default();
    let first = paths.iter().filter(|path| path.stages.len() > 1 && path.stages.last() == Some(&student));
    let first = first.map(|path| &path.stages[0]).next().context("the recipe has a path with a teacher")?;
    paths.iter().find(|path| path.stages.len() == 1 && path.stages[0] == *first).context("the teacher has a run")
}

fn about(path: &PathReport, model: ModelSpec, classes: usize, side: usize, latency_s: f64) -> Network {
    let parameters = model.parameter_count(classes);
    let held_out: Option<Vec<f64>> = path.runs.iter().map(held_out).collect();
    let held_out = held_out.filter(|each| !each.is_empty());
    let images = path.runs.iter().find_map(|run| run.state.measurements()).map_or(0, |run| run.test_images);
    let summary = path.test_accuracy;
    Network {
        path: path.path.clone(),
        test_accuracy: summary.map(|summary| summary.mean),
        interval_95: summary
            .map(|summary| summary.interval_95.unwrap_or_else(|| Interval::of_share(summary.mean, images))),
        held_out_accuracy: held_out.map(|each| each.iter().sum::<f64>() / each.len() as f64),
        parameters,
        weight_bytes: size_of::<f32>() * parameters,
        flop: 2 * model.multiply_adds(classes, side),
        latency_s,
    }
}
