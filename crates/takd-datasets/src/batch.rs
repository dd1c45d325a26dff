//! From images to a network's input: order, augmentation, normalisation, tensors.

use crate::{Error, Images, Normalization, Result};
use candle_core::{Device, Tensor};
use rand::{RngExt, seq::SliceRandom};
use rayon::prelude::*;

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

/// The batches of one epoch: `order` cut into pieces of `batch_size`, the last of which may be shorter.
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
        batch(images, indices, config.augmentation, &table, (seed, epoch), &device)
    })
}

fn batch(
    images: &Images,
    indices: &[u32],
    augmentation: Augmentation,
    table: &[[f32; 256]; 3],
    (seed, epoch): (u64, usize),
    device: &Device,
) -> Result<Batch> {
    let (height, width) = (images.height(), images.width());
    if let Some(&index) = indices.iter().find(|&&index| index as usize >= images.len()) {
        return Err(Error::Index { index, len: images.len() });
    }
    let mut values = vec![0f32; indices.len() * height * width * 3];
    values.par_chunks_exact_mut(height * width * 3).zip(indices).for_each(|(values, &index)| {
        let window = Window::draw(augmentation, seed, epoch, index);
        window.fill(images.image(index as usize), (height, width), table, values);
    });
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
    fn fill(self, image: &[u8], (height, width): (usize, usize), table: &[[f32; 256]; 3], values: &mut [f32]) {
        for (y, row) in values.chunks_exact_mut(width * 3).enumerate() {
            let source = usize::try_from(y as isize + self.top)
                .ok()
                .filter(|&y| y < height)
                .map(|y| &image[y * width * 3..][..width * 3]);
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let x = if self.mirrored { width - 1 - x } else { x };
                let bytes = usize::try_from(x as isize + self.left)
                    .ok()
                    .filter(|&x| x < width)
                    .and_then(|x| source.map(|row| &row[x * 3..][..3]));
                for channel in 0..3 {
                    let byte = bytes.map_or(0, |bytes| bytes[channel]);
                    pixel[channel] = table[channel][byte as usize];
                }
            }
        }
    }
}
