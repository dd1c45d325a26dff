//! The file of a teacher's kept logits, in its run's folder.

use crate::config::NUMERICS;
use crate::device::DeviceType;
use crate::view::{Form, View};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;
use takd_datasets::{Augmentation, Batch, Split};
use takd_store::{Claim, RunId, seal};

/// The most bytes of logits of one teacher that are kept for one student, for they are held in memory while it is trained.
/// A teacher of more looks at every batch instead.
pub(crate) const KEPT_AT_MOST: usize = 1 << 30;

/// The most bytes that a file of logits may have: its values and a header.
const FILE_AT_MOST: u64 = KEPT_AT_MOST as u64 + (1 << 20);

const TENSOR: &str = "logits";

/// Which images a teacher looks at, and how it sees them.
#[derive(Clone, Copy)]
pub(crate) struct LogitsKey<'a> {
    pub split: Split,
    pub view: View<'a>,
    pub form: Form,
    pub classes: usize,
    pub device: DeviceType,
}

impl LogitsKey<'_> {
    pub(crate) fn images(&self) -> usize {
        self.view.images.images().len()
    }

    /// The file's name: all that the logits depend on beside the teacher's run, which fixes the data and what pixels are
    /// scaled by.
    pub(crate) fn file(&self) -> String {
        let Self { split, form, device, .. } = self;
        let form = match form.augmentation {
            Augmentation::NONE => String::new(),
            augmentation => {
                format!("-{}-replay{}", augmentation.to_string().replace(" + ", "+").replace(' ', "_"), form.replay)
            }
        };
        format!("logits-{split}-{}{form}-{device}-numerics{NUMERICS}.safetensors", self.images())
    }
}

/// Whether a file of this name holds kept logits.
pub(crate) fn is_logits(name: &str) -> bool {
    let split = |split: Split| name.starts_with(&format!("logits-{split}-"));
    let version = name.strip_suffix(".safetensors").and_then(|name| name.rsplit_once("-numerics"));
    [Split::Train, Split::Test].into_iter().any(split)
        && version.is_some_and(|(_, version)| version.parse::<u32>().is_ok())
}

/// What stands in the file's header.
#[derive(Serialize, Deserialize)]
struct Header {
    run: RunId,
    /// The file's name, which says what images and how they were seen.
    file: String,
    images: usize,
    classes: usize,
}

/// Logits of all images of a split.
pub(crate) struct KeptLogits {
    /// `[images, classes]`.
    pub values: Vec<f32>,
    images: usize,
    classes: usize,
}

impl KeptLogits {
    /// Logits of the key's images, kept in the folder of the teacher's run.
    pub(crate) fn keep(claim: &Claim, key: &LogitsKey<'_>, values: Vec<f32>) -> Result<Self> {
        let (images, classes) = (key.images(), key.classes);
        let tensor = Tensor::from_slice(&values, (images, classes), &Device::Cpu)?;
        let header = Header { run: claim.id().clone(), file: key.file(), images, classes };
        claim.write(&header.file, &seal::to_safetensors([(TENSOR.to_owned(), tensor)], &header)?)?;
        Ok(Self { values, images, classes })
    }

    /// The kept logits in a file, if there is one.
    pub(crate) fn open(path: &Path, teacher: &RunId, key: &LogitsKey<'_>) -> Result<Option<Self>> {
        let Some(bytes) = takd_store::read_file(path, FILE_AT_MOST)? else { return Ok(None) };
        let (header, values) = parse(path, &bytes, teacher)?;
        if (header.images, header.classes) != (key.images(), key.classes) {
            let Header { images, classes, .. } = header;
            return Err(Error::damaged(path, format!("it holds the logits of {images} images for {classes} classes")));
        }
        let values = values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok(Some(Self { values, images: header.images, classes: header.classes }))
    }

    /// Moved to where students on `device` read them: a GPU gets a copy, if that takes no more than is left of `room` bytes.
    pub(crate) fn placed_on(self, device: &Device, room: &mut usize) -> Result<PlacedLogits> {
        let bytes = 4 * self.values.len();
        if device.is_cpu() || bytes > *room {
            return Ok(PlacedLogits::Host(self));
        }
        *room -= bytes;
        Ok(PlacedLogits::Device(Tensor::from_vec(self.values, (self.images, self.classes), device)?))
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.classes..][..self.classes]
    }
}

/// Kept logits as they are read batch by batch.
pub(crate) enum PlacedLogits {
    Host(KeptLogits),
    /// `[images, classes]`.
    Device(Tensor),
}

impl PlacedLogits {
    /// The logits of the batch's images, `[batch, classes]`, on its device.
    pub(crate) fn rows(&self, batch: &Batch) -> Result<Tensor> {
        match self {
            Self::Host(kept) => {
                let indices = &batch.indices;
                let mut rows = Vec::with_capacity(indices.len() * kept.classes);
                for &index in indices {
                    rows.extend_from_slice(kept.row(index as usize));
                }
                Ok(Tensor::from_vec(rows, (indices.len(), kept.classes), batch.images.device())?)
            }
            Self::Device(all) => Ok(all.index_select(&batch.index, 0)?),
        }
    }
}

/// Fails unless the file holds logits of `teacher`, as they were written.
pub(crate) fn check(path: &Path, teacher: &RunId) -> Result<()> {
    let Some(bytes) = takd_store::read_file(path, FILE_AT_MOST)? else { return Ok(()) };
    parse(path, &bytes, teacher).map(drop)
}

/// The header, and the bytes of the values.
fn parse<'a>(path: &Path, bytes: &'a [u8], teacher: &RunId) -> Result<(Header, &'a [u8])> {
    let (header, tensors) = seal::from_safetensors::<Header>(path, bytes)?;
    if header.run != *teacher || !path.ends_with(&header.file) {
        return Err(Error::damaged(path, format!("it is {} of run {}", header.file, header.run)));
    }
    let names = tensors.names();
    if names != [TENSOR] {
        return Err(Error::damaged(path, format!("its tensors are {names:?}, not `{TENSOR}` alone")));
    }
    let tensor = tensors.tensor(TENSOR).map_err(|error| Error::damaged(path, error))?;
    if tensor.shape() != [header.images, header.classes] || tensor.dtype() != safetensors::Dtype::F32 {
        return Err(Error::damaged(path, format!("its tensor is {:?} of {:?}", tensor.shape(), tensor.dtype())));
    }
    Ok((header, tensor.data()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_given_here_are_a_runs_own() {
        for own in [
            "logits-test-100-cpu-numerics3.safetensors",
            "logits-train-200-crop-flip-replay1-cuda-numerics12.safetensors",
        ] {
            assert!(is_logits(own), "{own}");
        }
        for other in
            ["logits-mine.safetensors", "logits-train-mine.safetensors", "logits-train-200-cpu-numerics.safetensors"]
        {
            assert!(!is_logits(other), "{other}");
        }
    }
}
