//! TensorBoard event files: scalars go in, and a file can be gone on with after any interruption.
//!
//! ```
//! use takd_tensorboard::{EventWriter, Scalar};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let path = folder.join("events.out.tfevents.0");
//! let mut events = EventWriter::create(&path, 1.7e9)?;
//! events.scalar("train/loss", 2.25, 1, 1.7e9 + 1.0)?;
//! events.scalar("train/loss", 1.75, 2, 1.7e9 + 2.0)?;
//! drop(events);
//!
//! // The last checkpoint is that of step 1: what came after it is taken again.
//! let mut events = EventWriter::resume(&path, 1, 1.7e9 + 9.0)?;
//! events.scalar("train/loss", 1.5, 2, 1.7e9 + 10.0)?;
//! events.flush()?;
//! let again = Scalar { tag: "train/loss".into(), value: 1.5, step: 2, wall_time_s: 1.7e9 + 10.0 };
//! assert_eq!(takd_tensorboard::read(&path)?[1..], [again]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file is a row of records, all numbers in it little-endian (`tensorflow/core/lib/io/record_writer.h`). Each holds one
//! `Event` (`tensorflow/core/util/event.proto`), the first the file's version:
//!
//! ```text
//!   8 bytes     4 bytes     `length` bytes                                4 bytes
//! ┌──────────┬────────────┬─────────────────────────────────────────────┬────────────┐
//! │  length  │   CRC of   │  Event: wall time, step, and either         │   CRC of   │
//! │  of the  │   length   │    "brain.Event:2"        (the first one)   │   Event    │
//! │  Event   │            │    [(tag, simple value)]  (the others)      │            │
//! └──────────┴────────────┴─────────────────────────────────────────────┴────────────┘
//! ```
//!
//! Invariant: knows nothing of training and has no clock; whatever bytes a file holds, it does not panic, and the memory
//! it takes is in proportion to the file's length.

mod error;
mod event;
mod record;
mod writer;

pub use error::{Error, Result};
pub use writer::{EventWriter, MAX_TAG_BYTES};

use std::fs;
use std::path::Path;

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// One point of one curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The curve's name; TensorBoard groups curves by what is before the first `/`.
    pub tag: String,
    /// The height.
    pub value: f32,
    /// The place.
    pub step: i64,
    /// When it was measured: seconds since the start of 1970.
    pub wall_time_s: f64,
}

/// The scalars of a file in the order they were written, up to the first torn or damaged record, as TensorBoard reads it.
///
/// Events of other kinds are passed over, and so are scalars that TensorFlow 2 wrote as tensors.
pub fn read(path: &Path) -> Result<Vec<Scalar>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let mut scalars = Vec::new();
    for (_, event) in event::events(path, &bytes)? {
        for value in event.summary.into_iter().flat_map(|summary| summary.value) {
            let Some(height) = value.simple_value else { continue };
            scalars.push(Scalar { tag: value.tag, value: height, step: event.step, wall_time_s: event.wall_time });
        }
    }
    Ok(scalars)
}
