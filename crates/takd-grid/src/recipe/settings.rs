//! The settings of an experiment, as far as a recipe says them.

use super::error::{RecipeProblem, Span};
use super::keys::TableKind;
use super::seeds::{MAX_SEED, check_seeds, parse_seeds};
use super::table::{Entry, Item, Result, Table};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use takd_datasets::{Augmentation, Fit};
use takd_distill::{DecayOn, HoldOut, KlReduction, Pick, Protocol, RateFrom, Scale};
use takd_models::{Family, ModelName, ModelSpec};

/// The families of networks, as the tables of their training are called.
pub(crate) const FAMILIES: [(Family, &str); 3] =
    [(Family::Plain, "plain"), (Family::Resnet, "resnet"), (Family::ImagenetResnet, "imagenet-resnet")];

/// The largest count in a recipe: of epochs, of images.
const MOST: u64 = 1_000_000_000;

/// What a number that must not be negative is expected to be.
const ZERO_OR_MORE: &str = "a finite number of 0 or more";

/// Settings, each absent unless it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Where all settings come from that are not given.
    pub protocol: Option<Protocol>,
    /// Every path is trained once for each seed: at least one, none twice, each at most [`MAX_SEED`].
    pub seeds: Option<Vec<u64>>,
    /// λ, the teachers' share of the loss, 0 to 1.
    pub lambda: Option<PerStep>,
    /// τ, what logits are divided by, above 0.
    pub temperature: Option<PerStep>,
    /// How the KL term is averaged.
    pub kl_reduction: Option<KlReduction>,
    /// How often each training image is seen.
    pub epochs: Option<Epochs>,
    /// How many training images are used, 1 or more.
    pub limit: Option<usize>,
    /// What the images are scaled to.
    pub size: Option<Fit>,
    /// How many augmented forms of each image are drawn once and seen in turn.
    pub replays: Option<NonZeroUsize>,
    /// Of how many classes, the likeliest for each image, the teachers' logits are kept.
    pub top_k: Option<NonZeroUsize>,
    /// What differs from the protocol's training.
    pub training: TrainingByFamily,
}

/// How often a network sees each training image, 1 or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Epochs {
    /// So often for every network.
    All(usize),
    /// So often for some networks.
    ByNetwork {
        /// These, by their names.
        networks: BTreeMap<ModelName, usize>,
        /// The others; the protocol's if it is absent.
        others: Option<usize>,
    },
}

impl Epochs {
    /// That of a network of so many classes, if it is said.
    pub fn of(&self, model: ModelSpec, classes: usize) -> Option<usize> {
        match self {
            Self::All(epochs) => Some(*epochs),
            Self::ByNetwork { networks, others } => {
                let own = networks.iter().find(|(name, _)| name.spec(classes) == model);
                own.map(|(_, epochs)| *epochs).or(*others)
            }
        }
    }
}

/// A setting of the teaching: the same for all steps of a path, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum PerStep {
    /// The same for every step.
    All(f64),
    /// One for each step, the first for what the first stage teaches.
    Each(Vec<f64>),
}

/// What differs from the protocol's training, for each family of networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingByFamily {
    /// Plain CNNs.
    pub plain: TrainingChanges,
    /// ResNets for CIFAR.
    pub resnet: TrainingChanges,
    /// ResNets for ImageNet.
    pub imagenet_resnet: TrainingChanges,
}

/// What differs from the protocol's training of a family; the fields are those of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingChanges {
    /// Images a step, 1 or more.
    pub batch_size: Option<usize>,
    /// How many parts a batch is computed in.
    pub gradient_accumulation: Option<NonZeroUsize>,
    /// The learning rate in pieces: the first from 0, each from a larger share than the one before.
    pub lr: Option<Vec<RateFrom>>,
    /// Epochs over which the learning rate rises, 0 or more.
    pub warmup_epochs: Option<f64>,
    /// Momentum, 0 to below 1.
    pub momentum: Option<f64>,
    /// Whether momentum is applied in Nesterov's form.
    pub nesterov: Option<bool>,
    /// L2 penalty, 0 or more.
    pub weight_decay: Option<f64>,
    /// What the penalty falls on.
    pub weight_decay_on: Option<DecayOn>,
    /// What is done to training images.
    pub augmentation: Option<Augmentation>,
    /// What pixels are scaled by.
    pub normalization: Option<Scale>,
    /// Which epoch's network counts.
    pub pick: Option<Pick>,
    /// Which training images are set aside.
    pub hold_out: Option<HoldOut>,
}

impl PerStep {
    /// The value for a step, counted from 0; `None` if there is none for it.
    pub fn at(&self, step: usize) -> Option<f64> {
        match self {
            Self::All(value) => Some(*value),
            Self::Each(values) => values.get(step).copied(),
        }
    }
}

impl TrainingByFamily {
    /// Those of a family. (Logits are not trained: for them it does not matter.)
    pub fn of(&self, family: Family) -> &TrainingChanges {
        match family {
            Family::Plain | Family::Logits => &self.plain,
            Family::Resnet => &self.resnet,
            Family::ImagenetResnet => &self.imagenet_resnet,
        }
    }

