//! The training of one run, from its first step or from wherever it was left.

use crate::checkpoint::{self, Position, Sums, to_safetensors};
use crate::config::{DeviceType, NUMERICS, SPLIT_SEED};
use crate::evaluate::{Evaluation, View, correct};
use crate::optimizer::Optimizer;
use crate::store::{CONFIG, Claimed, LAST, METRICS, MODEL, RESULT, parse_json};
use crate::{Distillation, Error, Pick, Result, RunConfig, RunId, Store};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use takd_datasets::{Batch, BatchConfig, Dataset, Images, batches, epoch_order};
use takd_loss::{KdLoss, cross_entropy};
use takd_models::{Network, Parameters};

/// Time after which a long epoch is saved in its midst.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// One epoch of a run, as a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which one, from 1.
    pub epoch: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Mean of the loss over its images, each as the network was when it was seen.
    pub train_loss: f64,
    /// Share of them that the network got right, as it was then.
    pub train_accuracy: f64,
    /// On the held-out images, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// On the test images, where the protocol looks at them each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Evaluation>,
}

/// What a run ended with, as in `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub run: RunId,
    /// The epoch, from 1, whose network counts.
    pub epoch: usize,
    /// That network on the test images.
    pub test: Evaluation,
    /// That network on the held-out images, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// Number of trainable values.
    pub parameters: usize,
    /// What the training took, interruptions left out.
    pub seconds: f64,
}

