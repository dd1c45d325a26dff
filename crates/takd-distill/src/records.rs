//! What is measured while a run is trained, in the order of time: the lines of `metrics.jsonl`.

use crate::evaluation::Evaluation;
use crate::training::{Pick, Training};
use serde::{Deserialize, Serialize};

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// One training step; every fiftieth has a line.
    Step(StepRecord),
    /// One epoch.
    Epoch(EpochRecord),
}

/// The loss of some images, and the terms that it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// What is minimised: `(1 − λ)·CE + λ·τ²·KL` for a network that is taught (eq. 3 of arXiv 1902.03393), else CE.
    pub loss: f64,
    /// CE: the cross-entropy with the labels, in nats.
    pub cross_entropy: f64,
    /// KL: the divergence of the student from its teachers at temperature τ, in nats, without τ² and averaged over the images
    /// alone; absent without a teacher that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
}

/// One training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which one, from 1, counted through all epochs.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Of its images, before it.
    #[serde(flatten)]
    pub loss: Losses,
    /// Share of them that the network got right, before the step.
    pub accuracy: f64,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which one, from 1.
    pub epoch: usize,
    /// Its last step, from 1, counted through all epochs.
    pub step: usize,
    /// The learning rate of its last step.
    pub lr: f64,
    /// On its training images, each as the network was when the image was seen.
    pub train: TrainRecord,
    /// On the held-out images, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// On the test images, if the training looks at them each epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Evaluation>,
}

/// How the network did on the images that it was trained on in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainRecord {
    /// Means over the images.
    #[serde(flatten)]
    pub loss: Losses,
    /// Share of them that the network got right.
    pub accuracy: f64,
}

impl Record {
    /// The training step that it belongs to, counted through all epochs.
    pub fn step(&self) -> usize {
        match self {
            Self::Step(record) => record.step,
            Self::Epoch(record) => record.step,
        }
    }
}

/// The records of epochs among `records`.
pub(crate) fn epochs(records: impl IntoIterator<Item = Record>) -> Vec<EpochRecord> {
    let epoch = |record| match record {
        Record::Epoch(record) => Some(record),
        Record::Step(_) => None,
    };
    records.into_iter().filter_map(epoch).collect()
}

/// The epoch so far, from 1, whose network counts: the last of all, or the best on the test images, the earlier of equals;
/// 0 if there is none yet.
pub(crate) fn picked_epoch(training: &Training, epochs: &[EpochRecord]) -> usize {
    let accuracy = |record: &EpochRecord| record.test.map_or(0.0, |test| test.accuracy);
    match training.pick {
        Pick::LastEpoch => training.epochs,
        Pick::BestTestEpoch => {
            let best = epochs.iter().rev().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
            best.map_or(0, |record| record.epoch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;
    use takd_models::Family;

    #[test]
    fn first_of_the_best_epochs_counts_or_the_last_of_all() {
        let epoch = |epoch, accuracy| {
            let test = Evaluation { loss: 0.0, accuracy, top5_accuracy: 1.0, calibration_error: 0.0, images: 100 };
            let train = TrainRecord { loss: Losses::default(), accuracy: 0.0 };
            EpochRecord { epoch, step: epoch, lr: 0.1, train, held_out: None, test: Some(test) }
        };
        let epochs = [epoch(1, 0.4), epoch(2, 0.6), epoch(3, 0.6), epoch(4, 0.5)];
        let best = Protocol::Code.training(Family::Plain, 5);
        assert_eq!([0, 1, 2, 3, 4].map(|over| picked_epoch(&best, &epochs[..over])), [0, 1, 2, 2, 2]);
        assert_eq!(picked_epoch(&Protocol::Sound.training(Family::Plain, 5), &epochs), 5);
    }
}
