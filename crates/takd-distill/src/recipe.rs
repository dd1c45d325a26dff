//! How a network is trained, and the three protocols that say so.

use crate::EpochRecord;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::{fmt, str::FromStr};
use takd_datasets::{Augmentation, Dataset, Normalization};
use takd_loss::Reduction;
use takd_models::Family;

/// The seed of augmentations that are drawn once and replayed: no run's own, so that all students of a teacher share its
/// logits for them.
pub(crate) const REPLAYED: u64 = 0;

/// Whose rules an experiment follows. A table says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// What the published code of arXiv 1902.03393 does, defects included.
    Code,
    /// What the paper's text says, where it says more or other than the code.
    Paper,
    /// As [`Protocol::Paper`], but nothing is chosen by the test set: images are held out for that.
    Sound,
}

/// A name that no protocol has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol `{name}`; there are: code, paper, sound")]
pub struct UnknownProtocol {
    /// The name as it was given.
    pub name: String,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Code, Self::Paper, Self::Sound];

    /// The name as it is parsed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Paper => "paper",
            Self::Sound => "sound",
        }
    }

    /// How many epochs a network of this family is trained for where nobody says otherwise.
    pub fn epochs(self, family: Family) -> usize {
        match (self, family) {
            (Self::Code, _) | (_, Family::Resnet) => 160,
            (_, Family::Plain) => 150,
        }
    }

    /// The recipe for networks of `family`, trained for `epochs`: the learning rate falls at the same shares of them as
    /// it does in the full number, rounded up, so that a single epoch has the first rate.
    pub fn recipe(self, family: Family, epochs: usize) -> Recipe {
        let from = |share: f64, lr: f64| LrFrom { epoch: (share * epochs as f64).ceil() as usize, lr };
        let lr = match (self, family) {
            (_, Family::Plain) => vec![from(0.0, 0.01)],
            // The code's `epoch < int(epoch/2)` is never true, so that its phase at 0.1 does not exist.
            (Self::Code, Family::Resnet) => vec![from(0.0, 0.01), from(0.75, 0.001)],
            (_, Family::Resnet) => vec![from(0.0, 0.1), from(0.5, 0.01), from(0.75, 0.001)],
        };
        let text = self != Self::Code;
        Recipe {
            epochs,
            batch_size: 128,
            lr,
            momentum: 0.9,
            nesterov: text,
            weight_decay: if text && family == Family::Plain { 0.0 } else { 1e-4 },
            weight_decay_on: DecayOn::All,
            augmentation: if text && family == Family::Resnet { Augment::CropFlip } else { Augment::None },
            replays: None,
            normalization: if self == Self::Sound { Scale::Own } else { Scale::PublishedCode },
            kl_reduction: if text { KlReduction::BatchMean } else { KlReduction::Mean },
            pick: if self == Self::Sound { Pick::LastEpoch } else { Pick::BestTestEpoch },
            hold_out: if self == Self::Sound { HoldOut::Tenth } else { HoldOut::Nothing },
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        let known = Self::ALL.into_iter().find(|protocol| protocol.as_str() == name);
        known.ok_or_else(|| UnknownProtocol { name: name.to_owned() })
    }
}

/// How a network is trained: stochastic gradient descent, and which epoch's network counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How often every training image is seen.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// The learning rate, in pieces; the first begins at epoch 0, each ends where the next begins.
    pub lr: Vec<LrFrom>,
    /// Momentum of the gradient descent.
    pub momentum: f64,
    /// Nesterov's form of it.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
    /// What the penalty falls on.
    pub weight_decay_on: DecayOn,
    /// What is done to training images.
    pub augmentation: Augment,
    /// How many augmented forms of each image are drawn once and seen in turn, an epoch each, so that a teacher's logits can
    /// be kept; fresh ones in every epoch where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<NonZeroUsize>,
    /// What pixels are scaled by.
    pub normalization: Scale,
    /// How the KL term is averaged.
    pub kl_reduction: KlReduction,
    /// Which epoch's network is reported, and teaches.
    pub pick: Pick,
    /// Which training images are set aside to watch the training with.
    pub hold_out: HoldOut,
}

/// A learning rate and the epoch, counted from 0, that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrFrom {
    /// First epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    pub lr: f64,
}

/// What weight decay falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayOn {
    /// Every parameter.
    All,
    /// The weights of convolutions and fully connected layers: all but normalisation and biases.
    Weights,
}

/// What is done to training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Nothing.
    None,
    /// 4 pixels of padding, a random crop of the old size, a random flip.
    CropFlip,
}

/// What pixels are scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// [`Normalization::PUBLISHED_CODE`] for every data set.
    PublishedCode,
    /// The data set's own mean and standard deviation.
    Own,
}

/// How the KL term is averaged; see [`Reduction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlReduction {
    /// Over the batch, as in the formula.
    BatchMean,
    /// Over the batch and the classes, as the published code does.
    Mean,
}

/// Which epoch's network is reported, and teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The one that does best on the test set, as the published code does; its accuracy flatters.
    BestTestEpoch,
    /// The last; the test set is looked at once.
    LastEpoch,
}

/// Which training images are set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOut {
    /// None.
    Nothing,
    /// One in ten (5 000 of CIFAR's), the classes in their proportions, always the same.
    Tenth,
}

