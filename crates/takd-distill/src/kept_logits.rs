//! A teacher's kept logits for all images of a split, as they are read batch by batch.

use crate::Result;
use crate::logits_file::LogitsFile;
use crate::logits_key::{Keep, LogitsKey};
use candle_core::{Device, Tensor};
use takd_datasets::Batch;
use takd_loss::TopK;

/// The kept logits of all images of a split, in memory or on disk.
pub(crate) struct KeptLogits {
    pub keep: Keep,
    images: usize,
    classes: usize,
    /// The images of a file, but for the last, which may have fewer.
    file_images: usize,
    files: Vec<LogitsFile>,
}

/// What is known of a teacher's logits for a batch, on the batch's device.
pub(crate) enum BatchLogits {
    /// `[batch, classes]`.
    All(Tensor),
    TopK(TopK),
}

impl KeptLogits {
    /// The logits of the key's files, in their order.
    pub(crate) fn new(key: &LogitsKey<'_>, files: Vec<LogitsFile>) -> Self {
        let &LogitsKey { keep, classes, .. } = key;
        Self { keep, images: key.images(), classes, file_images: key.file_images(), files }
    }

    /// All logits, row by row, if all were kept.
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        self.numbers(0, 0..self.images as u32, f32::from_le_bytes)
    }

    /// Moved to where students on `device` read them: a GPU gets a copy of logits that were all kept, if that takes no more
    /// than is left of `room` bytes. (The loss reads [`TopK`] on the processor.)
    pub(crate) fn placed_on(self, device: &Device, room: &mut usize) -> Result<PlacedLogits> {
        let bytes = 4 * self.images * self.classes;
        if device.is_cpu() || self.keep != Keep::All || bytes > *room {
            return Ok(PlacedLogits::Host(self));
        }
        *room -= bytes;
        Ok(PlacedLogits::Device(Tensor::from_vec(self.values()?, (self.images, self.classes), device)?))
    }

    /// Those of the batch's images.
    fn rows(&self, batch: &Batch) -> Result<BatchLogits> {
        let (device, images) = (batch.images.device(), batch.indices.len());
        let floats = |tensor| self.numbers(tensor, batch.indices.iter().copied(), f32::from_le_bytes);
        Ok(match self.keep {
            Keep::All => BatchLogits::All(Tensor::from_vec(floats(0)?, (images, self.classes), device)?),
            Keep::TopK { k, temperature } => {
                let indices = self.numbers(0, batch.indices.iter().copied(), u32::from_le_bytes)?;
                BatchLogits::TopK(TopK {
                    indices: Tensor::from_vec(indices, (images, k), device)?,
                    logits: Tensor::from_vec(floats(1)?, (images, k), device)?,
                    tail: Tensor::from_vec(floats(2)?, images, device)?,
                    temperature,
                })
            }
        })
    }

    /// The numbers of a file's tensor for some images, row by row.
    fn numbers<N>(
        &self,
        tensor: usize,
        images: impl Iterator<Item = u32>,
        number: impl Fn([u8; 4]) -> N,
    ) -> Result<Vec<N>> {
        let mut bytes = Vec::new();
        let mut numbers = Vec::new();
        for image in images.map(|image| image as usize) {
            bytes.clear();
            self.files[image / self.file_images].read(tensor, image % self.file_images, &mut bytes)?;
            numbers.extend(bytes.as_chunks().0.iter().map(|&bytes| number(bytes)));
        }
        Ok(numbers)
    }
}

/// Kept logits where they are read.
pub(crate) enum PlacedLogits {
    Host(KeptLogits),
    /// `[images, classes]`.
    Device(Tensor),
}

impl PlacedLogits {
    /// Whether they are in the processor's memory.
    #[cfg(test)]
    pub(crate) fn are_in_memory(&self) -> bool {
        matches!(self, Self::Host(kept) if kept.files.iter().all(LogitsFile::is_in_memory))
    }

    /// The logits of the batch's images.
    pub(crate) fn rows(&self, batch: &Batch) -> Result<BatchLogits> {
        match self {
            Self::Host(kept) => kept.rows(batch),
            Self::Device(all) => Ok(BatchLogits::All(all.index_select(&batch.index, 0)?)),
        }
    }
}
