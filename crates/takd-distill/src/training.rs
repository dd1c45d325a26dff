//! How a network is trained: stochastic gradient descent, and which epoch's network counts.

use crate::names::{self, named};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use takd_datasets::{Augmentation, Dataset, Normalization};

/// The settings of a training. Nothing here depends on who teaches the network, so that a teacher is the same run whatever
/// it teaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// How often every training image is seen; 1 or more.
    pub epochs: usize,
    /// Images a step; 1 or more.
    pub batch_size: usize,
    /// The learning rate, in pieces: the first begins at epoch 0, each ends where the next begins.
    pub lr: Vec<LrFrom>,
    /// Momentum of the gradient descent, 0 or more and below 1.
    pub momentum: f64,
    /// Whether momentum is applied in Nesterov's form.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty, 0 or more.
    #[serde(default)]
    pub weight_decay: f64,
    /// What the penalty falls on.
    #[serde(default)]
    pub weight_decay_on: DecayOn,
    /// What is done to training images.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The number of augmented forms of each image that are drawn once and seen in turn, one an epoch, so that a teacher's
    /// logits can be kept. Without it, images are augmented anew in every epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<NonZeroUsize>,
    /// What pixels are scaled by.
    pub normalization: Scale,
    /// Which epoch's network is reported, and teaches.
    pub pick: Pick,
    /// Which training images are set aside to watch the training with.
    #[serde(default)]
    pub hold_out: HoldOut,
}

/// A learning rate and the epoch, counted from 0, that it begins with. Parses from and prints as `0.01 from epoch 80`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrFrom {
    /// First epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    pub lr: f64,
}

impl LrFrom {
    /// The rate `lr` from a share of all epochs on, rounded up.
    pub fn share(share: f64, epochs: usize, lr: f64) -> Self {
        // 0.55 · 100 is a little more than 55 in binary, and must not become 56.
        Self { epoch: (share * epochs as f64 - 1e-9).ceil().max(0.0) as usize, lr }
    }
}

impl fmt::Display for LrFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // −0.0 is 0.0; the shortest digits that give the same number again.
        write!(f, "{:?} from epoch {}", self.lr + 0.0, self.epoch)
    }
}

impl FromStr for LrFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(" from epoch ");
        let parsed = parts.and_then(|(lr, epoch)| Some(Self { lr: lr.parse().ok()?, epoch: epoch.parse().ok()? }));
        parsed.ok_or_else(|| format!("`{text}` is not a learning rate such as `0.1 from epoch 0`"))
    }
}

impl Serialize for LrFrom {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        names::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for LrFrom {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        names::deserialize(deserializer)
    }
}

named! {
    /// What weight decay falls on.
    #[derive(Default)]
    DecayOn, "weight_decay_on" {
        /// Every parameter.
        #[default]
        All = "all",
        /// The weights of convolutions and fully connected layers: all but normalisation and biases.
        Weights = "weights",
    }
}

named! {
    /// What pixels are scaled by.
    Scale, "normalization" {
        /// [`Normalization::PUBLISHED_CODE`] for every data set.
        PublishedCode = "published-code",
        /// The data set's own mean and standard deviation.
        Own = "own",
        /// [`Normalization::IMAGENET`] for every data set: for photographs, and for networks that come from elsewhere.
        Imagenet = "imagenet",
    }
}

named! {
    /// Which epoch's network is reported, and teaches.
    Pick, "pick" {
        /// The one that does best on the test set, as in the published code; its accuracy flatters.
        BestTestEpoch = "best-test-epoch",
        /// The last; the test set is looked at once.
        LastEpoch = "last-epoch",
    }
}

named! {
    /// Which training images are set aside.
    #[derive(Default)]
    HoldOut, "hold_out" {
        /// None.
        #[default]
        Nothing = "nothing",
        /// One in ten (5 000 of CIFAR's), the classes in their proportions, always the same.
        Tenth = "tenth",
    }
}

