//! Makes a plan: the runs of an experiment's paths, and of the searches for their settings.

use crate::elsewhere::{FromElsewhere, HubImport};
use crate::experiment::{Cell, Experiment};
use crate::path::DistillationPath;
use crate::plan::{
    Cost, Endings, Later, Looks, Plan, PlannedCell, PlannedPath, PlannedRun, PlannedStudy, PlannedTrial, SeedRun,
    TrialOf,
};
use crate::study::{Point, Progress, Search, Setting, Study, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use takd_datasets::{Augmentation, Card, DatasetName};
use takd_distill::{
    DataConfig, Distillation, Error, LrFrom, NUMERICS, Result, RunConfig, RunResult, RunSettings, Training,
};
use takd_models::{ModelName, ModelSpec};
use takd_store::{Ending, RunId};

impl Plan {
    /// The runs that make an experiment, on data with these cards. If it has a search, those that can be named by what has ended so
    /// far: the plan is a pure function of that, and has more the more has ended.
    ///
    /// # Errors
    /// If a configuration is invalid.
    ///
    /// # Panics
    /// If one of [`Experiment::datasets`] has no card.
    pub fn new(experiment: &Experiment, cards: &BTreeMap<DatasetName, Card>, ended: &Endings<'_>) -> Result<Self> {
        let mut builder = Builder::default();
        for cell in &experiment.cells {
            builder.cell(experiment, cell, &cards[&cell.data.name], ended)?;
        }
        Ok(builder.plan)
    }

    /// The runs of several plans, each once, teachers before those they teach; and the cells of all of them.
    pub fn merged(plans: &[Self]) -> Self {
        let mut builder = Builder::default();
        for Self { runs, cells, later } in plans {
            for run in runs {
                builder.add_run(run.clone());
            }
            builder.plan.cells.extend(cells.iter().cloned());
            builder.plan.later.extend(later.iter().cloned());
        }
        builder.plan
    }
}

#[derive(Default)]
struct Builder {
    plan: Plan,
    places: HashMap<RunId, usize>,
}

/// What the paths of a cell have in common.
struct Context<'a> {
    experiment: &'a Experiment,
    cell: &'a Cell,
    card: &'a Card,
    ended: &'a Endings<'a>,
}

/// How the last network of a path is trained.
struct Step<'a> {
    /// The path, that network alone at its end.
    path: &'a DistillationPath,
    teachers: Vec<RunId>,
    seed: u64,
    /// What differs from the cell's settings.
    point: Option<&'a Point>,
    /// The epochs, if they are not the network's own.
    epochs: Option<usize>,
}

/// What is known of the search for the settings of a network.
#[derive(Clone)]
enum Chosen {
    /// These, or the cell's own.
    Settings(Option<Point>),
    /// Nothing yet, or nothing at all.
    Nothing,
}

/// What is made of a cell so far.
#[derive(Default)]
struct State {
    planned: PlannedCell,
    /// Its searches, by the paths to the networks that they are for.
    studies: HashMap<DistillationPath, Chosen>,
    /// The runs, by path and seed, and searches that are still to be named.
    expected: HashSet<(DistillationPath, Option<u64>)>,
}

impl Builder {
    /// Adds the runs of a cell, as far as they can be named by what has ended.
    fn cell(&mut self, experiment: &Experiment, cell: &Cell, card: &Card, ended: &Endings<'_>) -> Result<()> {
        let context = Context { experiment, cell, card, ended };
        for network in cell.paths.iter().flat_map(|path| path.path.stages()).flat_map(|stage| stage.iter()) {
            let (model, side) = (context.model(*network), card.height);
            if card.height != card.width || !model.takes(side) {
                return Err(Error::Config(format!(
                    "{network} takes images of 32x32, and those of {} are {}x{side}: scale them to 32x32, or take ResNets, which \
                     take every size",
                    card.name, card.width
                )));
            }
        }
        if let Some(HubImport { network, model, .. }) = cell.on_the_hub.first() {
            return Err(Error::Config(format!("{network} is {model} of the hub, and nobody has looked for that yet")));
        }
        let unknown = |path: &&DistillationPath| {
            let is_known = cell.from_elsewhere.contains_key(&ModelName::LOGITS);
            let stages = path.stages().iter().enumerate();
            stages
                .filter(|(stage, _)| *stage > 0 || !is_known)
                .any(|(_, networks)| networks.contains(&ModelName::LOGITS))
        };
        if let Some(path) = cell.paths.iter().map(|path| &path.path).find(unknown) {
            return Err(Error::Config(format!(
                "the path {path}: `logits` is a teacher that is known by a file of its logits, which begins a path and is not \
                 trained: give the file (in a recipe `import = {{ logits = \"FILE\" }}`)"
            )));
        }
        if let Some(k) = cell.top_k.filter(|k| k.get() > card.classes()) {
            let (name, classes) = (&card.name, card.classes());
            return Err(Error::Config(format!(
                "the {k} largest of the teachers' logits are to be kept (`top_k`), and {name} has {classes} classes: give at most \
                 {classes}, or leave it out"
            )));
        }
        let mut state = State::default();
        (state.planned.classes, state.planned.side) = (card.classes(), card.height);
        for &seed in &cell.seeds {
            for path in &cell.paths {
                self.path(&context, &path.path, Some(seed), &mut state)?;
            }
        }
        self.plan.cells.push(state.planned);
        Ok(())
    }

