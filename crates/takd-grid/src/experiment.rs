//! An experiment: networks trained along distillation paths on some images with some seeds.

use crate::elsewhere::{FromElsewhere, HubImport};
use crate::experiment_error::ExperimentError;
use crate::path::DistillationPath;
use crate::recipe::{
    CellPath, CellPaths, Epochs, Layout, Located, PerStep, Published, Quick, Recipe, RecipeCell, SearchSettings,
    Settings, Span, TrainingByFamily,
};
use crate::study::{Search, Setting, Study, Value, Values};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::{fmt, str::FromStr};
use takd_datasets::{DatasetName, DatasetRef, Drawn, Sources};
use takd_distill::{DeviceType, KlReduction, Pick, Protocol, RateFrom, Training};
use takd_models::{ModelName, ModelSpec};

/// An experiment whose names are resolved and whose settings are checked: what a [`Plan`](crate::Plan) is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// What it asks or makes, in a line.
    pub title: String,
    /// Where it is published.
    pub source: Option<String>,
    /// How its table is laid out.
    pub layout: Layout,
    /// What stands below its table.
    pub notes: Vec<String>,
    /// Its full or its quick form.
    pub preset: Preset,
    /// What all of it is trained on.
    pub device: DeviceType,
    /// How many images built-in data sets have.
    pub drawn: Drawn,
    /// What is trained: paths on a data set.
    pub cells: Vec<Cell>,
    /// Cells of the recipe that cannot be run yet.
    pub missing: Vec<MissingCell>,
}

/// Paths on a data set, all with the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its name, no other cell's.
    pub name: String,
    /// What its networks are trained on.
    pub data: DatasetRef,
    /// The data set of the recipe, if the quick form or a command has put another in its place.
    pub stands_for: Option<String>,
    /// Networks that the quick form has put in place of others: each with the one that it stands for.
    pub networks: Vec<StandIn>,
    /// How many training images are used; all without a limit.
    pub limit: Option<usize>,
    /// Whose rules it follows.
    pub protocol: Protocol,
    /// Every path is trained once for each.
    pub seeds: Vec<u64>,
    /// λ: the teachers' share of the loss.
    pub lambda: PerStep,
    /// τ: what logits are divided by.
    pub temperature: PerStep,
    /// How the KL term is averaged.
    pub kl_reduction: KlReduction,
    /// Of how many classes the teachers' logits are kept; of all without it.
    pub top_k: Option<NonZeroUsize>,
    /// Its paths with the paper's numbers.
    pub paths: Vec<CellPath<DistillationPath>>,
    /// Where the paper has its numbers.
    pub paper_source: Option<String>,
    /// What is to be said about it.
    pub note: Option<String>,
    /// What others reached with the same student, by other methods.
    pub published: Vec<Published>,
    /// What is found by trials for each step of its paths, if anything is.
    pub search: Option<Search>,
    /// Networks that begin its paths as they came from elsewhere, in place of being trained.
    pub from_elsewhere: BTreeMap<ModelName, FromElsewhere>,
    /// Those of them that are to be found on the hub before the experiment is planned.
    pub on_the_hub: Vec<HubImport>,
    pub(crate) epochs: Option<Epochs>,
    pub(crate) replays: Option<NonZeroUsize>,
    training: TrainingByFamily,
}

/// A network in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The network.
    pub network: ModelName,
    /// The one of the recipe.
    pub stands_for: ModelName,
}

/// A cell that cannot be run yet: its table has the paper's numbers alone.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingCell {
    /// Its name.
    pub name: String,
    /// Why it cannot be run.
    pub why: String,
    /// Its paths as they print, with the paper's numbers.
    pub paths: Vec<CellPath<String>>,
}

/// How large an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Preset {
    /// As the recipe has it.
    #[default]
    Full,
    /// What the recipe's `[quick]` puts in place of it.
    Quick,
}

/// What a command asks of a recipe's experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Which form of it.
    pub preset: Preset,
    /// The names of the cells that are wanted; all if there are none.
    pub cells: Vec<String>,
    /// Settings, which win over all of the recipe's.
    pub settings: Settings,
    /// That there is a search, and what wins over the recipe's own.
    pub search: Option<SearchSettings>,
    /// What the one cell that is wanted is trained on in place of its own data.
    pub data: Option<DatasetRef>,
    /// What was found in files of networks that were trained elsewhere, for those that are gone: enough to tell which runs they are.
    pub found_before: Vec<FromElsewhere>,
}

