//! The loss's settings as the kernels use them, and what each row is to learn.

use crate::settings::{KdLoss, Reduction};

/// The loss's settings as the kernels use them.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub temperature: f64,
    /// `1 − λ`; 0 if there is no cross-entropy.
    pub ce: f64,
    /// ε.
    pub smoothing: f64,
    /// What each teacher's KL is multiplied with: its share of `λ·τ²`, over C for [`Reduction::Mean`].
    pub kl: Vec<f64>,
}

impl Terms {
    pub(crate) fn new(loss: &KdLoss, teacher_shares: impl Iterator<Item = f64>, classes: usize) -> Terms {
        let mut kl = loss.lambda * loss.temperature * loss.temperature;
        if loss.reduction == Reduction::Mean {
            kl /= classes as f64;
        }
        Terms {
            temperature: loss.temperature,
            ce: 1.0 - loss.lambda,
            smoothing: loss.label_smoothing,
            kl: teacher_shares.map(|share| share * kl).collect(),
        }
    }

    pub(crate) fn needs_ce(&self) -> bool {
        self.ce != 0.0
    }

    pub(crate) fn needs_kl(&self) -> bool {
        !self.kl.is_empty()
    }
}

/// What one row is to learn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its label, a class; `None` if the loss has no cross-entropy.
    pub label: Option<usize>,
    /// What its loss is multiplied with: its weight, over their sum in a mean. 0 leaves the row out.
    pub weight: f64,
    /// What its gradient is multiplied with in addition: the gradient of whatever is computed from the loss.
    pub upstream: f64,
}
