//! From an experiment to the runs that make it, each once, teachers first.

use crate::path::DistillationPath;
use crate::study::Point;
use std::collections::HashSet;
use takd_datasets::{Card, DatasetName};
use takd_distill::{Pace, PaceOf, RunConfig, RunResult, Training};
use takd_models::{ModelName, ModelSpec};
use takd_store::{Ending, RunId};

/// How a run ended, if it has; what a plan with a search goes by.
pub type Endings<'a> = dyn Fn(&RunId) -> Option<Ending<RunResult>> + 'a;

/// The runs of an experiment, each once, teachers before those they teach; and the runs of each cell's paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In an order in which they can be trained.
    pub runs: Vec<PlannedRun>,
    /// One for each cell of the experiment, in its order.
    pub cells: Vec<PlannedCell>,
    /// What searches that have not ended are expected to add.
    pub later: Vec<Later>,
}

/// Work of runs that are not named yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Later {
    /// The network that is trained, and those that teach it.
    pub path: DistillationPath,
    /// That network.
    pub model: ModelSpec,
    /// What it is trained on.
    pub dataset: DatasetName,
    /// Images a step.
    pub batch_size: usize,
    /// How many images the networks look at.
    pub looks: Looks,
    /// What that takes.
    pub cost: Cost,
}

/// The trial that a run is of.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialOf {
    /// Its number, from 1.
    pub number: usize,
    /// How many trials there are.
    pub size: usize,
    /// What is tried.
    pub point: Point,
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
    /// The trial that it is of, if it is of a search.
    pub trial: Option<TrialOf>,
}

/// The runs of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannedCell {
    /// Number of classes of its data set.
    pub classes: usize,
    /// Rows and columns of its images.
    pub side: usize,
    /// The paths that the experiment names, and those that lead to them, each with its last network alone.
    pub paths: Vec<PlannedPath>,
    /// The searches of its steps, those that lead to others first.
    pub studies: Vec<PlannedStudy>,
}

/// The search for the settings of the last network of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStudy {
    /// The path, its last network alone.
    pub path: DistillationPath,
    /// How many trials it has.
    pub size: usize,
    /// The epochs after which trials are looked at, the full number last.
    pub rungs: Vec<usize>,
    /// The trials whose points are known.
    pub trials: Vec<PlannedTrial>,
    /// Whether all of them have ended.
    pub ended: bool,
    /// The best one, by its number; nothing before the end, or if all diverged.
    pub winner: Option<usize>,
}

/// A point that is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTrial {
    /// What is tried.
    pub point: Point,
    /// Its runs at each rung that it has come to or is on the way to, one for each of the search's seeds.
    pub runs: Vec<Vec<RunId>>,
    /// Its score at each rung that it has come to; negative infinity where it diverged.
    pub scores: Vec<f64>,
    /// Whether it goes on no further.
    pub ended: bool,
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
    pub(crate) fn of(training: &Training, train_images: usize, card: &Card) -> Self {
        let held_out = training.held_out(train_images);
        let evaluated = held_out + if training.evaluates_test_each_epoch() { card.test } else { 0 };
        let epochs = training.epochs as f64;
        let trained = epochs * (train_images - held_out) as f64;
        // Teachers look at every form of the images once, or at every batch.
        let (once, live) = match training.forms() {
            Some(forms) => ((forms * train_images) as f64, 0.0),
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

    /// So many times as many, by teachers whose logits are kept already.
    pub(crate) fn times(&self, factor: f64) -> Self {
        let Self { trained, evaluated, taught_live, test, .. } = *self;
        Self {
            trained: factor * trained,
            evaluated: factor * evaluated,
            taught_live: factor * taught_live,
            taught_once: 0.0,
            test: factor * test,
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

    /// The seconds that they take, by the pace of the network and of those that teach it.
    ///
    /// # Errors
    /// Those of `pace`.
    pub fn seconds<E>(
        &self,
        of: PaceOf,
        teachers: &[ModelName],
        pace: &mut dyn FnMut(PaceOf) -> Result<Pace, E>,
    ) -> Result<Cost, E> {
        let own = pace(of)?;
        let mut forward_s = 0.0;
        for name in teachers {
            forward_s += pace(PaceOf { model: name.spec(of.classes), ..of })?.forward_s;
        }
        Ok(self.cost(own.train_s, own.forward_s, forward_s))
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
    /// `plane10 → plane4 on cifar10, seed 31`; of a trial also `, trial 3 of 40: λ 0.35, τ 5`.
    pub fn name(&self) -> String {
        let trial = self
            .trial
            .as_ref()
            .map_or_else(String::new, |TrialOf { number, size, point }| format!(", trial {number} of {size}: {point}"));
        let dataset = &self.config.data.dataset;
        match self.config.imported {
            Some(_) => format!("{} from elsewhere on {dataset}", self.path),
            None => format!("{} on {dataset}, seed {}{trial}", self.path, self.config.seed),
        }
    }
}

impl PlannedCell {
    /// The runs of a path, one for each seed.
    pub fn runs(&self, path: &DistillationPath) -> &[SeedRun] {
        self.paths.iter().find(|planned| planned.path == *path).map_or(&[], |planned| &planned.runs)
    }
}

impl Plan {
    /// For each run, whether all the logits that it is taught by are kept by a run before it in the plan: they are computed once.
    pub fn shares_logits(&self) -> Vec<bool> {
        let mut kept = HashSet::new();
        let shares = |run: &PlannedRun| {
            let training = &run.config.training;
            let Some(forms) = training.forms() else { return false };
            let teachers = run.config.teachers();
            // What is kept beside the largest logits depends on τ.
            let top_k = run.config.distillation.as_ref().and_then(|kd| Some((kd.top_k?, kd.temperature.to_bits())));
            let of = |teacher: &RunId| (teacher.clone(), forms, training.augmentation.to_string(), top_k);
            let new = teachers.iter().filter(|teacher| kept.insert(of(teacher))).count();
            !teachers.is_empty() && new == 0
        };
        self.runs.iter().map(shares).collect()
    }

    /// The run of this id.
    pub fn run(&self, id: &RunId) -> Option<&PlannedRun> {
        self.runs.iter().find(|run| run.id == *id)
    }
}
