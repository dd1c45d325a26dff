//! The best small network within a budget of time: which teacher, which assistants and how many epochs, as a recipe.
//!
//! ```text
//! student, budget, card, paces here ──▶ teacher, assistants, epochs ──▶ the text of a recipe
//! ```
//!
//! The recipe trains the student alone, taught by the teacher, and taught by way of each assistant, so that the best can be chosen by
//! held-out images. What is chosen, in this order:
//!
//! 1. The teacher, if none is named, and one assistant, the one whose multiplications are nearest to the geometric mean of the
//!    student's and the teacher's: the largest teacher of the student's family with which the budget allows enough epochs, which are
//!    as many as have [`ENOUGH_STEPS`] steps, but not fewer than [`FEWEST_EPOCHS`] nor more than the protocol's.
//! 2. The same without an assistant, if the budget allows none.
//! 3. As many epochs as the budget allows, up to the protocol's.
//! 4. Further assistants, the nearest to the middle first, if the budget allows them in the full number of epochs.
//!
//! A tenth of the budget is left for what no measurement foresees.
//!
//! A small data set has few steps an epoch: for ResNets batches are halved, and the learning rate with them (Goyal et al., arXiv
//! 1706.02677), until the full number of epochs has enough steps or a batch has [`SMALLEST_BATCH`] images. On 500 and 2000 images of
//! CIFAR-10 that made a ResNet-8 better by 3.4 and 2.0 points (two seeds each); plain CNNs gained nothing, and keep theirs. These are
//! trained on images that are cropped and flipped and with a learning rate that falls, as ResNets are, if they are photographs and
//! nothing else is said: on the 2000 images plane2 came from 45.6 to 57.6 % with that.

mod error;
mod text;

pub use error::ShrinkError;

use crate::elsewhere::FromElsewhere;
use crate::experiment::{Changes, Experiment};
use crate::in_force::settings_in_force;
use crate::path::DistillationPath;
use crate::plan::{Plan, PlannedRun};
use crate::recipe::{CellPath, Epochs, RateFrom, Recipe, Settings, TrainingChanges};
use std::collections::BTreeMap;
use std::time::Duration;
use takd_datasets::{Augmentation, Card, DatasetRef, Known};
use takd_distill::{DeviceType, Error, Imported, LrFrom, Pace, PaceOf, Protocol, Training};
use takd_models::{Family, ModelName};

/// Steps of training that are enough for a student and those who teach it.
pub const ENOUGH_STEPS: usize = 8000;

/// Fewer epochs than these are never enough.
pub const FEWEST_EPOCHS: usize = 10;

/// The smallest batches that are made for a small data set.
pub const SMALLEST_BATCH: usize = 16;

/// The share of the budget that is planned with: what is measured are the fastest steps, and other programs may want the processor too.
const PLANNED: f64 = 0.9;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Shrink<'a> {
    /// The network that is to be good.
    pub student: ModelName,
    /// Who teaches it.
    pub teacher: ShrinkTeacher,
    /// The images.
    pub data: &'a DatasetRef,
    /// Settings that are given and not chosen.
    pub settings: &'a Settings,
    /// What all training together may take here.
    pub budget: Duration,
    /// The device that trains.
    pub device: DeviceType,
}