impl Recipe {
    /// The learning rate of an epoch, counted from 0.
    pub fn lr_at(&self, epoch: usize) -> f64 {
        self.lr.iter().rev().find(|piece| piece.epoch <= epoch).map_or(0.0, |piece| piece.lr)
    }

    /// Of the epochs so far the one, from 1, whose network counts; the earlier of equals.
    pub(crate) fn picked_epoch(&self, epochs: &[EpochRecord]) -> usize {
        let accuracy = |record: &EpochRecord| record.test.map_or(0.0, |test| test.accuracy);
        match self.pick {
            Pick::LastEpoch => self.epochs,
            Pick::BestTestEpoch => {
                let best = epochs.iter().rev().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
                best.map_or(0, |record| record.epoch)
            }
        }
    }

    pub(crate) fn augmentation(&self) -> Augmentation {
        match self.augmentation {
            Augment::None => Augmentation::None,
            Augment::CropFlip => Augmentation::CropFlip { padding: 4 },
        }
    }

    pub(crate) fn normalization(&self, data: &Dataset) -> Normalization {
        match self.normalization {
            Scale::PublishedCode => Normalization::PUBLISHED_CODE,
            Scale::Own => data.normalization,
        }
    }

    pub(crate) fn reduction(&self) -> Reduction {
        match self.kl_reduction {
            KlReduction::BatchMean => Reduction::BatchMean,
            KlReduction::Mean => Reduction::Mean,
        }
    }

    /// How many of `train_images` are held out.
    pub fn held_out(&self, train_images: usize) -> usize {
        match self.hold_out {
            HoldOut::Nothing => 0,
            HoldOut::Tenth => train_images / 10,
        }
    }

    /// Whether the test images are looked at after every epoch.
    pub fn evaluates_test_each_epoch(&self) -> bool {
        self.pick == Pick::BestTestEpoch
    }

    /// The same recipe without what changes nothing, so that what is equal has one id: replays where nothing is augmented.
    pub fn simplified(self) -> Self {
        match self.augmentation {
            Augment::None => Self { replays: None, ..self },
            Augment::CropFlip => self,
        }
    }

    /// In how many forms a training image is seen, each kept with a teacher's logits for it; nothing where it looks new in
    /// every epoch, and a teacher has to look at it each time.
    pub fn forms(&self) -> Option<usize> {
        match self.augmentation {
            Augment::None => Some(1),
            Augment::CropFlip => self.replays.map(|replays| replays.get().min(self.epochs)),
        }
    }

    /// Seed and epoch of the streams from which epoch `epoch` of a run augments its images.
    pub(crate) fn augmented_from(&self, seed: u64, epoch: usize) -> (u64, usize) {
        self.forms().map_or((seed, epoch), |forms| (REPLAYED, epoch % forms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evaluation;

    #[test]
    fn learning_rate_falls_where_the_protocol_says() {
        let rates = |protocol: Protocol, epochs, at: &[usize]| -> Vec<f64> {
            let recipe = protocol.recipe(Family::Resnet, epochs);
            at.iter().map(|&epoch| recipe.lr_at(epoch)).collect()
        };
        assert_eq!(rates(Protocol::Code, 160, &[0, 119, 120, 159]), [0.01, 0.01, 0.001, 0.001]);
        assert_eq!(rates(Protocol::Paper, 160, &[0, 79, 80, 119, 120]), [0.1, 0.1, 0.01, 0.01, 0.001]);
        // A single epoch is trained at the first rate.
        assert_eq!(rates(Protocol::Code, 1, &[0]), [0.01]);
        assert_eq!(Protocol::Sound.recipe(Family::Plain, 150).lr_at(149), 0.01);
    }

    #[test]
    fn sound_protocol_holds_out_5000_of_cifars_images_and_the_others_none() {
        let held_out = |protocol: Protocol| protocol.recipe(Family::Plain, 1).held_out(50_000);
        assert_eq!(Protocol::ALL.map(held_out), [0, 0, 5_000]);
    }

    #[test]
    fn first_of_the_best_epochs_counts_or_the_last_of_all() {
        let epoch = |epoch, accuracy| {
            let test = Evaluation { loss: 0.0, accuracy, top5_accuracy: 1.0, calibration_error: 0.0, images: 100 };
            let test = Some(test);
            EpochRecord { epoch, step: epoch, lr: 0.1, train_loss: 0.0, train_accuracy: 0.0, held_out: None, test }
        };
        let epochs = [epoch(1, 0.4), epoch(2, 0.6), epoch(3, 0.6), epoch(4, 0.5)];
        let best = Protocol::Code.recipe(Family::Plain, 5);
        assert_eq!([0, 1, 2, 3, 4].map(|over| best.picked_epoch(&epochs[..over])), [0, 1, 2, 2, 2]);
        assert_eq!(Protocol::Sound.recipe(Family::Plain, 5).picked_epoch(&epochs), 5);
    }

    #[test]
    fn unknown_protocol_is_refused_with_the_list_of_what_exists() {
        let message = "best".parse::<Protocol>().unwrap_err().to_string();
        assert_eq!(message, "unknown protocol `best`; there are: code, paper, sound");
    }
}
