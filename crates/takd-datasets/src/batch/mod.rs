//! From images to a network's input: order, augmentation, normalisation, tensors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod epoch;
mod make;
mod order;
mod placed;
mod types;
mod window;

pub use make::{batches, batches_ahead};
pub use order::epoch_order;
pub use placed::PlacedImages;
pub use types::{Augmentation, Batch, BatchConfig};
