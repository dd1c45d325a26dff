//! Everything about a data set but its pixels.

use crate::{DatasetName, Normalization};
use serde::{Deserialize, Serialize};

/// Everything about a data set but its pixels and labels. It is small, is kept as JSON by a [`Catalog`](crate::Catalog), and is
/// enough to plan with: no image is decoded for it once it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Which data set.
    pub name: DatasetName,
    /// The classes' names, in the order of the labels.
    pub class_names: Vec<String>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// Mean and standard deviation of all training images' own pixels.
    pub normalization: Normalization,
    /// Where the images came from, one line for a person to read.
    pub origin: String,
    /// Under what licence they may be used, one line for a person to read.
    pub licence: String,
    /// BLAKE3 of the decoded pixels and labels of both splits, 64 hexadecimal digits: equal exactly if the data are.
    pub checksum: String,
    /// What a person should know before trusting results on these images, one sentence each, such as that there are fewer of
    /// them than the data set is known to have. Empty if nothing is odd.
    pub notes: Vec<String>,
}

impl Card {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The card of [`Dataset::limited`](crate::Dataset::limited): the number of training images is the smaller of both, all else
    /// is that of the whole data set.
    pub fn limited(&self, train: usize) -> Self {
        Self { train: self.train.min(train), ..self.clone() }
    }
}
