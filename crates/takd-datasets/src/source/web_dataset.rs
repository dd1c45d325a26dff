//! WebDataset shards: tar files in which the files of one sample have one name and stand together.
//!
//! ```text
//! 000017.jpg   000017.cls      the image; its label as a number
//! 000018.png   000018.json     the image; {"label": 3, …}
//! ```
//!
//! Images are read where they lie in the shards, which are not unpacked.

use crate::{
    Error, Result,
    regular_file::{self, Stamp},
    stored::{Data, MAX_IMAGE_FILE, Stored, Whole},
};
use std::{
    io::{BufReader, Read},
    path::Path,
    sync::Arc,
};

/// The endings of images within the shards.
const IMAGES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp"];

/// Tar files consist of blocks of so many bytes.
const BLOCK: u64 = 512;

/// The most bytes of a label.
const MAX_LABEL: u64 = 1 << 16;

/// The images of one shard, in its order.
pub(crate) fn list(path: &Path) -> Result<Vec<Stored>> {
    let corrupt = |problem: String| Error::Corrupt { path: path.into(), problem };
    let damaged = |error: std::io::Error| corrupt(error.to_string());
    let file = regular_file::open(path, u64::MAX)?;
    let metadata = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?;
    let length = metadata.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let shard = Arc::new(Whole { path: path.to_owned(), stamp: Some(Stamp::from(&metadata)) });
    let mut images = Vec::new();
    let mut sample = Sample::default();
    let mut last = 0;
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        last = entry.raw_file_position().saturating_add(entry.size());
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let base = member.rsplit_once('/').map_or(&*member, |(_, name)| name);
        if base.starts_with('.') {
            continue;
        }
        // The name of the sample ends at the first point of the last component.
        let start = member.len() - base.len();
        let (key, ending) = match base.split_once('.') {
            Some((stem, ending)) => (&member[..start + stem.len()], ending.to_lowercase()),
            None => continue,
        };
        if sample.key != key {
            images.extend(sample.take()?);
            key.clone_into(&mut sample.key);
        }
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(Error::Truncated {
                path: path.into(),
                found: length,
                expected: format!("but its `{}` has {bytes} bytes from byte {offset}", member.escape_debug()),
            });
        }
        if IMAGES.contains(&&*ending) {
            if bytes > MAX_IMAGE_FILE {
                return Err(corrupt(format!("its `{}` has {bytes} bytes", member.escape_debug())));
            }
            sample.image = Some(Data::Part { file: Arc::clone(&shard), member: (&*member).into(), offset, bytes });
        } else if matches!(&*ending, "cls" | "json") {
            let mut text = String::new();
            let read = (&mut entry).take(MAX_LABEL).read_to_string(&mut text);
            read.map_err(|error| corrupt(format!("its `{}`: {error}", member.escape_debug())))?;
            // A number in a file of its own wins.
            if ending == "cls" || sample.label.is_none() {
                sample.label = label(&ending, &text).or(sample.label.take());
            }
        }
    }
    images.extend(sample.take()?);
    // A tar file ends in blocks of zeros. One that is cut between two members has none.
    if last.div_ceil(BLOCK).saturating_add(1) > length / BLOCK {
        let expected = "without the mark at the end of a tar file: it was cut off".into();
        return Err(Error::Truncated { path: path.into(), found: length, expected });
    }
    Ok(images)
}

/// What is known of the sample that is read.
#[derive(Default)]
struct Sample {
    key: String,
    image: Option<Data>,
    label: Option<u32>,
}

impl Sample {
    /// The sample, if it has an image; the next one begins empty.
    fn take(&mut self) -> Result<Option<Stored>> {
        let Self { image, label, .. } = std::mem::take(self);
        let Some(data) = image else { return Ok(None) };
        let problem = || "it has no label: a file of the same name with the ending .cls or .json".into();
        let label = label.ok_or_else(|| data.error(problem()))?;
        Ok(Some(Stored { data, label }))
    }
}

fn label(ending: &str, text: &str) -> Option<u32> {
    if ending == "cls" {
        return text.trim().parse().ok();
    }
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    ["label", "cls", "class"].iter().find_map(|key| json.get(key)?.as_u64()?.try_into().ok())
}
