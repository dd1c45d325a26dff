//! A run in memory: its epochs and steps, and how it is saved and gone on with.

use crate::checkpoint::{self, Position, Sums};
use crate::claim::Claimed;
use crate::config::SPLIT_SEED;
use crate::evaluate::{Evaluation, PlacedData, View};
use crate::metrics::{self, Metrics, STEPS_A_LINE};
use crate::optimizer::Optimizer;
use crate::seal;
use crate::steps::{self, Outcome, Taken};
use crate::store::{LAST, MODEL, ModelHeader, PREVIOUS, RESULT, ResultFile, check_model_so_far};
use crate::teaching::{Teaching, load_frozen};
use crate::train::repaired;
use crate::{EpochRecord, Error, Event, Pass, Record, Result, RunConfig, RunId, RunResult, StepRecord, Store, Watch};
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};
use takd_datasets::{Batch, BatchConfig, Placed, batches_ahead, epoch_order};
use takd_loss::{BadRows, KdLoss};
use takd_models::{Network, Parameters};

/// Time after which a long epoch is saved in its midst.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// A run in memory.
pub(crate) struct Run<'a> {
    config: &'a RunConfig,
    id: &'a RunId,
    placed: &'a PlacedData<'a>,
    folder: &'a Claimed,
    /// Steps that are taken before what they left is read.
    queue_len: usize,
    /// Indices into the training images.
    trained_on: Vec<u32>,
    held_out: Vec<u32>,
    batch: BatchConfig,
    /// Steps of an epoch.
    steps: usize,
    parameters: Parameters,
    network: Network,
    /// The same parameters without gradients.
    evaluated: Network,
    optimizer: Optimizer,
    epochs: Vec<EpochRecord>,
    seconds_before: f64,
    started: Instant,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        config: &'a RunConfig,
        id: &'a RunId,
        placed: &'a PlacedData<'a>,
        folder: &'a Claimed,
        queue_len: usize,
    ) -> Result<Self> {
        let started = Instant::now();
        let (data, device) = (placed.data, placed.device());
        let recipe = &config.recipe;
        let (trained_on, held_out) = data.train.stratified_holdout(recipe.held_out(data.train.len()), SPLIT_SEED);
        let narrow = |indices: Vec<usize>| -> Vec<u32> { indices.into_iter().map(|index| index as u32).collect() };
        let parameters = Parameters::random(config.seed);
        let classes = data.class_names.len();
        let network = Network::new(config.model, classes, parameters.var_builder(device))?;
        let evaluated = Network::new(config.model, classes, parameters.frozen_var_builder(device))?;
        let optimizer = Optimizer::new(&parameters, recipe)?;
        let (batch_size, normalization) = (recipe.batch_size, recipe.normalization(data));
        Ok(Self {
            config,
            id,
            placed,
            folder,
            queue_len,
            steps: trained_on.len().div_ceil(batch_size),
            trained_on: narrow(trained_on),
            held_out: narrow(held_out),
            batch: BatchConfig { batch_size, augmentation: recipe.augmentation(), normalization },
            parameters,
            network,
            evaluated,
            optimizer,
            epochs: Vec::new(),
            seconds_before: 0.0,
            started,
        })
    }

    pub(crate) fn go_on(
        mut self,
        teaching: Option<&Teaching>,
        store: &Store,
        watch: &mut Watch<'_>,
    ) -> Result<RunResult> {
        let (mut position, mut metrics) = self.resume()?;
        let epochs = self.config.recipe.epochs;
        let total = epochs * self.steps;
        let done = position.epoch * self.steps + position.step;
        tracing::info!("run {}: {} begins after {done} of {total} steps", self.id, self.config.model);
        if watch(Event::Started { done, total }).is_break() {
            self.save(position, &mut metrics)?;
            return Err(Error::Stopped);
        }
        while position.epoch < epochs {
            let record = match self.epoch(&mut position, teaching, &mut metrics, watch) {
                Err(Error::Stopped) => {
                    self.save(position, &mut metrics)?;
                    return Err(Error::Stopped);
                }
                record => record?,
            };
            position = Position { epoch: position.epoch + 1, ..Position::default() };
            let flow = watch(Event::Epoch(&record));
            metrics.add(&Record::Epoch(record.clone()))?;
            self.epochs.push(record);
            if self.config.recipe.picked_epoch(&self.epochs) == position.epoch {
                self.save_model(position.epoch)?;
            }
            // The checkpoint last: what it does not know of yet is computed again, and comes out the same.
            self.save(position, &mut metrics)?;
            if flow.is_break() {
                return Err(Error::Stopped);
            }
        }
        self.finish(teaching, store, metrics, watch)
    }

    /// What is left of an epoch. Where it is broken off, `position` is up to where it came.
    fn epoch(
        &self,
        position: &mut Position,
        teaching: Option<&Teaching>,
        metrics: &mut Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<EpochRecord> {
        let Position { epoch, .. } = *position;
        let recipe = &self.config.recipe;
        let lr = recipe.lr_at(epoch);
        let shuffled = epoch_order(self.trained_on.len(), self.config.seed, epoch);
        let order: Vec<u32> = shuffled.into_iter().map(|place| self.trained_on[place as usize]).collect();
        let rest = &order[order.len().min(position.step * self.batch.batch_size)..];
        let (seed, drawn) = recipe.augmented_from(self.config.seed, epoch);
        let form = recipe.forms().map_or(0, |forms| epoch % forms);
        let mut saved = Instant::now();
        let mut queue = Vec::with_capacity(self.queue_len);
        thread::scope(|scope| {
            let images = &self.placed.train;
            for batch in batches_ahead(scope, images, rest, &self.batch, seed, drawn) {
                let step = epoch * self.steps + position.step + queue.len() + 1;
                match batch.map_err(Error::from).and_then(|batch| self.step(&batch, teaching, lr, form, step)) {
                    Ok(taken) => queue.push(taken),
                    Err(error) => {
                        self.account_for(&mut queue, position, metrics, watch)?;
                        return Err(self.diverged(error, *position));
                    }
                }
                if queue.len() == self.queue_len {
                    self.account_for(&mut queue, position, metrics, watch)?;
                    if saved.elapsed() > SAVE_EVERY {
                        self.save(*position, metrics)?;
                        saved = Instant::now();
                    }
                }
            }
            self.account_for(&mut queue, position, metrics, watch)
        })?;
        let Sums { loss, correct, images } = position.sums;
        let network = &self.evaluated;
        let held_out = match self.held_out.as_slice() {
            [] => None,
            order => Some(self.evaluate(network, (&self.placed.train, order), *position, Pass::HeldOut, watch)?.0),
        };
        let test = match recipe.evaluates_test_each_epoch() {
            false => None,
            true => Some(self.test(network, *position, watch)?.0),
        };
        Ok(EpochRecord {
            epoch: epoch + 1,
            step: (epoch + 1) * self.steps,
            lr,
            train_loss: loss / images as f64,
            train_accuracy: correct as f64 / images as f64,
            held_out,
            test,
        })
    }

    /// One step. Whether what came of it are numbers is seen when it is accounted for.
    fn step(&self, batch: &Batch, teaching: Option<&Teaching>, lr: f64, form: usize, step: usize) -> Result<Taken<'_>> {
        let logits = self.network.forward_t(&batch.images, true)?;
        let loss = match teaching {
            None => KdLoss { bad_rows: BadRows::Nan, ..KdLoss::default() }.cross_entropy(&logits, &batch.labels)?,
            Some(teaching) => teaching.loss(&logits, batch, form, step)?,
        };
        let moved = self.optimizer.step(&takd_ops::backward(&loss)?, lr)?;
        // Without their graph, which holds every activation of the step.
        Ok(Taken { loss: loss.detach(), logits: logits.detach(), labels: batch.labels.clone(), moved })
    }

    /// Reads what the steps of the queue left, tells of each in its order, and leaves `position` after the last.
    fn account_for(
        &self,
        queue: &mut Vec<Taken<'_>>,
        position: &mut Position,
        metrics: &mut Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let recipe = &self.config.recipe;
        let mut flow = ControlFlow::Continue(());
        for outcome in steps::read(queue)? {
            let Outcome { loss, correct, images } = outcome.map_err(|error| self.diverged(error, *position))?;
            let sums = &mut position.sums;
            *sums = Sums {
                loss: sums.loss + loss * images as f64,
                correct: sums.correct + correct,
                images: sums.images + images,
            };
            let (sums, of_sums) = (*sums, sums.images as f64);
            position.step += 1;
            let step = position.epoch * self.steps + position.step;
            if step.is_multiple_of(STEPS_A_LINE) {
                let (lr, accuracy) = (recipe.lr_at(position.epoch), correct as f64 / images as f64);
                metrics.add(&Record::Step(StepRecord { step, lr, loss, accuracy }))?;
            }
            let told = watch(Event::Step {
                done: step,
                total: self.steps * recipe.epochs,
                epoch: position.epoch + 1,
                loss: sums.loss / of_sums,
                accuracy: sums.correct as f64 / of_sums,
            });
            // The parameters are those after the last step already.
            flow = if told.is_break() { told } else { flow };
        }
        queue.clear();
        if flow.is_break() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// What ceased to be a number is the training's fault.
    fn diverged(&self, error: Error, position: Position) -> Error {
        let reason = match error {
            Error::Loss(takd_loss::Error::NotFinite { input, value, .. }) => format!("{input} hold {value}"),
            Error::NotFinite(reason) => reason,
            error => return error,
        };
        Error::Diverged {
            epoch: position.epoch + 1,
            step: (position.step + 1).min(self.steps),
            lr: self.config.recipe.lr_at(position.epoch),
            reason,
            checkpoint: [LAST, PREVIOUS].map(|name| self.folder.path(name)).into_iter().find(|path| path.is_file()),
        }
    }

    fn evaluate(
        &self,
        network: &Network,
        (images, order): (&Placed<'_>, &[u32]),
        position: Position,
        pass: Pass,
        watch: &mut Watch<'_>,
    ) -> Result<(Evaluation, Vec<f32>)> {
        let view = View { images, normalization: self.batch.normalization };
        let evaluated = view.evaluate(network, order, pass, watch);
        evaluated.map_err(|error| self.diverged(error, position))
    }

    /// How `network` does on the test images, and its logits for them.
    fn test(&self, network: &Network, position: Position, watch: &mut Watch<'_>) -> Result<(Evaluation, Vec<f32>)> {
        let test = &self.placed.test;
        let all: Vec<u32> = (0..test.images().len() as u32).collect();
        self.evaluate(network, (test, &all), position, Pass::Test, watch)
    }

    /// Where the last checkpoint left off, or the one before it if that is damaged, or the beginning.
    fn resume(&mut self) -> Result<(Position, Metrics<'a>)> {
        for name in [LAST, PREVIOUS] {
            if let Some(resumed) = repaired(self.resume_from(name))? {
                return Ok(resumed);
            }
            // It must not become the one before the next.
            self.folder.remove(name)?;
        }
        self.epochs.clear();
        Ok((Position::default(), Metrics::begin(self.folder)?))
    }

    fn resume_from(&mut self, name: &str) -> Result<Option<(Position, Metrics<'a>)>> {
        let checkpoint = checkpoint::read(self.folder, name, self.id, &self.parameters, &self.optimizer)?;
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        let (metrics, records) = Metrics::go_on(self.folder, &checkpoint.header.metrics)?;
        self.epochs = metrics::epochs(records);
        let position = checkpoint.header.position;
        let (model, recipe) = (self.folder.path(MODEL), &self.config.recipe);
        check_model_so_far(&model, self.id, recipe, &self.epochs, position.epoch)?;
        checkpoint.restore()?;
        self.seconds_before = position.seconds;
        Ok(Some((position, metrics)))
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn save(&self, position: Position, metrics: &mut Metrics<'_>) -> Result<()> {
        let position = Position { seconds: self.seconds(), ..position };
        let header = checkpoint::Header { run: self.id.clone(), position, metrics: metrics.extent()? };
        checkpoint::save(self.folder, &header, &self.parameters, &self.optimizer)
    }

    fn save_model(&self, epoch: usize) -> Result<()> {
        let (run, model, classes) = (self.id.clone(), self.config.model.to_string(), self.network.classes());
        let tensors = self.parameters.all().into_iter().map(|(name, var)| (name, var.into_inner()));
        self.folder.write(MODEL, &seal::to_safetensors(tensors, &ModelHeader { run, model, classes, epoch })?)
    }

    fn finish(
        self,
        teaching: Option<&Teaching>,
        store: &Store,
        mut metrics: Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<RunResult> {
        let epoch = self.config.recipe.picked_epoch(&self.epochs);
        let record = self.epochs.iter().find(|record| record.epoch == epoch);
        let last = Position { epoch: self.config.recipe.epochs - 1, step: self.steps, ..Position::default() };
        // From its file, for it may be that of an epoch before the last.
        let path = self.folder.path(MODEL);
        let network = (self.config.model, self.network.classes());
        let network = load_frozen(network, &path, (self.id, epoch), self.placed.device())?;
        let (test, logits) = self.test(&network, last, watch)?;
        let teachers = teaching.map(|teaching| teaching.compare(&logits, self.placed, store, watch)).transpose()?;
        let result = RunResult {
            run: self.id.clone(),
            epoch,
            test,
            held_out: record.and_then(|record| record.held_out),
            teachers,
            parameters: self.parameters.trainable_count(),
            seconds: self.seconds(),
        };
        let metrics = metrics.extent()?;
        self.folder.write(RESULT, &seal::to_json(&ResultFile { result: result.clone(), metrics })?)?;
        self.folder.remove(LAST)?;
        self.folder.remove(PREVIOUS)?;
        Ok(result)
    }
}
