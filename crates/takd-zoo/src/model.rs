//! A model: a configuration and its weights, opened from a folder or made from a network, and written as a folder.

use crate::folder::{self, Existing};
use crate::weights::Weights;
use crate::{Config, Extras, OnnxInput, PrecisionCost, Result, WeightPrecision, card, config_file, onnx, python};
use candle_core::Device;
use std::path::Path;
use takd_models::{Network, Parameters};

/// A trained network to give away: its configuration, and its weights as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    config: Config,
    weights: Weights,
}

impl Model {
    /// A model of a network in memory. Its weights are stored as `config.weights` says.
    ///
    /// # Errors
    /// If the configuration contradicts itself or the network, or a weight is not a number, or too large for the precision.
    pub fn new(config: Config, parameters: &Parameters) -> Result<Self> {
        let layers = config.architecture.layers(config.classes);
        let weights = Weights::of(parameters)?.rounded_to(config.weights, &layers);
        Self { config, weights }.checked_in_memory()
    }

    /// The model in a folder. Links in place of its files are not followed.
    ///
    /// # Errors
    /// If the folder lacks `config.json` or `model.safetensors`, or either of them is no regular file, too large, damaged, of another
    /// version, not consistent in itself or with the other.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_files(&folder.join(folder::CONFIG), &folder.join(folder::WEIGHTS))
    }

    /// The model of a `config.json` and a `model.safetensors` that lie anywhere, under any names, as in the cache of the hub. Links in their
    /// place are not followed.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_files(config_path: &Path, weights_path: &Path) -> Result<Self> {
        let config = config_file::parse(&folder::read_config(config_path)?, config_path)?;
        let weights = Weights::parse(&folder::read_weights(weights_path)?, weights_path)?;
        Self { config, weights }.checked(config_path, weights_path)
    }

    /// The bytes of the files of a model's folder as they are there, by their names. What else is in the folder is none of it.
    ///
    /// # Errors
    /// If something else than a regular file, such as a link, is in the place of one, or it cannot be read.
    pub fn files_in(folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
        folder::read_all(folder)
    }

    fn checked(self, config_path: &Path, weights_path: &Path) -> Result<Self> {
        let Config { architecture, classes, weights, .. } = self.config;
        config_file::check(&self.config, config_path)?;
        self.weights.check(architecture, classes, weights, weights_path)?;
        Ok(self)
    }

    /// The same for a model that has no files yet.
    fn checked_in_memory(self) -> Result<Self> {
        self.checked(Path::new(folder::CONFIG), Path::new(folder::WEIGHTS))
    }

    /// What the model says of itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same weights with another configuration, such as one that knows the accuracy.
    ///
    /// # Errors
    /// If it contradicts itself or the weights.
    pub fn with_config(self, config: Config) -> Result<Self> {
        Self { config, ..self }.checked_in_memory()
    }

    /// The same model with weights stored in this precision. What is lost is lost: [`Model::network`] is the network as it will be read
    /// back, so that its accuracy can be measured.
    ///
    /// # Errors
    /// If a weight is too large for the precision.
    pub fn stored_as(&self, precision: WeightPrecision) -> Result<Self> {
        let Config { architecture, classes, .. } = self.config;
        let config = Config { weights: precision, ..self.config.clone() };
        let weights = self.weights.rounded_to(precision, &architecture.layers(classes));
        Self { config, weights }.checked_in_memory()
    }

    /// Bytes of `model.safetensors`; the accuracy is the caller's to measure.
    ///
    /// # Errors
    /// If the weights cannot be put into a file.
    pub fn cost(&self, top1: Option<f64>) -> Result<PrecisionCost> {
        Ok(PrecisionCost { precision: self.config.weights, bytes: self.weights.to_safetensors()?.len(), top1 })
    }

    /// The network that is stored, in 32-bit floats, and its parameters.
    ///
    /// # Errors
    /// If the device fails.
    pub fn network(&self, device: &Device) -> Result<(Network, Parameters)> {
        let Config { architecture, classes, .. } = self.config;
        self.weights.network(architecture, classes, Path::new(folder::WEIGHTS), device)
    }

    /// The bytes of an ONNX file of the network.
    ///
    /// # Errors
    /// If a batch normalisation is such that it cannot be put into its convolution.
    pub fn to_onnx(&self, input: OnnxInput) -> Result<Vec<u8>> {
        onnx::file(&self.config, &self.weights, input)
    }

    /// The names and bytes of the files of the folder. Equal models give equal bytes.
    ///
    /// # Errors
    /// As [`Model::to_onnx`].
    pub fn files(&self, extras: Extras) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut files = vec![
            (folder::CONFIG, config_file::to_bytes(&self.config)?),
            (folder::WEIGHTS, self.weights.to_safetensors()?),
            (folder::CARD, card::text(&self.config, extras).into_bytes()),
        ];
        if let Some(input) = extras.onnx {
            files.push((folder::ONNX, self.to_onnx(input)?));
        }
        if extras.python {
            files.push((folder::MODEL_PY, python::model(&self.config).into_bytes()));
            files.push((folder::EXAMPLE_PY, python::EXAMPLE.into()));
        }
        Ok(files)
    }

    /// Writes the folder, whole or not at all: the files are written into a new folder beside it, which is renamed into its place.
    ///
    /// # Errors
    /// If something is there that is not to be replaced, no model, or holds files that are not a model's; or the disk refuses.
    pub fn write(&self, folder: &Path, extras: Extras, existing: Existing) -> Result<()> {
        folder::write(folder, &self.files(extras)?, existing)
    }
}
