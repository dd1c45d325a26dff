//! The training of one run, from its first step or from wherever it was left.

use crate::checkpoint::{self, Position, Sums};
use crate::claim::{self, Claimed};
use crate::config::{DeviceType, NUMERICS, SPLIT_SEED};
use crate::evaluate::{Evaluation, TeacherComparison, View};
use crate::logits;
use crate::metrics::{self, Metrics, STEPS_A_LINE};
use crate::optimizer::Optimizer;
use crate::seal;
use crate::store::{CONFIG, LAST, MODEL, ModelHeader, PREVIOUS, RESULT, ResultFile, check_model_so_far};
use crate::teaching::{Teaching, load_frozen};
use crate::{Distillation, EpochRecord, Error, Record, Result, RunConfig, RunId, StepRecord, Store};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ModuleT;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};
use takd_datasets::{Batch, BatchConfig, Dataset, Images, batches_ahead, epoch_order};
use takd_loss::cross_entropy;
use takd_models::{Network, Parameters};

/// Time after which a long epoch is saved in its midst.
const SAVE_EVERY: Duration = Duration::from_secs(120);

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
    /// That network and its teachers on the test images, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teachers: Option<TeacherComparison>,
    /// Number of trainable values.
    pub parameters: usize,
    /// What the training took, interruptions left out.
    pub seconds: f64,
}

/// What happens in a run while it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another process works on this run, whose logits are needed; told again and again until that has ended.
    Waiting(&'a RunId),
    /// Images are taken through a network that is not trained.
    Pass {
        /// What for.
        pass: Pass,
        /// Images so far.
        done: usize,
        /// Images in all.
        total: usize,
    },
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
        /// Epoch of this step, from 1.
        epoch: usize,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Share of the epoch's images so far that the network got right.
        accuracy: f64,
    },
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// What images are taken through a network for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// For a teacher's logits, which are kept.
    TeacherLogits,
    /// To see how it does on the held-out images.
    HeldOut,
    /// To see how it does on the test images.
    Test,
}

/// Is told what happens, and says whether to go on.
pub(crate) type Watch<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// Trains the run `config` on `data`, or goes on with it, or gives its result at once where it was finished before.
///
/// Where `watch` breaks off, the run is saved and [`Error::Stopped`] returned; started again, it ends in the same bits.
///
/// Files of an earlier start that are damaged are named in a warning ([`tracing`]); the run then goes on from the
/// checkpoint before, or begins anew.
///
/// The work is shared out in rayon's pool. Call it from within one (`rayon::scope`, `ThreadPool::install`): from outside,
/// every parallel loop wakes one thread more than there are cores, which costs small networks a tenth of their speed and more.
/// No result depends on the number of threads.
///
/// # Errors
/// Where the configuration makes no sense or is not for this data and device, a teacher is not finished, another process
/// is at work on the run ([`Error::Claimed`], at once), the training diverges, or a file cannot be read or written.
pub fn train(
    config: &RunConfig,
    data: &Dataset,
    store: &Store,
    device: &Device,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<RunResult> {
    check(config, data, device)?;
    let id = config.id()?;
    let finished = match (store.config(&id), store.finished(&id)) {
        (Ok(Some(_)), Ok(result)) => result,
        _ => None,
    };
    if let Some(result) = &finished
        && store.is_tidy(&id)
    {
        return Ok(result.clone());
    }
    let folder = match (store.claim(&id), finished) {
        (Ok(Some(folder)), _) => folder,
        // Who may not tidy up gets the result all the same.
        (_, Some(result)) => return Ok(result),
        (claim, None) => return Err(claim.err().unwrap_or(Error::Claimed(id))),
    };
    if repaired(store.config(&id))?.is_none() {
        let text = toml::to_string(config).map_err(Error::unwritable)?;
        folder.write(CONFIG, text.as_bytes())?;
    }
    if let Some(result) = repaired(store.finished(&id))? {
        if let Err(error) = tidy(&folder, store, &id) {
            tracing::warn!("{error}");
        }
        return Ok(result);
    }
    let teaching = Teaching::prepare(config, data, store, device, watch)?;
    // What the run takes counts from here: not what its teachers' logits took, nor waiting for them.
    let run = Run::new(config, &id, data, &folder, device)?;
    // A damaged one, or one without its network: while a run is at work it has none.
    folder.remove(RESULT)?;
    run.go_on(teaching.as_ref(), store, watch)
}

/// What is damaged is made again: it counts as not there.
fn repaired<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error @ Error::Damaged { .. }) => {
            tracing::warn!("{error}");
            Ok(None)
        }
        found => found,
    }
}

/// Brings the folder of a finished run to where the end of its training leaves it, should that have been cut short.
fn tidy(folder: &Claimed, store: &Store, id: &RunId) -> Result<()> {
    folder.remove(LAST)?;
    folder.remove(PREVIOUS)?;
    for path in logits::files(&store.dir(id))? {
        if let Some(bytes) = claim::read(&path)?
            && logits::check(&path, &bytes, id).is_err()
        {
            // Computed again for the next that it teaches.
            claim::remove(&path)?;
        }
    }
    metrics::mend_events(folder, &store.records(id)?)
}

