//! Networks that were trained elsewhere, or their logits, that take part in an experiment as they came.

use crate::path::DistillationPath;
use crate::recipe::{CellPath, ImportedFile, Recipe, RecipeCell, RecipeError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use takd_datasets::{Card, Normalization};
use takd_distill::{
    DataConfig, DeviceType, Error, Imported, LogitsAbout, NUMERICS, NetworkFromElsewhere, Result, RunConfig,
    RunSettings, Training,
};
use takd_hub::Repository;
use takd_models::{ModelName, ModelSpec};
use takd_store::printable;

/// A network that was trained elsewhere: where its file is, and what was found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct FromElsewhere {
    /// What it is called, for messages and recipes: the file's name, or `owner/name@commit` of a model of the hub.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Which network it holds.
    pub model: ModelSpec,
    /// Its logits for each image.
    pub outputs: usize,
    /// The file's BLAKE3 hash.
    pub hash: String,
    /// What it expects pixels to be scaled by; the data's own mean and deviation if this is not known.
    pub normalization: Option<Normalization>,
    /// For each class of the data, the number of the output that is its; if there is none, by their names, or else the same in the same
    /// order.
    pub order: Vec<usize>,
    /// What its outputs are called, if that is known.
    pub class_names: Vec<String>,
    /// Whose images' logits it holds, if it holds no network.
    pub logits: Option<LogitsAbout>,
}

/// A network that a recipe's cell has by its name on the hub. Whoever runs the experiment looks for it: nothing here asks the network.
#[derive(Clone, Debug, PartialEq)]
pub struct HubImport {
    /// Which network it is to be.
    pub network: ModelName,
    /// The model, and its commit if the recipe says one.
    pub model: Repository,
    /// What it expects pixels to be scaled by, if that is said.
    pub normalization: Option<Normalization>,
    /// For each class of the data, the number of the output that is its, if that is said.
    pub order: Vec<usize>,
}

impl HubImport {
    /// Those that begin paths of a recipe's cell.
    pub(crate) fn of_cell(cell: &RecipeCell, paths: &[CellPath<DistillationPath>]) -> Vec<Self> {
        let begins = |name: &ModelName| paths.iter().any(|path| path.path.stages()[0].contains(name));
        let on_the_hub = |(network, import): (&ModelName, &ImportedFile)| {
            let model = Repository::model_at(&import.file.value).ok().filter(|_| Self::is_meant(import))?;
            let (normalization, order) = (import.normalization, import.order.clone());
            Some(Self { network: *network, model, normalization, order })
        };
        cell.import.iter().filter(|(network, _)| begins(network)).filter_map(on_the_hub).collect()
    }

    /// Whether a recipe means a model of the hub: there is no file of that name.
    fn is_meant(import: &ImportedFile) -> bool {
        Repository::model_at(&import.file.value).is_ok() && !Path::new(&import.file.value).exists()
    }

    /// Refuses what was found if it is another network.
    ///
    /// # Errors
    /// If it is.
    pub fn check(&self, found: &FromElsewhere) -> Result<()> {
        found.check_is(self.network).map_err(|reason| Error::Config(format!("{}: {reason}", found.name)))
    }
}

impl FromElsewhere {
    /// Reads a file with a network, whichever it holds, or with a teacher's logits.
    ///
    /// # Errors
    /// If the file cannot be read or holds no known network and no logits.
    pub fn read(path: &Path) -> Result<Self> {
        let file = NetworkFromElsewhere::read(path)?;
        Ok(Self {
            name: path.display().to_string(),
            path: path.to_owned(),
            model: file.model(),
            outputs: file.outputs(),
            hash: file.hash().to_owned(),
            normalization: None,
            order: Vec::new(),
            class_names: file.logits().map_or_else(Vec::new, |logits| logits.class_names.clone()),
            logits: file.logits().cloned(),
        })
    }

    /// The name of the network, as for data with as many classes as it has outputs, or as the order names if there is one.
    pub fn network_name(&self) -> ModelName {
        self.model.name(if self.order.is_empty() { self.outputs } else { self.order.len() })
    }

