//! Labelled images in memory, and the choice of some of them.

use crate::{Error, Result, picture::Picture};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::{cmp::Reverse, collections::BinaryHeap, fmt};

/// Labelled images of one size, as bytes: `[len, height, width, 3]`, channels last, red green blue.
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    height: usize,
    width: usize,
}

impl fmt::Debug for Images {
    /// Their number and size: the pixels would fill the screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Images({} of {}x{})", self.len(), self.height, self.width)
    }
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

    /// The same images, each scaled.
    pub(crate) fn scaled(&self, side: usize) -> Result<Self> {
        let scaled = (0..self.len())
            .into_par_iter()
            .map(|index| Picture::new(self.image(index).to_vec(), self.height, self.width).square(side).pixels);
        Self::new(scaled.collect::<Vec<_>>().concat(), self.labels.clone(), side, side)
    }

    /// `n` images with the classes in their proportions, chosen by the seed and in their old order; all of them if there are no
    /// more than `n`. Those chosen for a lower `n` are among those for a higher one.
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

    /// All indices, ordered so that in the first so many of them the classes have their proportions, to within one image each.
    ///
    /// The r-th (from 0) of a class's m images must stand between `r·n/m` and `(r + 1)·n/m` of the n places. At each place, of
    /// the classes whose next image may stand there, the one with the earliest end is taken. That always succeeds: it is the
    /// scheduling of periodic tasks by earliest deadline (Liu and Layland 1973).
    fn stratified_order(&self, seed: u64, purpose: &str) -> Vec<usize> {
        let n = self.len();
        let mut rng = takd_rng::stream(seed, purpose);
        let mut shuffled: Vec<usize> = (0..n).collect();
        shuffled.shuffle(&mut rng);
        let mut classes = vec![Vec::new(); self.labels.iter().max().map_or(0, |&max| max as usize + 1)];
        for index in shuffled {
            classes[self.labels[index] as usize].push(index);
        }
        classes.retain(|images| !images.is_empty());
        // Classes of equal deadlines come in random order.
        classes.shuffle(&mut rng);
        let mut order = Vec::with_capacity(n);
        // Each class's next image: when it may stand first, in order of that; and of those that may, by their ends.
        let mut waiting: BinaryHeap<_> = (0..classes.len()).map(|class| Reverse((0, class, 0))).collect();
        let mut open = BinaryHeap::new();
        for place in 0..n {
            while let Some(Reverse((_, class, r))) =
                waiting.peek().copied().filter(|Reverse((start, ..))| *start <= place)
            {
                waiting.pop();
                open.push(Reverse((((r + 1) * n).div_ceil(classes[class].len()), class, r)));
            }
            let Some(Reverse((_, class, r))) = open.pop() else {
                unreachable!("the classes' shares of a place sum to one")
            };
            order.push(classes[class][r]);
            let m = classes[class].len();
            if r + 1 < m {
                waiting.push(Reverse(((r + 1) * n / m, class, r + 1)));
            }
        }
        order
    }
}
