//! What one run is: everything its outcome depends on, and its canonical form.

use crate::device::DeviceType;
use crate::imported::Imported;
use crate::names::{self, named};
use crate::training::Training;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::Deref;
use takd_datasets::{Card, DatasetName, Normalization};
use takd_models::{Family, ModelSpec};
use takd_store::{Canonical, CanonicalError, Configuration, ConfigurationError, RunId};

/// Version of the arithmetic: raised whenever equal configurations would no longer end in equal bits, so that their
/// runs are not taken for one another.
pub const NUMERICS: u32 = 3;

/// Version of the canonical form. It is raised only if a form that exists changes its meaning; a new optional setting is left
/// out if it has its default, and so changes no id.
const SCHEMA: u32 = 1;

/// What a run is made of, before it is checked: see [`RunConfig::new`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// [`NUMERICS`] of the program that trains it.
    pub numerics: u32,
    /// What it is trained on.
    pub device: DeviceType,
    /// The network that is trained.
    #[serde(with = "names")]
    pub model: ModelSpec,
    /// Decides the initial weights, the order of the images and their augmentation; at most [`i64::MAX`].
    pub seed: u64,
    /// What it is trained and tested on.
    pub data: DataConfig,
    /// How it is trained; [`Training::NONE`] if it was trained elsewhere.
    #[serde(default = "Training::none")]
    pub training: Training,
    /// Where it comes from if it was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// Who teaches it, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

/// Which images a run sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    #[serde(with = "names")]
    pub dataset: DatasetName,
    /// [`Card::checksum`] of all its images.
    pub checksum: String,
    /// The number of training images that are used, those held out included.
    pub train_images: usize,
}

impl DataConfig {
    /// The images of a data set: all of them, or `limit` of the training images.
    pub fn of(card: &Card, limit: Option<usize>) -> Self {
        let train_images = limit.map_or(card.train, |limit| limit.min(card.train));
        Self { dataset: card.name.clone(), checksum: card.checksum.clone(), train_images }
    }
}

/// Who teaches, and how strongly: the terms of eq. 3 of arXiv 1902.03393.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// The runs that trained the teachers, one or more; several teach together, as
    /// [`MultiTeacherKd`](takd_loss::MultiTeacherKd) says.
    pub teachers: Vec<RunId>,
    /// λ: the teachers' share of the loss, 0 to 1.
    pub lambda: f64,
    /// τ: what the logits are divided by, above 0.
    pub temperature: f64,
    /// How the KL term is averaged.
    #[serde(default)]
    pub kl_reduction: KlReduction,
    /// Of how many classes, the likeliest for each image, the teachers' logits are kept: the others count as one class, as
    /// [`TopK`](takd_loss::TopK) says. Without it all logits are kept. It needs images of which logits are kept at all
    /// ([`Training::forms`]), and is not above the number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<NonZeroUsize>,
}

named! {
    /// How the KL term is averaged; see [`takd_loss::Reduction`].
    #[derive(Default)]
    KlReduction, "kl_reduction" {
        /// Over the batch, as in the formula.
        #[default]
        BatchMean = "batch-mean",
        /// Over the batch and the classes, as the published code does.
        Mean = "mean",
    }
}

impl KlReduction {
    pub(crate) fn reduction(self) -> takd_loss::Reduction {
        match self {
            Self::BatchMean => takd_loss::Reduction::BatchMean,
            Self::Mean => takd_loss::Reduction::Mean,
        }
    }
}

impl Distillation {
    fn problem(&self, training: &Training) -> Option<String> {
        let Self { teachers, lambda, temperature, top_k, .. } = self;
        if teachers.is_empty() {
            Some("it is to be taught, but has no teacher".into())
        } else if !(0.0..=1.0).contains(lambda) {
            Some(format!("λ = {lambda} is not from 0 to 1"))
        } else if !(temperature.is_finite() && *temperature > 0.0) {
            Some(format!("τ = {temperature} is not a number above 0"))
        } else {
            top_k.filter(|_| *lambda > 0.0 && training.forms().is_none()).map(|k| {
                format!(
                    "of its teachers' logits the {k} largest are to be kept (`top_k`), but its images look new in every epoch, so \
                     that none are kept; let them have a fixed number of augmented forms (`replays`), or leave out `top_k`"
                )
            })
        }
    }
}

