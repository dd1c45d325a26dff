//! From images to a network's input: order, augmentation, normalisation, tensors.

mod augmentation;
mod colour;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod epoch;
mod make;
mod mix;
mod order;
mod patch;
mod placed;
mod rand_augment;
mod sample;
mod types;
mod warp;
mod window;

pub use augmentation::{Augmentation, BadAugmentation, Crop, Mix, RandAugment};
pub use make::{batches, batches_ahead};
pub use order::epoch_order;
pub use placed::PlacedImages;
pub use types::{Batch, BatchConfig, Mixed};
