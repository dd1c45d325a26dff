//! The messages inside the records, with the fields that a scalar needs; a reader skips the others.

use crate::{Error, Result, record};
use prost::Message;
use std::iter;
use std::path::Path;

/// `tensorflow/core/util/event.proto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since the start of 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// `tensorflow/core/framework/summary.proto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `Summary.Value` of the same file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

/// The first record of a file.
pub(crate) fn version_record(wall_time_s: f64) -> Vec<u8> {
    let file_version = Some("brain.Event:2".to_owned());
    record::to_record(&Event { wall_time: wall_time_s, file_version, ..Event::default() }.encode_to_vec())
}

/// The length of [`version_record`]. A shorter file without a whole record is one whose creation was interrupted: it holds
/// nothing that could be lost.
const VERSION_RECORD_BYTES: usize = 40;

/// The events of a file, each with its whole record, up to the first torn or damaged one.
///
/// The first is the version. There are none if the file ends within that record.
pub(crate) fn events<'a>(path: &Path, bytes: &'a [u8]) -> Result<impl Iterator<Item = (&'a [u8], Event)> + use<'a>> {
    let mut rest = bytes;
    let mut events = iter::from_fn(move || {
        let (data, after) = record::split(rest)?;
        let event = Event::decode(data).ok()?;
        let whole = &rest[..rest.len() - after.len()];
        rest = after;
        Some((whole, event))
    })
    .peekable();
    let starts_with_version = match events.peek() {
        Some((_, first)) => first.file_version.as_ref().is_some_and(|version| version.starts_with("brain.Event:")),
        None => bytes.len() < VERSION_RECORD_BYTES,
    };
    if starts_with_version { Ok(events) } else { Err(Error::NotEventFile { path: path.to_owned() }) }
}
