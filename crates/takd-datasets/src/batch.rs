//! From images to a network's input: order, augmentation, normalisation, tensors.

use crate::{Error, Images, Normalization, Result, ahead::ahead};
use candle_core::{Device, Tensor};
use rand::{RngExt, seq::SliceRandom};
use rayon::prelude::*;
use std::thread::Scope;

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
}

/// The order in which epoch `epoch` goes through `n` images: a permutation of `0..n`, fixed by seed and epoch.
pub fn epoch_order(n: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut takd_rng::stream(seed, &format!("shuffle/epoch {epoch}")));
    order
}

/// The batches of one epoch: `order` cut into pieces of `batch_size`, the last of which may be shorter. Each is made when it is
/// asked for, by all threads of the caller's rayon pool.
///
/// What augmentation makes of an image depends on `seed`, `epoch` and the image's index alone: neither on the batch it falls
/// into nor on how many threads work. An index that is not there, or a batch size of 0, is an error in its place.
pub fn batches<'a>(
    images: &'a Images,
    order: &'a [u32],
    config: &'a BatchConfig,
    seed: u64,
    epoch: usize,
    device: &Device,
) -> impl Iterator<Item = Result<Batch>> + use<'a> {
    made_by(Hands::Pool, images, order, config, (seed, epoch), device)
}

/// The same batches as [`batches`] gives, bit for bit, made by a thread of `scope` while the caller works on those before.
///
/// Two batches at most lie ready. The thread ends with the epoch, or with the batch it is at when the iterator is dropped.
///
/// ```
/// use candle_core::Device;
/// use takd_datasets::{Augmentation, BatchConfig, Images, Normalization, batches_ahead, epoch_order};
///
/// # fn main() -> takd_datasets::Result<()> {
/// let images = Images::new(vec![0; 6 * 32 * 32 * 3], vec![0; 6], 32, 32)?;
/// let config = BatchConfig {
///     batch_size: 4,
///     augmentation: Augmentation::CropFlip { padding: 4 },
///     normalization: Normalization::PUBLISHED_CODE,
/// };
/// let order = epoch_order(images.len(), 31, 0);
/// let sizes = std::thread::scope(|scope| {
///     batches_ahead(scope, &images, &order, &config, 31, 0, &Device::Cpu)
///         .map(|batch| Ok(batch?.indices.len())) // The next batch is made meanwhile.
///         .collect::<takd_datasets::Result<Vec<_>>>()
/// })?;
/// assert_eq!(sizes, [4, 2]);
/// # Ok(())
/// # }
/// ```
pub fn batches_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    images: &'scope Images,
    order: &'scope [u32],
    config: &'scope BatchConfig,
    seed: u64,
    epoch: usize,
    device: &Device,
) -> impl Iterator<Item = Result<Batch>> + use<'scope> {
    // The thread makes its batches alone. The workers of the global pool may all be callers that wait here, and would never
    // get to the batch they wait for; and a pool that the caller was put in with `install` cannot be reached from another
    // thread. One thread is enough: 128 images of CIFAR take it 0.2 ms.
    //
    // The caller's own thread moves them to its device. On CUDA candle gives every thread a stream of its own, and nothing
    // keeps what one thread does from reading what another still copies.
    let device = device.clone();
    ahead(scope, made_by(Hands::ThisThread, images, order, config, (seed, epoch), &Device::Cpu))
        .map(move |batch| batch?.moved_to(&device))
}

impl Batch {
    fn moved_to(self, device: &Device) -> Result<Self> {
        let Self { images, labels, indices } = self;
        Ok(Self { images: images.to_device(device)?, labels: labels.to_device(device)?, indices })
    }
}

/// Who makes the images of a batch.
#[derive(Debug, Clone, Copy)]
enum Hands {
    Pool,
    ThisThread,
}

fn made_by<'a>(
    hands: Hands,
    images: &'a Images,
    order: &'a [u32],
    config: &'a BatchConfig,
    seed_and_epoch: (u64, usize),
    device: &Device,
) -> impl Iterator<Item = Result<Batch>> + use<'a> {
    let table = config.normalization.table();
    let device = device.clone();
    // `chunks` refuses 0; one chunk is enough to say so.
    let size = match config.batch_size {
        0 => usize::MAX,
        size => size,
    };
    order.chunks(size).map(move |indices| {
        if config.batch_size == 0 {
            return Err(Error::BatchSize);
        }
        batch(hands, images, indices, config.augmentation, &table, seed_and_epoch, &device)
    })
}

