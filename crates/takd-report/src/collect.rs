//! From the folder of runs to a report.

use crate::choice::Spent;
use crate::comparison::Comparer;
use crate::error::{Error, Result};
use crate::report::{CellReport, MissingCellReport, MissingPathReport, PathReport, PublishedReport, Report};
use crate::run::{RunReport, RunState};
use crate::study::StudyReport;
use crate::{choose, comparisons, file_stem, findings, legend, studies};
use std::collections::{BTreeSet, HashMap, HashSet};
use takd_distill::{RunConfig, Runs};
use takd_grid::path::DistillationPath;
use takd_grid::recipe::{CellPath, Layout, Published};
use takd_grid::study::Search;
use takd_grid::{Cell, Cost, Experiment, MissingCell, Plan, PlannedCell, PlannedPath};
use takd_store::RunId;

impl Report {
    /// The report of an experiment: how each run of its `plan` ended, as far as they have.
    ///
    /// Only the small files are read that say how runs ended and which test images they get right: no image, and no network. A run whose file cannot be read is a
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
        let mut comparer = Comparer::new(runs);
        let cells = experiment.cells.iter().zip(&plan.cells);
        let cells = cells.map(|(cell, planned)| {
            let mut cell = collected.cell(experiment.layout, cell, planned)?;
            cell.comparisons = comparisons::of(experiment.layout, &cell, &mut comparer);
            Ok(cell)
        });
        let cells = cells.collect::<Result<Vec<_>>>()?;
        let missing: Vec<MissingCellReport> = experiment.missing.iter().map(missing_cell).collect();
        Ok(Self {
            title: experiment.title.clone(),
            source: experiment.source.clone(),
            layout: experiment.layout,
            preset: experiment.preset,
            device: experiment.device,
            findings: findings::lines(experiment.layout, &cells),
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
    cost: Cost,
    state: RunState,
}

impl<'a> Collected<'a> {
    fn new(plan: &'a Plan, runs: &Runs) -> Self {
        let mut collected = Self { runs: HashMap::with_capacity(plan.runs.len()) };
        // Teachers stand before those they teach.
        for run in &plan.runs {
            let state = match RunState::of(runs, &run.id) {
                RunState::Missing if run.config.teachers().iter().any(|teacher| collected.is_lost(teacher)) => {
                    RunState::NoTeacher
                }
                state => state,
            };
            collected.runs.insert(&run.id, Collection { config: &run.config, cost: run.cost, state });
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
            // What a search has not found yet, or does not find, has no runs.
            if cell.search.is_none() && student_paths(path).any(|path| planned.runs(&path).is_empty()) {
                return Err(Error::OtherPlan(format!("its cell `{}` lacks the path {path}", cell.name)));
            }
        }
        let paths = planned.paths.iter().map(|planned| self.path(cell, planned)).collect::<Result<Vec<_>>>()?;
        let trials =
            planned.studies.iter().flat_map(|study| &study.trials).flat_map(|trial| trial.runs.iter().flatten());
        let first = planned.paths.iter().flat_map(|path| &path.runs).map(|run| &run.run).chain(trials).next();
        // What was trained elsewhere saw none of them.
        let runs = planned.paths.iter().flat_map(|path| &path.runs).map(|run| &run.run);
        let trained = runs.clone().find(|id| self.get(id).is_ok_and(|run| run.config.imported.is_none()));
        let first =
            trained.or(first).ok_or_else(|| Error::OtherPlan(format!("its cell `{}` has no runs", cell.name)))?;
        let mut report = CellReport {
            name: cell.name.clone(),
            dataset: cell.data.name.clone(),
            stands_for: cell.stands_for.clone(),
            classes: planned.classes,
            side: planned.side,
            train_images: self.get(first)?.config.data.train_images,
            protocol: cell.protocol,
            seeds: cell.seeds.clone(),
            paper_source: cell.paper_source.clone(),
            published: cell.published.iter().map(published).collect(),
            paths,
            comparisons: Vec::new(),
            choices: Vec::new(),
            studies: cell.search.iter().flat_map(|search| self.studies(search, planned)).collect(),
            landscapes: Vec::new(),
        };
        if layout == Layout::Assistants {
            report.choices = choose::of(&report, |paths| self.spent(paths));
        }
        Ok(report)
    }

    fn studies(&self, search: &Search, planned: &PlannedCell) -> Vec<StudyReport> {
        let state = |id: &RunId| self.runs.get(id).map(|run| &run.state);
        planned.studies.iter().map(|study| studies::of(study, search, state)).collect()
    }

    /// What the runs of some paths take, over all seeds, and all that lead to them.
    fn spent(&self, paths: &[&PathReport]) -> Spent {
        let mut ids = BTreeSet::new();
        paths.iter().flat_map(|path| &path.runs).for_each(|run| self.add_with_teachers(&run.run, &mut ids));
        let runs = || ids.iter().filter_map(|id| self.runs.get(id));
        Spent {
            runs: ids.len(),
            multiply_adds: self.multiply_adds(&ids),
            seconds: runs().map(|run| Some(run.state.measurements()?.seconds)).sum(),
        }
    }

    /// The multiplications of some runs; logits that are kept for several of them count once.
    fn multiply_adds(&self, ids: &BTreeSet<RunId>) -> f64 {
        let mut kept = HashSet::new();
        let runs = ids.iter().filter_map(|id| self.runs.get(id));
        let cost = runs.map(|Collection { config, cost, .. }| {
            let (forms, augmentation) = (config.training.forms(), config.training.augmentation.to_string());
            let new =
                config.teachers().iter().filter(|teacher| kept.insert((*teacher, forms, augmentation.clone()))).count();
            let share = new as f64 / config.teachers().len().max(1) as f64;
            cost.training + cost.test + share * cost.teacher_logits
        });
        cost.sum()
    }

    /// Adds a run and all that lead to it.
    fn add_with_teachers(&self, id: &RunId, ids: &mut BTreeSet<RunId>) {
        if ids.insert(id.clone()) {
            let teachers = self.runs.get(id).map_or(&[][..], |run| run.config.teachers());
            teachers.iter().for_each(|teacher| self.add_with_teachers(teacher, ids));
        }
    }

    fn path(&self, cell: &Cell, planned: &PlannedPath) -> Result<PathReport> {
        let first = planned.runs.first();
        let first = first.ok_or_else(|| Error::OtherPlan(format!("its path {} has no runs", planned.path)))?;
        let &Collection { config, cost, .. } = self.get(&first.run)?;
        let mut leading = BTreeSet::new();
        self.add_with_teachers(&first.run, &mut leading);
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
            multiply_adds: cost.total(),
            path_multiply_adds: self.multiply_adds(&leading),
            lambda: config.distillation.as_ref().map(|kd| kd.lambda),
            temperature: config.distillation.as_ref().map(|kd| kd.temperature),
            paper_accuracy: paper(cell, &planned.path).map(share),
            test_accuracy: None,
            runs: runs.collect::<Result<_>>()?,
        };
        report.test_accuracy = report.summary(|result| Some(result.test_accuracy));
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

fn published(of: &Published) -> PublishedReport {
    PublishedReport { method: of.method.clone(), test_accuracy: share(of.percent) }
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