    /// Adds the runs of a path, one after the other, each stage taught by the one before it, with what the searches have chosen; and
    /// gives those of its last stage, unless a search before them is not over. Without a seed it is the winner of a search that
    /// teaches on, whose seed was searched too.
    fn path(
        &mut self,
        context: &Context<'_>,
        path: &DistillationPath,
        seed: Option<u64>,
        state: &mut State,
    ) -> Result<Option<Vec<RunId>>> {
        let mut teachers: Vec<RunId> = Vec::new();
        for (stage, networks) in path.stages().iter().enumerate() {
            let mut taught = Vec::new();
            let mut is_whole = true;
            for &name in networks.iter() {
                let path = path.up_to(stage, name);
                let point = match self.chosen(context, &path, state)? {
                    Chosen::Settings(point) => point,
                    Chosen::Nothing => {
                        is_whole = false;
                        continue;
                    }
                };
                let own = point.as_ref().and_then(searched_seed);
                // What was trained elsewhere has no seed.
                let imported = context.imported(&path).map(|_| 0);
                let Some(run_seed) = seed.or(own).or(imported) else { return Ok(None) };
                let (point, teachers) = (point.as_ref(), teachers.clone());
                let step = Step { path: &path, teachers, seed: run_seed, point, epochs: None };
                let id = self.add(context, &path, context.config(&step)?, None);
                if context.cell.seeds.contains(&run_seed) {
                    state.planned.add(path, SeedRun { seed: run_seed, run: id.clone() });
                }
                taught.push(id);
            }
            if !is_whole {
                self.expect(context, path, stage, seed, state)?;
                return Ok(None);
            }
            teachers = taught;
        }
        Ok(Some(teachers))
    }

    /// The settings that were found for the last network of a path, by a search whose runs are added.
    fn chosen(&mut self, context: &Context<'_>, path: &DistillationPath, state: &mut State) -> Result<Chosen> {
        let Some(search) = &context.cell.search else { return Ok(Chosen::Settings(None)) };
        if let Some(known) = state.studies.get(path) {
            return Ok(known.clone());
        }
        let space = if context.imported(path).is_some() {
            None
        } else if path.steps() == 0 {
            search.space.alone()
        } else {
            Some(search.space.clone())
        };
        let chosen = match space {
            // Nothing of what is searched says anything about it.
            None => Chosen::Settings(None),
            Some(space) => {
                let search = Search { space, ..search.clone() };
                self.study(context, path, &search, state)?
            }
        };
        state.studies.insert(path.clone(), chosen.clone());
        Ok(chosen)
    }

