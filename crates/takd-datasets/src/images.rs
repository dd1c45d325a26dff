//! Labelled images in memory, and the choice of some of them.

use crate::{Error, Fit, Result, decode_one, normalization::Sums, picture::Picture, stored::Stored};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::{borrow::Cow, cmp::Reverse, collections::BinaryHeap, fmt, sync::Arc};

/// Labelled images of one size, as bytes: `[len, height, width, 3]`, channels last, red green blue. They are in memory, or, if they
/// would fill that, in the files that they came in, and are decoded each time they are asked for.
#[derive(Clone)]
pub struct Images {
    /// Those in memory.
    pixels: Option<Vec<u8>>,
    /// How they came, if they are not in memory or were scaled.
    stored: Option<StoredImages>,
    /// Which of the images they are that they were chosen from, if they were.
    chosen: Option<Vec<u32>>,
    labels: Vec<u32>,
    height: usize,
    width: usize,
}

impl PartialEq for Images {
    /// Whether they have equal pixels in memory, or the same places in files; and equal labels. What images in memory were scaled
    /// from is not compared.
    fn eq(&self, other: &Self) -> bool {
        let looks = |images: &Self| (images.height, images.width, images.pixels.is_some());
        let are_equal = if self.pixels.is_some() { self.pixels == other.pixels } else { self.stored == other.stored };
        looks(self) == looks(other) && self.labels == other.labels && are_equal
    }
}

/// Images as they came.
#[derive(Clone)]
pub(crate) struct StoredImages {
    all: Arc<Vec<Stored>>,
    /// Which of them.
    chosen: Vec<u32>,
    fit: Fit,
    /// What they were found to be when all of them were decoded.
    measured: Option<Box<Measured>>,
}

/// What is known of the pixels of images that are not in memory.
#[derive(Clone)]
pub(crate) struct Measured {
    /// Of what comes before them in their data set, their number, sizes, pixels and labels.
    hasher: blake3::Hasher,
    sums: Sums,
}

impl Measured {
    pub(crate) fn new(mut hasher: blake3::Hasher, len: u64, side: usize) -> Self {
        hash_sizes(&mut hasher, [len, side as u64, side as u64]);
        Self { hasher, sums: Sums::default() }
    }

    pub(crate) fn add(&mut self, pixels: &[u8]) {
        self.hasher.update(pixels);
        self.sums.add(pixels);
    }

    pub(crate) fn end(&mut self, labels: &[u32]) {
        hash_labels(&mut self.hasher, labels);
    }
}

fn hash_sizes(hasher: &mut blake3::Hasher, sizes: [u64; 3]) {
    for size in sizes {
        hasher.update(&size.to_le_bytes());
    }
}

fn hash_labels(hasher: &mut blake3::Hasher, labels: &[u32]) {
    for label in labels {
        hasher.update(&label.to_le_bytes());
    }
}

impl StoredImages {
    pub(crate) fn new(all: Vec<Stored>, fit: Fit, measured: Option<Box<Measured>>) -> Self {
        Self { chosen: (0..all.len() as u32).collect(), all: Arc::new(all), fit, measured }
    }

    fn get(&self, index: usize) -> &Stored {
        &self.all[self.chosen[index] as usize]
    }
}

