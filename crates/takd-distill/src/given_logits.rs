//! The logits of a teacher that is known by nothing else: those of a file, and as a run keeps them.

use crate::config::RunConfig;
use crate::network_file;
use crate::other_images::OtherImages;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use takd_datasets::{Card, Split};
use takd_store::{Claim, RunId};

/// Rows that are turned into 32-bit floats at once.
const AT_ONCE: usize = 4096;

/// What a file of logits says of itself: whose images they are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogitsAbout {
    /// [`Card::checksum`] of the images.
    pub checksum: String,
    /// Which data set they are of, if that is said; for messages.
    pub dataset: Option<String>,
    /// What its columns are called, if that is said.
    pub class_names: Vec<String>,
    /// Training images.
    pub train: usize,
    /// Test images, if it has their logits.
    pub test: Option<usize>,
}

impl LogitsAbout {
    /// Refuses logits that are not those of the images with this card; `path` is their file.
    ///
    /// # Errors
    /// [`Error::OtherImages`] if the checksum differs, [`Error::Import`] if a number of images does.
    pub fn check(&self, path: &Path, card: &Card) -> Result<()> {
        let Self { checksum, dataset, train, test, .. } = self;
        let name = &card.name;
        if *checksum != card.checksum {
            let (dataset, checksum, expected) = (dataset.clone(), checksum.clone(), card.checksum.clone());
            let other = OtherImages { path: path.to_owned(), dataset, checksum, name: name.clone(), expected };
            return Err(Error::OtherImages(Box::new(other)));
        }
        let problem = if *train != card.train {
            format!(
                "its tensor `train` has {train} rows, and {name} has {} training images: a row for each",
                card.train
            )
        } else if let Some(test) = test.filter(|test| *test != card.test) {
            format!(
                "its tensor `test` has {test} rows, and {name} has {} test images: a row for each, or none",
                card.test
            )
        } else {
            return Ok(());
        };
        Err(Error::Import { path: path.to_owned(), reason: problem })
    }
}

/// Logits of a data set's images, `[images, classes]`, each split in the precision in which it came.
#[derive(Clone, Debug)]
pub(crate) struct GivenLogits {
    train: Tensor,
    test: Option<Tensor>,
}