    /// Those of a family, to be changed.
    pub(crate) fn of_mut(&mut self, family: Family) -> &mut TrainingChanges {
        match family {
            Family::Plain | Family::Logits => &mut self.plain,
            Family::Resnet => &mut self.resnet,
            Family::ImagenetResnet => &mut self.imagenet_resnet,
        }
    }
}

impl Settings {
    /// These settings; those of `others` for what is absent here.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            protocol: self.protocol.or(others.protocol),
            seeds: self.seeds.clone().or_else(|| others.seeds.clone()),
            lambda: self.lambda.clone().or_else(|| others.lambda.clone()),
            temperature: self.temperature.clone().or_else(|| others.temperature.clone()),
            kl_reduction: self.kl_reduction.or(others.kl_reduction),
            epochs: self.epochs.clone().or_else(|| others.epochs.clone()),
            limit: self.limit.or(others.limit),
            size: self.size.or(others.size),
            replays: self.replays.or(others.replays),
            top_k: self.top_k.or(others.top_k),
            training: TrainingByFamily {
                plain: self.training.plain.or(&others.training.plain),
                resnet: self.training.resnet.or(&others.training.resnet),
                imagenet_resnet: self.training.imagenet_resnet.or(&others.training.imagenet_resnet),
            },
        }
    }
}

impl TrainingChanges {
    /// These changes; those of `others` for what is absent here.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            batch_size: self.batch_size.or(others.batch_size),
            gradient_accumulation: self.gradient_accumulation.or(others.gradient_accumulation),
            lr: self.lr.clone().or_else(|| others.lr.clone()),
            warmup_epochs: self.warmup_epochs.or(others.warmup_epochs),
            momentum: self.momentum.or(others.momentum),
            nesterov: self.nesterov.or(others.nesterov),
            weight_decay: self.weight_decay.or(others.weight_decay),
            weight_decay_on: self.weight_decay_on.or(others.weight_decay_on),
            augmentation: self.augmentation.or(others.augmentation),
            normalization: self.normalization.or(others.normalization),
            pick: self.pick.or(others.pick),
            hold_out: self.hold_out.or(others.hold_out),
        }
    }
}

/// Reads the settings among a table's keys.
pub(super) fn read(table: &Table<'_>) -> Result<Settings> {
    Ok(Settings {
        protocol: table.get("protocol").map(|item| item.word(Protocol::ALL, Protocol::as_str)).transpose()?,
        seeds: table.get("seeds").map(|item| seeds(&item)).transpose()?,
        lambda: table.get("lambda").map(|item| per_step(&item, &LAMBDA)).transpose()?,
        temperature: table.get("temperature").map(|item| per_step(&item, &TEMPERATURE)).transpose()?,
        kl_reduction: table
            .get("kl_reduction")
            .map(|item| item.word(KlReduction::ALL, KlReduction::as_str))
            .transpose()?,
        epochs: table.get("epochs").map(|item| epochs(&item)).transpose()?,
        limit: count(table, "limit")?,
        size: table.get("size").map(|item| size(&item)).transpose()?,
        replays: count(table, "replays")?.and_then(NonZeroUsize::new),
        top_k: count(table, "top_k")?.and_then(NonZeroUsize::new),
        training: table.get("training").map(|item| training(&item, &table.kind)).transpose()?.unwrap_or_default(),
    })
}

/// The numbers that a setting of the teaching may be.
struct NumberRange {
    expected: &'static str,
    contains: fn(f64) -> bool,
}

const LAMBDA: NumberRange = NumberRange { expected: "a number from 0 to 1", contains: |v| (0.0..=1.0).contains(&v) };
const TEMPERATURE: NumberRange = NumberRange { expected: "a finite number above 0", contains: |v| v > 0.0 };

/// A number for all networks, or a table with one for each of some.
fn epochs(item: &Item<'_>) -> Result<Epochs> {
    const EXPECTED: &str = "a table such as { plane2 = 150, others = 20 }";

    if !item.is_table() {
        return whole(item).map(Epochs::All);
    }
    let (mut networks, mut others) = (BTreeMap::new(), None);
    for Entry { key, key_at, value } in item.entries(EXPECTED)? {
        let epochs = whole(&value)?;
        if key == "others" {
            others = Some(epochs);
            continue;
        }
        let unknown = |unknown| item.source.error(key_at, RecipeProblem::Network(unknown));
        networks.insert(key.parse::<ModelName>().map_err(unknown)?, epochs);
    }
    if networks.is_empty() {
        return Err(item.expected(EXPECTED));
    }
    Ok(Epochs::ByNetwork { networks, others })
}

fn count(table: &Table<'_>, key: &'static str) -> Result<Option<usize>> {
    table.get(key).map(|item| whole(&item)).transpose()
}

/// A number of rows and columns, or a text that says more.
fn size(item: &Item<'_>) -> Result<Fit> {
    match item.as_text() {
        Some(_) => item.parsed("a number of pixels"),
        None => Fit::square(whole(item)?).map_err(|error| item.refused(error)),
    }
}

