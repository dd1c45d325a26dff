//! From what a table needs to the runs that make it.

use crate::{Cell, DistillationPath, Preset, Trio};
use std::collections::BTreeMap;
use takd_datasets::{Dataset, DatasetName};
use takd_distill::{DataConfig, DeviceType, Distillation, NUMERICS, Protocol, Recipe, Result, RunConfig, RunId};
use takd_models::ModelSpec;

/// What Table 1 is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Table1 {
    /// Its rows.
    pub cells: Vec<Cell>,
    /// Networks, data and epochs.
    pub preset: Preset,
    /// How networks are trained and chosen.
    pub protocol: Protocol,
    /// What all of it is trained on.
    pub device: DeviceType,
    /// Epochs of every run; the preset's own where absent.
    pub epochs: Option<usize>,
    /// One experiment a seed.
    pub seeds: Vec<u64>,
    /// λ of every distillation.
    pub lambda: f64,
    /// τ of every distillation.
    pub temperature: f64,
}

/// The runs of an experiment, each once, teachers before those they teach; and which of them a row needs.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which they can be trained.
    pub runs: Vec<PlannedRun>,
    /// A row a cell, for a table.
    pub rows: Vec<Row>,
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// Its id.
    pub id: RunId,
    /// What it is.
    pub config: RunConfig,
    /// The networks through which the knowledge comes, the trained one alone at the end.
    pub path: DistillationPath,
    /// Multiplications that it takes, about; to share out the time that is left.
    pub cost: f64,
}

impl PlannedRun {
    /// `plane10 → plane4 on cifar10, seed 31`.
    pub fn name(&self) -> String {
        format!("{} on {}, seed {}", self.path, self.config.data.dataset, self.config.seed)
    }
}

/// A row of Table 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which.
    pub cell: Cell,
    /// What it is trained on.
    pub data: DataConfig,
    /// Its networks.
    pub trio: Trio,
    /// How they are trained.
    pub recipe: Recipe,
    /// Its runs, an entry a seed.
    pub seeds: Vec<SeedRuns>,
}

/// The runs that a row needs for one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRuns {
    /// The seed.
    pub seed: u64,
    /// The teacher alone.
    pub teacher: RunId,
    /// The assistant, taught by the teacher.
    pub assistant: RunId,
    /// The student alone.
    pub no_kd: RunId,
    /// The student, taught by the teacher.
    pub blkd: RunId,
    /// The student, taught by the assistant.
    pub takd: RunId,
}

impl Table1 {
    /// The data sets it needs.
    pub fn datasets(&self) -> Vec<DatasetName> {
        let mut names: Vec<_> = self.cells.iter().map(|&cell| self.preset.dataset(cell)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The runs that make it, on the data given.
    ///
    /// # Errors
    /// Where λ or τ is not finite.
    ///
    /// # Panics
    /// Where one of [`Table1::datasets`] is not among the data.
    pub fn plan(&self, data: &BTreeMap<DatasetName, Dataset>) -> Result<Plan> {
        let mut plan = Plan::default();
        for &cell in &self.cells {
            let trio = self.preset.trio(cell);
            let data = &data[&self.preset.dataset(cell)];
            let recipe = self.preset.recipe(cell, self.protocol, self.epochs);
            let mut seeds = Vec::new();
            for &seed in &self.seeds {
                let Trio { teacher, assistant, student } = trio;
                let mut run = |model: ModelSpec, path: DistillationPath, taught_by: Option<&RunId>| {
                    let distillation = taught_by.map(|teacher| Distillation {
                        teachers: vec![teacher.clone()],
                        lambda: self.lambda,
                        temperature: self.temperature,
                    });
                    let (device, recipe) = (self.device, recipe.clone());
                    plan.add(
                        path,
                        data.test.len(),
                        RunConfig {
                            numerics: NUMERICS,
                            device,
                            model,
                            seed,
                            data: DataConfig::of(data),
                            recipe,
                            distillation,
                        },
                    )
                };
                let teacher_run = run(teacher, [teacher].into(), None)?;
                let assistant_run = run(assistant, [teacher, assistant].into(), Some(&teacher_run))?;
                seeds.push(SeedRuns {
                    seed,
                    no_kd: run(student, [student].into(), None)?,
                    blkd: run(student, [teacher, student].into(), Some(&teacher_run))?,
                    takd: run(student, [teacher, assistant, student].into(), Some(&assistant_run))?,
                    teacher: teacher_run,
                    assistant: assistant_run,
                });
            }
            plan.rows.push(Row { cell, data: DataConfig::of(data), trio, recipe, seeds });
        }
        Ok(plan)
    }
}

impl Plan {
    /// The run `config`, added unless it is there.
    pub(crate) fn add(&mut self, path: DistillationPath, test_images: usize, config: RunConfig) -> Result<RunId> {
        let id = config.id()?;
        if !self.runs.iter().any(|run| run.id == id) {
            let cost = cost(&config, path.teachers(), test_images);
            self.runs.push(PlannedRun { id: id.clone(), config, path, cost });
        }
        Ok(id)
    }
}

/// Multiplications of a run: three times the forward pass for an image trained on, once for one evaluated.
fn cost(config: &RunConfig, teachers: &[ModelSpec], test_images: usize) -> f64 {
    let classes = config.data.dataset.classes();
    let forward = |model: ModelSpec| model.multiply_adds(classes) as f64;
    let RunConfig { recipe, data, .. } = config;
    let held_out = recipe.held_out(data.train_images);
    let evaluated = held_out + if recipe.evaluates_test_each_epoch() { test_images } else { 0 };
    let trained = data.train_images - held_out;
    let epoch = forward(config.model) * (3 * trained + evaluated) as f64;
    let looks = match recipe.forms() {
        Some(forms) => forms * data.train_images,
        None => trained * recipe.epochs,
    };
    let teaching: f64 = teachers.iter().map(|&teacher| forward(teacher) * (looks + test_images) as f64).sum();
    epoch * recipe.epochs as f64 + teaching
}