impl GivenLogits {
    /// Those in a file from elsewhere, and what it says of itself; nothing if it is no safetensors file whose tensors are called `train`
    /// and `test`.
    ///
    /// # Errors
    /// [`Error::Import`] if it is one and its tensors are no logits or are not finite as 32-bit floats, [`Error::NoChecksum`] if its
    /// metadata do not say of which images they are.
    pub(crate) fn recognise(path: &Path, bytes: &[u8]) -> Result<Option<(LogitsAbout, Self)>> {
        let Ok(file) = SafeTensors::deserialize(bytes) else { return Ok(None) };
        if file.is_empty() || !file.names().iter().all(|name| split(name).is_some()) {
            return Ok(None);
        }
        let refused = |reason: String| Error::Import { path: path.to_owned(), reason };
        let found = Self::of(&file).map_err(refused)?;
        for (split, tensor) in found.splits() {
            if let Some(problem) = not_finite(tensor)? {
                return Err(refused(format!("its tensor `{split}` holds {problem}: a teacher's logits are finite")));
            }
        }
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| refused(error.to_string()))?;
        let said = |key: &str| metadata.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
        let checksum = said("checksum").ok_or_else(|| Error::NoChecksum(path.to_owned()))?;
        let class_names: Vec<String> = match said("class_names") {
            Some(names) => serde_json::from_str(&names)
                .map_err(|error| refused(format!("its `class_names` are no JSON list of names: {error}")))?,
            None => Vec::new(),
        };
        let (columns, names) = (found.outputs(), class_names.len());
        if names > 0 && names != columns {
            return Err(refused(format!("it has {names} `class_names` and {columns} columns: a name for each column")));
        }
        if class_names.iter().collect::<BTreeSet<_>>().len() != names {
            return Err(refused("two of its `class_names` are the same".into()));
        }
        let (train, test) = (found.train.dims()[0], found.test.as_ref().map(|test| test.dims()[0]));
        Ok(Some((LogitsAbout { checksum, dataset: said("dataset"), class_names, train, test }, found)))
    }

    /// Those that the file of a run keeps.
    pub(crate) fn load(path: &Path, run: &RunId) -> Result<Self> {
        let bytes = network_file::read(path, run, |epoch| epoch == 0)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::damaged(path, error))?;
        Self::of(&file).map_err(|problem| Error::damaged(path, problem))
    }

    /// Keeps them in the file of a run.
    pub(crate) fn save(&self, claim: &Claim, config: &RunConfig) -> Result<()> {
        let tensors = self.splits().map(|(split, tensor)| (split.to_string(), tensor.clone()));
        network_file::save_tensors(claim, config, 0, self.outputs(), tensors)
    }

    /// The tensors of a file, or why they are no logits.
    fn of(file: &SafeTensors<'_>) -> Result<Self, String> {
        let read = |split: Split| -> Result<Option<Tensor>, String> {
            let Ok(found) = file.tensor(split.as_str()) else { return Ok(None) };
            let dtype = match found.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::F64 => DType::F64,
                other => return Err(format!("its tensor `{split}` is of {other:?}: logits are f32, f16, bf16 or f64")),
            };
            let shape = found.shape();
            if shape.len() != 2 || shape.contains(&0) {
                return Err(format!("its tensor `{split}` has the shape {shape:?}: logits are [images, classes]"));
            }
            let tensor = Tensor::from_raw_buffer(found.data(), dtype, shape, &Device::Cpu);
            tensor.map(Some).map_err(|error| error.to_string())
        };
        let test = read(Split::Test)?;
        let train =
            read(Split::Train)?.ok_or("it has no tensor `train`: a student is taught on the training images")?;
        match &test {
            Some(test) if test.dims()[1] != train.dims()[1] => Err(format!(
                "its tensors have {} and {} columns: a column for each class",
                train.dims()[1],
                test.dims()[1]
            )),
            _ => Ok(Self { train, test }),
        }
    }

    /// Logits for each image.
    pub(crate) fn outputs(&self) -> usize {
        self.train.dims()[1]
    }

    /// With these columns as its classes; all if none is named.
    pub(crate) fn with_outputs(&self, outputs: &[usize]) -> Result<Self> {
        if outputs.is_empty() {
            return Ok(self.clone());
        }
        let outputs: Vec<u32> = outputs.iter().map(|&output| output as u32).collect();
        let outputs = Tensor::new(outputs, &Device::Cpu)?;
        let chosen = |tensor: &Tensor| tensor.index_select(&outputs, 1);
        Ok(Self { train: chosen(&self.train)?, test: self.test.as_ref().map(chosen).transpose()? })
    }

    /// Those of some images of a split, row by row; nothing if it has none of the split.
    pub(crate) fn rows(&self, split: Split, images: impl Iterator<Item = usize>) -> Result<Option<Vec<f32>>> {
        let Some((_, tensor)) = self.splits().find(|(own, _)| *own == split) else { return Ok(None) };
        let images: Vec<u32> = images.map(|image| image as u32).collect();
        let rows = tensor.index_select(&Tensor::new(images, &Device::Cpu)?, 0)?;
        Ok(Some(floats(&rows)?))
    }

    /// All of the test images, if it has them.
    pub(crate) fn of_test(&self) -> Result<Option<Vec<f32>>> {
        self.test.as_ref().map(floats).transpose()
    }

    /// In words: what there is, and in which precision.
    pub(crate) fn described(&self) -> String {
        let parts = self.splits().map(|(split, tensor)| {
            let images = if split == Split::Train { "training" } else { "test" };
            format!("of {} {images} images, {}", tensor.dims()[0], tensor.dtype().as_str())
        });
        format!("logits {}", parts.collect::<Vec<_>>().join("; "))
    }

    fn splits(&self) -> impl Iterator<Item = (Split, &Tensor)> {
        let test = self.test.iter().map(|test| (Split::Test, test));
        std::iter::once((Split::Train, &self.train)).chain(test)
    }
}

/// The split whose logits a tensor of this name holds.
fn split(name: &str) -> Option<Split> {
    [Split::Train, Split::Test].into_iter().find(|split| split.as_str() == name)
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// The first number that is none as a 32-bit float, and its place.
fn not_finite(tensor: &Tensor) -> Result<Option<String>> {
    let (images, classes) = tensor.dims2()?;
    for first in (0..images).step_by(AT_ONCE) {
        let values = floats(&tensor.narrow(0, first, AT_ONCE.min(images - first))?)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Ok(Some(format!(
                "{} for image {}, class {} (both from 0)",
                values[at],
                first + at / classes,
                at % classes
            )));
        }
    }
    Ok(None)
}
