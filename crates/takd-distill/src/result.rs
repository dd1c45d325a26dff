//! What a run ended with.

use crate::evaluation::{Evaluation, TeacherComparison};
use serde::{Deserialize, Serialize};

/// What a run ended with, as in `ending.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The epoch, from 1, whose network counts.
    pub epoch: usize,
    /// That network on the test images; nothing of a teacher that is known by a file of logits without theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Evaluation>,
    /// That network on the held-out images, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Evaluation>,
    /// That network and its teachers on the test images, if it has any and all of them are known there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teachers: Option<TeacherComparison>,
    /// Number of trainable values.
    pub parameters: usize,
    /// What the training took, interruptions left out.
    pub seconds: f64,
}