/// λ unless an experiment sets its own.
const LAMBDA: f64 = 0.5;

/// τ unless an experiment sets its own.
const TEMPERATURE: f64 = 5.0;

/// The seeds unless an experiment sets its own.
const SEEDS: [u64; 1] = [31];

impl Experiment {
    /// The experiment of a recipe, with a command's changes, trained on a device.
    ///
    /// # Errors
    /// If a name is unknown, or settings do not fit each other; if the place is in the recipe, with its line.
    pub fn new(recipe: &Recipe, changes: &Changes, device: DeviceType) -> Result<Self, ExperimentError> {
        let quick = match changes.preset {
            Preset::Full => None,
            Preset::Quick => {
                Some(recipe.quick.as_ref().ok_or_else(|| ExperimentError::NoQuick(recipe.origin().to_owned()))?)
            }
        };
        check_cell_names(recipe, changes, quick)?;
        let is_wanted = |cell: &&RecipeCell| changes.cells.is_empty() || changes.cells.contains(&cell.name);
        if let Some(data) = &changes.data
            && recipe.cells.iter().filter(is_wanted).count() > 1
        {
            let cells = recipe.cells.iter().filter(is_wanted).map(|cell| cell.name.clone()).collect();
            return Err(ExperimentError::SeveralCells { data: data.to_string(), cells });
        }
        let (mut cells, mut missing) = (Vec::new(), Vec::new());
        for cell in &recipe.cells {
            let is_wanted = is_wanted(&cell);
            match &cell.paths {
                CellPaths::Missing { why, paths, .. } if !(is_wanted && has_other_data(cell, changes, quick)) => {
                    let (name, why, paths) = (cell.name.clone(), why.clone(), paths.clone());
                    missing.push(MissingCell { name, why, paths });
                }
                CellPaths::Known(paths) | CellPaths::Missing { known: paths, .. } if is_wanted => {
                    let mut cell = resolve(recipe, cell, paths, quick, changes)?;
                    let search = match (&changes.search, &recipe.search) {
                        (Some(changes), Some(own)) => Some(changes.or(own)),
                        (changes, own) => changes.as_ref().or(own.as_ref()).cloned(),
                    };
                    cell.set_search(search.as_ref(), &changes.settings)?;
                    cells.push(cell);
                }
                _ => {}
            }
        }
        let drawn = quick.and_then(|quick| quick.drawn).map_or_else(Drawn::default, |drawn| Drawn {
            train: drawn.train,
            test: drawn.test,
            ..Drawn::default()
        });
        Ok(Self {
            title: recipe.title.clone(),
            source: recipe.source.clone(),
            layout: recipe.layout,
            notes: recipe.notes.clone(),
            preset: changes.preset,
            device,
            drawn,
            cells,
            missing,
        })
    }

    /// The experiment of paths on a data set, trained on a device; with a search, their steps are searched.
    ///
    /// # Errors
    /// If λ or τ is a list of another length than a path, or the search cannot be made.
    pub fn of_paths(
        paths: Vec<DistillationPath>,
        data: &DatasetRef,
        settings: &Settings,
        search: Option<&SearchSettings>,
        device: DeviceType,
    ) -> Result<Self, ExperimentError> {
        let names = paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let title = format!("{names} on {}", scaled(data, settings).name);
        let paths = paths.into_iter().map(|path| CellPath { path, paper: None, at: Span::default() }).collect();
        let mut cell = Cell::new(data.name.as_str(), data, paths, settings.clone())?;
        cell.set_search(search, settings)?;
        Ok(Self {
            title,
            source: None,
            layout: Layout::Paths,
            notes: Vec::new(),
            preset: Preset::Full,
            device,
            drawn: Drawn::default(),
            cells: vec![cell],
            missing: Vec::new(),
        })
    }

