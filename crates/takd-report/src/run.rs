//! A run of a report: how far it has come, and what was measured.

use serde::Serialize;
use takd_distill::{RunResult, Runs};
use takd_store::{Ending, RunId};

/// A run and how far it has come.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Its seed.
    pub seed: u64,
    /// Its id.
    pub run: RunId,
    /// How far it has come.
    #[serde(flatten)]
    pub state: RunState,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// It has a result.
    Finished(Measurements),
    /// It is a teacher that is known by a file of its logits, without those of the test images.
    Untested,
    /// Its training diverged.
    Diverged {
        /// When, and what ceased to be a number.
        reason: String,
    },
    /// It was asked to stop and can go on.
    Stopped,
    /// It has not been begun, or has not come to an end.
    Missing,
    /// It cannot be trained, because the training of a teacher diverged.
    NoTeacher,
    /// What it ended with cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What was measured of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measurements {
    /// Share of the test images that are classified correctly.
    pub test_accuracy: f64,
    /// Share of the test images whose class is among the five likeliest.
    pub top5: f64,
    /// Cross-entropy on the test images, nats.
    pub loss: f64,
    /// Expected calibration error on the test images.
    pub calibration_error: f64,
    /// Number of test images.
    pub test_images: usize,
    /// Share of the test images to which network and teacher give the same class, if it is taught.
    pub agreement: Option<f64>,
    /// KL divergence from the teacher to the network at temperature τ, nats.
    pub kl: Option<f64>,
    /// Entropy of the teacher's soft targets at temperature τ, nats.
    pub soft_target_entropy: Option<f64>,
    /// Share of the held-out images that are classified correctly, if there are any.
    pub held_out_accuracy: Option<f64>,
    /// The epoch, from 1, whose network counts.
    pub epoch: usize,
    /// Number of trainable values.
    pub parameters: usize,
    /// What the training took.
    pub seconds: f64,
}

impl RunState {
    /// How far a run has come, by what its ending says. What was measured counts even if the network was deleted since.
    pub fn of(runs: &Runs, id: &RunId) -> Self {
        match runs.ending_file(id).map(|file| file.map(|file| file.ending)) {
            Ok(Some(Ending::Finished(result))) => Measurements::of(&result).map_or(Self::Untested, Self::Finished),
            Ok(Some(Ending::Failed(reason))) => Self::Diverged { reason },
            Ok(Some(Ending::Stopped)) => Self::Stopped,
            Ok(None) => Self::Missing,
            Err(error) => Self::Unreadable { reason: error.to_string() },
        }
    }

    /// What was measured, if the run is finished.
    pub fn measurements(&self) -> Option<&Measurements> {
        match self {
            Self::Finished(measurements) => Some(measurements),
            _ => None,
        }
    }

    /// Why there is no result, if it is known.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Diverged { reason } | Self::Unreadable { reason } => Some(reason),
            _ => None,
        }
    }

    /// The state in a word, as files have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Untested => "untested",
            Self::Diverged { .. } => "diverged",
            Self::Stopped => "stopped",
            Self::Missing => "missing",
            Self::NoTeacher => "no-teacher",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl Measurements {
    /// Those of a result; nothing if the test images were not looked at.
    fn of(result: &RunResult) -> Option<Self> {
        let test = result.test?;
        Some(Self {
            test_accuracy: test.accuracy,
            top5: test.top5_accuracy,
            loss: test.loss,
            calibration_error: test.calibration_error,
            test_images: test.images,
            agreement: result.teachers.map(|teachers| teachers.agreement),
            kl: result.teachers.map(|teachers| teachers.kl),
            soft_target_entropy: result.teachers.map(|teachers| teachers.soft_target_entropy),
            held_out_accuracy: result.held_out.map(|held_out| held_out.accuracy),
            epoch: result.epoch,
            parameters: result.parameters,
            seconds: result.seconds,
        })
    }
}
