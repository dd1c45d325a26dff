//! How a network is trained: stochastic gradient descent, and which epoch's network counts.

use crate::names::{self, named};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use takd_datasets::{Augmentation, Card, Normalization};

/// The settings of a training. Nothing here depends on who teaches the network, so that a teacher is the same run whatever
/// it teaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// How often every training image is seen; 1 or more.
    pub epochs: usize,
    /// Images a step; 1 or more.
    pub batch_size: usize,
    /// How many parts a batch is computed in, one after the other, so that memory need hold only one of them: their gradients
    /// are added before the one step. Batch normalisation sees each part alone, and its running statistics move with each, which
    /// makes it another training than the same batch at once. See [`Training::parts`].
    #[serde(default = "once")]
    pub gradient_accumulation: NonZeroUsize,
    /// The learning rate, in pieces: the first begins at epoch 0, each ends where the next begins.
    pub lr: Vec<LrFrom>,
    /// Epochs over which the learning rate rises to the one of its epoch, step by step; 0 or more. See [`Training::lr_at_step`].
    #[serde(default)]
    pub warmup_epochs: f64,
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

/// Batches are computed at once unless a training says otherwise.
fn once() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// A learning rate and the epoch, counted from 0, that it begins with. Parses from and prints as `0.01 from epoch 80`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrFrom {
    /// First epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    pub lr: f64,
}

/// A learning rate and where it begins, whatever the number of epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateFrom {
    /// The share of the epochs before it, 0 to below 1.
    pub from: f64,
    /// The learning rate, above 0.
    pub rate: f64,
}

impl RateFrom {
    /// The same of so many epochs.
    pub fn of_epochs(self, epochs: usize) -> LrFrom {
        LrFrom::share(self.from, epochs, self.rate)
    }
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
    /// That of a network that was trained elsewhere: none.
    pub const NONE: Self = Self {
        epochs: 0,
        batch_size: 1,
        gradient_accumulation: NonZeroUsize::MIN,
        lr: Vec::new(),
        warmup_epochs: 0.0,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        weight_decay_on: DecayOn::All,
        augmentation: Augmentation::NONE,
        replays: None,
        normalization: Scale::Own,
        pick: Pick::LastEpoch,
        hold_out: HoldOut::Nothing,
    };

    pub(crate) fn none() -> Self {
        Self::NONE
    }

    /// The learning rate of an epoch, counted from 0, after the warm-up.
    pub fn lr_at(&self, epoch: usize) -> f64 {
        self.lr.iter().rev().find(|piece| piece.epoch <= epoch).map_or(0.0, |piece| piece.lr)
    }

    /// The learning rate of a step, counted from 1 through all epochs of `steps_an_epoch` steps.
    ///
    /// In the warm-up of w epochs of S steps, step t has the rate of its epoch times `min(1, t / (w·S))`: it rises by the same
    /// amount with each step, from near 0 to the full rate (Goyal et al. 2017, arXiv 1706.02677, section 2.2, "gradual
    /// warmup"). As w does not depend on the number of epochs, a run of fewer epochs has the same rates.
    pub fn lr_at_step(&self, step: usize, steps_an_epoch: usize) -> f64 {
        let lr = self.lr_at(step.saturating_sub(1) / steps_an_epoch.max(1));
        let warmup_steps = self.warmup_epochs * steps_an_epoch as f64;
        if (step as f64) < warmup_steps { lr * (step as f64 / warmup_steps) } else { lr }
    }

    /// The number of parts that a batch of so many images is computed in, which are of one size, or one image apart.
    ///
    /// A batch of `batch_size` has [`gradient_accumulation`](Self::gradient_accumulation) parts, but not more than images. The
    /// smaller last batch of an epoch has fewer, as few as make none larger than those of the others: n images
    /// have `⌈n · parts / batch_size⌉`.
    pub fn parts(&self, images: usize) -> usize {
        let parts = self.gradient_accumulation.get().min(self.batch_size);
        // Wider than a product of two counts can be.
        let parts = (images as u128 * parts as u128).div_ceil(self.batch_size.max(1) as u128);
        usize::try_from(parts).unwrap_or(images).max(1)
    }

    /// The number of steps of an epoch, if so many of its images are trained on.
    pub(crate) fn steps(&self, trained_on: usize) -> usize {
        trained_on.div_ceil(self.batch_size)
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

    /// What the pixels of data with this card are scaled by.
    pub fn normalization(&self, card: &Card) -> Normalization {
        match self.normalization {
            Scale::PublishedCode => Normalization::PUBLISHED_CODE,
            Scale::Own => card.normalization,
            Scale::Imagenet => Normalization::IMAGENET,
        }
    }

    /// Why no network can be trained so, if none can.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { epochs, batch_size, lr, warmup_epochs, momentum, weight_decay, augmentation, replays, .. } = self;
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
        } else if !(warmup_epochs.is_finite() && *warmup_epochs >= 0.0) {
            Some(format!("its learning rate is to rise for {warmup_epochs} epochs, which is not a number of 0 or more"))
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
        // Parts of no image are none.
        if let Some(batch_size) = NonZeroUsize::new(self.batch_size) {
            self.gradient_accumulation = self.gradient_accumulation.min(batch_size);
        }
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

    fn training() -> Training {
        crate::Protocol::Paper.training(takd_models::Family::Resnet, 8)
    }

    #[test]
    fn rate_rises_step_by_step_over_the_warm_up_and_then_is_that_of_the_epoch() {
        let training = Training { warmup_epochs: 2.5, ..training() };
        let rates = |steps: &[usize]| -> Vec<f64> { steps.iter().map(|&step| training.lr_at_step(step, 4)).collect() };
        // Ten steps to 0.1; the rate falls after four epochs of four steps.
        assert_eq!(rates(&[1, 2, 5, 9]), [1, 2, 5, 9].map(|step| 0.1 * (step as f64 / 10.0)));
        assert_eq!(rates(&[10, 11, 16, 17, 24, 25, 32]), [0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]);
        // A rate that falls during the warm-up is what the rest of it rises to.
        let longer = Training { warmup_epochs: 8.0, ..training.clone() };
        assert_eq!(longer.lr_at_step(16, 4), 0.1 * 0.5);
        assert_eq!(longer.lr_at_step(17, 4), 0.01 * (17.0 / 32.0));
        let none = Training { warmup_epochs: 0.0, ..training };
        assert_eq!([1, 16, 17].map(|step| none.lr_at_step(step, 4)), [0.1, 0.1, 0.01]);
    }

    #[test]
    fn smaller_batch_has_fewer_parts_and_none_is_larger() {
        for (batch_size, parts) in [(1, 1), (5, 4), (8, 8), (128, 3), (256, 8), (256, 256)] {
            let gradient_accumulation = NonZeroUsize::new(parts).unwrap();
            let training = Training { batch_size, gradient_accumulation, ..training() };
            assert_eq!(training.parts(batch_size), parts);
            for images in 1..=batch_size {
                let found = training.parts(images);
                assert!((1..=images).contains(&found), "{found} parts of {images}");
                assert!(images.div_ceil(found) <= batch_size.div_ceil(parts), "{found} parts of {images}");
            }
        }
        let more = Training { batch_size: 4, gradient_accumulation: NonZeroUsize::new(9).unwrap(), ..training() };
        assert_eq!([1, 3, 4].map(|images| more.parts(images)), [1, 3, 4]);
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
