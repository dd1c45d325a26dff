//! The built-in data sets `shapes10` and `shapes100`: images drawn by code, so that everything runs with no download.
//!
//! A picture is a textured shape, a little moved, scaled and turned, before a ground and small figures of any kind, with
//! grain over all. In `shapes10` the class is the shape, whatever its texture; in `shapes100` each of the ten shapes with
//! each of the ten textures is a class. Colours lean towards shape and texture without giving them away, so that a few dozen
//! images a class are enough to learn from. Shape needs a view of the whole picture wherever the figure stands, which is what larger
//! networks have over smaller ones.

mod colour;
mod forms;
mod picture;

use crate::{DatasetName, Error, Images, Progress, Result, Split, Stage};
use rayon::prelude::*;

/// Rows and columns of an image.
const SIDE: usize = 32;
const IMAGE_BYTES: usize = SIDE * SIDE * 3;
/// Images drawn between two reports of progress.
const STEP: usize = 1024;

/// How many images a built-in data set has. Image `i` of a split depends on the seed, the split and `i` alone, so a larger
/// set begins with the smaller one.
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

impl Drawn {
    /// What the images are, one line for a person to read.
    pub(crate) fn origin(&self, name: DatasetName) -> String {
        format!(
            "{name}: built-in images drawn by code ({} train, {} test, seed {}); not photographs, and no stand-in for results on CIFAR",
            self.train, self.test, self.seed
        )
    }
}

/// The classes' names, in the order of the labels.
pub(crate) fn class_names(name: DatasetName) -> Vec<String> {
    let shapes = forms::SHAPES;
    if name == DatasetName::Shapes10 {
        return shapes.map(String::from).to_vec();
    }
    shapes.iter().flat_map(|shape| forms::TEXTURES.map(|texture| format!("{texture}_{shape}"))).collect()
}

/// Draws both splits.
pub(crate) fn draw(
    name: DatasetName,
    drawn: &Drawn,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Images, Images)> {
    let train = draw_split(name, Split::Train, drawn.train, drawn.seed, progress)?;
    let test = draw_split(name, Split::Test, drawn.test, drawn.seed, progress)?;
    Ok((train, test))
}

fn draw_split(
    name: DatasetName,
    split: Split,
    n: usize,
    seed: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Images> {
    if n == 0 {
        return Err(Error::Empty { name, split, remedy: "ask for 1 or more to be drawn".into() });
    }
    let mut report = |done: usize| {
        progress(Progress { stage: Stage::Draw, what: split.as_str(), done: done as u64, total: n as u64 });
    };
    report(0);
    let mut pixels = vec![0; n * IMAGE_BYTES];
    for (step, pixels) in pixels.chunks_mut(STEP * IMAGE_BYTES).enumerate() {
        let first = step * STEP;
        pixels.par_chunks_exact_mut(IMAGE_BYTES).enumerate().for_each(|(offset, pixels)| {
            let i = first + offset;
            let mut rng = takd_rng::stream(seed, &format!("{name}/{split}/{i}"));
            picture::draw(name, label(name, i), &mut rng, pixels);
        });
        report(first + pixels.len() / IMAGE_BYTES);
    }
    let labels = (0..n).map(|i| label(name, i)).collect();
    Images::new(pixels, labels, SIDE, SIDE)
}

/// Image `i`'s class. Going round keeps the classes balanced however many images there are.
fn label(name: DatasetName, i: usize) -> u32 {
    (i % name.classes()) as u32
}