fn batch(
    hands: Hands,
    images: &Images,
    indices: &[u32],
    augmentation: Augmentation,
    table: &Table,
    (seed, epoch): (u64, usize),
    device: &Device,
) -> Result<Batch> {
    let (height, width) = (images.height(), images.width());
    if let Some(&index) = indices.iter().find(|&&index| index as usize >= images.len()) {
        return Err(Error::Index { index, len: images.len() });
    }
    let size = height * width * 3;
    let mut values = vec![0f32; indices.len() * size];
    let make = |(values, &index): (&mut [f32], &u32)| {
        let window = Window::draw(augmentation, seed, epoch, index);
        window.fill(images.image(index as usize), (height, width), table, values);
    };
    match hands {
        Hands::Pool => values.par_chunks_exact_mut(size).zip(indices).for_each(make),
        Hands::ThisThread => values.chunks_exact_mut(size).zip(indices).for_each(make),
    }
    let labels: Vec<u32> = indices.iter().map(|&index| images.labels()[index as usize]).collect();
    Ok(Batch {
        images: Tensor::from_vec(values, (indices.len(), height, width, 3), device)?.permute((0, 3, 1, 2))?,
        labels: Tensor::from_vec(labels, indices.len(), device)?,
        indices: indices.to_vec(),
    })
}

/// Which part of the (padded) image is seen: its top left corner in the image's own rows and columns, and whether it is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    top: isize,
    left: isize,
    mirrored: bool,
}

impl Window {
    fn draw(augmentation: Augmentation, seed: u64, epoch: usize, index: u32) -> Self {
        match augmentation {
            Augmentation::None => Self { top: 0, left: 0, mirrored: false },
            Augmentation::CropFlip { padding } => {
                let name = format!("augment/epoch {epoch}/image {index}");
                let mut rng = takd_rng::stream(seed, &name);
                let mut offset = || rng.random_range(0..=2 * padding) as isize - padding as isize;
                Self { top: offset(), left: offset(), mirrored: rng.random() }
            }
        }
    }

    /// Writes the normalised window into `values`, `[height, width, 3]`.
    ///
    /// Which columns lie outside the image is the same for every row, so that no pixel is asked where it lies.
    fn fill(self, image: &[u8], (height, width): (usize, usize), table: &Table, values: &mut [f32]) {
        let black = normalised(&[0; 3], table);
        // The image's columns that are seen, and how many columns of black are written left and right of them.
        let column = |x: isize| x.clamp(0, width as isize) as usize;
        let seen = column(self.left)..column(self.left + width as isize);
        let outside = width - seen.len();
        let (left, right) = if (self.left < 0) != self.mirrored { (outside, 0) } else { (0, outside) };
        let pixels = image.as_chunks::<3>().0;
        for (y, row) in values.as_chunks_mut::<3>().0.chunks_exact_mut(width).enumerate() {
            let Some(y) = y.checked_add_signed(self.top).filter(|&y| y < height) else {
                row.fill(black);
                continue;
            };
            let source = &pixels[y * width..][seen.clone()];
            row[..left].fill(black);
            row[width - right..].fill(black);
            let row = row[left..width - right].iter_mut();
            if self.mirrored {
                row.zip(source.iter().rev()).for_each(|(pixel, bytes)| *pixel = normalised(bytes, table));
            } else {
                row.zip(source).for_each(|(pixel, bytes)| *pixel = normalised(bytes, table));
            }
        }
    }
}

/// For each channel, what each of the 256 values of a byte becomes.
type Table = [[f32; 256]; 3];

/// A look-up a byte in place of two divisions.
#[inline]
fn normalised(bytes: &[u8; 3], table: &Table) -> [f32; 3] {
    [table[0][bytes[0] as usize], table[1][bytes[1] as usize], table[2][bytes[2] as usize]]
}