/// A run's configuration, valid and in its simplest form. The run is a pure function of it.
///
/// # Canonical form
/// The text whose hash is the run's id and that stands in its `config.toml`, written by [`Canonical`]. Keys stand in this order;
/// those in brackets are left out if they have their default:
///
/// ```text
/// schema, numerics, device, model, seed
/// [data]          dataset, checksum, train_images
/// [training]      epochs, batch_size, [gradient_accumulation = 1], lr (a text for each piece, as LrFrom prints it),
///                 [warmup_epochs = 0], momentum, [nesterov = false], [weight_decay = 0], [weight_decay_on = "all"],
///                 [augmentation = "none"], [replays: none], normalization, pick, [hold_out = "nothing"]
///                                                                                                    left out of what is imported
/// [imported]      file, mean, std, [outputs: those of the file]                                      left out of what is trained
/// [distillation]  teachers, lambda, temperature, [kl_reduction = "batch-mean"], [top_k: all]     left out without a teacher
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    settings: RunSettings,
    canonical: String,
}

impl RunConfig {
    /// The configuration of these settings, without those that have no effect.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is out of its range: λ, τ, rates, momentum, weight decay, the seed, numbers of epochs,
    /// images and teachers.
    pub fn new(mut settings: RunSettings) -> Result<Self> {
        let too_large = || format!("its seed {} is above {}", settings.seed, i64::MAX);
        let problem = i64::try_from(settings.seed).err().map(|_| too_large());
        let is_logits = settings.model.family() == Family::Logits;
        let problem = problem.or_else(|| match &settings.imported {
            None if is_logits => {
                Some("logits are those of a teacher that is not trained here: import their file".into())
            }
            None => settings.training.problem(),
            Some(_) if settings.training != Training::NONE || settings.distillation.is_some() => {
                Some("it was trained elsewhere, and is to be trained here".into())
            }
            Some(imported) => imported.problem(),
        });
        let problem = problem.or_else(|| settings.distillation.as_ref()?.problem(&settings.training));
        if let Some(problem) = problem {
            return Err(Error::Config(problem));
        }
        let images = settings.data.train_images;
        if settings.training.held_out(images) >= images {
            return Err(Error::Config("no images are left to train on".into()));
        }
        if settings.imported.is_some() {
            // No stream of random numbers is asked for.
            settings.seed = 0;
            if is_logits {
                // Nor is an image looked at.
                settings.imported =
                    settings.imported.map(|imported| Imported { mean: [0.0; 3], std: [1.0; 3], ..imported });
            }
        } else {
            settings.training = settings.training.simplified();
        }
        if settings.training.held_out(images) == 0 {
            settings.training.hold_out = Default::default();
        }
        let training = &mut settings.training;
        // The first step has the full rate.
        if training.warmup_epochs * training.steps(images - training.held_out(images)) as f64 <= 1.0 {
            training.warmup_epochs = 0.0;
        }
        if let Some(kd) = &mut settings.distillation {
            // −0.0 is 0.0; and how a term is computed that counts for nothing is of no effect.
            kd.lambda += 0.0;
            if kd.lambda == 0.0 {
                kd.kl_reduction = KlReduction::default();
                kd.top_k = None;
            }
        }
        let canonical = canonical(&settings).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { settings, canonical })
    }

    /// The run's id: the hash of the canonical form.
    pub fn id(&self) -> RunId {
        RunId::of(&self.canonical)
    }

    /// Its settings, to make others of.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// The runs that this one begins like, bit for bit, the longest first: those of fewer epochs that see the same images at
    /// the same rates.
    pub fn beginnings(&self) -> impl Iterator<Item = Self> {
        (1..self.training.epochs).rev().filter_map(|epochs| {
            let training = Training { epochs, ..self.training.clone() };
            Self::new(RunSettings { training, ..self.settings.clone() }).ok()
        })
    }

    /// What its pixels are scaled by.
    pub fn normalization(&self, card: &Card) -> Normalization {
        match &self.imported {
            Some(imported) => imported.normalization(),
            None => self.training.normalization(card),
        }
    }

    /// The runs that trained its teachers.
    pub fn teachers(&self) -> &[RunId] {
        self.distillation.as_ref().map_or(&[], |kd| &kd.teachers)
    }
}