/// Who teaches.
#[derive(Clone, Debug)]
pub enum ShrinkTeacher {
    /// The largest network of the student's family that the budget allows.
    Largest,
    /// This network.
    Named(ModelName),
    /// A network that was trained elsewhere, by its name.
    Elsewhere(ModelName, Box<FromElsewhere>),
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ShrinkPlan {
    /// The text of the recipe.
    pub recipe: String,
    /// The teacher.
    pub teacher: ModelName,
    /// The assistants that are tried, that nearest to the middle first.
    pub assistants: Vec<ModelName>,
    /// Epochs of each network; nothing if they were given.
    pub epochs: Option<usize>,
    /// Whether there are enough of them.
    pub enough: bool,
    /// The time that it takes here.
    pub takes: Duration,
}

/// Chooses teacher, assistants and epochs for data with this card. `pace` says how fast a network is here; it is asked for each that is
/// considered, the smallest first.
///
/// # Errors
/// If there is no teacher, the budget is too short for the least, or settings do not fit the data.
pub fn shrink(
    wanted: &Shrink<'_>,
    card: &Card,
    pace: &mut dyn FnMut(PaceOf) -> Result<Pace, Error>,
) -> Result<ShrinkPlan, ShrinkError> {
    if wanted.student == ModelName::LOGITS || !takes(wanted.student, card) {
        return Err(ShrinkError::Size { student: wanted.student, side: card.height });
    }
    let mut chooser = Chooser::new(wanted, card, pace);
    let teachers = wanted.teachers(card)?;
    let mut chosen: Option<Candidate> = None;
    for &teacher in &teachers {
        let with = chooser.with_assistant(teacher)?;
        if chooser.is_enough(&with) {
            chosen = Some(with);
            continue;
        }
        // A smaller teacher with an assistant is better than a larger one without.
        if chosen.as_ref().is_none_or(|smaller| smaller.assistants.is_empty()) {
            let without = Candidate { assistants: Vec::new(), ..with };
            let without = without.at(chooser.epochs_within(&without)?);
            // The smallest is taken in any case.
            if chosen.is_none() || chooser.is_enough(&without) {
                chosen = Some(without);
            }
        }
        break;
    }
    let Some(mut chosen) = chosen else { return Err(ShrinkError::NoLarger(wanted.student)) };
    if chosen.epochs == 0 {
        let needed = Duration::from_secs_f64(chooser.seconds(&chosen.at(1))? / PLANNED);
        let (budget, student, teacher) = (wanted.budget, wanted.student, chosen.teacher);
        let given = wanted.settings.epochs.is_some();
        return Err(ShrinkError::TooShort { budget, needed, student, teacher, given });
    }
    check(&chooser.experiment(&chosen)?, wanted.student, card)?;
    if chosen.epochs == chooser.full {
        for assistant in wanted.assistants(chosen.teacher, card) {
            if chosen.assistants.contains(&assistant) {
                continue;
            }
            let mut more = chosen.clone();
            more.assistants.push(assistant);
            if chooser.epochs_within(&more)? == chooser.full {
                chosen = more;
            }
        }
    }
    let takes = Duration::from_secs_f64(chooser.seconds(&chosen)?);
    Ok(ShrinkPlan {
        recipe: chooser.recipe(&chosen, takes)?,
        enough: chooser.is_enough(&chosen),
        epochs: wanted.settings.epochs.is_none().then_some(chosen.epochs),
        teacher: chosen.teacher,
        assistants: chosen.assistants,
        takes,
    })
}

/// Whether the best of an experiment's students can be chosen and compared: whether it has one cell, the student alone and taught, and
/// images that are held out of the training of every network.
///
/// # Errors
/// If it is not so.
pub fn check(experiment: &Experiment, student: ModelName, card: &Card) -> Result<(), ShrinkError> {
    let other = || ShrinkError::OtherRecipe(student);
    let [cell] = experiment.cells.as_slice() else { return Err(other()) };
    let of_student = |path: &&CellPath<DistillationPath>| **path.path.students() == [student];
    let students: Vec<_> = cell.paths.iter().filter(of_student).collect();
    let taught: Vec<_> = students.iter().filter(|path| path.path.steps() > 0).collect();
    // What is compared with is one teacher, and a student that is trained here.
    let is_single = taught.iter().all(|path| path.path.stages()[0].len() == 1);
    if taught.is_empty() || taught.len() == students.len() || !is_single || cell.from_elsewhere.contains_key(&student) {
        return Err(other());
    }
    let images = cell.limit.map_or(card.train, |limit| limit.min(card.train));
    let stages = || cell.paths.iter().flat_map(|path| path.path.stages().iter().enumerate());
    for (place, name) in stages().flat_map(|(place, stage)| stage.iter().map(move |name| (place, name))) {
        let training = cell.training(name.spec(card.classes()), card.classes());
        let is_trained = place > 0 || !cell.from_elsewhere.contains_key(name);
        if is_trained && (training.held_out(images) == 0 || training.evaluates_test_each_epoch()) {
            return Err(ShrinkError::NothingHeldOut(*name));
        }
    }
    Ok(())
}

impl Shrink<'_> {
    /// Those who may teach, the smallest first.
    fn teachers(&self, card: &Card) -> Result<Vec<ModelName>, ShrinkError> {
        let student = multiply_adds(self.student, card);
        match self.teacher {
            ShrinkTeacher::Largest => {
                let is_larger = |name: &ModelName| takes(*name, card) && multiply_adds(*name, card) > student;
                Ok(self.student.family_members().filter(is_larger).collect())
            }
            ShrinkTeacher::Named(teacher) | ShrinkTeacher::Elsewhere(teacher, _) => {
                if teacher == ModelName::LOGITS {
                    return Err(ShrinkError::LogitsAlone);
                }
                if multiply_adds(teacher, card) <= student {
                    return Err(ShrinkError::NotLarger { student: self.student, teacher });
                }
                Ok(vec![teacher])
            }
        }
    }

