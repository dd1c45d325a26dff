//! The settings that experiments have in force, as a file that has them again.

use crate::experiment::{Cell, Experiment};
use crate::recipe::{Epochs, FAMILIES, Settings, TrainingByFamily, TrainingChanges};
use crate::study::Setting;
use std::collections::{BTreeMap, BTreeSet};
use takd_distill::Protocol;
use takd_models::ModelName;

/// Why experiments have no settings in common: a file says each setting once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cells `{}` and `{}` differ in {setting}, and a file of settings says it once", cells[0], cells[1])]
pub struct DifferentSettings {
    /// What differs: a key, or the header of a table.
    pub setting: String,
    /// Two cells in which it differs.
    pub cells: [String; 2],
}

/// The settings of all cells of experiments, as a [file of settings](Settings::parse): with them the same experiments have the
/// same runs, and nothing is left to a protocol or a default. Settings that are found by trials are left out, which a comment says.
///
/// ```
/// use takd_distill::DeviceType;
/// use takd_grid::recipe::Settings;
/// use takd_grid::{Experiment, settings_in_force};
///
/// let paths = vec!["resnet20 -> resnet8".parse()?];
/// let settings = Settings { limit: Some(500), ..Settings::default() };
/// let experiment = Experiment::of_paths(paths, &"cifar10".parse()?, &settings, None, DeviceType::Cpu)?;
/// let text = settings_in_force(&[experiment])?;
/// assert_eq!(Settings::parse(&text, "printed")?.training.resnet.batch_size, Some(128));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If two cells differ in a setting.
pub fn settings_in_force(experiments: &[Experiment]) -> Result<String, DifferentSettings> {
    let cells: Vec<&Cell> = experiments.iter().flat_map(|experiment| &experiment.cells).collect();
    let Some((first, others)) = cells.split_first() else { return Ok(String::new()) };
    let searched: BTreeSet<Setting> = cells.iter().flat_map(|cell| searched(cell)).collect();
    let shared = |cell: &Cell| {
        let mut settings = shared(cell);
        searched.iter().for_each(|setting| leave_out(&mut settings, *setting));
        settings
    };
    let mut settings = shared(first);
    for cell in others {
        if let Some(setting) = difference(&settings, &shared(cell)) {
            return Err(different(format!("`{setting}`"), first, cell));
        }
    }
    settings.epochs = Some(epochs(&cells)?);
    settings.training = training(&cells)?;
    searched.iter().for_each(|setting| leave_out(&mut settings, *setting));
    let names: Vec<&str> = searched.iter().map(|setting| setting.as_str()).collect();
    let comment = match names.as_slice() {
        [] => String::new(),
        names => format!("# Found by trials, and therefore left out here: {}\n", names.join(", ")),
    };
    Ok(comment + &settings.to_toml())
}

fn different(setting: String, one: &Cell, other: &Cell) -> DifferentSettings {
    DifferentSettings { setting, cells: [one.name.clone(), other.name.clone()] }
}

/// What is found by trials. The seed of trials is not that of the experiment.
fn searched(cell: &Cell) -> impl Iterator<Item = Setting> {
    let dimensions = cell.search.iter().flat_map(|search| search.space.dimensions());
    dimensions.map(|dimension| dimension.setting()).filter(|setting| *setting != Setting::Seed)
}

/// The settings of a cell without those that depend on the network.
fn shared(cell: &Cell) -> Settings {
    Settings {
        protocol: Some(cell.protocol),
        seeds: Some(cell.seeds.clone()),
        lambda: Some(cell.lambda.clone()),
        temperature: Some(cell.temperature.clone()),
        kl_reduction: Some(cell.kl_reduction),
        epochs: None,
        limit: cell.limit,
        size: cell.data.name.fit(),
        replays: cell.replays,
        top_k: cell.top_k,
        training: TrainingByFamily::default(),
    }
}

fn leave_out(settings: &mut Settings, setting: Setting) {
    for (family, _) in FAMILIES {
        let changes = settings.training.of_mut(family);
        match setting {
            Setting::LearningRate => changes.lr = None,
            Setting::Momentum => changes.momentum = None,
            Setting::Nesterov => changes.nesterov = None,
            Setting::WeightDecay => changes.weight_decay = None,
            Setting::WeightDecayOn => changes.weight_decay_on = None,
            Setting::Augmentation => changes.augmentation = None,
            Setting::BatchSize => changes.batch_size = None,
            Setting::Lambda => settings.lambda = None,
            Setting::Temperature => settings.temperature = None,
            Setting::KlReduction => settings.kl_reduction = None,
            Setting::Seed => {}
        }
    }
}

