//! From an experiment to the runs that make it, each once, teachers first.

use crate::experiment::{Cell, Experiment};
use crate::path::DistillationPath;
use std::collections::{BTreeMap, HashMap, HashSet};
use takd_datasets::{Card, DatasetName};
use takd_distill::{DataConfig, Distillation, NUMERICS, Result, RunConfig, RunSettings};
use takd_models::ModelSpec;
use takd_store::RunId;

/// The runs of an experiment, each once, teachers before those they teach; and the runs of each cell's paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In an order in which they can be trained.
    pub runs: Vec<PlannedRun>,
    /// One for each cell of the experiment, in its order.
    pub cells: Vec<PlannedCell>,
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
    /// How many images its networks look at.
    pub looks: Looks,
    /// What it takes.
    pub cost: Cost,
}

/// The runs of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannedCell {
    /// The paths that the experiment names, and those that lead to them, each with its last network alone.
    pub paths: Vec<PlannedPath>,
}

/// A path of a cell, for each seed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedPath {
    /// The path, its last network alone.
    pub path: DistillationPath,
    /// The run of its last network, one for each seed.
    pub runs: Vec<SeedRun>,
}

/// The run of a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRun {
    /// The seed.
    pub seed: u64,
    /// The run.
    pub run: RunId,
}

/// How many images the networks of a run look at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Looks {
    /// Images that the run's network is trained on, over all epochs.
    pub trained: f64,
    /// Images that it is evaluated on after the epochs.
    pub evaluated: f64,
    /// Images that teachers look at while it is trained, because they see new ones in every epoch.
    pub taught_live: f64,
    /// Images that teachers look at once, and whose logits are kept.
    pub taught_once: f64,
    /// Test images, at which network and teachers look at the end.
    pub test: f64,
}

impl Looks {
    fn of(config: &RunConfig, card: &Card) -> Self {
        let RunSettings { training, data, .. } = config.settings();
        let held_out = training.held_out(data.train_images);
        let evaluated = held_out + if training.evaluates_test_each_epoch() { card.test } else { 0 };
        let epochs = training.epochs as f64;
        let trained = epochs * (data.train_images - held_out) as f64;
        // Teachers look at every form of the images once, or at every batch.
        let (once, live) = match training.forms() {
            Some(forms) => ((forms * data.train_images) as f64, 0.0),
            None => (0.0, trained),
        };
        Self {
            trained,
            evaluated: epochs * evaluated as f64,
            taught_live: live,
            taught_once: once,
            test: card.test as f64,
        }
    }

    /// What they cost, if the network costs so much for an image that it is `trained` on and for one that it is `shown`, and its
    /// teachers together for one that they are shown.
    pub fn cost(&self, trained: f64, shown: f64, teachers: f64) -> Cost {
        Cost {
            training: self.trained * trained + self.evaluated * shown + self.taught_live * teachers,
            teacher_logits: self.taught_once * teachers,
            test: self.test * (shown + teachers),
        }
    }
}

/// What a run takes, in multiplications or in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Of its epochs: training, teachers that look at every batch, evaluation.
    pub training: f64,
    /// Of its teachers' logits, which are computed once and kept.
    pub teacher_logits: f64,
    /// Of the last look at the test images.
    pub test: f64,
}

impl Cost {
    /// All of it.
    pub fn total(self) -> f64 {
        self.training + self.teacher_logits + self.test
    }
}

impl PlannedRun {
    /// `plane10 → plane4 on cifar10, seed 31`.
    pub fn name(&self) -> String {
        format!("{} on {}, seed {}", self.path, self.config.data.dataset, self.config.seed)
    }
}

impl PlannedCell {
    /// The runs of a path, one for each seed.
    pub fn runs(&self, path: &DistillationPath) -> &[SeedRun] {
        self.paths.iter().find(|planned| planned.path == *path).map_or(&[], |planned| &planned.runs)
    }
}

impl Plan {
    /// The runs that make an experiment, on data with these cards.
    ///
    /// # Errors
    /// If a configuration is invalid.
    ///
    /// # Panics
    /// If one of [`Experiment::datasets`] has no card.
    pub fn new(experiment: &Experiment, cards: &BTreeMap<DatasetName, Card>) -> Result<Self> {
        let mut builder = Builder::default();
        for cell in &experiment.cells {
            let planned = builder.cell(experiment, cell, &cards[&cell.dataset])?;
            builder.plan.cells.push(planned);
        }
        Ok(builder.plan)
    }

