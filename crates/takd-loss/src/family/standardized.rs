//! KD of standardised logits.

use super::inputs::{composite_logits, only_teacher, reported};
use super::loss::{Batch, DistillationLoss};
use crate::error::Result;
use crate::settings::KdLoss;
use candle_core::{D, Tensor};

/// Keeps the standard deviation of equal logits above 0; the authors' value.
const EPSILON: f64 = 1e-7;

/// KD of standardised logits (Sun, Ren, Li, Wang and Cao 2024, arXiv 2403.01427, eq. 10): the KL term sees
/// `Z(x) = (x − mean x) / std x` of each row instead of the logits, so that the student need not copy the size of the
/// teacher's logits, only their relation.
///
/// `L = (1 − λ)·CE(s) + λ·τ²·KL(softmax(Z(t)/τ) ‖ softmax(Z(s)/τ))`
///
/// The standard deviation is the unbiased one, over the classes. The paper takes τ = 2 and nine times as much weight on
/// the KL term as on the cross-entropy: λ = 0.9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandardizedKd {
    /// Temperature, λ, reduction and the rest.
    pub kd: KdLoss,
}

impl Default for StandardizedKd {
    /// The paper's: τ = 2, λ = 0.9.
    fn default() -> Self {
        StandardizedKd { kd: KdLoss { temperature: 2.0, lambda: 0.9, ..KdLoss::default() } }
    }
}

impl DistillationLoss for StandardizedKd {
    fn name(&self) -> &'static str {
        "logit-standardised KD"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let KdLoss { lambda, .. } = self.kd;
        self.kd.check()?;
        let (student, teacher) =
            composite_logits(batch.student_logits, only_teacher(self.name(), batch.teacher_logits)?, 2)?;
        let (student, teacher) = (standardized(&student)?, standardized(&teacher)?);
        let ce = KdLoss { lambda: 0.0, ..self.kd }.forward(batch.student_logits, &teacher, batch.labels)?;
        let kl = KdLoss { lambda: 1.0, ..self.kd }.forward(&student, &teacher, batch.labels);
        // An error about the logits themselves is clearer than one about their standardised form.
        let kl = kl.or_else(|error| {
            reported(Tensor::new(f32::NAN, ce.device())?, batch.student_logits, batch.teacher_logits).and(Err(error))
        })?;
        Ok(((ce * (1.0 - lambda))? + (kl * lambda)?)?)
    }
}

/// Each row with mean 0 and standard deviation 1.
fn standardized(logits: &Tensor) -> Result<Tensor> {
    let classes = logits.dim(D::Minus1)? as f64;
    let centred = logits.broadcast_sub(&logits.mean_keepdim(D::Minus1)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / (classes - 1.0))?;
    // A very small number under the root keeps the gradient of equal logits finite.
    let deviation = ((variance + 1e-30)?.sqrt()? + EPSILON)?;
    Ok(centred.broadcast_div(&deviation)?)
}
