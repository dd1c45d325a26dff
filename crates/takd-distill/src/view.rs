//! A network over many images without training it.

use crate::evaluation::Evaluation;
use crate::event::{Event, Pass, Watch};
use crate::{Error, Result, steps};
use candle_core::Tensor;
use candle_nn::ModuleT;
use takd_datasets::{Augmentation, BatchConfig, Dataset, Normalization, PlacedImages, batches};
use takd_models::Network;
use takd_ops::Compute;
use takd_rng::Streams;

/// The most images a pass: enough to keep the processor busy, few enough for its memory.
pub(crate) const BATCH: usize = 256;

/// Pixels of an image up to which so many are taken.
const PIXELS: usize = 96 * 96;

/// The images of a pass, a power of two: fewer the larger they are, so that their features do not fill the memory.
fn batch_size(pixels: usize) -> usize {
    let most = BATCH * PIXELS / pixels.max(PIXELS);
    (1 << most.max(1).ilog2()).clamp(16, BATCH)
}

/// A data set whose batches are made for one device.
pub(crate) struct PlacedData<'a> {
    pub data: &'a Dataset,
    pub compute: &'a Compute,
    pub train: PlacedImages<'a>,
    pub test: PlacedImages<'a>,
}

impl<'a> PlacedData<'a> {
    pub(crate) fn new(data: &'a Dataset, compute: &'a Compute) -> Result<Self> {
        let (train, test) = (data.train.placed_on(&compute.device)?, data.test.placed_on(&compute.device)?);
        Ok(Self { data, compute, train, test })
    }

    pub(crate) fn classes(&self) -> usize {
        self.data.card.class_names.len()
    }
}

/// Which of its forms an image is seen in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    pub augmentation: Augmentation,
    /// Which of the augmentations that are drawn once and replayed.
    pub replay: usize,
}

impl Form {
    /// Not augmented.
    pub(crate) const AS_IT_IS: Self = Self { augmentation: Augmentation::NONE, replay: 0 };
}

/// The streams of augmentations that are drawn once and replayed. They belong to no run and no network, so that all students
/// of a teacher share its logits for them.
pub(crate) fn replayed() -> Streams {
    Streams::new(0, "replayed")
}

/// Images, and how they enter a network.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub images: &'a PlacedImages<'a>,
    pub normalization: Normalization,
}

impl View<'_> {
    /// The logits of the images named by `order`, row by row, on the CPU; `watch` may break it off.
    pub(crate) fn logits(
        &self,
        network: &Network,
        order: &[u32],
        form: Form,
        pass: Pass,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<f32>> {
        let Form { augmentation, replay } = form;
        let images = self.images.images();
        let batch_size = batch_size(images.height() * images.width());
        let config = BatchConfig { batch_size, augmentation, normalization: self.normalization };
        let mut logits = Vec::with_capacity(order.len() * network.classes());
        let streams = replayed();
        let mut batches = batches(self.images, order, &config, &streams, replay);
        loop {
            let queue = batches.by_ref().take(steps::queue_len(self.images.device()));
            let rows = queue.map(|batch| Ok(network.forward_t(&batch?.images, false)?.detach()));
            let rows = rows.collect::<Result<Vec<Tensor>>>()?;
            if rows.is_empty() {
                return Ok(logits);
            }
            logits.extend(Tensor::cat(&rows, 0)?.flatten_all()?.to_vec1::<f32>()?);
            let done = logits.len() / network.classes();
            if watch(Event::Pass { pass, done, total: order.len() }).is_break() {
                return Err(Error::Stopped);
            }
        }
    }

    /// How `network` does on the images named by `order`, and its logits for them.
    pub(crate) fn evaluate(
        &self,
        network: &Network,
        order: &[u32],
        pass: Pass,
        watch: &mut Watch<'_>,
    ) -> Result<(Evaluation, Vec<f32>)> {
        let logits = self.logits(network, order, Form::AS_IT_IS, pass, watch)?;
        let labels = order.iter().map(|&index| self.images.images().labels()[index as usize] as usize);
        Ok((Evaluation::of(&logits, network.classes(), labels)?, logits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_images_are_seen_in_smaller_batches_that_divide_the_largest() {
        let sizes = [8, 28, 32, 96, 97, 128, 192, 224, 256, 1024];
        assert_eq!(sizes.map(|side| batch_size(side * side)), [256, 256, 256, 256, 128, 128, 64, 32, 32, 16]);
    }
}