    /// Networks of the families of teacher and student between the two, that nearest to their geometric mean first.
    fn assistants(&self, teacher: ModelName, card: &Card) -> Vec<ModelName> {
        let [low, high] = [self.student, teacher].map(|name| multiply_adds(name, card));
        let middle = low.ln().midpoint(high.ln());
        let from_middle = |name: &ModelName| (multiply_adds(*name, card).ln() - middle).abs();
        let both = self.student.family_members().chain(teacher.family_members());
        let is_between = |name: &ModelName| {
            takes(*name, card) && low < multiply_adds(*name, card) && multiply_adds(*name, card) < high
        };
        let mut between: Vec<ModelName> = both.filter(is_between).collect();
        between.sort_by(|a, b| from_middle(a).total_cmp(&from_middle(b)).then(a.cmp(b)));
        between.dedup();
        between
    }
}

fn multiply_adds(name: ModelName, card: &Card) -> f64 {
    name.spec(card.classes()).multiply_adds(card.classes(), card.height) as f64
}

fn takes(name: ModelName, card: &Card) -> bool {
    name.spec(card.classes()).takes(card.height)
}

/// A choice that is considered.
#[derive(Clone, Debug)]
struct Candidate {
    teacher: ModelName,
    assistants: Vec<ModelName>,
    epochs: usize,
}

impl Candidate {
    fn at(&self, epochs: usize) -> Self {
        Self { epochs, ..self.clone() }
    }

    /// The paths of the recipe, the student alone first.
    fn paths(&self, student: ModelName) -> Vec<String> {
        let mut paths = vec![student.to_string(), format!("{} -> {student}", self.teacher)];
        paths.extend(self.assistants.iter().map(|assistant| format!("{} -> {assistant} -> {student}", self.teacher)));
        paths
    }
}

/// What a recipe tells beside what it says.
#[derive(Default)]
struct About {
    takes: Duration,
    /// How fast its networks are here.
    paces: Vec<(ModelName, Pace)>,
    /// Epochs that are enough.
    enough: usize,
    /// The teacher and what it expects, if it was trained elsewhere.
    imported: Option<(ModelName, Imported)>,
}

struct Chooser<'a> {
    wanted: &'a Shrink<'a>,
    card: &'a Card,
    cards: BTreeMap<takd_datasets::DatasetName, Card>,
    pace: &'a mut dyn FnMut(PaceOf) -> Result<Pace, Error>,
    measured: BTreeMap<PaceOf, Pace>,
    /// Epochs of the protocol.
    full: usize,
    /// Epochs that are enough.
    enough: usize,
    /// The settings but for the epochs.
    settings: Settings,
    /// Images of a batch of the student's.
    batch_size: usize,
}

