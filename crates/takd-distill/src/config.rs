//! What one run is: everything its outcome depends on, and the id that stands for it.

use crate::{Error, Recipe, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::fmt;
use takd_datasets::{Dataset, DatasetName};
use takd_models::ModelSpec;
use takd_ops::{Precision, precision};

/// Version of the arithmetic: raised whenever equal configurations would no longer end in equal bits, so that their
/// runs are not taken for one another.
pub const NUMERICS: u32 = 2;

/// A run's configuration. The run is a pure function of it, and [`RunConfig::id`] is its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`NUMERICS`] of the program that made it.
    pub numerics: u32,
    /// What it is trained on: devices round differently.
    pub device: DeviceType,
    /// The network that is trained.
    #[serde(with = "as_name")]
    pub model: ModelSpec,
    /// Decides the initial weights, the order of the images and their augmentation.
    pub seed: u64,
    /// What it is trained and tested on.
    pub data: DataConfig,
    /// How it is trained.
    pub recipe: Recipe,
    /// Who teaches it; nobody where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

/// A kind of device, with the arithmetic it is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceType {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An NVIDIA GPU whose tensor cores may round factors to TF32: [`takd_ops::set_precision`].
    CudaTf32,
    /// An Apple GPU.
    Metal,
}

impl DeviceType {
    /// The kind that `device` is of, as this process uses it now.
    pub fn of(device: &Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(_) if precision() == Precision::Tf32 => Self::CudaTf32,
            Device::Cuda(_) => Self::Cuda,
            Device::Metal(_) => Self::Metal,
        }
    }

    /// `cpu`, `cuda`, `cuda-tf32` or `metal`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::CudaTf32 => "cuda-tf32",
            Self::Metal => "metal",
        }
    }
}

/// Which images a run sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    #[serde(with = "as_name")]
    pub dataset: DatasetName,
    /// [`Dataset::checksum`] of all its images.
    pub checksum: String,
    /// How many training images are used, those held out included; as [`limit_training_images`] chooses them.
    pub train_images: usize,
}

impl DataConfig {
    /// What identifies `data` as it is, limited or not.
    pub fn of(data: &Dataset) -> Self {
        Self { dataset: data.name, checksum: data.checksum.clone(), train_images: data.train.len() }
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
}

impl RunConfig {
    /// The run's id: the first 16 hexadecimal digits of the BLAKE3 hash of the configuration as JSON.
    ///
    /// # Errors
    /// Where a number of the configuration is not finite, or the seed above [`i64::MAX`], which TOML has no number for.
    pub fn id(&self) -> Result<RunId> {
        let recipe = &self.recipe;
        let of_kd = self.distillation.iter().flat_map(|kd| [kd.lambda, kd.temperature]);
        let rates = recipe.lr.iter().map(|piece| piece.lr);
        if !of_kd.chain(rates).chain([recipe.momentum, recipe.weight_decay]).all(f64::is_finite) {
            return Err(Error::Config("λ, τ, learning rates, momentum and weight decay must be finite".into()));
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Error::Config(format!("its seed {} is above {}", self.seed, i64::MAX)));
        }
        let json = serde_json::to_vec(self).map_err(Error::unwritable)?;
        Ok(RunId(blake3::hash(&json).to_hex()[..16].to_owned()))
    }
}

/// A run's name: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunId(String);

impl TryFrom<String> for RunId {
    type Error = Error;

    fn try_from(id: String) -> Result<Self> {
        let fits = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(id)) } else { Err(Error::Config(format!("`{id}` is no run id: 16 hexadecimal digits"))) }
    }
}

impl RunId {
    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Leaves `limit` training images, the classes in their proportions; always the same ones. All of them without a limit.
pub fn limit_training_images(data: &mut Dataset, limit: Option<usize>) {
    if let Some(limit) = limit
        && limit < data.train.len()
    {
        data.train = data.train.limit(limit, SPLIT_SEED);
    }
}

/// What images are held out or left out must not change with a run's seed.
pub(crate) const SPLIT_SEED: u64 = 0;

/// Serialises what has a name by its name.
pub(crate) mod as_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
