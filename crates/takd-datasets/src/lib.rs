//! Image data sets in memory and their shuffled, augmented batches, for candle.
//!
//! ```text
//! folder of parquet files ─┐                                    epoch_order(n, seed, epoch)
//! hub's cache, or the hub ─┼─▶ Dataset { train, test: Images } ───────────┬──────────────▶ Batch { images, labels, indices }
//! drawn by code ───────────┘     u8 [n, height, width, 3]               crop, flip          f32 [b, 3, height, width]
//!                                u32 [n]                                normalise           u32 [b]
//! ```
//!
//! ```
//! use candle_core::Device;
//! use takd_datasets::{Augmentation, BatchConfig, DatasetName, Drawn, Sources, batches, epoch_order, load};
//!
//! # fn main() -> takd_datasets::Result<()> {
//! let sources = Sources { drawn: Drawn { train: 200, test: 100, seed: 0 }, ..Sources::default() };
//! let data = load(DatasetName::Shapes10, &sources, &mut |_| {})?;
//! assert_eq!(data.class_names.len(), 10);
//!
//! let config = BatchConfig {
//!     batch_size: 64,
//!     augmentation: Augmentation::CropFlip { padding: 4 },
//!     normalization: data.normalization,
//! };
//! let train = data.train.placed_on(&Device::Cpu)?;
//! for epoch in 0..2 {
//!     let order = epoch_order(data.train.len(), 31, epoch);
//!     for batch in batches(&train, &order, &config, 31, epoch) {
//!         let batch = batch?;
//!         assert_eq!(batch.images.dims()[1..], [3, 32, 32]);
//!         assert_eq!(batch.labels.dims(), [batch.indices.len()]);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`batches`] makes a batch when it is asked for, [`batches_ahead`] the same batches while the caller trains. With the feature
//! `cuda` an NVIDIA GPU that the images were placed on makes them itself, bit for bit the same.
//!
//! Invariant: images stay bytes, channels last, until a batch is made. Knows nothing of networks, losses or training, prints
//! nothing, and every random choice is a pure function of a seed.

mod ahead;
mod batch;
mod dataset;
pub mod drawn;
mod error;
mod hub;
mod images;
mod local;
mod name;
mod normalization;
mod shards;

pub use batch::{Augmentation, Batch, BatchConfig, Placed, batches, batches_ahead, epoch_order};
pub use dataset::{Dataset, Progress, Sources, Split, Stage, load};
pub use drawn::Drawn;
pub use error::{Error, Looked, Result};
pub use images::Images;
pub use name::DatasetName;
pub use normalization::Normalization;

/// Its example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
