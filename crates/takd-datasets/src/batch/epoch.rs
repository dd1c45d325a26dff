//! One epoch: which images its batches hold, and which part of each is seen.

use super::{augmentation::Crop, types::BatchConfig, window::Window};
use crate::{Error, Images, Result};
use takd_rng::{ChaCha8Rng, Streams};

/// The images of one epoch, and what is done with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch<'a> {
    pub(super) images: &'a Images,
    pub(super) order: &'a [u32],
    pub(super) config: &'a BatchConfig,
    pub(super) streams: &'a Streams,
    pub(super) epoch: usize,
}

impl<'a> Epoch<'a> {
    /// Images a batch. `chunks` does not take 0; all images in one chunk are enough for the error that is returned then.
    pub(super) fn batch_size(&self) -> usize {
        match self.config.batch_size {
            0 => usize::MAX,
            size => size,
        }
    }

    /// The indices of each batch's images, or what is wrong with a batch.
    pub(super) fn cut(self) -> impl Iterator<Item = Result<&'a [u32]>> {
        let len = self.images.len();
        let augmentation = self.config.augmentation.check();
        self.order.chunks(self.batch_size()).map(move |indices| {
            if self.config.batch_size == 0 {
                return Err(Error::BatchSize);
            }
            augmentation.clone()?;
            match indices.iter().find(|&&index| index as usize >= len) {
                Some(&index) => Err(Error::Index { index, len }),
                None => Ok(indices),
            }
        })
    }

    /// Which part of image `index` is seen, if it is neither scaled nor changed otherwise.
    pub(super) fn window(&self, index: u32) -> Window {
        match self.config.augmentation.crop {
            Crop::PadFlip { padding } => Window::padded(padding, &mut self.stream(index)),
            Crop::None | Crop::ResizedFlip { .. } => Window::ALL,
        }
    }

    /// The random numbers of image `index`.
    pub(super) fn stream(&self, index: u32) -> ChaCha8Rng {
        self.streams.stream(&format!("augment/epoch {}/image {index}", self.epoch))
    }

    /// Those of the batch that begins with image `index`.
    pub(super) fn batch_stream(&self, index: u32) -> ChaCha8Rng {
        self.streams.stream(&format!("mix/epoch {}/image {index}", self.epoch))
    }
}
