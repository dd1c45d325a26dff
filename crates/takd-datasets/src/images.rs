//! Labelled images in memory, and how to take some of them.

use crate::{Error, Result};
use rand::seq::SliceRandom;

/// Labelled images of one size, as bytes: `[len, height, width, 3]`, channels last, red green blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    height: usize,
    width: usize,
}

impl Images {
    /// Images of `height` x `width` from their pixels and labels; refused unless there are
    /// `height * width * 3` bytes for each label.
    pub fn new(pixels: Vec<u8>, labels: Vec<u32>, height: usize, width: usize) -> Result<Self> {
        let bytes = labels.len().checked_mul(height).and_then(|n| n.checked_mul(width)).and_then(|n| n.checked_mul(3));
        if bytes != Some(pixels.len()) || height == 0 || width == 0 {
            return Err(Error::Shape { pixels: pixels.len(), labels: labels.len(), height, width });
        }
        Ok(Self { pixels, labels, height, width })
    }

    /// All pixels, `[len, height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of image `index`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * 3;
        &self.pixels[index * size..][..size]
    }

    /// The images named by `indices`, in that order.
    ///
    /// # Panics
    /// If one is not there.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.height * self.width * 3);
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Self { pixels, labels: indices.iter().map(|&index| self.labels[index]).collect(), ..*self }
    }

    /// `n` images with the classes in their proportions, chosen by the seed and in their old order. All of them if there are no
    /// more than `n`. The choice of fewer is contained in that of more.
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        if n >= self.len() {
            return self.clone();
        }
        let mut chosen = self.stratified_order(seed, "limit");
        chosen.truncate(n);
        chosen.sort_unstable();
        self.subset(&chosen)
    }

    /// Indices of the images to train on and of `n` held out (all, if there are no more), each in rising order. The classes
    /// keep their proportions in both, as nearly as whole images allow; the seed alone fixes the choice.
    pub fn stratified_holdout(&self, n: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut held_out = self.stratified_order(seed, "holdout");
        let mut train = held_out.split_off(n.min(self.len()));
        train.sort_unstable();
        held_out.sort_unstable();
        (train, held_out)
    }

    /// All indices in an order of which every beginning has the classes in their proportions, to within less than two images each.
    fn stratified_order(&self, seed: u64, purpose: &str) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut takd_rng::stream(seed, purpose));
        let classes = self.labels.iter().max().map_or(0, |&max| max as usize + 1);
        let mut sizes = vec![0u64; classes];
        for &label in &self.labels {
            sizes[label as usize] += 1;
        }
        // The r-th of a class's m images stands at (r + 1/2) / m of the way; where classes tie, chance decides, since the sort
        // keeps their shuffled order.
        let mut seen = vec![0u64; classes];
        let mut placed: Vec<(u64, u64, usize)> = Vec::with_capacity(order.len());
        for index in order {
            let class = self.labels[index] as usize;
            placed.push((2 * seen[class] + 1, sizes[class], index));
            seen[class] += 1;
        }
        placed.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)));
        placed.into_iter().map(|(_, _, index)| index).collect()
    }
}