    /// Adds the runs of a search, as far as they can be named.
    fn study(
        &mut self,
        context: &Context<'_>,
        path: &DistillationPath,
        search: &Search,
        state: &mut State,
    ) -> Result<Chosen> {
        let model = context.model(path.students()[0]);
        let epochs = search.epochs.unwrap_or_else(|| context.cell.epochs(model, context.classes()));
        let study = Study::new(search, epochs).map_err(|error| Error::Config(error.to_string()))?;
        // For each of the search's seeds, those who teach the trials; if the seed is searched, the winner of the step before.
        let seeds: Vec<Option<u64>> = match search.seeds.as_slice() {
            [] => vec![None],
            seeds => seeds.iter().copied().map(Some).collect(),
        };
        let mut teachers = Vec::new();
        for &seed in &seeds {
            let Some(before) = path.before() else {
                teachers.push(Vec::new());
                continue;
            };
            match self.path(context, &before, seed, state)? {
                Some(runs) => teachers.push(runs),
                None => return Ok(Chosen::Nothing),
            }
        }
        let configs = |point: &Point, rung: usize| -> Result<Vec<RunConfig>> {
            let each = seeds.iter().zip(&teachers).map(|(seed, teachers)| {
                let seed = seed.or(searched_seed(point)).unwrap_or_default();
                let step = Step { path, teachers: teachers.clone(), seed, point: Some(point), epochs: Some(epochs) };
                let config = context.config(&step)?;
                if rung == epochs {
                    return Ok(config);
                }
                let training = Training { epochs: rung, ..config.training.clone() };
                RunConfig::new(RunSettings { training, ..config.settings().clone() })
            });
            each.collect()
        };
        let mut refused = None;
        let progress = study.look(|point, rung| match configs(point, rung) {
            Ok(configs) => score(search, &configs, context.ended),
            Err(error) => {
                refused.get_or_insert(error);
                Some(f64::NAN)
            }
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let left = study.epochs_left(&progress) * seeds.len() as f64;
        self.later(context, path, left / epochs as f64, epochs)?;
        let Progress { trials, wanted, winner } = progress;
        let mut planned_trials = Vec::new();
        for (number, trial) in trials.into_iter().enumerate() {
            let wanted = wanted.iter().find(|(own, _)| *own == number).map(|(_, rung)| *rung);
            let mut runs = Vec::new();
            for rung in study.rungs().iter().copied().take(trial.scores.len()).chain(wanted) {
                let trial = TrialOf { number: number + 1, size: study.trials(), point: trial.point.clone() };
                let configs = configs(&trial.point, rung)?.into_iter();
                runs.push(configs.map(|config| self.add(context, path, config, Some(trial.clone()))).collect());
            }
            planned_trials.push(PlannedTrial { point: trial.point, runs, scores: trial.scores, ended: trial.ended });
        }
        let chosen = match winner {
            Some(winner) => Chosen::Settings(Some(planned_trials[winner].point.clone())),
            None => Chosen::Nothing,
        };
        state.planned.studies.push(PlannedStudy {
            path: path.clone(),
            size: study.trials(),
            rungs: study.rungs().to_vec(),
            trials: planned_trials,
            ended: wanted.is_empty(),
            winner,
        });
        Ok(chosen)
    }

    /// Notes what a path still takes from a stage on whose settings are not known, for this seed.
    fn expect(
        &mut self,
        context: &Context<'_>,
        path: &DistillationPath,
        stage: usize,
        seed: Option<u64>,
        state: &mut State,
    ) -> Result<()> {
        for (place, networks) in path.stages().iter().enumerate().skip(stage) {
            for &name in networks.iter() {
                let path = path.up_to(place, name);
                let own = context.cell.epochs(context.model(name), context.classes());
                if let (Some(search), true) = (&context.cell.search, place > stage)
                    && state.expected.insert((path.clone(), None))
                {
                    let epochs = search.epochs.unwrap_or(own);
                    let study = Study::new(search, epochs).map_err(|error| Error::Config(error.to_string()))?;
                    let all = study.epochs_left(&Progress::default()) * search.seeds.len().max(1) as f64;
                    self.later(context, &path, all / epochs as f64, epochs)?;
                }
                if seed.is_some() && state.expected.insert((path.clone(), seed)) {
                    self.later(context, &path, 1.0, own)?;
                }
            }
        }
        Ok(())
    }

    /// Notes so many runs of a path's last network that are not named yet, of so many epochs each.
    fn later(&mut self, context: &Context<'_>, path: &DistillationPath, runs: f64, epochs: usize) -> Result<()> {
        if runs == 0.0 {
            return Ok(());
        }
        let step = Step { path, teachers: Vec::new(), seed: 0, point: None, epochs: Some(epochs) };
        let (training, data) = (context.training(&step), DataConfig::of(context.card, context.cell.limit));
        let looks = Looks::of(&training, data.train_images, context.card).times(runs);
        self.plan.later.push(Later {
            path: path.clone(),
            model: context.model(path.students()[0]),
            dataset: context.card.name.clone(),
            batch_size: training.batch_size,
            cost: context.cost(path, &looks),
            looks,
        });
        Ok(())
    }

    /// The run of a configuration, added unless it is there.
    fn add(
        &mut self,
        context: &Context<'_>,
        path: &DistillationPath,
        config: RunConfig,
        trial: Option<TrialOf>,
    ) -> RunId {
        let looks = Looks::of(&config.training, config.data.train_images, context.card);
        let cost = context.cost(path, &looks);
        self.add_run(PlannedRun { id: config.id(), config, path: path.clone(), looks, cost, trial })
    }

    /// The same, of a run whose cost is known.
    fn add_run(&mut self, run: PlannedRun) -> RunId {
        let id = run.id.clone();
        self.places.entry(id.clone()).or_insert_with(|| {
            self.plan.runs.push(run);
            self.plan.runs.len() - 1
        });
        id
    }
}

impl Context<'_> {
    fn classes(&self) -> usize {
        self.card.class_names.len()
    }

    fn model(&self, name: ModelName) -> ModelSpec {
        name.spec(self.classes())
    }

    /// What the networks of a path take for so many looks.
    fn cost(&self, path: &DistillationPath, looks: &Looks) -> Cost {
        let forward = |name: ModelName| self.model(name).multiply_adds(self.classes(), self.card.height) as f64;
        // Forward, and backward to the weights and to the images.
        let own = forward(path.students()[0]);
        looks.cost(3.0 * own, own, path.teachers().iter().copied().map(forward).sum())
    }

    /// The network at the beginning of a path, if it was trained elsewhere.
    fn imported(&self, path: &DistillationPath) -> Option<&FromElsewhere> {
        let is_first = path.steps() == 0;
        self.cell.from_elsewhere.get(&path.students()[0]).filter(|_| is_first)
    }

    fn training(&self, step: &Step<'_>) -> Training {
        let model = self.model(step.path.students()[0]);
        self.cell.training_for(model, step.epochs.unwrap_or_else(|| self.cell.epochs(model, self.classes())))
    }

    fn config(&self, step: &Step<'_>) -> Result<RunConfig> {
        let &Step { path, ref teachers, seed, point, .. } = step;
        let model = self.model(path.students()[0]);
        if let Some(elsewhere) = self.imported(path) {
            return elsewhere.config(self.card, self.experiment.device);
        }
        let mut training = self.training(step);
        let mut distillation = path.steps().checked_sub(1).map(|step| Distillation {
            teachers: teachers.clone(),
            // A list that is too short leaves NaN, which no configuration has: the experiment refuses it before.
            lambda: self.cell.lambda.at(step).unwrap_or(f64::NAN),
            temperature: self.cell.temperature.at(step).unwrap_or(f64::NAN),
            kl_reduction: self.cell.kl_reduction,
            top_k: self.cell.top_k,
        });
        for (setting, value) in point.into_iter().flat_map(Point::values) {
            set(*setting, value, &mut training, distillation.as_mut());
        }
        let augmentation = training.augmentation;
        if augmentation != Augmentation::NONE
            && distillation.as_ref().is_some_and(|kd| kd.lambda > 0.0)
            && path.teachers().contains(&ModelName::LOGITS)
        {
            return Err(Error::Augmented { student: model, augmentation });
        }
        RunConfig::new(RunSettings {
            numerics: NUMERICS,
            device: self.experiment.device,
            model,
            seed,
            data: DataConfig::of(self.card, self.cell.limit),
            training,
            imported: None,
            distillation,
        })
    }
}

/// Puts a value that is searched in its place. (What a dimension allows, every place takes.)
fn set(setting: Setting, value: &Value, training: &mut Training, distillation: Option<&mut Distillation>) {
    match (setting, value) {
        (Setting::LearningRate, Value::Number(rate)) => {
            let first = training.lr.first().map_or(1.0, |piece| piece.lr);
            for piece in &mut training.lr {
                *piece = LrFrom { lr: piece.lr / first * rate, ..*piece };
            }
        }
        (Setting::Momentum, Value::Number(momentum)) => training.momentum = *momentum,
        (Setting::WeightDecay, Value::Number(decay)) => training.weight_decay = *decay,
        (Setting::BatchSize, Value::Number(size)) => training.batch_size = *size as usize,
        (Setting::Nesterov, Value::Flag(flag)) => training.nesterov = *flag,
        (Setting::WeightDecayOn, Value::Name(name)) => replace(&mut training.weight_decay_on, name),
        (Setting::Augmentation, Value::Name(name)) => replace(&mut training.augmentation, name),
        (setting, value) => match (distillation, setting, value) {
            (Some(teaching), Setting::Lambda, Value::Number(lambda)) => teaching.lambda = *lambda,
            (Some(teaching), Setting::Temperature, Value::Number(tau)) => teaching.temperature = *tau,
            (Some(teaching), Setting::KlReduction, Value::Name(name)) => replace(&mut teaching.kl_reduction, name),
            // The seed is no setting of the training.
            _ => {}
        },
    }
}

fn replace<T: std::str::FromStr>(place: &mut T, name: &str) {
    if let Ok(value) = name.parse() {
        *place = value;
    }
}

fn searched_seed(point: &Point) -> Option<u64> {
    point.number(Setting::Seed).map(|seed| seed as u64)
}

/// The mean score of these runs, if all have ended; not a number if one of them diverged. They are judged by the images that are held
/// out of their training; where none are, by the test images at the epoch that counts, as published.
fn score(search: &Search, configs: &[RunConfig], ended: &Endings<'_>) -> Option<f64> {
    let one = |config: &RunConfig| match ended(&config.id())? {
        Ending::Finished(RunResult { held_out: Some(held_out), .. }) => Some(search.objective.score(&held_out)),
        Ending::Finished(RunResult { test: Some(test), .. }) if config.training.evaluates_test_each_epoch() => {
            Some(search.objective.score(&test))
        }
        Ending::Finished(_) | Ending::Failed(_) => Some(f64::NAN),
        Ending::Stopped => None,
    };
    let scores = configs.iter().map(one).collect::<Option<Vec<f64>>>()?;
    Some(scores.iter().sum::<f64>() / scores.len() as f64)
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
