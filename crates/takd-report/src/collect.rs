//! From the folder of runs to a report.

use crate::error::{Error, Result};
use crate::report::{
    CellReport, Difference, Measurements, Method, MissingCellReport, MissingPathReport, PathReport, Report, RunReport,
    RunState,
};
use crate::statistics::Summary;
use crate::{file_stem, legend};
use std::collections::HashMap;
use takd_distill::{RunConfig, Runs};
use takd_grid::path::DistillationPath;
use takd_grid::recipe::{CellPath, Layout};
use takd_grid::{Cell, Experiment, MissingCell, Plan, PlannedCell, PlannedPath};
use takd_store::{Ending, RunId};

impl Report {
    /// The report of an experiment: how each run of its `plan` ended, as far as they have.
    ///
    /// Only the small files that say how runs ended are read: no image, and no network. A run whose file cannot be read is a
    /// line of the report, as one that diverged.
    ///
    /// # Errors
    /// [`Error::OtherPlan`] if `plan` is not the experiment's.
    pub fn new(experiment: &Experiment, plan: &Plan, runs: &Runs) -> Result<Self> {
        let (cells, planned) = (experiment.cells.len(), plan.cells.len());
        if cells != planned {
            return Err(Error::OtherPlan(format!("the experiment has {cells} cells, and the plan {planned}")));
        }
        let collected = Collected::new(plan, runs);
        let cells = experiment.cells.iter().zip(&plan.cells);
        let cells = cells.map(|(cell, planned)| collected.cell(experiment.layout, cell, planned));
        let cells = cells.collect::<Result<Vec<_>>>()?;
        let missing: Vec<MissingCellReport> = experiment.missing.iter().map(missing_cell).collect();
        Ok(Self {
            title: experiment.title.clone(),
            source: experiment.source.clone(),
            layout: experiment.layout,
            preset: experiment.preset,
            device: experiment.device,
            legend: legend::lines(experiment, &cells, &missing),
            file_stem: file_stem::of(experiment, plan),
            cells,
            missing,
        })
    }
}

/// The runs of a plan, by their ids.
struct Collected<'a> {
    runs: HashMap<&'a RunId, Collection<'a>>,
}

struct Collection<'a> {
    config: &'a RunConfig,
    state: RunState,
}

impl<'a> Collected<'a> {
    fn new(plan: &'a Plan, runs: &Runs) -> Self {
        let mut collected = Self { runs: HashMap::with_capacity(plan.runs.len()) };
        // Teachers stand before those they teach.
        for run in &plan.runs {
            let state = match runs.ending(&run.id) {
                Ok(Some(Ending::Finished(result))) => RunState::Finished(Measurements::from(&result)),
                Ok(Some(Ending::Failed(reason))) => RunState::Diverged { reason },
                Ok(Some(Ending::Stopped)) => RunState::Stopped,
                Ok(None) if run.config.teachers().iter().any(|teacher| collected.is_lost(teacher)) => {
                    RunState::NoTeacher
                }
                Ok(None) => RunState::Missing,
                Err(error) => RunState::Unreadable { reason: error.to_string() },
            };
            collected.runs.insert(&run.id, Collection { config: &run.config, state });
        }
        collected
    }

    /// Whether a run will never have a result.
    fn is_lost(&self, id: &RunId) -> bool {
        let state = self.runs.get(id).map(|run| &run.state);
        matches!(state, Some(RunState::Diverged { .. } | RunState::NoTeacher))
    }

