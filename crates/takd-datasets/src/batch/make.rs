//! The batches of an epoch, made when they are asked for or ahead of that.

use super::{
    cpu::{self, Threads},
    epoch::Epoch,
    placed::PlacedImages,
    types::{Batch, BatchConfig},
};
use crate::{Result, ahead::ahead};
use std::thread::Scope;
use takd_rng::Streams;

/// The batches of one epoch: `order` cut into pieces of `batch_size`, the last of which may be shorter. Each is made when it is
/// asked for: by the GPU that has the images, or else by all threads of the caller's rayon pool.
///
/// Augmentation draws from the stream `augment/epoch N/image I`: an image's crop depends on nothing else, neither on the batch
/// that it is in nor on what makes the batch. For an index that is not there, or a batch size of 0, an error comes in place of
/// the batch.
pub fn batches<'a>(
    images: &'a PlacedImages<'_>,
    order: &'a [u32],
    config: &'a BatchConfig,
    streams: &'a Streams,
    epoch: usize,
) -> impl Iterator<Item = Result<Batch>> + use<'a> {
    let epoch = Epoch { images: images.images(), order, config, streams, epoch };
    #[cfg(feature = "cuda")]
    if let Some(gpu) = images.gpu(&config.augmentation) {
        return gpu.batches(epoch, super::cuda::window_groups(epoch));
    }
    cpu::moved_to(images.device(), cpu::batches(epoch, Threads::Pool))
}

/// The same batches as [`batches`] gives, bit for bit, made by a thread of `scope` while the caller works on those before. If a
/// GPU makes them, the thread draws the windows of the images ahead.
///
/// At most two batches are ready and waiting. The thread ends with the epoch, or with the batch that it makes when the iterator
/// is dropped.
///
/// ```
/// use candle_core::Device;
/// use takd_datasets::{Augmentation, BatchConfig, Images, Normalization, batches_ahead, epoch_order};
/// use takd_rng::Streams;
///
/// # fn main() -> takd_datasets::Result<()> {
/// let images = Images::new(vec![0; 6 * 32 * 32 * 3], vec![0; 6], 32, 32)?;
/// let images = images.placed_on(&Device::Cpu)?;
/// let config = BatchConfig {
///     batch_size: 4,
///     augmentation: Augmentation::CROP_FLIP,
///     normalization: Normalization::PUBLISHED_CODE,
/// };
/// let streams = Streams::new(31, "plane2");
/// let order = epoch_order(6, &streams, 0);
/// let sizes = std::thread::scope(|scope| {
///     batches_ahead(scope, &images, &order, &config, &streams, 0)
///         .map(|batch| Ok(batch?.indices.len())) // The next batch is made meanwhile.
///         .collect::<takd_datasets::Result<Vec<_>>>()
/// })?;
/// assert_eq!(sizes, [4, 2]);
/// # Ok(())
/// # }
/// ```
pub fn batches_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    images: &'scope PlacedImages<'_>,
    order: &'scope [u32],
    config: &'scope BatchConfig,
    streams: &'scope Streams,
    epoch: usize,
) -> impl Iterator<Item = Result<Batch>> + use<'scope> {
    // The thread makes its batches alone. The workers of the global pool may all be callers that wait here, and would never
    // get to the batch they wait for; and a pool that the caller was put in with `install` cannot be reached from another
    // thread. One thread is enough: 128 images of CIFAR take it 0.2 ms. Those that are decoded first have a pool of their own.
    //
    // The caller's own thread moves them to its device. On CUDA candle gives every thread a stream of its own, and nothing
    // keeps what one thread does from reading what another still copies.
    let epoch = Epoch { images: images.images(), order, config, streams, epoch };
    #[cfg(feature = "cuda")]
    if let Some(gpu) = images.gpu(&config.augmentation) {
        return gpu.batches(epoch, ahead(scope, super::cuda::window_groups(epoch)));
    }
    let are_decoded = images.images().pixels().is_none() || config.augmentation.needs_originals();
    let threads = images.decoders().filter(|_| are_decoded).map_or(Threads::Current, Threads::Own);
    cpu::moved_to(images.device(), ahead(scope, cpu::batches(epoch, threads)))
}