impl<'a> Chooser<'a> {
    fn new(wanted: &'a Shrink<'a>, card: &'a Card, pace: &'a mut dyn FnMut(PaceOf) -> Result<Pace, Error>) -> Self {
        let given = wanted.settings;
        let protocol = given.protocol.unwrap_or(Protocol::Sound);
        let full = protocol.epochs(wanted.student.family());
        let images = given.limit.map_or(card.train, |limit| limit.min(card.train)).max(1);
        let size = given.size.or(wanted.data.name.fit());
        let mut settings = Settings { protocol: Some(protocol), size, ..given.clone() };
        // Letters and digits are not what their mirror images are.
        let are_photographs =
            wanted.data.name.known().is_none_or(|known| matches!(known, Known::Cifar10 | Known::Cifar100));
        if given.protocol.is_none() && are_photographs {
            for_photographs(protocol, &mut settings.training.plain);
        }
        for (family, changes) in [
            (Family::Resnet, &mut settings.training.resnet),
            (Family::ImagenetResnet, &mut settings.training.imagenet_resnet),
        ] {
            if changes.batch_size.is_none() && changes.lr.is_none() {
                let own = protocol.training(family, protocol.epochs(family));
                for_small_data(&own, images, changes);
            }
        }
        let family = wanted.student.family();
        let own = protocol.training(family, full);
        let batch_size = settings.training.of(family).batch_size.unwrap_or(own.batch_size);
        let enough = (ENOUGH_STEPS * batch_size).div_ceil(images).clamp(FEWEST_EPOCHS.min(full), full);
        let cards = BTreeMap::from([(card.name.clone(), card.clone())]);
        Self { wanted, card, cards, pace, measured: BTreeMap::new(), full, enough, settings, batch_size }
    }

    /// With the assistant that is nearest to the middle, if there is one.
    fn with_assistant(&mut self, teacher: ModelName) -> Result<Candidate, ShrinkError> {
        let assistants = self.wanted.assistants(teacher, self.card).into_iter().take(1).collect();
        let candidate = Candidate { teacher, assistants, epochs: 1 };
        Ok(candidate.at(self.epochs_within(&candidate)?))
    }

    fn is_enough(&self, candidate: &Candidate) -> bool {
        candidate.epochs >= self.enough || self.wanted.settings.epochs.is_some() && candidate.epochs > 0
    }

    /// As many epochs as fit into the budget, up to the full number; 0 if not one does. If they are given, the full number or none.
    fn epochs_within(&mut self, candidate: &Candidate) -> Result<usize, ShrinkError> {
        let (full, budget) = (self.full, PLANNED * self.wanted.budget.as_secs_f64());
        let most = self.seconds(&candidate.at(full))?;
        if most <= budget {
            return Ok(full);
        }
        let least = self.seconds(&candidate.at(1))?;
        if least > budget || self.wanted.settings.epochs.is_some() || full == 1 {
            return Ok(0);
        }
        // Each epoch takes the same.
        let an_epoch = (most - least) / (full - 1) as f64;
        Ok((1 + ((budget - least) / an_epoch) as usize).min(full))
    }

    fn settings(&self, candidate: &Candidate) -> Settings {
        let epochs = self.wanted.settings.epochs.clone().unwrap_or(Epochs::All(candidate.epochs));
        Settings { epochs: Some(epochs), ..self.settings.clone() }
    }

    /// The experiment of a choice.
    fn experiment(&self, candidate: &Candidate) -> Result<Experiment, ShrinkError> {
        let settings = self.settings(candidate).to_toml();
        let recipe = text::recipe(self.wanted, &settings, candidate, &About::default());
        let recipe = Recipe::parse(&recipe, "the recipe").map_err(Box::new)?;
        let mut experiment = Experiment::new(&recipe, &Changes::default(), self.wanted.device)?;
        if let ShrinkTeacher::Elsewhere(name, found) = &self.wanted.teacher {
            let teachers = experiment.cells.iter_mut().map(|cell| &mut cell.from_elsewhere);
            teachers.for_each(|teachers| drop(teachers.insert(*name, (**found).clone())));
        }
        Ok(experiment)
    }

