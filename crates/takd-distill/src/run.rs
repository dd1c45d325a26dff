//! A run in memory: its epochs and steps, and how it is saved and gone on with.

use crate::accumulation::{BatchResult, Share, in_parts};
use crate::checkpoint::{self, LAST, PREVIOUS, Position, Sums};
use crate::config::RunConfig;
use crate::correct;
use crate::error::repaired;
use crate::evaluation::Evaluation;
use crate::event::{Event, Pass, Watch};
use crate::metrics::{Metrics, STEPS_A_LINE};
use crate::network_file::{self, MODEL, NetworkFile};
use crate::optimizer::Optimizer;
use crate::records::{EpochRecord, Losses, Record, StepRecord, TrainRecord, epochs, picked_epoch};
use crate::result::RunResult;
use crate::runs::Runs;
use crate::steps::{self, Measures, StepResult};
use crate::teaching::{Teaching, mixed_loss};
use crate::view::{PlacedData, View, replayed};
use crate::{Divergence, Error, Result};
use candle_core::Tensor;
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};
use takd_datasets::{Batch, BatchConfig, PlacedImages, batches_ahead, epoch_order};
use takd_loss::{BadRows, KdLoss};
use takd_models::{Network, Parameters};
use takd_rng::Streams;
use takd_store::{Claim, Ending, RunId};

/// Time after which a long epoch is saved in its midst.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// Which images are held out must not change with a run's own seed.
const SPLIT_SEED: u64 = 0;

