//! How many images are drawn, and the drawing of them all.

use super::picture::{self, SIDE};
use crate::{Dataset, Error, Images, Known, Progress, Result, Split, Stage};
use rayon::prelude::*;

/// The version of the drawing code. It rises whenever that draws other pixels or labels, so that no kept card is taken for
/// that of other images.
pub(crate) const VERSION: u32 = 1;

const IMAGE_BYTES: usize = SIDE * SIDE * 3;
/// Images drawn between two reports of progress.
const IMAGES_AT_A_TIME: usize = 1024;

/// How many images a drawn data set has. Image `i` of a split depends on the seed, the split and `i` alone, so a larger set
/// begins with the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// What all of it is drawn from.
    pub seed: u64,
}

impl Default for Drawn {
    /// 5 000 to train on and 2 000 to test on, from seed 0.
    fn default() -> Self {
        Self { train: 5_000, test: 2_000, seed: 0 }
    }
}

/// Draws both splits.
pub(crate) fn draw(name: Known, drawn: &Drawn, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    for (split, len) in [(Split::Train, drawn.train), (Split::Test, drawn.test)] {
        if len == 0 {
            return Err(Error::Empty { name: name.into(), split });
        }
    }
    let train = draw_split(name, Split::Train, drawn.train, drawn.seed, progress)?;
    let test = draw_split(name, Split::Test, drawn.test, drawn.seed, progress)?;
    let origin = format!(
        "{name}: images drawn by code ({} train, {} test, seed {}); not photographs, and no stand-in for results on CIFAR",
        drawn.train, drawn.test, drawn.seed
    );
    Dataset::new(name.into(), name.class_names(), train, test, origin)
}

fn draw_split(
    name: Known,
    split: Split,
    len: usize,
    seed: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Images> {
    let mut report = |done: usize| {
        progress(Progress { stage: Stage::Draw, what: split.as_str(), done: done as u64, total: len as u64 });
    };
    report(0);
    let mut pixels = vec![0; len * IMAGE_BYTES];
    for (chunk, pixels) in pixels.chunks_mut(IMAGES_AT_A_TIME * IMAGE_BYTES).enumerate() {
        let first = chunk * IMAGES_AT_A_TIME;
        pixels.par_chunks_exact_mut(IMAGE_BYTES).enumerate().for_each(|(offset, pixels)| {
            let i = first + offset;
            let mut rng = takd_rng::stream(seed, &format!("{name}/{split}/{i}"));
            picture::draw(name, label(name, i), &mut rng, pixels);
        });
        report(first + pixels.len() / IMAGE_BYTES);
    }
    let labels = (0..len).map(|i| label(name, i)).collect();
    Images::new(pixels, labels, SIDE, SIDE)
}

/// Image `i`'s class. Taking turns keeps the classes balanced however many images there are.
fn label(name: Known, i: usize) -> u32 {
    (i % name.classes()) as u32
}
