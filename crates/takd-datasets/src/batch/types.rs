//! What a batch is, and how it is to be made.

use crate::Normalization;
use candle_core::Tensor;

/// What is done to each training image before it is seen, anew every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Augmentation {
    /// Nothing: for evaluation, and for training without augmentation.
    #[default]
    None,
    /// Pad every side with black, cut out a window of the old size at a random place, and mirror it left to right with
    /// probability 1/2. The padding is black before normalisation, as with torchvision's `RandomCrop(32, padding=4)`.
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
    /// The same on the images' device, `[batch]`, u32: for [`Tensor::index_select`] of what is known of each image.
    pub index: Tensor,
}