/// What happens in a run while it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another process works on the same run; told again and again until that has ended.
    Waiting,
    /// The training begins after `done` of `total` steps.
    Started {
        /// Steps of an earlier start that need not be taken again.
        done: usize,
        /// Steps of the whole run.
        total: usize,
    },
    /// A step was taken.
    Step {
        /// Steps so far.
        done: usize,
        /// Steps of the whole run.
        total: usize,
        /// The epoch, from 1.
        epoch: usize,
        /// Mean of the loss in this epoch so far.
        loss: f64,
        /// Share of this epoch's images so far that the network got right.
        accuracy: f64,
    },
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// Trains the network that `config` describes, or goes on with it, or gives the result it ended with before.
///
/// The teacher's run must be finished and in `store`. `watch` is told of everything and may break off at any step; the
/// run is saved first, and a later call ends with the same bits as if it had not been broken off. If another process
/// works on the same run, this one waits for it.
///
/// # Errors
/// Every variant of [`Error`]; [`Error::Stopped`] where `watch` broke off.
pub fn train(
    config: &RunConfig,
    data: &Dataset,
    store: &Store,
    device: &Device,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<RunResult> {
    check(config, data, device)?;
    let id = config.id()?;
    let folder = Claimed::wait(store.dir(&id), &mut || watch(Event::Waiting))?;
    if let Some(result) = store.finished(&id)? {
        return Ok(result);
    }
    let text = toml::to_string(config).map_err(|error| Error::Config(error.to_string()))?;
    folder.write(CONFIG, text.as_bytes())?;
    Run::new(config, &id, data, store, &folder, device)?.go_on(watch)
}

fn check(config: &RunConfig, data: &Dataset, device: &Device) -> Result<()> {
    let RunConfig { recipe, data: wanted, .. } = config;
    let found = (data.name, data.checksum.as_str(), data.train.len());
    let fits = |kd: &Distillation| (0.0..=1.0).contains(&kd.lambda) && kd.temperature > 0.0;
    let problem = if config.distillation.as_ref().is_some_and(|kd| !fits(kd)) {
        "λ is from 0 to 1, τ is above 0".into()
    } else if recipe.lr.first().is_none_or(|first| first.epoch > 0) {
        "its learning rate must begin with epoch 0".into()
    } else if config.device != DeviceType::of(device) {
        format!("it is to be trained on {:?}, not on {:?}", config.device, DeviceType::of(device))
    } else if config.numerics != NUMERICS {
        format!("it is of numerics version {}, this program computes by version {NUMERICS}", config.numerics)
    } else if found != (wanted.dataset, wanted.checksum.as_str(), wanted.train_images) {
        format!("it asks for {wanted:?}, the data set given is {found:?}")
    } else if recipe.epochs == 0 || recipe.batch_size == 0 {
        "it has no epochs, or no images a step".into()
    } else if recipe.held_out(wanted.train_images) >= wanted.train_images || data.test.is_empty() {
        "no images are left to train or to test on".into()
    } else {
        return Ok(());
    };
    Err(Error::Config(problem))
}

/// Who teaches.
struct Teaching {
    loss: KdLoss,
    teacher: Teacher,
}

/// Where the teacher's logits come from.
enum Teacher {
    /// Computed once: without augmentation an image looks the same in every epoch. `[train_images, classes]`, a row for
    /// each training image by its index (rows of held-out images are there but not read).
    Kept(Tensor),
    /// Computed for every batch.
    Live(Network),
}

impl Teacher {
    /// `[batch, classes]`.
    fn logits(&self, batch: &Batch) -> Result<Tensor> {
        match self {
            Self::Kept(logits) => {
                let indices = Tensor::from_slice(&batch.indices, batch.indices.len(), logits.device())?;
                Ok(logits.index_select(&indices, 0)?)
            }
            Self::Live(network) => Ok(network.forward_t(&batch.images, false)?.detach()),
        }
    }
}

/// A run in memory.
struct Run<'a> {
    config: &'a RunConfig,
    id: &'a RunId,
    folder: &'a Claimed,
    device: &'a Device,
    train: &'a Images,
    /// Indices into `train`.
    trained_on: Vec<u32>,
    batch: BatchConfig,
    held_out: Option<(View<'a>, Vec<u32>)>,
    test: (View<'a>, Vec<u32>),
    parameters: Parameters,
    network: Network,
    /// The same parameters without gradients.
    evaluated: Network,
    optimizer: Optimizer,
    teaching: Option<Teaching>,
    records: Vec<EpochRecord>,
    seconds_before: f64,
    started: Instant,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a RunConfig,
        id: &'a RunId,
        data: &'a Dataset,
        store: &Store,
        folder: &'a Claimed,
        device: &'a Device,
    ) -> Result<Self> {
        let started = Instant::now();
        let recipe = &config.recipe;
        let normalization = recipe.normalization(data);
        let view = |images| View { images, normalization, device };
        let (trained_on, held_out) = data.train.stratified_holdout(recipe.held_out(data.train.len()), SPLIT_SEED);
        let narrow = |indices: Vec<usize>| -> Vec<u32> { indices.into_iter().map(|index| index as u32).collect() };
        let parameters = Parameters::random(config.seed);
        let classes = data.class_names.len();
        let network = Network::new(config.model, classes, parameters.var_builder(device))?;
        let evaluated = Network::new(config.model, classes, parameters.frozen_var_builder(device))?;
        let optimizer = Optimizer::new(&parameters, recipe)?;
        let teaching =
            config.distillation.as_ref().map(|kd| teaching(kd, config, view(&data.train), store)).transpose()?;
        Ok(Self {
            config,
            id,
            folder,
            device,
            train: &data.train,
            trained_on: narrow(trained_on),
            batch: BatchConfig { batch_size: recipe.batch_size, augmentation: recipe.augmentation(), normalization },
            held_out: (!held_out.is_empty()).then(|| (view(&data.train), narrow(held_out))),
            test: (view(&data.test), (0..data.test.len() as u32).collect()),
            parameters,
            network,
            evaluated,
            optimizer,
            teaching,
            records: Vec::new(),
            seconds_before: 0.0,
            started,
        })
    }

    fn go_on(mut self, watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Result<RunResult> {
        let mut position = self.resume()?;
        let steps = self.trained_on.len().div_ceil(self.batch.batch_size);
        let epochs = self.config.recipe.epochs;
        let started = watch(Event::Started { done: position.epoch * steps + position.step, total: epochs * steps });
        self.stop_if(started, position)?;
        while position.epoch < epochs {
            let last_step = self.epoch(&mut position, steps, watch)?;
            let record = self.record(&position)?;
            position = Position { epoch: position.epoch + 1, ..Position::default() };
            let flow = watch(Event::Epoch(&record));
            self.records.push(record);
            if self.picked_epoch() == position.epoch {
                self.save_model()?;
            }
            // The checkpoint last: what it does not know of yet is computed again, and comes out the same.
            self.save_metrics()?;
            self.save(position)?;
            if position.epoch < epochs && (last_step.is_break() || flow.is_break()) {
                return Err(Error::Stopped);
            }
        }
        self.finish()
    }

    /// The steps of an epoch that are still to be taken; whether to go on after them.
    fn epoch(
        &self,
        position: &mut Position,
        steps: usize,
        watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Position { epoch, .. } = *position;
        let lr = self.config.recipe.lr_at(epoch);
        let shuffled = epoch_order(self.trained_on.len(), self.config.seed, epoch);
        let order: Vec<u32> = shuffled.into_iter().map(|place| self.trained_on[place as usize]).collect();
        let rest = &order[position.step * self.batch.batch_size..];
        let mut saved = Instant::now();
        let mut flow = ControlFlow::Continue(());
        for batch in batches(self.train, rest, &self.batch, self.config.seed, epoch, self.device) {
            let (loss, hits, images) = self.step(&batch?, lr).map_err(|error| self.diverged(error, position, lr))?;
            let sums = &mut position.sums;
            *sums = Sums {
                loss: sums.loss + loss * images as f64,
                correct: sums.correct + hits,
                images: sums.images + images,
            };
            position.step += 1;
            flow = watch(Event::Step {
                done: epoch * steps + position.step,
                total: steps * self.config.recipe.epochs,
                epoch: epoch + 1,
                loss: sums.loss / sums.images as f64,
                accuracy: sums.correct as f64 / sums.images as f64,
            });
            if position.step < steps {
                self.stop_if(flow, *position)?;
                if saved.elapsed() > SAVE_EVERY {
                    self.save(*position)?;
                    saved = Instant::now();
                }
            }
        }
        Ok(flow)
    }

    /// One step: the batch's loss before it, how many images were right, how many there were.
    fn step(&self, batch: &Batch, lr: f64) -> Result<(f64, usize, usize)> {
        let logits = self.network.forward_t(&batch.images, true)?;
        let loss = match &self.teaching {
            None => cross_entropy(&logits, &batch.labels)?,
            Some(Teaching { loss, teacher }) => loss.forward(&logits, &teacher.logits(batch)?, &batch.labels)?,
        };
        self.optimizer.step(&loss.backward()?, lr)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), correct(&logits.detach(), &batch.labels)?, batch.indices.len()))
    }

    /// Logits that ceased to be numbers are the training's fault, not the loss's.
    fn diverged(&self, error: Error, position: &Position, lr: f64) -> Error {
        match error {
            Error::Loss(takd_loss::Error::NotFinite { input, value, .. }) => Error::Diverged {
                epoch: position.epoch + 1,
                step: position.step + 1,
                lr,
                reason: format!("{input} hold {value}"),
                checkpoint: self.folder.path(LAST),
            },
            error => error,
        }
    }

    /// An epoch whose steps are all taken.
    fn record(&self, position: &Position) -> Result<EpochRecord> {
        let Position { epoch, sums, .. } = *position;
        let lr = self.config.recipe.lr_at(epoch);
        let evaluate = |(view, order): &(View<'_>, Vec<u32>)| {
            view.evaluate(&self.evaluated, order).map_err(|error| self.diverged(error, position, lr))
        };
        Ok(EpochRecord {
            epoch: epoch + 1,
            lr,
            train_loss: sums.loss / sums.images as f64,
            train_accuracy: sums.correct as f64 / sums.images as f64,
            held_out: self.held_out.as_ref().map(evaluate).transpose()?,
            test: self.config.recipe.evaluates_test_each_epoch().then(|| evaluate(&self.test)).transpose()?,
        })
    }

    /// Of the epochs so far the one, from 1, whose network counts; the earlier of equals.
    fn picked_epoch(&self) -> usize {
        let accuracy = |record: &EpochRecord| record.test.map_or(0.0, |test| test.accuracy);
        match self.config.recipe.pick {
            Pick::LastEpoch => self.config.recipe.epochs,
            Pick::BestTestEpoch => {
                let best = self.records.iter().rev().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
                best.map_or(0, |record| record.epoch)
            }
        }
    }

    /// Where the last checkpoint left off.
    fn resume(&mut self) -> Result<Position> {
        let Some(position) = checkpoint::load(self.folder, self.id, &self.parameters, &self.optimizer)? else {
            return Ok(Position::default());
        };
        self.seconds_before = position.seconds;
        let path = self.folder.path(METRICS);
        for line in self.folder.read(METRICS)?.unwrap_or_default().split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                let record: EpochRecord = parse_json(&path, line)?;
                if record.epoch <= position.epoch {
                    self.records.push(record);
                }
            }
        }
        if self.records.iter().map(|record| record.epoch).ne(1..=position.epoch) {
            return Err(Error::damaged(&path, &format!("it lacks some of the first {} epochs", position.epoch)));
        }
        Ok(position)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn stop_if(&self, flow: ControlFlow<()>, position: Position) -> Result<()> {
        if flow.is_continue() {
            return Ok(());
        }
        self.save(position)?;
        Err(Error::Stopped)
    }

    fn save(&self, position: Position) -> Result<()> {
        let position = Position { seconds: self.seconds(), ..position };
        checkpoint::save(self.folder, self.id, position, &self.parameters, &self.optimizer)
    }

    fn save_metrics(&self) -> Result<()> {
        let mut lines = Vec::new();
        for record in &self.records {
            serde_json::to_writer(&mut lines, record).map_err(|error| Error::Config(error.to_string()))?;
            lines.push(b'\n');
        }
        self.folder.write(METRICS, &lines)
    }

    fn save_model(&self) -> Result<()> {
        /// What stands in the file beside the tensors.
        #[derive(Serialize)]
        struct Header<'a> {
            run: &'a RunId,
            model: String,
            classes: usize,
        }
        let header = Header { run: self.id, model: self.config.model.to_string(), classes: self.network.classes() };
        let tensors = self.parameters.all().into_iter().map(|(name, var)| (name, var.into_inner()));
        self.folder.write(MODEL, &to_safetensors(tensors, &header)?)
    }

    fn finish(self) -> Result<RunResult> {
        let epoch = self.picked_epoch();
        let record = self.records.iter().find(|record| record.epoch == epoch);
        let test = match record.and_then(|record| record.test) {
            Some(test) => test,
            None => {
                let last = Position { epoch: epoch - 1, ..Position::default() };
                let lr = self.config.recipe.lr_at(last.epoch);
                let evaluation = self.test.0.evaluate(&self.evaluated, &self.test.1);
                evaluation.map_err(|error| self.diverged(error, &last, lr))?
            }
        };
        let result = RunResult {
            run: self.id.clone(),
            epoch,
            test,
            held_out: record.and_then(|record| record.held_out),
            parameters: self.parameters.trainable_count(),
            seconds: self.seconds(),
        };
        self.folder.write_json(RESULT, &result)?;
        self.folder.remove(LAST)?;
        Ok(result)
    }
}

