//! From images to a network's input: order, augmentation, normalisation, tensors.

#[cfg(feature = "cuda")]
mod cuda;
mod host;
mod placed;
mod window;

pub use placed::Placed;

use crate::{Error, Images, Normalization, Result, ahead::ahead};
use candle_core::Tensor;
use host::Hands;
use placed::Place;
use rand::seq::SliceRandom;
use std::thread::Scope;
use window::Window;

/// What is done to each training image before it is seen, anew every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Augmentation {
    /// Nothing: for evaluation, and for recipes without augmentation.
    #[default]
    None,
    /// Pad every side with black, cut out a window of the old size at a random place, and mirror it left to right every other
    /// time. Black is before normalisation, as torchvision's `RandomCrop(32, padding=4)` does with pictures.
    CropFlip {
        /// Pixels added on every side; 4 is usual for CIFAR.
        padding: usize,
    },
}

/// How batches are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchConfig {
    /// Images a batch; the last one of an epoch may hold fewer.
    pub batch_size: usize,
    /// What is done to each image.
    pub augmentation: Augmentation,
    /// What the bytes are scaled by.
    pub normalization: Normalization,
}

/// Some images as a network takes them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[batch, 3, height, width]`, f32, normalised. A permuted view of contiguous `[batch, height, width, 3]` memory, so it is
    /// channels-last without a copy.
    pub images: Tensor,
    /// `[batch]`, u32.
    pub labels: Tensor,
    /// Which images these are.
    pub indices: Vec<u32>,
    /// The same where the images are, `[batch]`, u32: for [`Tensor::index_select`] of what is known of each image.
    pub index: Tensor,
}

/// The order in which epoch `epoch` goes through `n` images: a permutation of `0..n`, fixed by seed and epoch.
pub fn epoch_order(n: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut takd_rng::stream(seed, &format!("shuffle/epoch {epoch}")));
    order
}

/// The batches of one epoch: `order` cut into pieces of `batch_size`, the last of which may be shorter. Each is made when it is
/// asked for, by the GPU that has the images, or else by all threads of the caller's rayon pool.
///
/// What augmentation makes of an image depends on `seed`, `epoch` and the image's index alone: neither on the batch it falls
/// into nor on what makes it. An index that is not there, or a batch size of 0, is an error in its place.
pub fn batches<'a>(
    images: &'a Placed<'_>,
    order: &'a [u32],
    config: &'a BatchConfig,
    seed: u64,
    epoch: usize,
) -> impl Iterator<Item = Result<Batch>> + use<'a> {
    let epoch = Epoch { images: images.images(), order, config, seed, epoch };
    match images.place() {
        Place::Host(device) => host::moved_to(device, epoch.batches(Hands::Pool)),
        #[cfg(feature = "cuda")]
        Place::Gpu(gpu) => gpu.batches(epoch, epoch.drawn()),
    }
}

/// The same batches as [`batches`] gives, bit for bit, made by a thread of `scope` while the caller works on those before. Where
/// a GPU makes them, the thread draws the windows of the images ahead.
///
/// Two batches at most lie ready. The thread ends with the epoch, or with the batch it is at when the iterator is dropped.
///
/// ```
/// use candle_core::Device;
/// use takd_datasets::{Augmentation, BatchConfig, Images, Normalization, batches_ahead, epoch_order};
///
/// # fn main() -> takd_datasets::Result<()> {
/// let images = Images::new(vec![0; 6 * 32 * 32 * 3], vec![0; 6], 32, 32)?;
/// let images = images.placed_on(&Device::Cpu)?;
/// let config = BatchConfig {
///     batch_size: 4,
///     augmentation: Augmentation::CropFlip { padding: 4 },
///     normalization: Normalization::PUBLISHED_CODE,
/// };
/// let order = epoch_order(6, 31, 0);
/// let sizes = std::thread::scope(|scope| {
///     batches_ahead(scope, &images, &order, &config, 31, 0)
///         .map(|batch| Ok(batch?.indices.len())) // The next batch is made meanwhile.
///         .collect::<takd_datasets::Result<Vec<_>>>()
/// })?;
/// assert_eq!(sizes, [4, 2]);
/// # Ok(())
/// # }
/// ```
pub fn batches_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    images: &'scope Placed<'_>,
    order: &'scope [u32],
    config: &'scope BatchConfig,
    seed: u64,
    epoch: usize,
) -> impl Iterator<Item = Result<Batch>> + use<'scope> {
    // The thread makes its batches alone. The workers of the global pool may all be callers that wait here, and would never
    // get to the batch they wait for; and a pool that the caller was put in with `install` cannot be reached from another
    // thread. One thread is enough: 128 images of CIFAR take it 0.2 ms.
    //
    // The caller's own thread moves them to its device. On CUDA candle gives every thread a stream of its own, and nothing
    // keeps what one thread does from reading what another still copies.
    let epoch = Epoch { images: images.images(), order, config, seed, epoch };
    match images.place() {
        Place::Host(device) => host::moved_to(device, ahead(scope, epoch.batches(Hands::ThisThread))),
        #[cfg(feature = "cuda")]
        Place::Gpu(gpu) => gpu.batches(epoch, ahead(scope, epoch.drawn())),
    }
}

/// The images of one epoch, and what becomes of them.
#[derive(Debug, Clone, Copy)]
struct Epoch<'a> {
    images: &'a Images,
    order: &'a [u32],
    config: &'a BatchConfig,
    seed: u64,
    epoch: usize,
}

impl<'a> Epoch<'a> {
    /// Images a batch. `chunks` refuses 0; one chunk is enough to say so.
    fn batch_size(&self) -> usize {
        match self.config.batch_size {
            0 => usize::MAX,
            size => size,
        }
    }

    /// The batches that `order` is cut into, or what is wrong with one.
    fn cut(self) -> impl Iterator<Item = Result<&'a [u32]>> {
        let len = self.images.len();
        self.order.chunks(self.batch_size()).map(move |indices| {
            if self.config.batch_size == 0 {
                return Err(Error::BatchSize);
            }
            match indices.iter().find(|&&index| index as usize >= len) {
                Some(&index) => Err(Error::Index { index, len }),
                None => Ok(indices),
            }
        })
    }

    fn window(&self, index: u32) -> Window {
        Window::draw(self.config.augmentation, self.seed, self.epoch, index)
    }
}
