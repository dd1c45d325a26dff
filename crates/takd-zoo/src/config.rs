//! What a model folder says of itself: `config.json`.

use crate::WeightPrecision;
use serde::{Deserialize, Serialize};
use takd_datasets::{Card, Fit, Normalization};
use takd_models::ModelSpec;

/// The version of the format that is written and read.
pub const FORMAT_VERSION: u64 = 1;

/// Everything about a model but its weights: all that is needed to use it elsewhere, and where it came from.
///
/// Its JSON has the fields in this order; those that are not known are left out. Fields that are not listed here are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// [`FORMAT_VERSION`]. It is raised if an older program would misunderstand the file.
    pub format_version: u64,
    /// The version of takd that wrote it.
    pub takd_version: String,
    /// Which network it is, by takd's name: `plane2`, `plane10-wide`, `resnet8`, `imagenet-resnet50`, …
    #[serde(with = "as_text")]
    pub architecture: ModelSpec,
    /// Number of classes, and of logits.
    pub classes: usize,
    /// The classes' names, in the order of the logits.
    pub class_names: Vec<String>,
    /// What the network is given.
    pub input: Input,
    /// How its weights are stored.
    pub weights: WeightPrecision,
    /// The licence of the weights, as the hub names licences: `mit`, `apache-2.0`, `cc-by-nc-4.0`, `other`, …
    pub licence: String,
    /// What it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// How well it does on images that it was not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// How it came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// What each precision of the weights costs, for this model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub precisions: Vec<PrecisionCost>,
}

/// The images that a network takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// How an image of any size becomes that: `"64"`, the square in its middle scaled to 64x64; `"224of256"`, scaled until the shorter
    /// side has 256 pixels, and of that the 224x224 in the middle. Bilinear with antialiasing, as Pillow does it.
    pub scaling: Fit,
    /// The order of the channels.
    pub channels: Channels,
    /// Mean of each channel, of pixels from 0 to 1. A byte `p` enters the network as `(p / 255 - mean) / std`.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

/// The order of an image's channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    #[serde(rename = "RGB")]
    Rgb,
}

/// The data set that a model was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Its name, such as `cifar10`.
    pub name: String,
    /// Its id on the Hugging Face hub, such as `uoft-cs/cifar10`, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_id: Option<String>,
    /// Where the images came from, one line for a person to read.
    pub origin: String,
    /// Under what licence they may be used, one line for a person to read.
    pub licence: String,
    /// A hash of pixels and labels: equal exactly if the data are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// What a person should know of the data before trusting results on them, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How many test images a model gets right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Share of the test images whose likeliest class is the right one, 0 to 1.
    pub top1: f64,
    /// Share of the test images whose right class is among the five likeliest, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Number of test images.
    pub images: usize,
    /// The seed of this model's training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Top-1 accuracy of models that differ from this one by their seeds alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Seeds>,
}

/// The spread of an accuracy over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// Number of seeds, this model's among them.
    pub n: usize,
    /// Mean, 0 to 1.
    pub mean: f64,
    /// Standard deviation, with `n - 1`.
    pub deviation: f64,
}

/// How a model came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The networks along which knowledge was passed on, this one last: `plane10 -> plane4 -> plane2`, or its name alone.
    pub path: String,
    /// The id of the run that ended with these weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Settings of the training, as a person would tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// The command that trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A setting and its value, such as `epochs` and `150`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What is set.
    pub name: String,
    /// To what.
    pub value: String,
}

/// What a precision of the weights costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionCost {
    /// The precision.
    pub precision: WeightPrecision,
    /// Bytes of `model.safetensors`.
    pub bytes: usize,
    /// Top-1 accuracy on the test images, 0 to 1, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
}

impl Config {
    /// Of a network whose weights are stored as they were trained; what else is known can be put into its fields.
    pub fn new(architecture: ModelSpec, class_names: Vec<String>, input: Input, licence: &str) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            takd_version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture,
            classes: class_names.len(),
            class_names,
            input,
            weights: WeightPrecision::F32,
            licence: licence.to_owned(),
            data: None,
            accuracy: None,
            training: None,
            precisions: Vec::new(),
        }
    }

    /// The path along which knowledge was passed on, if it was.
    pub(crate) fn distillation_path(&self) -> Option<&str> {
        let path = self.training.as_ref().map(|training| training.path.as_str());
        path.filter(|path| path.contains("->"))
    }
}

impl Input {
    /// Square images scaled in this way, with this mean and deviation.
    pub fn new(scaling: Fit, normalization: Normalization) -> Self {
        let (side, Normalization { mean, std }) = (scaling.side(), normalization);
        Self { height: side, width: side, scaling, channels: Channels::Rgb, mean, std }
    }

    /// Mean and deviation.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.mean, std: self.std }
    }
}

impl From<&Card> for Data {
    fn from(card: &Card) -> Self {
        Self {
            name: card.name.to_string(),
            hub_id: None,
            origin: card.origin.clone(),
            licence: card.licence.clone(),
            checksum: Some(card.checksum.clone()),
            train: card.train,
            test: card.test,
            notes: card.notes.clone(),
        }
    }
}

/// A type that prints as the text that it is parsed from.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