    fn get(&self, id: &RunId) -> Result<&Collection<'a>> {
        self.runs.get(id).ok_or_else(|| Error::OtherPlan(format!("it lacks the run {id}")))
    }

    fn cell(&self, layout: Layout, cell: &Cell, planned: &PlannedCell) -> Result<CellReport> {
        for CellPath { path, .. } in &cell.paths {
            if student_paths(path).any(|path| planned.runs(&path).is_empty()) {
                return Err(Error::OtherPlan(format!("its cell `{}` lacks the path {path}", cell.name)));
            }
        }
        let paths = planned.paths.iter().map(|planned| self.path(cell, planned)).collect::<Result<Vec<_>>>()?;
        let first = planned.paths.iter().flat_map(|path| &path.runs).next();
        let first = first.ok_or_else(|| Error::OtherPlan(format!("its cell `{}` has no runs", cell.name)))?;
        let mut report = CellReport {
            name: cell.name.clone(),
            dataset: cell.dataset,
            stands_for: cell.stands_for.clone(),
            classes: cell.dataset.classes(),
            train_images: self.get(&first.run)?.config.data.train_images,
            protocol: cell.protocol,
            seeds: cell.seeds.clone(),
            paper_source: cell.paper_source.clone(),
            paths,
            differences: Vec::new(),
        };
        if layout == Layout::Methods {
            report.differences = differences(&report);
        }
        Ok(report)
    }

    fn path(&self, cell: &Cell, planned: &PlannedPath) -> Result<PathReport> {
        let first = planned.runs.first();
        let first = first.ok_or_else(|| Error::OtherPlan(format!("its path {} has no runs", planned.path)))?;
        let config = self.get(&first.run)?.config;
        let teachers = config.teachers().iter().map(|teacher| Ok(self.get(teacher)?.config.model));
        let runs = planned.runs.iter().map(|run| {
            let state = self.get(&run.run)?.state.clone();
            Ok(RunReport { seed: run.seed, run: run.run.clone(), state })
        });
        let mut report = PathReport {
            path: planned.path.to_string(),
            stages: stages(&planned.path),
            network: config.model,
            teachers: teachers.collect::<Result<_>>()?,
            requested: cell.paths.iter().any(|known| student_paths(&known.path).any(|path| path == planned.path)),
            epochs: config.training.epochs,
            lambda: config.distillation.as_ref().map(|kd| kd.lambda),
            temperature: config.distillation.as_ref().map(|kd| kd.temperature),
            paper_accuracy: paper(cell, &planned.path).map(share),
            test_accuracy: None,
            runs: runs.collect::<Result<_>>()?,
        };
        let accuracies: Vec<f64> = report.results().map(|(_, result)| result.test_accuracy).collect();
        report.test_accuracy = Summary::of(&accuracies);
        Ok(report)
    }
}

/// The paths to each of a path's students.
fn student_paths(path: &DistillationPath) -> impl Iterator<Item = DistillationPath> {
    path.students().iter().map(|&student| path.up_to(path.steps(), student))
}

/// The paper's number for a path, in percent.
fn paper(cell: &Cell, path: &DistillationPath) -> Option<f64> {
    cell.paths.iter().find(|known| known.path == *path)?.paper
}

/// A share from percent: the number nearest to the decimal fraction, so that 88.98 % prints as 0.8898.
fn share(percent: f64) -> f64 {
    const PLACES: f64 = 1e8;
    (percent * PLACES).round() / (100.0 * PLACES)
}

fn stages(path: &DistillationPath) -> Vec<Vec<String>> {
    path.stages().iter().map(|stage| stage.iter().map(ToString::to_string).collect()).collect()
}

fn missing_cell(cell: &MissingCell) -> MissingCellReport {
    let paths = cell.paths.iter().map(|CellPath { path, paper, .. }| MissingPathReport {
        // Networks that may not exist are known by name only.
        stages: path.split(" → ").map(|stage| stage.split(" + ").map(str::to_owned).collect()).collect(),
        path: path.clone(),
        paper_accuracy: paper.map(share),
    });
    MissingCellReport { name: cell.name.clone(), why: cell.why.clone(), paths: paths.collect() }
}

/// Each method less those before it, over the seeds for which both have a result.
fn differences(cell: &CellReport) -> Vec<Difference> {
    let pairs = [(Method::Blkd, Method::NoKd), (Method::Takd, Method::Blkd), (Method::Takd, Method::NoKd)];
    let differences = pairs.into_iter().filter_map(|(method, minus)| {
        let others: HashMap<u64, &Measurements> = cell.method(minus)?.results().collect();
        let both = cell.method(method)?.results();
        let both = both.filter_map(|(seed, own)| Some((seed, own.test_accuracy - others.get(&seed)?.test_accuracy)));
        let (seeds, values): (Vec<u64>, Vec<f64>) = both.unzip();
        Some(Difference { method, minus, seeds, test_accuracy: Summary::of(&values)? })
    });
    differences.collect()
}
