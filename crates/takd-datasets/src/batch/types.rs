//! What a batch is, and how it is to be made.

use super::augmentation::Augmentation;
use crate::Normalization;
use candle_core::Tensor;

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
    /// `[batch]`, u32: the class of each image, or, if images were mixed, the one that has most of it.
    pub labels: Tensor,
    /// The other classes, if images were mixed.
    pub mixed: Option<Mixed>,
    /// Which images these are.
    pub indices: Vec<u32>,
    /// The same on the images' device, `[batch]`, u32: for [`Tensor::index_select`] of what is known of each image.
    pub index: Tensor,
}

/// The classes that mixed images are of beside those of [`Batch::labels`].
#[derive(Debug, Clone)]
pub struct Mixed {
    /// `[batch]`, u32, on the images' device.
    pub labels: Tensor,
    /// How much of each image they have, 0 to 1/2.
    pub share: f64,
}
