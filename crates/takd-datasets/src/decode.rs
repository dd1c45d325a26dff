//! All images of a split decoded on all cores: into memory, or, if they would fill that, only to be measured.

use crate::{
    Error, Fit, Images, Progress, Result, Split, Stage,
    decode_one::{Problem, Seen, Size, decode_one},
    images::{Measured, StoredImages},
    stored::{Reader, Stored},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The size that images of several sizes are scaled to, unless another is asked for: that of CIFAR, for which the networks of the
/// teacher-assistant paper are made.
pub(crate) const USUAL_SIDE: usize = 32;

/// The most bytes of a split's pixels in memory, unless another limit is set.
pub(crate) const USUAL_MEMORY: u64 = 4 << 30;

/// Images that cannot be used, and how many of them may be left out.
#[derive(Debug, Default)]
pub(crate) struct Bad {
    /// How many more may be.
    pub(crate) allowed: usize,
    /// What was wrong with those that were.
    pub(crate) problems: Vec<String>,
    pub(crate) left_out: LeftOut,
}

/// Images that were left out, by their places in what is listed of their split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) train: Vec<usize>,
    pub(crate) test: Vec<usize>,
}

impl LeftOut {
    /// The images of a split without them.
    pub(crate) fn without(places: &[usize], images: Vec<Stored>) -> Vec<Stored> {
        let mut left_out = places.iter().copied().peekable();
        let is_kept = |(place, _): &(usize, Stored)| left_out.next_if_eq(place).is_none();
        images.into_iter().enumerate().filter(is_kept).map(|(_, image)| image).collect()
    }
}

/// What came of decoding.
pub(crate) enum Decoded {
    Images(Images, Seen),
    /// They have several sizes, or one at which they cannot be kept as they are.
    NotOneSize,
}

/// Where decoded images go.
enum Kept {
    /// Pixels, one image after the other; and how the images came, if they are scaled.
    Memory(Vec<u8>, Vec<Stored>),
    /// Nowhere: they are decoded again when they are asked for.
    Files(Vec<Stored>, Box<Measured>),
}

/// Decodes a split. `before` has hashed what comes before it in its data set.
pub(crate) fn decode(
    reader: Reader,
    split: Split,
    size: Size,
    memory: u64,
    bad: &mut Bad,
    before: &dyn Fn() -> Result<blake3::Hasher>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Decoded> {
    let mut kept: Option<Kept> = None;
    let mut labels = Vec::new();
    let mut seen: Option<Seen> = None;
    let bad_before = bad.problems.len();
    let mut done = 0;
    let total = reader.total;
    let mut report = |done| progress(Progress { stage: Stage::Decode, what: split.as_str(), done, total });
    report(0);
    // In a folder of large photographs a piece takes minutes; there is something to see every few images.
    for piece in reader.pieces {
        let piece = piece?;
        for images in piece.chunks(if matches!(size, Size::Scaled(_)) { 64 } else { piece.len().max(1) }) {
            let side = match (size, seen) {
                (Size::Own, Some(seen)) => Size::AsOthers(seen.smallest.0),
                (size, _) => size,
            };
            let first = if side == Size::Own { 1 } else { 0 };
            // Without a known size the first image gives it.
            let (alone, rest) = images.split_at(first.min(images.len()));
            let mut decoded: Vec<_> = alone.iter().map(|image| decode_one(image, side)).collect();
            let side = match decoded.first() {
                Some(Ok((picture, _))) => Size::AsOthers(picture.height),
                _ => side,
            };
            decoded.par_extend(rest.par_iter().map(|image| decode_one(image, side)));
            for (place, (image, decoded)) in (done as usize..).zip(images.iter().zip(decoded)) {
                match decoded {
                    Ok((picture, own)) => {
                        seen = Some(seen.map_or(own, |seen| seen.and(own)));
                        let bytes = picture.pixels.len() as u64 * total.max(1);
                        let kept = match &mut kept {
                            Some(kept) => kept,
                            None if bytes <= memory => kept.insert(Kept::Memory(Vec::new(), Vec::new())),
                            None if image.data.is_in_file() => {
                                let measured = Measured::new(before()?, total, picture.height);
                                kept.insert(Kept::Files(Vec::new(), Box::new(measured)))
                            }
                            None => return Err(Error::Memory { split, bytes, limit: memory }),
                        };
                        match kept {
                            Kept::Memory(pixels, images) => {
                                pixels.extend(picture.pixels);
                                images.extend(matches!(size, Size::Scaled(_)).then(|| image.unread()));
                            }
                            Kept::Files(images, measured) => {
                                measured.add(&picture.pixels);
                                images.push(image.unread());
                            }
                        }
                        labels.push(image.label);
                    }
                    Err(Problem::NotOneSize) if size == Size::Own => return Ok(Decoded::NotOneSize),
                    Err(Problem::NotOneSize) => unreachable!("only images that are kept as they are have one size"),
                    Err(Problem::Error(error)) if bad.problems.len() < bad.allowed => {
                        bad.problems.push(error.to_string());
                        match split {
                            Split::Train => bad.left_out.train.push(place),
                            Split::Test => bad.left_out.test.push(place),
                        }
                    }
                    Err(Problem::Error(error)) => return Err(error),
                }
            }
            done += images.len() as u64;
            report(done);
        }
    }
    let Some(seen) = seen else { return Err(Error::NoImages { split }) };
    let images = match kept {
        Some(Kept::Files(images, mut measured)) => {
            if bad.problems.len() > bad_before {
                // The number of images stands before them in what is hashed. They have been decoded: none is left out now.
                return decode(Reader::of(images), split, size, memory, &mut Bad::default(), before, progress);
            }
            measured.end(&labels);
            Images::stored(StoredImages::new(images, fit(size, &seen), Some(measured)), labels)
        }
        Some(Kept::Memory(pixels, originals)) => {
            let side = fit(size, &seen).side();
            let images = Images::new(pixels, labels, side, side)?;
            match size {
                Size::Scaled(fit) if !is_as_it_was(&seen, fit) => {
                    images.with_originals(StoredImages::new(originals, fit, None))
                }
                _ => images,
            }
        }
        None => return Err(Error::NoImages { split }),
    };
    Ok(Decoded::Images(images, seen))
}

/// What images are made when they are decoded again.
fn fit(size: Size, seen: &Seen) -> Fit {
    match size {
        Size::Scaled(fit) => fit,
        Size::Exactly(side) => Fit::own(side),
        Size::Own | Size::AsOthers(_) => Fit::own(seen.smallest.0),
    }
}

/// Whether no image was changed when all were scaled.
fn is_as_it_was(seen: &Seen, fit: Fit) -> bool {
    let own = (fit.side(), fit.side());
    fit.shorter().is_none() && seen.smallest == own && seen.largest == own
}