    /// The runs of several plans, each once, teachers before those they teach; and the cells of all of them.
    pub fn merged(plans: &[Self]) -> Self {
        let mut builder = Builder::default();
        for Self { runs, cells } in plans {
            for PlannedRun { config, path, looks, cost, .. } in runs {
                builder.add(path.clone(), *looks, *cost, config.clone());
            }
            builder.plan.cells.extend(cells.iter().cloned());
        }
        builder.plan
    }

    /// For each run, whether all the logits that it is taught by are kept by a run before it in the plan: they are computed once.
    pub fn shares_logits(&self) -> Vec<bool> {
        let mut kept = HashSet::new();
        let shares = |run: &PlannedRun| {
            let training = &run.config.training;
            let Some(forms) = training.forms() else { return false };
            let teachers = run.config.teachers();
            let new = teachers
                .iter()
                .filter(|teacher| kept.insert(((*teacher).clone(), forms, training.augmentation)))
                .count();
            !teachers.is_empty() && new == 0
        };
        self.runs.iter().map(shares).collect()
    }

    /// The run of this id.
    pub fn run(&self, id: &RunId) -> Option<&PlannedRun> {
        self.runs.iter().find(|run| run.id == *id)
    }
}

#[derive(Default)]
struct Builder {
    plan: Plan,
    places: HashMap<RunId, usize>,
}

impl Builder {
    fn cell(&mut self, experiment: &Experiment, cell: &Cell, card: &Card) -> Result<PlannedCell> {
        let mut planned = PlannedCell::default();
        for &seed in &cell.seeds {
            for path in &cell.paths {
                self.path(experiment, cell, card, &path.path, seed, &mut planned)?;
            }
        }
        Ok(planned)
    }

    /// Adds the runs of a path, one after the other, each stage taught by the one before it.
    fn path(
        &mut self,
        experiment: &Experiment,
        cell: &Cell,
        card: &Card,
        path: &DistillationPath,
        seed: u64,
        planned: &mut PlannedCell,
    ) -> Result<()> {
        let classes = card.class_names.len();
        let mut teachers: Vec<RunId> = Vec::new();
        for (stage, networks) in path.stages().iter().enumerate() {
            let distillation = stage.checked_sub(1).map(|step| Distillation {
                teachers: teachers.clone(),
                // A list that is too short leaves NaN, which no configuration has: the experiment refuses it before.
                lambda: cell.lambda.at(step).unwrap_or(f64::NAN),
                temperature: cell.temperature.at(step).unwrap_or(f64::NAN),
                kl_reduction: cell.kl_reduction,
            });
            let mut taught = Vec::new();
            for &name in networks.iter() {
                let model = name.spec(classes);
                let config = RunConfig::new(RunSettings {
                    numerics: NUMERICS,
                    device: experiment.device,
                    model,
                    seed,
                    data: DataConfig::of(card, cell.limit),
                    training: cell.training(model),
                    distillation: distillation.clone(),
                })?;
                let path = path.up_to(stage, name);
                let teachers: Vec<ModelSpec> = path.teachers().iter().map(|name| name.spec(classes)).collect();
                let looks = Looks::of(&config, card);
                let forward = |model: ModelSpec| model.multiply_adds(classes) as f64;
                // Forward, and backward to the weights and to the images.
                let (own, teaching) = (forward(model), teachers.into_iter().map(forward).sum());
                let cost = looks.cost(3.0 * own, own, teaching);
                let id = self.add(path.clone(), looks, cost, config);
                planned.add(path, SeedRun { seed, run: id.clone() });
                taught.push(id);
            }
            teachers = taught;
        }
        Ok(())
    }

    /// The run of a configuration, added unless it is there.
    fn add(&mut self, path: DistillationPath, looks: Looks, cost: Cost, config: RunConfig) -> RunId {
        let id = config.id();
        self.places.entry(id.clone()).or_insert_with(|| {
            self.plan.runs.push(PlannedRun { id: id.clone(), config, path, looks, cost });
            self.plan.runs.len() - 1
        });
        id
    }
}

impl PlannedCell {
    fn add(&mut self, path: DistillationPath, run: SeedRun) {
        match self.paths.iter_mut().find(|planned| planned.path == path) {
            Some(planned) if planned.runs.contains(&run) => {}
            Some(planned) => planned.runs.push(run),
            None => self.paths.push(PlannedPath { path, runs: vec![run] }),
        }
    }
}
