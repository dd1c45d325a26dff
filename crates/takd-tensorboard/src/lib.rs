//! TensorBoard event files: writes scalars, and continues a file after any interruption.
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
//! // The last checkpoint is that of step 1: the steps after it will be repeated.
//! let mut events = EventWriter::resume(&path, 1, 1.7e9 + 9.0)?;
//! events.scalar("train/loss", 1.5, 2, 1.7e9 + 10.0)?;
//! events.flush()?;
//! let again = Scalar { tag: "train/loss".into(), value: 1.5, step: 2, wall_time_s: 1.7e9 + 10.0 };
//! assert_eq!(takd_tensorboard::read(&path)?[1..], [again]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file is a sequence of records; all its numbers are little-endian (`tensorflow/core/lib/io/record_writer.h`). Each
//! record holds one `Event` (`tensorflow/core/util/event.proto`), the first one the file's version:
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
//! Invariant: knows nothing of training and has no clock. Whatever bytes a file holds, reading it neither panics nor takes
//! more memory than in proportion to its length.

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
    /// The point's height.
    pub value: f32,
    /// The training step that it belongs to.
    pub step: i64,
    /// When it was measured: seconds since the start of 1970.
    pub wall_time_s: f64,
}

/// The scalars of a file in the order in which they were written, up to the first torn or damaged record, as TensorBoard
/// reads it.
///
/// Events of other kinds are skipped, and so are scalars that TensorFlow 2 wrote as tensors.
///
/// # Errors
/// If the file cannot be read, or does not begin as an event file does.
pub fn read(path: &Path) -> Result<Vec<Scalar>> {
    parse(path, &fs::read(path).map_err(Error::io("read", path))?)
}

/// [`read`] from the bytes of a file, for a caller that has opened it; `path` is for errors.
///
/// # Errors
/// If the bytes do not begin as an event file does.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Scalar>> {
    let mut scalars = Vec::new();
    for (_, event) in event::events(path, bytes)? {
        for value in event.summary.into_iter().flat_map(|summary| summary.value) {
            let Some(height) = value.simple_value else { continue };
            scalars.push(Scalar { tag: value.tag, value: height, step: event.step, wall_time_s: event.wall_time });
        }
    }
    Ok(scalars)
}