    /// These sources, and the places of the data sets that were named by them.
    ///
    /// # Errors
    /// If two places have one name.
    pub fn sources(&self, sources: Sources) -> Result<Sources, ExperimentError> {
        let with = |sources: Sources, cell: &Cell| sources.with(&cell.data);
        let sources = self.cells.iter().try_fold(sources, with);
        sources.map_err(|error| ExperimentError::Data(error.to_string()))
    }

    /// The data sets that it needs, each once.
    pub fn datasets(&self) -> Vec<DatasetName> {
        let mut names: Vec<_> = self.cells.iter().map(|cell| cell.data.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Cell {
    fn new(
        name: &str,
        data: &DatasetRef,
        paths: Vec<CellPath<DistillationPath>>,
        settings: Settings,
    ) -> Result<Self, ExperimentError> {
        let data = scaled(data, &settings);
        let protocol = settings.protocol.unwrap_or(Protocol::Sound);
        let lambda = settings.lambda.unwrap_or(PerStep::All(LAMBDA));
        let temperature = settings.temperature.unwrap_or(PerStep::All(TEMPERATURE));
        for (setting, values) in [("λ", &lambda), ("τ", &temperature)] {
            let PerStep::Each(values) = values else { continue };
            if let Some(path) = paths.iter().map(|path| &path.path).find(|path| path.steps() != values.len()) {
                let (values, path) = (values.len(), Box::new(path.clone()));
                return Err(ExperimentError::Steps { setting, values, path });
            }
        }
        Ok(Self {
            name: name.to_owned(),
            data,
            stands_for: None,
            networks: Vec::new(),
            limit: settings.limit,
            protocol,
            seeds: settings.seeds.unwrap_or(SEEDS.to_vec()),
            lambda,
            temperature,
            kl_reduction: settings.kl_reduction.unwrap_or(protocol.kl_reduction()),
            top_k: settings.top_k,
            paths,
            paper_source: None,
            note: None,
            published: Vec::new(),
            search: None,
            from_elsewhere: BTreeMap::new(),
            on_the_hub: Vec::new(),
            epochs: settings.epochs,
            replays: settings.replays,
            training: settings.training,
        })
    }

    /// Has the steps of its paths searched. What a command gives, `given`, cannot be searched too.
    fn set_search(&mut self, search: Option<&SearchSettings>, given: &Settings) -> Result<(), ExperimentError> {
        let Some(search) = search.map(|search| search.search(self.protocol)) else { return Ok(()) };
        let is_searched = |setting| search.space.dimensions().iter().any(|dimension| dimension.setting() == setting);
        for (setting, name, is_given) in
            [(Setting::Lambda, "λ", given.lambda.is_some()), (Setting::Temperature, "τ", given.temperature.is_some())]
        {
            if is_given && is_searched(setting) {
                return Err(ExperimentError::GivenAndSearched { setting: name });
            }
        }
        if let Some(problem) = self.distrust(&search) {
            return Err(ExperimentError::Untrustworthy { cell: self.name.clone(), problem });
        }
        let wrong = |error| ExperimentError::Search { cell: self.name.clone(), error };
        Study::new(&search, 1).map_err(wrong)?;
        self.search = Some(search);
        Ok(())
    }

    /// Why nobody could trust what a search finds, if so.
    fn distrust(&self, search: &Search) -> Option<String> {
        let searched = search.space.dimensions().iter().find(|dimension| dimension.setting() == Setting::Seed);
        let searched = searched.map(|dimension| dimension.values());
        let is_searched = |seed: u64| match searched {
            Some(Values::Listed(values)) => values.contains(&Value::Number(seed as f64)),
            _ => search.seeds.contains(&seed),
        };
        if searched.is_some() && self.protocol == Protocol::Sound {
            return Some("the seed is among what is searched, which the protocol `sound` does not have".into());
        }
        if searched.is_none() && search.seeds.is_empty() {
            return Some("it has no seeds, and the seed is not among what is searched".into());
        }
        if let Some(seed) = self.seeds.iter().find(|seed| is_searched(**seed)) {
            return Some(format!(
                "seed {seed} is the experiment's too, whose results must come from seeds that the search has not seen: give \
                 the experiment others"
            ));
        }
        for path in &self.paths {
            for (stage, networks) in path.path.stages().iter().enumerate() {
                // Logits are not trained, and what images their teacher has seen is not known here.
                for network in networks.iter().filter(|network| **network != ModelName::LOGITS) {
                    // What is asked of it here is the same for every number of classes and of epochs.
                    let training = |name: &ModelName| self.training_for(name.spec(1), 1);
                    let own = training(network);
                    // Unpublished ways of looking at the test images are not offered.
                    let as_published = self.protocol != Protocol::Sound && own.pick == Pick::BestTestEpoch;
                    if own.held_out(usize::MAX) == 0 && !as_published {
                        return Some(format!("no images are held out to judge {network} by (`hold_out`)"));
                    }
                    let teachers = stage.checked_sub(1).map_or(&[][..], |stage| &path.path.stages()[stage]);
                    let differs = |teacher: &ModelName| {
                        *teacher != ModelName::LOGITS && training(teacher).hold_out != own.hold_out
                    };
                    if let Some(teacher) = teachers.iter().find(|teacher| differs(teacher)) {
                        return Some(format!(
                            "{network} would be judged by other images than its teacher {teacher} holds out (`hold_out`): a \
                             teacher must not have seen them"
                        ));
                    }
                }
            }
        }
        None
    }

    /// How a network of this cell, of so many classes, is trained: as its protocol says, with what the experiment changes.
    pub fn training(&self, model: ModelSpec, classes: usize) -> Training {
        self.training_for(model, self.epochs(model, classes))
    }

    /// The same in so many epochs.
    pub(crate) fn training_for(&self, model: ModelSpec, epochs: usize) -> Training {
        let family = model.family();
        let own = self.protocol.training(family, epochs);
        let changes = self.training.of(family);
        Training {
            epochs,
            batch_size: changes.batch_size.unwrap_or(own.batch_size),
            gradient_accumulation: changes.gradient_accumulation.unwrap_or(own.gradient_accumulation),
            lr: self.rates(model).into_iter().map(|piece| piece.of_epochs(epochs)).collect(),
            warmup_epochs: changes.warmup_epochs.unwrap_or(own.warmup_epochs),
            momentum: changes.momentum.unwrap_or(own.momentum),
            nesterov: changes.nesterov.unwrap_or(own.nesterov),
            weight_decay: changes.weight_decay.unwrap_or(own.weight_decay),
            weight_decay_on: changes.weight_decay_on.unwrap_or(own.weight_decay_on),
            augmentation: changes.augmentation.unwrap_or(own.augmentation),
            replays: self.replays,
            normalization: changes.normalization.unwrap_or(own.normalization),
            pick: changes.pick.unwrap_or(own.pick),
            hold_out: changes.hold_out.unwrap_or(own.hold_out),
        }
    }

    /// The learning rates of a network, each with the share of the epochs at which it begins.
    pub(crate) fn rates(&self, model: ModelSpec) -> Vec<RateFrom> {
        let family = model.family();
        self.training.of(family).lr.clone().unwrap_or_else(|| self.protocol.rates(family))
    }

    /// The epochs of a network of so many classes.
    pub fn epochs(&self, model: ModelSpec, classes: usize) -> usize {
        let own = self.epochs.as_ref().and_then(|epochs| epochs.of(model, classes));
        own.unwrap_or_else(|| self.protocol.epochs(model.family()))
    }
}

/// The data set with its images at the size that the settings ask for.
fn scaled(data: &DatasetRef, settings: &Settings) -> DatasetRef {
    settings.size.map_or_else(|| data.clone(), |size| data.scaled(size))
}

/// Whether a cell that cannot be run on its own data is given others, and its networks exist.
fn has_other_data(cell: &RecipeCell, changes: &Changes, quick: Option<&Quick>) -> bool {
    let others = changes.data.is_some() || quick.is_some_and(|quick| quick.data.contains_key(&cell.data.value));
    others && !cell.known_paths().is_empty()
}

fn check_cell_names(recipe: &Recipe, changes: &Changes, quick: Option<&Quick>) -> Result<(), ExperimentError> {
    for name in &changes.cells {
        let Some(cell) = recipe.cells.iter().find(|cell| cell.name == *name) else {
            let known = recipe.cells.iter().filter(|cell| !cell.known_paths().is_empty());
            let known = known.map(|cell| cell.name.clone()).collect();
            return Err(ExperimentError::UnknownCell { name: name.clone(), known });
        };
        if let CellPaths::Missing { why, .. } = &cell.paths
            && !has_other_data(cell, changes, quick)
        {
            return Err(ExperimentError::Missing { name: name.clone(), why: why.clone() });
        }
    }
    Ok(())
}

/// The cell with all names resolved: the command's settings before the quick form's, before the cell's, before the recipe's.
fn resolve(
    recipe: &Recipe,
    cell: &RecipeCell,
    paths: &[CellPath<DistillationPath>],
    quick: Option<&Quick>,
    changes: &Changes,
) -> Result<Cell, ExperimentError> {
    let own = recipe.settings(cell);
    let mut settings = match quick {
        Some(quick) => changes.settings.or(&quick.settings).or(&own),
        None => changes.settings.or(&own),
    };
    let stand_in = quick.and_then(|quick| quick.data.get(&cell.data.value)).filter(|_| changes.data.is_none());
    let data = match &changes.data {
        Some(data) => data.clone(),
        None => {
            let Located { value, at } = stand_in.unwrap_or(&cell.data);
            value.parse::<DatasetRef>().map_err(|error| Box::new(recipe.error(*at, error.to_string())))?
        }
    };
    // Whoever has the cell's own data names the place where they are.
    let is_other = stand_in.is_some() || changes.data.is_some() && data.name.as_unscaled() != cell.data.value;
    // The size of the cell is that of its own data.
    if let (Some(quick), Some(_)) = (quick, stand_in) {
        settings.size = changes.settings.size.or(quick.settings.size);
    } else if data.name.fit().is_some() {
        settings.size = changes.settings.size;
    }
    let paths = match quick {
        Some(quick) => quick_paths(quick, paths),
        None => paths.to_vec(),
    };
    Ok(Cell {
        networks: quick.map(|quick| stand_ins(quick, cell)).unwrap_or_default(),
        stands_for: is_other.then(|| cell.data.value.clone()),
        paper_source: cell.paper_source.clone(),
        note: cell.note.clone(),
        published: cell.published.clone(),
        // Other images than those that it was trained on are no data for it.
        from_elsewhere: if stand_in.is_some() {
            BTreeMap::new()
        } else {
            FromElsewhere::of_cell(recipe, cell, &paths, &changes.found_before)?
        },
        on_the_hub: if stand_in.is_some() { Vec::new() } else { HubImport::of_cell(cell, &paths) },
        ..Cell::new(&cell.name, &data, paths, settings)?
    })
}

/// The quick form's networks that stand in the cell's paths for others.
fn stand_ins(quick: &Quick, cell: &RecipeCell) -> Vec<StandIn> {
    let is_used = |network: ModelName| {
        cell.known_paths().iter().any(|path| path.path.stages().iter().any(|stage| stage.contains(&network)))
    };
    let used = quick.networks.iter().filter(|(of, network)| of != network && is_used(**of));
    used.map(|(of, network)| StandIn { network: *network, stands_for: *of }).collect()
}

/// The paths with the quick form's networks. Those that become the same are one, the first.
fn quick_paths(quick: &Quick, paths: &[CellPath<DistillationPath>]) -> Vec<CellPath<DistillationPath>> {
    let mut once: Vec<CellPath<DistillationPath>> = Vec::new();
    for path in paths {
        let path = CellPath { path: quick.path(&path.path), ..path.clone() };
        match once.iter_mut().find(|known| known.path == path.path) {
            // Its number was that of another network, and now there are several.
            Some(known) if known.paper != path.paper => known.paper = None,
            Some(_) => {}
            None => once.push(path),
        }
    }
    once
}

impl Preset {
    /// The name as it is parsed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = ExperimentError;

    fn from_str(name: &str) -> Result<Self, ExperimentError> {
        let known = [Self::Full, Self::Quick].into_iter().find(|preset| preset.as_str() == name);
        known.ok_or_else(|| ExperimentError::UnknownPreset(name.to_owned()))
    }
}