/// A count of 1 or more.
pub(super) fn whole(item: &Item<'_>) -> Result<usize> {
    item.whole(1, MOST).map(|count| count as usize)
}

fn per_step(item: &Item<'_>, range: &NumberRange) -> Result<PerStep> {
    let NumberRange { expected, contains } = range;
    match item.as_list() {
        None => item.number(&format!("{expected}, or a list of one for each step"), contains).map(PerStep::All),
        Some(items) if items.is_empty() => Err(item.source.error(
            item.at,
            RecipeProblem::Conflict("the list is empty; it needs one number for each step of the paths".into()),
        )),
        Some(items) => {
            Ok(PerStep::Each(items.iter().map(|item| item.number(expected, contains)).collect::<Result<_>>()?))
        }
    }
}

pub(super) fn seeds(item: &Item<'_>) -> Result<Vec<u64>> {
    let refused = |error| item.source.error(item.at, RecipeProblem::Seeds(error));
    if let Some(text) = item.as_text() {
        return parse_seeds(text).map_err(refused);
    }
    let items = item.list("a list such as [20, 31, 55], or a text with a range such as \"1..5\"")?;
    let seeds = items.iter().map(|item| item.whole(0, MAX_SEED)).collect::<Result<Vec<_>>>()?;
    check_seeds(&seeds).map_err(refused)?;
    Ok(seeds)
}

fn training(item: &Item<'_>, inside: &TableKind) -> Result<TrainingByFamily> {
    let kind = TableKind::Training(Box::new(inside.clone()));
    let expected = format!("a table for each family of networks, as in {}", inside.header_of("training.plain"));
    let families = item.table(kind, &expected)?;
    let changes = |family: &'static str| match families.get(family) {
        None => Ok(TrainingChanges::default()),
        Some(item) => {
            let kind = TableKind::Family(Box::new(inside.clone()), family);
            training_changes(&item.table(kind, "a table of training settings, as in { batch_size = 128 }")?)
        }
    };
    Ok(TrainingByFamily {
        plain: changes("plain")?,
        resnet: changes("resnet")?,
        imagenet_resnet: changes("imagenet-resnet")?,
    })
}

fn training_changes(table: &Table<'_>) -> Result<TrainingChanges> {
    let momentum = |item: Item<'_>| item.number("a number from 0 to below 1", |v| (0.0..1.0).contains(&v));
    Ok(TrainingChanges {
        batch_size: count(table, "batch_size")?,
        gradient_accumulation: count(table, "gradient_accumulation")?.and_then(NonZeroUsize::new),
        lr: table.get("lr").map(|item| rates(&item)).transpose()?,
        warmup_epochs: table.get("warmup_epochs").map(|item| item.number(ZERO_OR_MORE, |v| v >= 0.0)).transpose()?,
        momentum: table.get("momentum").map(momentum).transpose()?,
        nesterov: table.get("nesterov").map(|item| item.flag()).transpose()?,
        weight_decay: table.get("weight_decay").map(|item| item.number(ZERO_OR_MORE, |v| v >= 0.0)).transpose()?,
        weight_decay_on: table
            .get("weight_decay_on")
            .map(|item| item.word(DecayOn::ALL, DecayOn::as_str))
            .transpose()?,
        augmentation: table
            .get("augmentation")
            .map(|item| item.parsed("a text such as \"none\" or \"crop-flip\""))
            .transpose()?,
        normalization: table.get("normalization").map(|item| item.word(Scale::ALL, Scale::as_str)).transpose()?,
        pick: table.get("pick").map(|item| item.word(Pick::ALL, Pick::as_str)).transpose()?,
        hold_out: table.get("hold_out").map(|item| item.word(HoldOut::ALL, HoldOut::as_str)).transpose()?,
    })
}

fn rates(item: &Item<'_>) -> Result<Vec<RateFrom>> {
    const EXPECTED: &str = "a list of pieces such as [{ from = 0.0, rate = 0.1 }, { from = 0.5, rate = 0.01 }]";

    let mut pieces: Vec<RateFrom> = Vec::new();
    let conflict = |at: Span, text: &str| Err(item.source.error(at, RecipeProblem::Conflict(text.into())));
    for piece in item.list(EXPECTED)? {
        let table = piece.table(TableKind::Rate, EXPECTED)?;
        let (from_item, rate) = (table.require("from")?, table.require("rate")?);
        let from =
            from_item.number("a share of the epochs, a number from 0 to below 1", |v| (0.0..1.0).contains(&v))?;
        match pieces.last() {
            None if from != 0.0 => return conflict(from_item.at, "the first piece of `lr` begins after 0"),
            Some(last) if from <= last.from => {
                return conflict(from_item.at, "this piece of `lr` does not begin after the one before it");
            }
            _ => {}
        }
        pieces.push(RateFrom { from, rate: rate.number("a learning rate, a finite number above 0", |v| v > 0.0)? });
    }
    if pieces.is_empty() {
        return conflict(item.at, "`lr` has no pieces");
    }
    Ok(pieces)
}