/// A run in memory.
pub(crate) struct Run<'a> {
    config: &'a RunConfig,
    id: RunId,
    placed: &'a PlacedData<'a>,
    claim: &'a Claim,
    /// Steps that are taken before their results are read.
    queue_len: usize,
    /// Indices into the training images.
    trained_on: Vec<u32>,
    held_out: Vec<u32>,
    batch: BatchConfig,
    /// Steps of an epoch.
    steps: usize,
    /// Order of the images and augmentation, as the initial weights, come from streams of the network's own, so that different
    /// networks of one seed share nothing by accident. A network alone and the same one taught share all of it, on purpose:
    /// that is what makes their comparison paired.
    streams: Streams,
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
        placed: &'a PlacedData<'a>,
        claim: &'a Claim,
        queue_len: usize,
    ) -> Result<Self> {
        let started = Instant::now();
        let (data, compute) = (placed.data, placed.compute);
        let training = &config.training;
        let (trained_on, held_out) = data.train.stratified_holdout(training.held_out(data.train.len()), SPLIT_SEED);
        let narrow = |indices: Vec<usize>| -> Vec<u32> { indices.into_iter().map(|index| index as u32).collect() };
        let (network, parameters) = Network::random(config.model, placed.classes(), config.seed, &compute.device)?;
        let network = network.with_precision(compute.precision);
        let evaluated = network.frozen();
        let optimizer = Optimizer::new(&parameters, training)?;
        let (batch_size, normalization) = (training.batch_size, config.normalization(&data.card));
        Ok(Self {
            config,
            id: config.id(),
            placed,
            claim,
            queue_len,
            steps: training.steps(trained_on.len()),
            trained_on: narrow(trained_on),
            held_out: narrow(held_out),
            batch: BatchConfig { batch_size, augmentation: training.augmentation, normalization },
            streams: Streams::new(config.seed, &config.model.to_string()),
            parameters,
            network,
            evaluated,
            optimizer,
            epochs: Vec::new(),
            seconds_before: 0.0,
            started,
        })
    }

    /// Trains what is left of the run.
    pub(crate) fn go_on(
        mut self,
        teaching: Option<&Teaching>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<RunResult> {
        let (mut position, mut metrics) = self.resume(runs)?;
        let trained = self.train(&mut position, &mut metrics, teaching, watch);
        let outcome = trained.and_then(|()| self.finish(teaching, runs, &mut metrics, watch));
        match &outcome {
            Err(Error::Stopped) => {
                self.save(position, &mut metrics)?;
                self.claim.end(&Ending::<RunResult>::Stopped, &metrics.extent()?, &[])?;
            }
            Err(Error::Diverged(divergence)) => {
                self.claim.end(&Ending::<RunResult>::Failed(divergence.to_string()), &metrics.extent()?, &[])?;
            }
            _ => {}
        }
        outcome
    }

    /// The epochs that are left. If they are broken off, `position` is up to where they came.
    fn train(
        &mut self,
        position: &mut Position,
        metrics: &mut Metrics<'_>,
        teaching: Option<&Teaching>,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let epochs = self.config.training.epochs;
        let total = epochs * self.steps;
        let done = position.epoch * self.steps + position.step;
        tracing::info!("run {}: {} begins after {done} of {total} steps", self.id, self.config.model);
        if watch(Event::Started { done, total }).is_break() {
            return Err(Error::Stopped);
        }
        while position.epoch < epochs {
            let record = self.epoch(position, teaching, metrics, watch)?;
            *position = Position { epoch: position.epoch + 1, ..Position::default() };
            let flow = watch(Event::Epoch(&record));
            metrics.add(&Record::Epoch(record.clone()))?;
            self.epochs.push(record);
            if picked_epoch(&self.config.training, &self.epochs) == position.epoch {
                network_file::save(self.claim, self.config, position.epoch, &self.network, &self.parameters)?;
            }
            // The checkpoint last: what it does not know of yet is computed again, and comes out the same.
            self.save(*position, metrics)?;
            if flow.is_break() {
                return Err(Error::Stopped);
            }
        }
        Ok(())
    }

    /// What is left of an epoch. If it is broken off, `position` is up to where it came.
    fn epoch(
        &self,
        position: &mut Position,
        teaching: Option<&Teaching>,
        metrics: &mut Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<EpochRecord> {
        let Position { epoch, .. } = *position;
        let training = &self.config.training;
        let shuffled = epoch_order(self.trained_on.len(), &self.streams, epoch);
        let order: Vec<u32> = shuffled.into_iter().map(|place| self.trained_on[place as usize]).collect();
        let rest = &order[order.len().min(position.step * self.batch.batch_size)..];
        // Augmentations that are replayed are those of an earlier epoch, and the same for all networks.
        let form = training.forms().map(|forms| epoch % forms);
        let (streams, drawn) = match form {
            Some(form) => (replayed(), form),
            None => (self.streams.clone(), epoch),
        };
        let form = form.unwrap_or(0);
        let mut saved = Instant::now();
        let mut queue = Vec::with_capacity(self.queue_len);
        thread::scope(|scope| {
            let images = &self.placed.train;
            for batch in batches_ahead(scope, images, rest, &self.batch, &streams, drawn) {
                let step = epoch * self.steps + position.step + queue.len() + 1;
                match batch.map_err(Error::from).and_then(|batch| self.step(&batch, teaching, form, step)) {
                    Ok(result) => queue.push(result),
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
        let network = &self.evaluated;
        let held_out = match self.held_out.as_slice() {
            [] => None,
            order => Some(self.evaluate(network, &self.placed.train, order, *position, Pass::HeldOut, watch)?.0),
        };
        let test =
            if training.evaluates_test_each_epoch() { Some(self.test(network, *position, watch)?.0) } else { None };
        let train = TrainRecord { loss: self.means(&position.sums, teaching), accuracy: position.sums.accuracy() };
        let step = (epoch + 1) * self.steps;
        Ok(EpochRecord { epoch: epoch + 1, step, lr: self.lr(step), train, held_out, test })
    }

    /// The learning rate of a step, counted from 1 through all epochs.
    fn lr(&self, step: usize) -> f64 {
        self.config.training.lr_at_step(step, self.steps)
    }

    /// Takes one step, counted from 1 through all epochs. Whether its results are numbers is seen when they are read.
    fn step(&self, batch: &Batch, teaching: Option<&Teaching>, form: usize, step: usize) -> Result<StepResult<'_>> {
        let alone = KdLoss { bad_rows: BadRows::Nan, ..KdLoss::default() };
        let weight = teaching.and_then(Teaching::kl_weight);
        let parts = self.config.training.parts(batch.indices.len());
        let result = in_parts(batch, parts, |batch: &Batch, share: Share| {
            let logits = self.network.forward_t(&batch.images, true)?;
            let cross_entropy = |logits: &Tensor| mixed_loss(batch, |labels| Ok(alone.cross_entropy(logits, labels)?));
            let loss = share.of(match teaching {
                None => cross_entropy(&logits)?,
                Some(teaching) => teaching.loss(&logits, batch, form, step)?,
            })?;
            let gradients = takd_ops::backward(&loss)?;
            // Without their graph, which holds every activation.
            let (loss, logits) = (loss.detach(), logits.detach());
            let cross_entropy = weight.map(|_| share.of(cross_entropy(&logits)?)).transpose()?;
            Ok(BatchResult { loss, cross_entropy, logits, gradients })
        })?;
        let update = self.optimizer.step(&result.gradients, self.lr(step))?;
        let BatchResult { loss, cross_entropy, logits, .. } = result;
        Ok(StepResult { loss, cross_entropy: cross_entropy.zip(weight), logits, labels: batch.labels.clone(), update })
    }

    /// Reads the results of the queued steps, tells of each in order, and leaves `position` after the last.
    fn account_for(
        &self,
        queue: &mut Vec<StepResult<'_>>,
        position: &mut Position,
        metrics: &mut Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let weight = queue.first().and_then(|step| step.cross_entropy.as_ref().map(|(_, weight)| *weight));
        let mut flow = ControlFlow::Continue(());
        for measures in steps::read(queue)? {
            let Measures { loss, correct, images } = measures.map_err(|error| self.diverged(error, *position))?;
            position.sums.add(&loss, correct, images);
            position.step += 1;
            let step = position.epoch * self.steps + position.step;
            if step.is_multiple_of(STEPS_A_LINE) {
                let (lr, accuracy) = (self.lr(step), correct as f64 / images as f64);
                metrics.add(&Record::Step(StepRecord { step, lr, loss, accuracy }))?;
            }
            let told = watch(Event::Step {
                done: step,
                total: self.steps * self.config.training.epochs,
                epoch: position.epoch + 1,
                loss: position.sums.means(weight),
                accuracy: position.sums.accuracy(),
            });
            // The parameters are those after the last step already.
            flow = if told.is_break() { told } else { flow };
        }
        queue.clear();
        if flow.is_break() { Err(Error::Stopped) } else { Ok(()) }
    }

    fn means(&self, sums: &Sums, teaching: Option<&Teaching>) -> Losses {
        sums.means(teaching.and_then(Teaching::kl_weight))
    }

    /// A number that ceased to be one is the training's fault.
    fn diverged(&self, error: Error, position: Position) -> Error {
        let reason = match error {
            Error::Loss(takd_loss::Error::NotFinite { input, value, .. }) => format!("{input} hold {value}"),
            Error::NotFinite(reason) => reason,
            error => return error,
        };
        let step = (position.step + 1).min(self.steps);
        Error::Diverged(Divergence {
            epoch: position.epoch + 1,
            step,
            lr: self.lr(position.epoch * self.steps + step),
            reason,
            checkpoint: [LAST, PREVIOUS].map(|name| self.claim.path(name)).into_iter().find(|path| path.is_file()),
        })
    }

    fn evaluate(
        &self,
        network: &Network,
        images: &PlacedImages<'_>,
        order: &[u32],
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
        self.evaluate(network, test, &all, position, Pass::Test, watch)
    }

    /// Where the last checkpoint left off, or the one before it if that is damaged, or a finished run that this one begins
    /// like, or the beginning.
    fn resume(&mut self, runs: &Runs) -> Result<(Position, Metrics<'a>)> {
        for name in [LAST, PREVIOUS] {
            if let Some(resumed) = repaired(self.resume_from(name))?.flatten() {
                return Ok(resumed);
            }
            // It must not become the one before the next.
            self.claim.remove(name)?;
        }
        if let Some(beginning) = runs.beginning(self.config)
            && let Some(resumed) = repaired(self.resume_from_beginning(&beginning, runs))?.flatten()
        {
            return Ok(resumed);
        }
        self.epochs.clear();
        Ok((Position::default(), Metrics::begin(self.claim)?))
    }

    /// Takes over all that a finished run of fewer epochs has come to.
    fn resume_from_beginning(&mut self, beginning: &RunConfig, runs: &Runs) -> Result<Option<(Position, Metrics<'a>)>> {
        let (id, over) = (beginning.id(), beginning.training.epochs);
        let dir = runs.dir(&id);
        let path = dir.join(LAST);
        let Some(checkpoint) = checkpoint::read(&path, &id, &self.parameters, &self.optimizer)? else {
            return Ok(None);
        };
        let checkpoint::Header { position, metrics: extent, .. } = &checkpoint.header;
        let (position, records) = (*position, runs.records_at::<Record>(&id, extent)?);
        self.epochs = epochs(records.iter().cloned());
        checkpoint::check_position(&path, position, &self.epochs)?;
        if (position.epoch, position.step) != (over, 0) {
            return Err(Error::damaged(&path, "it is not of the run's end"));
        }
        let epoch = picked_epoch(&self.config.training, &self.epochs);
        if epoch <= over {
            let (path, model) = (dir.join(MODEL), self.config.model);
            let from = NetworkFile { path: &path, run: &id, epoch, model, classes: self.network.classes() };
            network_file::take_over(self.claim, self.config, &from)?;
        }
        let mut metrics = Metrics::begin(self.claim)?;
        records.iter().try_for_each(|record| metrics.add(record))?;
        checkpoint.restore()?;
        self.seconds_before = position.seconds;
        self.save(position, &mut metrics)?;
        tracing::info!("run {}: begins as the finished run {id} of {over} epochs", self.id);
        Ok(Some((position, metrics)))
    }

    fn resume_from(&mut self, name: &str) -> Result<Option<(Position, Metrics<'a>)>> {
        let path = self.claim.path(name);
        let checkpoint = checkpoint::read(&path, &self.id, &self.parameters, &self.optimizer)?;
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        let (metrics, records) = Metrics::resume(self.claim, &checkpoint.header.metrics)?;
        self.epochs = epochs(records);
        let position = checkpoint.header.position;
        checkpoint::check_position(&path, position, &self.epochs)?;
        network_file::check_so_far(&self.claim.path(MODEL), self.config, &self.epochs, position.epoch)?;
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
        checkpoint::save(self.claim, &header, &self.parameters, &self.optimizer)
    }

    fn finish(
        &self,
        teaching: Option<&Teaching>,
        runs: &Runs,
        metrics: &mut Metrics<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<RunResult> {
        let epoch = picked_epoch(&self.config.training, &self.epochs);
        let record = self.epochs.iter().find(|record| record.epoch == epoch);
        let last = Position { epoch: self.config.training.epochs - 1, step: self.steps, ..Position::default() };
        // From its file, for it may be that of an epoch before the last.
        let path = self.claim.path(MODEL);
        let (model, classes) = (self.config.model, self.network.classes());
        let network = NetworkFile { path: &path, run: &self.id, epoch, model, classes }.load(self.placed.compute)?;
        let (test, logits) = self.test(&network, last, watch)?;
        let teachers = teaching.map(|teaching| teaching.compare(&logits, self.placed, runs, watch)).transpose();
        let teachers = teachers.map_err(|error| self.diverged(error, last))?.flatten();
        let result = RunResult {
            epoch,
            test: Some(test),
            held_out: record.and_then(|record| record.held_out),
            teachers,
            parameters: self.config.model.parameter_count(classes),
            seconds: self.seconds(),
        };
        correct::save(self.claim, &correct::of(&logits, classes, self.placed.test.images().labels()))?;
        self.claim.end(&Ending::Finished(result.clone()), &metrics.extent()?, &[MODEL])?;
        // The last one stays, for those who want more epochs.
        self.claim.remove(PREVIOUS)?;
        Ok(result)
    }
}
