//! A look at every image of a data set: which cannot be decoded, and which are there more than once.

use crate::{
    DatasetName, Progress, Result, Sources, Split, Stage, hub,
    picture::Opened,
    source::Bytes,
    sources::Source,
    stored::{Data, Reader, Stored},
};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// What every image of a data set looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Where it is.
    pub place: String,
    /// The classes' names, in the order of the labels; their numbers if they have no names.
    pub class_names: Vec<String>,
    /// Its splits; only that of the training images if those of the test are yet to be set aside.
    pub splits: Vec<CheckedSplit>,
    /// Images that are there more than once, byte for byte: the places of each, the first images of the training split first.
    pub copies: Vec<Copies>,
    /// What else is odd, a sentence each.
    pub notes: Vec<String>,
}

/// What the images of a split look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedSplit {
    /// Which one.
    pub split: Split,
    /// Number of images, those that cannot be decoded included.
    pub images: usize,
    /// Number of images of each class.
    pub class_sizes: Vec<usize>,
    /// Rows and columns of the image with the fewest pixels, and of that with the most.
    pub sizes: Option<[(usize, usize); 2]>,
    /// What is wrong with each image that cannot be decoded.
    pub bad: Vec<String>,
}

/// The places of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// Where it is: at two places or more.
    pub places: Vec<String>,
    /// Whether it is among the training and the test images.
    pub between_splits: bool,
    /// Whether its copies have different labels.
    pub other_labels: bool,
}

impl Checked {
    /// Whether there is anything that a training should not have: images that cannot be decoded, or the same one in both splits.
    pub fn is_clean(&self) -> bool {
        self.splits.iter().all(|split| split.bad.is_empty()) && !self.copies.iter().any(|copies| copies.between_splits)
    }
}

/// Where an image was seen.
struct Sight {
    place: String,
    split: Split,
    label: u32,
}

/// Reads and decodes every image of a data set that lies in files, and keeps none: see [`Checked`].
///
/// # Errors
/// As [`load`](crate::load), but for images that cannot be decoded, which are told in [`CheckedSplit::bad`]. A drawn data set has
/// no files.
pub fn check(name: &DatasetName, sources: &Sources, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Checked> {
    let found = Source::of(name, sources, &hub::from_env()).locate(name, progress)?;
    let opened = found.open(name.known(), Bytes::Read)?;
    let mut sights: HashMap<[u8; 32], Vec<Sight>> = HashMap::new();
    let mut splits = vec![look(opened.train, Split::Train, &mut sights, progress)?];
    if let Some(test) = opened.test {
        splits.push(look(test, Split::Test, &mut sights, progress)?);
    }
    let mut copies: Vec<Copies> = sights.into_values().filter(|sights| sights.len() > 1).map(copies_of).collect();
    copies.sort_by(|a, b| b.between_splits.cmp(&a.between_splits).then_with(|| a.places.cmp(&b.places)));
    let classes = splits.iter().map(|split| split.class_sizes.len()).max().unwrap_or(0);
    let class_names = opened.class_names.unwrap_or_else(|| (0..classes).map(|class| class.to_string()).collect());
    for split in &mut splits {
        split.class_sizes.resize(class_names.len().max(classes), 0);
    }
    Ok(Checked { place: found.place.display().to_string(), class_names, splits, copies, notes: opened.notes })
}

fn copies_of(sights: Vec<Sight>) -> Copies {
    let differ = |of: fn(&Sight) -> u32| sights.iter().any(|sight| of(sight) != of(&sights[0]));
    let (between_splits, other_labels) = (differ(|sight| sight.split as u32), differ(|sight| sight.label));
    Copies { between_splits, other_labels, places: sights.into_iter().map(|sight| sight.place).collect() }
}

fn look(
    reader: Reader,
    split: Split,
    sights: &mut HashMap<[u8; 32], Vec<Sight>>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<CheckedSplit> {
    let mut looked = CheckedSplit { split, images: 0, class_sizes: Vec::new(), sizes: None, bad: Vec::new() };
    let total = reader.total;
    progress(Progress { stage: Stage::Check, what: split.as_str(), done: 0, total });
    for piece in reader.pieces {
        let piece = piece?;
        // Large photographs take a while.
        for images in piece.chunks(64) {
            let seen: Vec<_> = images.par_iter().map(one).collect();
            for (image, seen) in images.iter().zip(seen) {
                looked.images += 1;
                let class = image.label as usize;
                if looked.class_sizes.len() <= class {
                    looked.class_sizes.resize(class + 1, 0);
                }
                looked.class_sizes[class] += 1;
                match seen {
                    Ok((hash, size)) => {
                        let sight = Sight { place: image.data.place(), split, label: image.label };
                        sights.entry(hash).or_default().push(sight);
                        let area = |&(height, width): &(usize, usize)| height * width;
                        let [smallest, largest] = looked.sizes.unwrap_or([size; 2]);
                        looked.sizes = Some([
                            std::cmp::min_by_key(smallest, size, area),
                            std::cmp::max_by_key(largest, size, area),
                        ]);
                    }
                    Err(problem) => looked.bad.push(problem),
                }
            }
            progress(Progress { stage: Stage::Check, what: split.as_str(), done: looked.images as u64, total });
        }
    }
    Ok(looked)
}

/// The hash of an image's bytes, and its rows and columns; or what is wrong with it.
fn one(image: &Stored) -> Result<([u8; 32], (usize, usize)), String> {
    if let Data::Planes { bytes, offset, form, .. } = &image.data {
        return Ok((*blake3::hash(&bytes[*offset..][..form.bytes()]).as_bytes(), (form.height, form.width)));
    }
    let bytes = image.data.encoded().map_err(|error| error.to_string())?.unwrap_or_default();
    let decoded = Opened::new(&bytes).and_then(|opened| {
        let size = opened.size;
        opened.decode().map(|_| size)
    });
    let size = decoded.map_err(|problem| image.data.error(problem).to_string())?;
    Ok((*blake3::hash(&bytes).as_bytes(), size))
}