impl PartialEq for StoredImages {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all && self.chosen == other.chosen && self.fit == other.fit
    }
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
        Ok(Self { pixels: Some(pixels), stored: None, chosen: None, labels, height, width })
    }

    /// Images that lie in files, a label for each.
    pub(crate) fn stored(images: StoredImages, labels: Vec<u32>) -> Self {
        let side = images.fit.side();
        Self { pixels: None, stored: Some(images), chosen: None, labels, height: side, width: side }
    }

    /// The same images, which were scaled from these.
    pub(crate) fn with_originals(self, originals: StoredImages) -> Self {
        Self { stored: Some(originals), ..self }
    }

    /// Whether some of what may be asked of them is not in memory.
    pub(crate) fn are_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// What is known of the pixels of images that are not in memory.
    fn measured(&self) -> Option<&Measured> {
        self.stored.as_ref().filter(|_| self.pixels.is_none()).and_then(|stored| stored.measured.as_deref())
    }

    /// All pixels, `[len, height, width, 3]`, if they are in memory.
    pub fn pixels(&self) -> Option<&[u8]> {
        self.pixels.as_deref()
    }

    /// The sums of their pixels.
    pub(crate) fn sums(&self) -> Result<Sums> {
        if let Some(measured) = self.measured() {
            return Ok(measured.sums);
        }
        let mut sums = Sums::default();
        (0..self.len()).try_for_each(|index| self.image(index).map(|pixels| sums.add(&pixels)))?;
        Ok(sums)
    }

    /// The hash of what `hasher` has hashed before, and of their number, sizes, pixels and labels.
    pub(crate) fn hashed(&self, mut hasher: blake3::Hasher) -> Result<blake3::Hasher> {
        if let Some(measured) = self.measured() {
            // Decoded and hashed before, after the same images.
            return Ok(measured.hasher.clone());
        }
        hash_sizes(&mut hasher, [self.len() as u64, self.height as u64, self.width as u64]);
        (0..self.len()).try_for_each(|index| self.image(index).map(|pixels| _ = hasher.update(&pixels)))?;
        hash_labels(&mut hasher, &self.labels);
        Ok(hasher)
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
    /// # Errors
    /// If its file has changed so that it cannot be decoded any more.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match (&self.pixels, &self.stored) {
            (Some(pixels), _) => {
                let size = self.height * self.width * 3;
                Ok(Cow::Borrowed(&pixels[index * size..][..size]))
            }
            (None, Some(images)) => decode_one::again(images.get(index), images.fit).map(Cow::Owned),
            (None, None) => unreachable!("images are in memory or in files"),
        }
    }

    /// Image `index` as it came, before it was scaled.
    pub(crate) fn original(&self, index: usize) -> Result<Picture> {
        match &self.stored {
            Some(images) => decode_one::whole(images.get(index)),
            None => Ok(Picture::new(self.image(index)?.into_owned(), self.height, self.width)),
        }
    }

    /// The same images as all of a split, from which others are chosen.
    pub(crate) fn into_split(self) -> Self {
        Self { chosen: None, ..self }
    }

    /// The index of image `index` among all images of its split, from which these may have been chosen.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn place(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index] as usize)
    }

    /// The images named by `indices`, in that order.
    ///
    /// # Panics
    /// If one is not there.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let size = self.height * self.width * 3;
        let pixels = self.pixels.as_ref().map(|all| {
            let mut pixels = Vec::with_capacity(indices.len() * size);
            for &index in indices {
                pixels.extend_from_slice(&all[index * size..][..size]);
            }
            pixels
        });
        let stored = self.stored.as_ref().map(|images| {
            let chosen = indices.iter().map(|&index| images.chosen[index]).collect();
            StoredImages { all: Arc::clone(&images.all), chosen, fit: images.fit, measured: None }
        });
        let chosen = Some(indices.iter().map(|&index| self.place(index) as u32).collect());
        Self { pixels, stored, chosen, labels: indices.iter().map(|&index| self.labels[index]).collect(), ..*self }
    }

    /// The same images, each scaled.
    pub(crate) fn scaled(&self, fit: Fit) -> Result<Self> {
        let scaled = (0..self.len()).into_par_iter().map(|index| {
            let image = self.image(index)?.into_owned();
            Ok(Picture::new(image, self.height, self.width).fitted(fit).pixels)
        });
        Self::new(scaled.collect::<Result<Vec<_>>>()?.concat(), self.labels.clone(), fit.side(), fit.side())
    }

    /// `n` images with the classes in their proportions, chosen by the seed and in their old order; all of them if there are no
    /// more than `n`. Those chosen for a lower `n` are among those for a higher one.
    pub fn limit(&self, n: usize, seed: u64) -> Self {
        if n >= self.len() {
            return self.clone();
        }
        let mut chosen = stratified_order(&self.labels, seed, "limit");
        chosen.truncate(n);
        chosen.sort_unstable();
        self.subset(&chosen)
    }

    /// Indices of the images to train on and of `n` held out (all, if there are no more), each in rising order. The classes
    /// keep their proportions in both, as nearly as whole images allow; the seed alone fixes the choice.
    pub fn stratified_holdout(&self, n: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
        holdout(&self.labels, n, seed)
    }
}

/// [`Images::stratified_holdout`] of images with these labels.
pub(crate) fn holdout(labels: &[u32], n: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut held_out = stratified_order(labels, seed, "holdout");
    let mut train = held_out.split_off(n.min(labels.len()));
    train.sort_unstable();
    held_out.sort_unstable();
    (train, held_out)
}

/// All indices, ordered so that in the first so many of them the classes have their proportions, to within one image each.
///
/// The r-th (from 0) of a class's m images must stand between `r·n/m` and `(r + 1)·n/m` of the n places. At each place, of
/// the classes whose next image may stand there, the one with the earliest end is taken. That always succeeds: it is the
/// scheduling of periodic tasks by earliest deadline (Liu and Layland 1973).
fn stratified_order(labels: &[u32], seed: u64, purpose: &str) -> Vec<usize> {
    let n = labels.len();
    let mut rng = takd_rng::stream(seed, purpose);
    let mut shuffled: Vec<usize> = (0..n).collect();
    shuffled.shuffle(&mut rng);
    let mut classes = vec![Vec::new(); labels.iter().max().map_or(0, |&max| max as usize + 1)];
    for index in shuffled {
        classes[labels[index] as usize].push(index);
    }
    classes.retain(|images| !images.is_empty());
    // Classes of equal deadlines come in random order.
    classes.shuffle(&mut rng);
    let mut order = Vec::with_capacity(n);
    // Each class's next image: when it may stand first, in order of that; and of those that may, by their ends.
    let mut waiting: BinaryHeap<_> = (0..classes.len()).map(|class| Reverse((0, class, 0))).collect();
    let mut open = BinaryHeap::new();
    for place in 0..n {
        while let Some(Reverse((_, class, r))) = waiting.peek().copied().filter(|Reverse((start, ..))| *start <= place)
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