/// The key of a setting that differs, apart from those that depend on the network.
fn difference(one: &Settings, other: &Settings) -> Option<&'static str> {
    let differs = [
        ("protocol", one.protocol != other.protocol),
        ("seeds", one.seeds != other.seeds),
        ("lambda", one.lambda != other.lambda),
        ("temperature", one.temperature != other.temperature),
        ("kl_reduction", one.kl_reduction != other.kl_reduction),
        ("limit", one.limit != other.limit),
        ("size", one.size != other.size),
        ("replays", one.replays != other.replays),
        ("top_k", one.top_k != other.top_k),
    ];
    differs.into_iter().find_map(|(key, differs)| differs.then_some(key))
}

/// The networks of a cell's paths that can be trained.
fn networks(cell: &Cell) -> impl Iterator<Item = ModelName> {
    let all = cell.paths.iter().flat_map(|path| path.path.stages()).flat_map(|stage| stage.iter().copied());
    all.filter(|network| *network != ModelName::LOGITS)
}

/// The epochs of all cells, whose protocol is the same.
fn epochs(cells: &[&Cell]) -> Result<Epochs, DifferentSettings> {
    let first = cells[0];
    if cells.iter().all(|cell| cell.epochs == first.epochs) {
        let networks = cells.iter().flat_map(|cell| networks(cell));
        return Ok(epochs_of(networks, first.epochs.as_ref(), first.protocol));
    }
    // What is said otherwise may still be the same.
    let own = |cell: &Cell| epochs_of(networks(cell), cell.epochs.as_ref(), cell.protocol);
    let epochs = own(first);
    match cells.iter().find(|cell| own(cell) != epochs) {
        Some(cell) => Err(different("`epochs`".to_owned(), first, cell)),
        None => Ok(epochs),
    }
}

/// The epochs of these networks, with the protocol's for those of which nothing is said.
fn epochs_of(networks: impl Iterator<Item = ModelName>, said: Option<&Epochs>, protocol: Protocol) -> Epochs {
    // Names such as plane2 and plane2-wide are of the same network or not, by the number of classes.
    let may_be_same = |a: ModelName, b: ModelName| [1, 1000].iter().any(|&classes| a.spec(classes) == b.spec(classes));
    let mut by_network = match said {
        Some(Epochs::ByNetwork { networks, others: None }) => networks.clone(),
        Some(said) => return said.clone(),
        None => BTreeMap::new(),
    };
    let said: Vec<ModelName> = by_network.keys().copied().collect();
    let unsaid = networks.filter(|network| !said.iter().any(|said| may_be_same(*said, *network)));
    by_network.extend(unsaid.map(|network| (network, protocol.epochs(network.spec(1).family()))));
    let mut different: Vec<usize> = by_network.values().copied().collect();
    different.dedup();
    match (said.is_empty(), different.as_slice()) {
        (true, &[epochs]) => Epochs::All(epochs),
        _ => Epochs::ByNetwork { networks: by_network, others: None },
    }
}

/// How the families of all cells are trained.
fn training<'a>(cells: &[&'a Cell]) -> Result<TrainingByFamily, DifferentSettings> {
    let mut training = TrainingByFamily::default();
    for (family, name) in FAMILIES {
        let with_own = |cell: &&'a Cell| {
            let network = networks(cell).find(|network| network.spec(1).family() == family)?;
            Some((*cell, changes(cell, network)))
        };
        let own: Vec<(&Cell, TrainingChanges)> = cells.iter().filter_map(with_own).collect();
        let Some((first, changes)) = own.first() else { continue };
        if let Some((cell, _)) = own.iter().find(|(_, other)| other != changes) {
            return Err(different(format!("[training.{name}]"), first, cell));
        }
        *training.of_mut(family) = changes.clone();
    }
    Ok(training)
}

/// How a network of a cell is trained, as a recipe says it.
fn changes(cell: &Cell, network: ModelName) -> TrainingChanges {
    // Nothing of it depends on the number of classes, and the learning rate alone on that of epochs.
    let (model, training) = (network.spec(1), cell.training_for(network.spec(1), 1));
    TrainingChanges {
        batch_size: Some(training.batch_size),
        gradient_accumulation: Some(training.gradient_accumulation),
        lr: Some(cell.rates(model)),
        warmup_epochs: Some(training.warmup_epochs),
        momentum: Some(training.momentum),
        nesterov: Some(training.nesterov),
        weight_decay: Some(training.weight_decay),
        weight_decay_on: Some(training.weight_decay_on),
        augmentation: Some(training.augmentation),
        normalization: Some(training.normalization),
        pick: Some(training.pick),
        hold_out: Some(training.hold_out),
    }
}
