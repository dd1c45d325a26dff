//! What is told while a run is trained.

use crate::records::{EpochRecord, Losses};
use std::ops::ControlFlow;
use takd_store::RunId;

/// What happens in a run while it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another process works on this run, whose logits are needed; told again and again until that has ended.
    Waiting(&'a RunId),
    /// Images are taken through a network that is not trained.
    Pass {
        /// What for.
        pass: Pass,
        /// Images so far.
        done: usize,
        /// Images in all; of a teacher's logits, those whose are not kept yet.
        total: usize,
    },
    /// The training begins after `done` of `total` steps.
    Started {
        /// Steps of an earlier start that need not be taken again.
        done: usize,
        /// Steps of the whole run.
        total: usize,
    },
    /// A step was taken.
    Step {
        /// Steps so far.
        done: usize,
        /// Steps of the whole run.
        total: usize,
        /// Epoch of this step, from 1.
        epoch: usize,
        /// Means of the epoch so far.
        loss: Losses,
        /// Share of the epoch's images so far that the network got right.
        accuracy: f64,
    },
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// What images are taken through a network for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// For a teacher's logits, which are kept.
    TeacherLogits,
    /// To see how the network does on the held-out images.
    HeldOut,
    /// To see how the network does on the test images.
    Test,
}

/// Is told what happens, and says whether to go on.
pub(crate) type Watch<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;