impl Deref for RunConfig {
    type Target = RunSettings;

    fn deref(&self) -> &RunSettings {
        &self.settings
    }
}

impl Configuration for RunConfig {
    fn canonical(&self) -> String {
        self.canonical.clone()
    }

    fn parse(text: &str) -> Result<Self, ConfigurationError> {
        #[derive(Deserialize)]
        struct Versioned {
            schema: u32,
            #[serde(flatten)]
            rest: toml::Table,
        }
        let invalid = |error: toml::de::Error| ConfigurationError::Invalid(error.message().to_owned());
        let Versioned { schema, rest } = toml::from_str(text).map_err(invalid)?;
        if schema != SCHEMA {
            return Err(ConfigurationError::OtherVersion {
                found: format!("schema {schema}, this program reads {SCHEMA}"),
            });
        }
        let settings = RunSettings::deserialize(rest).map_err(invalid)?;
        let config = Self::new(settings).map_err(|error| ConfigurationError::Invalid(error.to_string()))?;
        if config.canonical == text {
            Ok(config)
        } else {
            Err(ConfigurationError::Invalid("it is not in its canonical form".into()))
        }
    }

    fn needs(&self) -> Vec<RunId> {
        self.teachers().to_vec()
    }
}

/// The canonical form of these settings, as [`RunConfig`] describes it.
fn canonical(settings: &RunSettings) -> Result<String, CanonicalError> {
    let RunSettings { numerics, device, model, seed, data, training, imported, distillation } = settings;
    let mut form = Canonical::new();
    form.integer("schema", SCHEMA.into());
    form.integer("numerics", (*numerics).into());
    form.text("device", device.as_str());
    form.text("model", &model.to_string());
    form.integer("seed", *seed);

    form.table("data");
    form.text("dataset", &data.dataset.to_string());
    form.text("checksum", &data.checksum);
    form.integer("train_images", data.train_images as u64);

    if let Some(imported) = imported {
        imported.write(&mut form);
        return form.finish();
    }
    form.table("training");
    form.integer("epochs", training.epochs as u64);
    form.integer("batch_size", training.batch_size as u64);
    if training.gradient_accumulation.get() != 1 {
        form.integer("gradient_accumulation", training.gradient_accumulation.get() as u64);
    }
    form.list("lr", training.lr.iter().map(ToString::to_string));
    if training.warmup_epochs != 0.0 {
        form.number("warmup_epochs", training.warmup_epochs);
    }
    form.number("momentum", training.momentum);
    if training.nesterov {
        form.flag("nesterov", true);
    }
    if training.weight_decay != 0.0 {
        form.number("weight_decay", training.weight_decay);
    }
    if training.weight_decay_on != Default::default() {
        form.text("weight_decay_on", training.weight_decay_on.as_str());
    }
    if training.augmentation != Default::default() {
        form.text("augmentation", &training.augmentation.to_string());
    }
    if let Some(replays) = training.replays {
        form.integer("replays", replays.get() as u64);
    }
    form.text("normalization", training.normalization.as_str());
    form.text("pick", training.pick.as_str());
    if training.hold_out != Default::default() {
        form.text("hold_out", training.hold_out.as_str());
    }
    if let Some(Distillation { teachers, lambda, temperature, kl_reduction, top_k }) = distillation {
        form.table("distillation");
        form.list("teachers", teachers.iter().map(RunId::as_str));
        form.number("lambda", *lambda);
        form.number("temperature", *temperature);
        if *kl_reduction != Default::default() {
            form.text("kl_reduction", kl_reduction.as_str());
        }
        if let Some(k) = top_k {
            form.integer("top_k", k.get() as u64);
        }
    }
    form.finish()
}