    /// The networks that begin paths of a recipe's cell and were trained elsewhere, as their files have them, or as `found_before` has
    /// those whose files are gone; models of the hub are not among them.
    ///
    /// # Errors
    /// If a file cannot be read or holds another network, with the line of the recipe.
    pub(crate) fn of_cell(
        recipe: &Recipe,
        cell: &RecipeCell,
        paths: &[CellPath<DistillationPath>],
        found_before: &[Self],
    ) -> std::result::Result<BTreeMap<ModelName, Self>, Box<RecipeError>> {
        let begins = |name: &ModelName| paths.iter().any(|path| path.path.stages()[0].contains(name));
        let read = |(name, import): (&ModelName, &ImportedFile)| {
            let wrong = |problem: String| Box::new(recipe.error(import.file.at, problem));
            let path = Path::new(&import.file.value);
            let before = found_before.iter().find(|found| found.path == path && !path.exists());
            let found = before.map_or_else(|| Self::read(path), |found| Ok(found.clone()));
            let found = found.map_err(|error| wrong(error.to_string()))?;
            let (order, normalization) = (import.order.clone(), import.normalization);
            let found = Self { normalization, order, ..found };
            found.check_is(*name).map_err(wrong)?;
            Ok((*name, found))
        };
        let files = cell.import.iter().filter(|(name, import)| begins(name) && !HubImport::is_meant(import));
        files.map(read).collect()
    }

    /// Says what it is if it is not this network.
    fn check_is(&self, name: ModelName) -> std::result::Result<(), String> {
        let classes = if self.order.is_empty() { self.outputs } else { self.order.len() };
        if name.spec(classes) == self.model {
            return Ok(());
        }
        Err(format!("it holds {} with {} outputs, and not {name}", self.model, self.outputs))
    }

    /// The run that it is on data with this card.
    ///
    /// # Errors
    /// If what it expects of pixels or classes makes no sense, its outputs are not those of the data's classes, or its logits not those of
    /// the data's images.
    pub fn config(&self, card: &Card, device: DeviceType) -> Result<RunConfig> {
        if let Some(logits) = &self.logits {
            logits.check(&self.path, card)?;
            if self.normalization.is_some() {
                let reason =
                    "it holds logits, which no mean and deviation of pixels are for: leave them out".to_owned();
                return Err(Error::Import { path: self.path.clone(), reason });
            }
        }
        let order = self.order_for(card)?;
        let found = if order.is_empty() { self.outputs } else { order.len() };
        if found != card.classes() || order.iter().any(|output| *output >= self.outputs) {
            return Err(Error::Config(format!(
                "{} holds {} with {} outputs, and {} has {} classes: each of them is to be given one output",
                printable(&self.name),
                self.model,
                self.outputs,
                card.name,
                card.classes()
            )));
        }
        let Normalization { mean, std } = self.normalization.unwrap_or(card.normalization);
        let imported = Imported { file: self.hash.clone(), mean, std, outputs: order };
        RunConfig::new(RunSettings {
            numerics: NUMERICS,
            device,
            model: self.model,
            seed: 0,
            data: DataConfig::of(card, None),
            training: Training::NONE,
            imported: Some(imported.simplified(self.outputs)),
            distillation: None,
        })
    }

    /// Which of its outputs are the classes of these data, if that is said or can be told by their names.
    fn order_for(&self, card: &Card) -> Result<Vec<usize>> {
        if !self.order.is_empty() || self.class_names.is_empty() {
            return Ok(self.order.clone());
        }
        let place = |class: &String| {
            let named: Vec<usize> = self
                .class_names
                .iter()
                .enumerate()
                .filter(|(_, name)| *name == class)
                .map(|(output, _)| output)
                .collect();
            match named.as_slice() {
                [output] => Ok(*output),
                _ => Err(Error::OutputOfClass {
                    name: self.name.clone(),
                    class: class.clone(),
                    data: card.name.to_string(),
                    found: named.len(),
                }),
            }
        };
        card.class_names.iter().map(place).collect()
    }

    /// The file again, if it is still the one that was found.
    ///
    /// # Errors
    /// If it cannot be read or has changed.
    pub fn open(&self) -> Result<NetworkFromElsewhere> {
        let file = NetworkFromElsewhere::read(&self.path)?;
        if file.hash() == self.hash {
            return Ok(file);
        }
        let reason = "the file has changed since the experiment was planned; start again".to_owned();
        Err(Error::Import { path: self.path.clone(), reason })
    }
}
