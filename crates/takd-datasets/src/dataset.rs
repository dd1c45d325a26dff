//! A whole data set in memory.

use crate::{Card, DatasetName, Error, Fit, Images, Known, Normalization, Result, Split, differences};

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What it is.
    pub card: Card,
    /// The images to train on.
    pub train: Images,
    /// The images to test on.
    pub test: Images,
}

/// Which images are left out must not change with the seed of a training.
const LIMIT_SEED: u64 = 0;

impl Dataset {
    /// The data set of these images, its card made from them. `origin` says where they came from, in one line for a person to
    /// read.
    ///
    /// # Errors
    /// If a split is empty, the splits hold images of different sizes, or a label is no class.
    pub fn new(
        name: DatasetName,
        class_names: Vec<String>,
        train: Images,
        test: Images,
        origin: String,
    ) -> Result<Self> {
        for (split, images) in [(Split::Train, &train), (Split::Test, &test)] {
            check(&name, class_names.len(), split, images)?;
        }
        let (size, test_size) = ((train.height(), train.width()), (test.height(), test.width()));
        if size != test_size {
            return Err(Error::SplitSizes { train: size, test: test_size });
        }
        let normalization = Normalization::measure(&train)?;
        let known = name.known();
        let card = Card {
            name,
            class_names,
            height: size.0,
            width: size.1,
            train: train.len(),
            test: test.len(),
            normalization,
            origin,
            licence: known.map_or("not known: it is the user's own data set", Known::licence).into(),
            // Of sizes, pixels and labels.
            checksum: test.hashed(train.hashed(blake3::Hasher::new())?)?.finalize().to_hex().to_string(),
            notes: known.map_or_else(Vec::new, |known| differences::between(known, &train, &test, &normalization)),
        };
        Ok(Self { card, train: train.into_split(), test: test.into_split() })
    }

    /// This data set with at most `train` training images, the classes in their proportions: always the same ones, and those of
    /// a lower limit are among those of a higher one. The test images stay. The card's checksum, mean and deviation stay those
    /// of the whole data set; with the number of training images they say exactly which images these are.
    pub fn limited(&self, train: usize) -> Self {
        Self { card: self.card.limited(train), train: self.train.limit(train, LIMIT_SEED), test: self.test.clone() }
    }

    /// The same data set with its images scaled.
    pub(crate) fn scaled(&self, fit: Fit) -> Result<Self> {
        let Card { name, class_names, origin, .. } = &self.card;
        let name = name.scaled(fit);
        Self::new(name, class_names.clone(), self.train.scaled(fit)?, self.test.scaled(fit)?, origin.clone())
    }
}

fn check(name: &DatasetName, classes: usize, split: Split, images: &Images) -> Result<()> {
    if images.is_empty() {
        return Err(Error::Empty { name: name.clone(), split });
    }
    let wrong = images.labels().iter().position(|&label| label as usize >= classes);
    wrong.map_or(Ok(()), |index| {
        Err(Error::Label { name: name.clone(), split, index, label: images.labels()[index], classes })
    })
}