fn teaching(kd: &Distillation, student: &RunConfig, images: View<'_>, store: &Store) -> Result<Teaching> {
    let unfinished = || Error::Teacher { id: kd.teacher.clone(), dir: store.dir(&kd.teacher) };
    let config = store.config(&kd.teacher)?.ok_or_else(unfinished)?;
    let path = store.model(&kd.teacher)?;
    let classes = student.data.dataset.classes();
    if (config.data.dataset, &config.data.checksum) != (student.data.dataset, &student.data.checksum) {
        return Err(Error::Config(format!(
            "the teacher was trained on other images of {} than the student's of {}",
            config.data.dataset, student.data.dataset
        )));
    }
    let (_, parameters) =
        Network::load(config.model, classes, &path, images.device).map_err(|error| Error::damaged(&path, &error))?;
    let network = Network::new(config.model, classes, parameters.frozen_var_builder(images.device))?;
    let teacher = if student.recipe.keeps_teacher_logits() {
        let all: Vec<u32> = (0..images.images.len() as u32).collect();
        Teacher::Kept(images.logits(&network, &all)?)
    } else {
        Teacher::Live(network)
    };
    let reduction = student.recipe.reduction();
    let loss = KdLoss { temperature: kd.temperature, lambda: kd.lambda, reduction, ..KdLoss::default() };
    Ok(Teaching { loss, teacher })
}