impl Training {
    /// The learning rate of an epoch, counted from 0.
    pub fn lr_at(&self, epoch: usize) -> f64 {
        self.lr.iter().rev().find(|piece| piece.epoch <= epoch).map_or(0.0, |piece| piece.lr)
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

    /// The number of forms in which a training image is seen, each kept with a teacher's logits for it. Nothing if it looks
    /// new in every epoch, so that a teacher has to look at it each time.
    pub fn forms(&self) -> Option<usize> {
        match self.augmentation {
            Augmentation::NONE => Some(1),
            _ => self.replays.map(|replays| replays.get().min(self.epochs)),
        }
    }

    pub(crate) fn normalization(&self, data: &Dataset) -> Normalization {
        match self.normalization {
            Scale::PublishedCode => Normalization::PUBLISHED_CODE,
            Scale::Own => data.card.normalization,
            Scale::Imagenet => Normalization::IMAGENET,
        }
    }

    /// Why no network can be trained so, if none can.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { epochs, batch_size, lr, momentum, weight_decay, augmentation, replays, .. } = self;
        let rises = |pair: &[LrFrom]| pair[0].epoch <= pair[1].epoch;
        let bad_rate = lr.iter().find(|piece| !(piece.lr.is_finite() && piece.lr >= 0.0));
        if *epochs == 0 {
            Some("it has no epochs".into())
        } else if *batch_size == 0 {
            Some("it has no images a step".into())
        } else if lr.first().is_none_or(|first| first.epoch > 0) {
            Some("its learning rate does not begin with epoch 0".into())
        } else if !lr.windows(2).all(rises) {
            Some("the pieces of its learning rate are not in the order of their epochs".into())
        } else if let Some(piece) = bad_rate {
            Some(format!("its learning rate {} from epoch {} on is not a number of 0 or more", piece.lr, piece.epoch))
        } else if !(0.0..1.0).contains(momentum) {
            Some(format!("its momentum {momentum} is not from 0 to below 1"))
        } else if !(weight_decay.is_finite() && *weight_decay >= 0.0) {
            Some(format!("its weight decay {weight_decay} is not a number of 0 or more"))
        } else if let Err(problem) = augmentation.check() {
            Some(problem.to_string())
        } else if replays.is_some() && augmentation.mix.is_some() {
            Some("images that are mixed with others of their batch have no forms of their own to be replayed".into())
        } else {
            None
        }
    }

    /// The same training without the settings that have no effect, so that what is equal has one id.
    pub(crate) fn simplified(mut self) -> Self {
        // A piece that begins after the last epoch, or with another's epoch or rate, changes nothing.
        let mut pieces: Vec<LrFrom> = Vec::with_capacity(self.lr.len());
        for piece in self.lr.into_iter().filter(|piece| piece.epoch < self.epochs) {
            if pieces.last().is_some_and(|last| last.epoch == piece.epoch) {
                pieces.pop();
            }
            if pieces.last().is_none_or(|last| last.lr != piece.lr) {
                pieces.push(piece);
            }
        }
        self.lr = pieces;
        self.replays = match self.augmentation {
            Augmentation::NONE => None,
            _ => self.replays.and_then(|replays| NonZeroUsize::new(replays.get().min(self.epochs))),
        };
        self.nesterov &= self.momentum != 0.0;
        if self.weight_decay == 0.0 {
            self.weight_decay_on = DecayOn::All;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_the_epochs_begins_at_the_epoch_that_the_decimals_say() {
        for epochs in 1..=200 {
            for percent in 0..100 {
                let found = LrFrom::share(percent as f64 / 100.0, epochs, 0.1).epoch;
                assert_eq!(found, (percent * epochs).div_ceil(100), "{percent} % of {epochs}");
            }
        }
    }

    #[test]
    fn rate_prints_as_it_parses() {
        for lr in [0.1, 1e-7, 1e30, 0.0, 0.30000000000000004] {
            let piece = LrFrom { epoch: 80, lr };
            assert_eq!(piece.to_string().parse(), Ok(piece));
        }
        assert_eq!(LrFrom { epoch: 0, lr: -0.0 }.to_string(), "0.0 from epoch 0");
        assert!("0.1 after epoch 3".parse::<LrFrom>().is_err());
    }
}
