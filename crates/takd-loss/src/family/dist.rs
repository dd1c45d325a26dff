//! DIST: distillation by correlation.

use super::inputs::{check_temperature, check_weight, composite_logits, only_teacher, reported};
use super::loss::{Batch, DistillationLoss};
use crate::error::Result;
use crate::kd::cross_entropy;
use crate::reference::log_softmax;
use candle_core::{D, Tensor};

/// Keeps a correlation of constants defined, the authors' value.
const EPSILON: f64 = 1e-8;

/// DIST (Huang, You, Wang, Qian and Xu 2022, arXiv 2205.10536, eq. 9 to 11): the student's probabilities are to
/// *correlate* with the teacher's, over the classes of each sample and over the samples of each class.
///
/// `L = w·CE + β·τ²·(1/B)·Σ_i (1 − ρ(p_i, q_i)) + γ·τ²·(1/C)·Σ_c (1 − ρ(p_·c, q_·c))`
///
/// p and q are the softmax at temperature τ of student and teacher, ρ is Pearson's correlation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dist {
    /// w: weight of the cross-entropy, 0 or more.
    pub cross_entropy: f64,
    /// β: weight of the relation between the classes of a sample, 0 or more.
    pub beta: f64,
    /// γ: weight of the relation between the samples of a class, 0 or more.
    pub gamma: f64,
    /// τ, above 0.
    pub temperature: f64,
}

impl Default for Dist {
    /// The paper's for ImageNet: w = 1, β = 2, γ = 2, τ = 1.
    fn default() -> Self {
        Dist { cross_entropy: 1.0, beta: 2.0, gamma: 2.0, temperature: 1.0 }
    }
}

impl DistillationLoss for Dist {
    fn name(&self) -> &'static str {
        "DIST"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        check_weight("cross_entropy", self.cross_entropy)?;
        check_weight("beta", self.beta)?;
        check_weight("gamma", self.gamma)?;
        check_temperature(self.temperature)?;
        let ce = cross_entropy(batch.student_logits, batch.labels)?;
        let (student, teacher) =
            composite_logits(batch.student_logits, only_teacher(self.name(), batch.teacher_logits)?, 1)?;
        if student.dim(0)? == 0 {
            return Ok(ce);
        }
        let probabilities =
            |logits: &Tensor| -> Result<Tensor> { Ok(log_softmax(&(logits / self.temperature)?)?.exp()?) };
        let (p, q) = (probabilities(&student)?, probabilities(&teacher)?);
        let scale = self.temperature * self.temperature;
        let inter = (uncorrelated(&p, &q)? * (scale * self.beta))?;
        let intra = (uncorrelated(&p.t()?, &q.t()?)? * (scale * self.gamma))?;
        reported((((ce * self.cross_entropy)? + inter)? + intra)?, batch.student_logits, batch.teacher_logits)
    }
}

/// Mean of `1 − ρ` of the rows.
fn uncorrelated(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    let centred = |x: &Tensor| x.broadcast_sub(&x.mean_keepdim(D::Minus1)?);
    let (p, q) = (centred(p)?, centred(q)?);
    let sum = |x: Tensor| x.sum(D::Minus1);
    // ε² under each root keeps the gradient finite if all probabilities of a row are equal.
    let norm = |x: &Tensor| (sum(x.sqr()?)? + EPSILON * EPSILON)?.sqrt();
    let correlation = (sum((&p * &q)?)? / ((norm(&p)? * norm(&q)?)? + EPSILON)?)?;
    Ok((1.0 - correlation.mean_all()?)?)
}