fn check(config: &RunConfig, data: &Dataset, device: &Device) -> Result<()> {
    let RunConfig { recipe, data: wanted, .. } = config;
    let found = (data.name, data.checksum.as_str(), data.train.len());
    let fits = |kd: &Distillation| (0.0..=1.0).contains(&kd.lambda) && kd.temperature > 0.0 && !kd.teachers.is_empty();
    let problem = if config.distillation.as_ref().is_some_and(|kd| !fits(kd)) {
        "λ is from 0 to 1, τ is above 0, and there is a teacher at least".into()
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

/// A run in memory.
struct Run<'a> {
    config: &'a RunConfig,
    id: &'a RunId,
    data: &'a Dataset,
    folder: &'a Claimed,
    device: &'a Device,
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
    fn new(
        config: &'a RunConfig,
        id: &'a RunId,
        data: &'a Dataset,
        folder: &'a Claimed,
        device: &'a Device,
    ) -> Result<Self> {
        let started = Instant::now();
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
            data,
            folder,
            device,
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

    fn go_on(mut self, teaching: Option<&Teaching>, store: &Store, watch: &mut Watch<'_>) -> Result<RunResult> {
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
        thread::scope(|scope| {
            for batch in batches_ahead(scope, &self.data.train, rest, &self.batch, seed, drawn, self.device) {
                let step = epoch * self.steps + position.step + 1;
                let taken = self.step(&batch?, teaching, lr, form, step);
                let (loss, hits, images) = taken.map_err(|error| self.diverged(error, *position))?;
                let sums = &mut position.sums;
                *sums = Sums {
                    loss: sums.loss + loss * images as f64,
                    correct: sums.correct + hits,
                    images: sums.images + images,
                };
                let (sums, of_sums) = (*sums, sums.images as f64);
                position.step += 1;
                if step.is_multiple_of(STEPS_A_LINE) {
                    metrics.add(&Record::Step(StepRecord { step, lr, loss, accuracy: hits as f64 / images as f64 }))?;
                }
                let flow = watch(Event::Step {
                    done: step,
                    total: self.steps * recipe.epochs,
                    epoch: epoch + 1,
                    loss: sums.loss / of_sums,
                    accuracy: sums.correct as f64 / of_sums,
                });
                if flow.is_break() {
                    return Err(Error::Stopped);
                }
                if saved.elapsed() > SAVE_EVERY {
                    self.save(*position, metrics)?;
                    saved = Instant::now();
                }
            }
            Ok(())
        })?;
        let Sums { loss, correct, images } = position.sums;
        let network = &self.evaluated;
        let held_out = match self.held_out.as_slice() {
            [] => None,
            order => Some(self.evaluate(network, (&self.data.train, order), *position, Pass::HeldOut, watch)?.0),
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

    /// One step: the batch's loss before it, how many images were right, how many there were.
    fn step(
        &self,
        batch: &Batch,
        teaching: Option<&Teaching>,
        lr: f64,
        form: usize,
        step: usize,
    ) -> Result<(f64, usize, usize)> {
        let logits = self.network.forward_t(&batch.images, true)?;
        let loss = match teaching {
            None => cross_entropy(&logits, &batch.labels)?,
            Some(teaching) => teaching.loss(&logits, batch, form, step)?,
        };
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::NotFinite(format!("the loss is {value}")));
        }
        self.optimizer.step(&loss.backward()?, lr)?;
        Ok((value, correct(&logits.detach(), &batch.labels)?, batch.indices.len()))
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
        (images, order): (&Images, &[u32]),
        position: Position,
        pass: Pass,
        watch: &mut Watch<'_>,
    ) -> Result<(Evaluation, Vec<f32>)> {
        let view = View { images, normalization: self.batch.normalization, device: self.device };
        let evaluated = view.evaluate(network, order, pass, watch);
        evaluated.map_err(|error| self.diverged(error, position))
    }

    /// How `network` does on the test images, and its logits for them.
    fn test(&self, network: &Network, position: Position, watch: &mut Watch<'_>) -> Result<(Evaluation, Vec<f32>)> {
        let all: Vec<u32> = (0..self.data.test.len() as u32).collect();
        self.evaluate(network, (&self.data.test, &all), position, Pass::Test, watch)
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
        let network = load_frozen(network, &path, (self.id, epoch), self.device)?;
        let (test, logits) = self.test(&network, last, watch)?;
        let teachers =
            teaching.map(|teaching| teaching.compare(&logits, self.data, store, self.device, watch)).transpose()?;
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

/// How many rows have their largest logit at their label.
fn correct(logits: &Tensor, labels: &Tensor) -> Result<usize> {
    let hits = logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(DType::U32)?;
    Ok(hits.sum_all()?.to_scalar::<u32>()? as usize)
}