    /// The recipe of a choice, with every setting that is in force.
    fn recipe(&self, chosen: &Candidate, takes: Duration) -> Result<String, ShrinkError> {
        let settings = settings_in_force(&[self.experiment(chosen)?])?;
        Ok(text::recipe(self.wanted, &settings, chosen, &self.about(chosen, takes)?))
    }

    /// What all runs of a choice take here, one after the other.
    fn seconds(&mut self, candidate: &Candidate) -> Result<f64, ShrinkError> {
        let experiment = self.experiment(candidate)?;
        let plan = Plan::new(&experiment, &self.cards, &|_| None)?;
        let mut sum = 0.0;
        for (run, shares_logits) in plan.runs.iter().zip(plan.shares_logits()) {
            let PlannedRun { config, looks, path, .. } = run;
            // A teacher that is not trained is measured as it teaches.
            let batch_size = if config.imported.is_some() { self.batch_size } else { config.training.batch_size };
            let (classes, side) = (self.card.classes(), self.card.height);
            let of = PaceOf { model: config.model, classes, side, batch_size };
            let mut pace = |of: PaceOf| -> Result<Pace, Error> {
                if let Some(pace) = self.measured.get(&of) {
                    return Ok(*pace);
                }
                let pace = (self.pace)(of)?;
                self.measured.insert(of, pace);
                Ok(pace)
            };
            let cost = looks.seconds(of, path.teachers(), &mut pace)?;
            sum += cost.training + cost.test + if shares_logits { 0.0 } else { cost.teacher_logits };
        }
        Ok(sum)
    }

    /// What the recipe tells beside what it says.
    fn about(&self, chosen: &Candidate, takes: Duration) -> Result<About, ShrinkError> {
        let imported = match &self.wanted.teacher {
            ShrinkTeacher::Elsewhere(name, found) => {
                let config = found.config(self.card, self.wanted.device)?;
                config.imported.clone().map(|imported| (*name, imported))
            }
            _ => None,
        };
        let is_trained = |name: ModelName| imported.as_ref().is_none_or(|(other, _)| *other != name);
        let names = [self.wanted.student].into_iter().chain(chosen.assistants.iter().copied()).chain([chosen.teacher]);
        let pace = |name: ModelName| {
            let of = name.spec(self.card.classes());
            self.measured.iter().find(|(measured, _)| measured.model == of).map(|(_, pace)| (name, *pace))
        };
        let paces = names.filter(|name| is_trained(*name)).filter_map(pace).collect();
        Ok(About { takes, paces, enough: self.enough, imported })
    }
}

/// Has plain CNNs trained as ResNets are, in what is not given: on images that are cropped and flipped, with a learning rate that falls.
fn for_photographs(protocol: Protocol, changes: &mut TrainingChanges) {
    changes.augmentation = changes.augmentation.or(Some(Augmentation::CROP_FLIP));
    if changes.lr.is_none() {
        let first = protocol.rates(Family::Plain)[0].rate;
        let like = protocol.rates(Family::Resnet);
        let piece = |piece: &RateFrom| RateFrom { rate: first * piece.rate / like[0].rate, ..*piece };
        changes.lr = Some(like.iter().map(piece).collect());
    }
}

/// Halves batches, and the learning rate with them, until the full number of epochs has enough steps.
fn for_small_data(own: &Training, images: usize, changes: &mut TrainingChanges) {
    let mut batch_size = own.batch_size;
    while own.epochs * images / batch_size < ENOUGH_STEPS && batch_size > SMALLEST_BATCH {
        batch_size /= 2;
    }
    if batch_size == own.batch_size {
        return;
    }
    let share = batch_size as f64 / own.batch_size as f64;
    let piece = |&LrFrom { epoch, lr }: &LrFrom| RateFrom { from: epoch as f64 / own.epochs as f64, rate: lr * share };
    changes.lr = Some(own.lr.iter().map(piece).collect());
    changes.batch_size = Some(batch_size);
}
