//! The distillation loss of Hinton, Vinyals and Dean (2015, arXiv 1503.02531), as arXiv 1902.03393 weighs it:
//!
//! `L = (1 − λ) · CE(softmax(s), y) + λ · τ² · KL(softmax(t/τ) ‖ softmax(s/τ))`
//!
//! s student logits, t teacher logits, y label, τ temperature, λ the teacher's share.

use crate::error::{Error, Result};
use candle_core::Tensor;

/// How the losses of a batch's rows become one number.
///
/// B rows, C classes, `CE_i` and `KL_i` the two terms of row i (sums over classes), `w_i` the row's weight: 1 unless
/// weights are given, 0 for an ignored row. `W = Σ w_i`, which is B in the plain case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// `Σ w_i·CE_i / W` and `Σ w_i·KL_i / W`: the formula as written, PyTorch's `batchmean`. An empty batch gives 0.
    #[default]
    BatchMean,
    /// `Σ w_i·CE_i / W` and `Σ w_i·KL_i / (W·C)`: PyTorch's `reduction="mean"`, which divides the KL term by the
    /// number of classes too. The published code of arXiv 1902.03393 does so. An empty batch gives 0.
    Mean,
    /// `Σ w_i·CE_i` and `Σ w_i·KL_i`.
    Sum,
    /// No reduction: the loss is `[batch]`, row i being `w_i·((1 − λ)·CE_i + λ·τ²·KL_i)`.
    None,
}

/// The knowledge-distillation loss. See the [crate's page](crate) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KdLoss {
    /// τ: divides both logits in the KL term; above 0. Higher shows more of the teacher's small probabilities.
    pub temperature: f64,
    /// λ: share of the teacher's term, 0 to 1. At 0 the loss is the cross-entropy and the teacher is not read; at 1 the
    /// labels are not read (but for rows to ignore, where an ignore index is set).
    pub lambda: f64,
    /// How the rows' losses become one number.
    pub reduction: Reduction,
    /// ε: the cross-entropy's target is `(1 − ε)` on the label and `ε / C` on every class; 0 to 1.
    pub label_smoothing: f64,
    /// Rows with this label count in neither term, as if they were not in the batch.
    pub ignore_index: Option<i64>,
}

impl Default for KdLoss {
    /// τ = 4, λ = 0.5, mean over the batch, no smoothing, nothing ignored.
    fn default() -> Self {
        KdLoss {
            temperature: 4.0,
            lambda: 0.5,
            reduction: Reduction::BatchMean,
            label_smoothing: 0.0,
            ignore_index: None,
        }
    }
}

impl KdLoss {
    /// The loss of a batch: a scalar, or `[batch]` with [`Reduction::None`]; differentiable in the student's logits.
    ///
    /// `student_logits` and `teacher_logits` are `[batch, classes]`, `labels` is `[batch]` of u32, i64 or u8.
    /// No gradient reaches the teacher.
    ///
    /// # Errors
    /// A setting outside its range; shapes, types or devices that do not fit; a label that is no class; NaN or an
    /// infinity in the logits. Each names the row.
    pub fn forward(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
    ) -> Result<Tensor> {
        self.check()?;
        crate::reference::kd_loss(self, student_logits, teacher_logits, labels, None)
    }

    fn check(&self) -> Result<()> {
        let fits = |name, found: f64, ok: bool, range| {
            if ok {
                Ok(())
            } else {
                Err(Error::Setting { name, found, range })
            }
        };
        fits(
            "temperature",
            self.temperature,
            self.temperature > 0.0 && self.temperature.is_finite(),
            "finite and above 0",
        )?;
        fits(
            "lambda",
            self.lambda,
            (0.0..=1.0).contains(&self.lambda),
            "between 0 and 1",
        )?;
        fits(
            "label_smoothing",
            self.label_smoothing,
            (0.0..=1.0).contains(&self.label_smoothing),
            "between 0 and 1",
        )
    }
}

/// The cross-entropy of a batch, averaged over its rows: a scalar, differentiable in the student's logits.
///
/// `student_logits` is `[batch, classes]`, `labels` is `[batch]` of u32, i64 or u8. It is [`KdLoss`] with λ = 0.
///
/// # Errors
/// As [`KdLoss::forward`].
pub fn cross_entropy(student_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let loss = KdLoss {
        lambda: 0.0,
        ..KdLoss::default()
    };
    loss.forward(student_logits, student_logits, labels)
}
