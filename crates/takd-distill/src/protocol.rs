//! The three protocols: whose rules an experiment follows.

use crate::config::KlReduction;
use crate::names::named;
use crate::training::{DecayOn, HoldOut, LrFrom, Pick, RateFrom, Scale, Training};
use std::num::NonZeroUsize;
use takd_datasets::Augmentation;
use takd_models::Family;

named! {
    /// Whose rules an experiment follows. Every table names its protocol.
    Protocol, "protocol" {
        /// What the published code of arXiv 1902.03393 does, defects included.
        Code = "code",
        /// What the paper's text says, if it says more or other than the code.
        Paper = "paper",
        /// As [`Protocol::Paper`], but nothing is chosen by the test set: images are held out for that.
        Sound = "sound",
    }
}

impl Protocol {
    /// The number of epochs of a network of this family, unless an experiment sets its own.
    pub fn epochs(self, family: Family) -> usize {
        match (self, family) {
            // Published nowhere; the field's usual number, under every protocol.
            (_, Family::ImagenetResnet) => 90,
            (Self::Code, _) | (_, Family::Resnet) => 160,
            // Logits are not trained: nothing comes of what stands here for them, and below.
            (_, Family::Plain | Family::Logits) => 150,
        }
    }

    /// The learning rates of networks of this family, each with the share of the epochs at which it begins.
    pub fn rates(self, family: Family) -> Vec<RateFrom> {
        let from = |from: f64, rate: f64| RateFrom { from, rate };
        match (self, family) {
            // After 30, 60 and 80 of 90 epochs: see `imagenet_training`.
            (_, Family::ImagenetResnet) => [(0.0, 0.1), (30.0, 0.01), (60.0, 0.001), (80.0, 0.0001)]
                .map(|(after, lr)| from(after / 90.0, lr))
                .to_vec(),
            (_, Family::Plain | Family::Logits) => vec![from(0.0, 0.01)],
            // The code's `epoch < int(epoch/2)` is never true, so that its phase at 0.1 does not exist.
            (Self::Code, Family::Resnet) => vec![from(0.0, 0.01), from(0.75, 0.001)],
            (_, Family::Resnet) => vec![from(0.0, 0.1), from(0.5, 0.01), from(0.75, 0.001)],
        }
    }

    /// How networks of `family` are trained in `epochs` epochs. The learning rate falls at the same shares of the epochs as
    /// in the full number, rounded up, so that a single epoch has the first rate.
    pub fn training(self, family: Family, epochs: usize) -> Training {
        let lr = self.rates(family).into_iter().map(|piece| piece.of_epochs(epochs)).collect();
        if family == Family::ImagenetResnet {
            return self.imagenet_training(epochs, lr);
        }
        let text = self != Self::Code;
        Training {
            epochs,
            batch_size: 128,
            gradient_accumulation: NonZeroUsize::MIN,
            lr,
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: text,
            weight_decay: if text && family == Family::Plain { 0.0 } else { 1e-4 },
            weight_decay_on: DecayOn::All,
            augmentation: if text && family == Family::Resnet { Augmentation::CROP_FLIP } else { Augmentation::NONE },
            replays: None,
            normalization: if self == Self::Sound { Scale::Own } else { Scale::PublishedCode },
            pick: self.pick(),
            hold_out: self.hold_out(),
        }
    }

    /// The field's usual training on ImageNet, for neither the paper nor its code tells its own: that of He et al. 2016 as torchvision's
    /// reference has it, whose rate falls to a tenth after 30, 60 and 80 of 90 epochs.
    fn imagenet_training(self, epochs: usize, lr: Vec<LrFrom>) -> Training {
        Training {
            epochs,
            batch_size: 256,
            gradient_accumulation: NonZeroUsize::MIN,
            lr,
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            weight_decay_on: DecayOn::All,
            augmentation: Augmentation::RESIZED_CROP_FLIP,
            replays: None,
            normalization: if self == Self::Sound { Scale::Own } else { Scale::Imagenet },
            pick: self.pick(),
            hold_out: self.hold_out(),
        }
    }

    fn pick(self) -> Pick {
        if self == Self::Sound { Pick::LastEpoch } else { Pick::BestTestEpoch }
    }

    fn hold_out(self) -> HoldOut {
        if self == Self::Sound { HoldOut::Tenth } else { HoldOut::Nothing }
    }

    /// How the KL term is averaged: the published code averages it over the classes too.
    pub fn kl_reduction(self) -> KlReduction {
        match self {
            Self::Code => KlReduction::Mean,
            Self::Paper | Self::Sound => KlReduction::BatchMean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rate_falls_at_the_epochs_that_the_protocol_says() {
        let rates = |protocol: Protocol, epochs, at: &[usize]| -> Vec<f64> {
            let training = protocol.training(Family::Resnet, epochs);
            at.iter().map(|&epoch| training.lr_at(epoch)).collect()
        };
        assert_eq!(rates(Protocol::Code, 160, &[0, 119, 120, 159]), [0.01, 0.01, 0.001, 0.001]);
        assert_eq!(rates(Protocol::Paper, 160, &[0, 79, 80, 119, 120]), [0.1, 0.1, 0.01, 0.01, 0.001]);
        // A single epoch is trained at the first rate.
        assert_eq!(rates(Protocol::Code, 1, &[0]), [0.01]);
        assert_eq!(Protocol::Sound.training(Family::Plain, 150).lr_at(149), 0.01);
        for protocol in Protocol::ALL {
            assert_eq!(protocol.epochs(Family::ImagenetResnet), 90);
            let training = protocol.training(Family::ImagenetResnet, 90);
            let rates = [0, 29, 30, 59, 60, 79, 80, 89].map(|epoch| training.lr_at(epoch));
            assert_eq!(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001], "{protocol}");
        }
    }

    #[test]
    fn sound_protocol_holds_out_5000_of_cifars_images_and_the_others_none() {
        let held_out = |protocol: &Protocol| protocol.training(Family::Plain, 1).held_out(50_000);
        assert_eq!(Protocol::ALL.iter().map(held_out).collect::<Vec<_>>(), [0, 0, 5_000]);
    }

    #[test]
    fn unknown_protocol_is_refused_with_the_list_of_what_exists() {
        let message = "best".parse::<Protocol>().unwrap_err().to_string();
        assert_eq!(message, "unknown protocol `best`; there are: code, paper, sound");
    }
}
