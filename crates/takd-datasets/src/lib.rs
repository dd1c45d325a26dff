//! Image data sets: a card of each without decoding an image, its images in memory, and their shuffled, augmented batches, for
//! candle.
//!
//! ```text
//! a folder or file ─┐             ┌─▶ Card { name, classes, sizes, mean and deviation, origin, checksum, notes }
//! the hub ──────────┼─▶ Catalog ──┤
//! drawn by code ────┘             └─▶ Dataset { card, train, test: Images }   u8 [n, height, width, 3], u32 [n]
//!                                                          │
//!                   epoch_order(n, streams, epoch) ──▶ batches: crop, flip, …, normalise
//!                                                          │
//!                                     Batch { images, labels, indices }       f32 [b, 3, height, width], u32 [b]
//! ```
//!
//! ```
//! use candle_core::Device;
//! use takd_datasets::{Augmentation, BatchConfig, Drawn, Known, Sources, batches, epoch_order, load};
//! use takd_rng::Streams;
//!
//! # fn main() -> takd_datasets::Result<()> {
//! let sources = Sources { drawn: Drawn { train: 200, test: 100, seed: 0 }, ..Sources::default() };
//! let data = load(&Known::Shapes10.into(), &sources, &mut |_| {})?;
//! assert_eq!(data.card.classes(), 10);
//!
//! let config = BatchConfig {
//!     batch_size: 64,
//!     augmentation: Augmentation::CROP_FLIP,
//!     normalization: data.card.normalization,
//! };
//! let train = data.train.placed_on(&Device::Cpu)?;
//! let streams = Streams::new(31, "plane2");
//! for epoch in 0..2 {
//!     let order = epoch_order(data.train.len(), &streams, epoch);
//!     for batch in batches(&train, &order, &config, &streams, epoch) {
//!         let batch = batch?;
//!         assert_eq!(batch.images.dims()[1..], [3, 32, 32]);
//!         assert_eq!(batch.labels.dims(), [batch.indices.len()]);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A known data set has a name, one of the user's own a path: both are a [`DatasetRef`]. What lies at a path is opened by what is found:
//! folders of classes, parquet, WebDataset shards, IDX files, CIFAR's archives. [`check`] looks at every image of it.
//!
//! [`load`] loads one data set. A [`Catalog`] keeps cards in a folder, so that only the first program that ever asks for one has
//! to load the data, and loads each data set once. [`batches`] makes a batch when it is asked for, [`batches_ahead`] the same
//! batches while the caller trains. With the feature `cuda` an NVIDIA GPU that the images were placed on makes them itself, bit
//! for bit the same.
//!
//! Invariant: images stay bytes, channels last, until a batch is made. The crate knows nothing of networks, losses or training
//! and prints nothing. Every random choice comes from a named stream. A folder that is named is the only place looked into, and
//! what is damaged or incomplete is an error: no image is repaired, guessed or left out.

mod ahead;
mod batch;
mod card;
mod catalog;
mod check;
mod class_names;
mod dataset;
mod decode;
mod decode_one;
mod differences;
pub mod drawn;
mod error;
mod fit;
mod guard;
mod hub;
mod image_file;
mod images;
mod kept_cards;
mod known;
mod layout;
mod name;
mod near;
mod normalization;
mod picture;
mod progress;
mod reference;
mod regular_file;
mod resample;
mod source;
mod sources;
mod split;
mod stored;
mod text;

pub use batch::{
    Augmentation, BadAugmentation, Batch, BatchConfig, Crop, Mix, Mixed, PlacedImages, RandAugment, batches,
    batches_ahead, epoch_order,
};
pub use card::Card;
pub use catalog::Catalog;
pub use check::{Checked, CheckedSplit, Copies, check};
pub use dataset::Dataset;
pub use drawn::Drawn;
pub use error::{Error, Result};
pub use fit::{BadFit, Fit, MAX_SIDE};
pub use image_file::{decode_image, read_image};
pub use images::Images;
pub use known::Known;
pub use name::{BadName, DatasetName};
pub use normalization::Normalization;
pub use progress::{Progress, Stage};
pub use reference::{DatasetRef, UnknownDataset};
pub use sources::{Sources, hub_cache, is_here, load};
pub use split::Split;
pub use takd_hub::Looked;

/// Its example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
