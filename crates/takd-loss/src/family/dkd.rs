//! Decoupled knowledge distillation.

use super::inputs::{check_temperature, check_weight, composite_logits, only_teacher, reported};
use super::loss::{Batch, DistillationLoss};
use crate::error::Result;
use crate::kd::cross_entropy;
use crate::reference::{class_index, log_softmax, log_sum_exp};
use crate::settings::KdLoss;
use candle_core::{D, Tensor};

/// Decoupled KD (Zhao, Cui, Song, Qiu and Liang 2022, arXiv 2203.08679, eq. 7): the divergence of *label or not*, and
/// that among the other classes, each with a weight of its own.
///
/// `L = w·CE + τ²·(α·KL(b^T ‖ b^S) + β·KL(p̂^T ‖ p̂^S))`
///
/// b = (p_y, 1 − p_y) at temperature τ, p̂ the softmax over all classes but the label. Averaged over the batch. With
/// α = 1 and β = 1 − p_y^T it is KD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dkd {
    /// w: weight of the cross-entropy, 0 or more.
    pub cross_entropy: f64,
    /// α: weight of the target class's divergence, 0 or more.
    pub alpha: f64,
    /// β: weight of the other classes' divergence, 0 or more. The paper takes 8 if the teacher is certain.
    pub beta: f64,
    /// τ, above 0.
    pub temperature: f64,
}

impl Default for Dkd {
    /// The paper's for CIFAR-100: w = 1, α = 1, β = 8, τ = 4.
    fn default() -> Self {
        Dkd { cross_entropy: 1.0, alpha: 1.0, beta: 8.0, temperature: 4.0 }
    }
}

impl DistillationLoss for Dkd {
    fn name(&self) -> &'static str {
        "DKD"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        check_weight("cross_entropy", self.cross_entropy)?;
        check_weight("alpha", self.alpha)?;
        check_weight("beta", self.beta)?;
        check_temperature(self.temperature)?;
        let ce = cross_entropy(batch.student_logits, batch.labels)?; // checks the labels too
        let (student, teacher) =
            composite_logits(batch.student_logits, only_teacher(self.name(), batch.teacher_logits)?, 2)?;
        let (rows, classes) = student.dims2()?;
        if rows == 0 {
            return Ok(ce);
        }
        let label = class_index(&KdLoss::default(), batch.labels, classes)?; // [rows, 1]
        let on_label = Tensor::zeros((rows, classes), candle_core::DType::U8, student.device())?;
        let on_label = on_label.scatter(&label, &label.ones_like()?.to_dtype(on_label.dtype())?, D::Minus1)?;
        // Finite, and so far below every other logit that it does not count in a softmax.
        let nowhere = Tensor::full(-1e30f32, (rows, classes), student.device())?.to_dtype(student.dtype())?;

        // Logarithms of p_y, of 1 − p_y and of p̂.
        let parts = |logits: &Tensor| -> Result<[Tensor; 3]> {
            let scaled = (logits / self.temperature)?;
            let others = on_label.where_cond(&nowhere, &scaled)?;
            let (all, rest) = (log_sum_exp(&scaled)?, log_sum_exp(&others)?); // [rows, 1]
            Ok([(scaled.gather(&label, D::Minus1)? - &all)?, (rest - all)?, log_softmax(&others)?])
        };
        let [p_label, p_rest, p_others] = parts(&student)?;
        let [q_label, q_rest, q_others] = parts(&teacher)?;
        let divergence = |q: &Tensor, p: &Tensor| -> Result<Tensor> { Ok((q.exp()? * (q - p)?)?.sum_all()?) };
        let target = (divergence(&q_label, &p_label)? + divergence(&q_rest, &p_rest)?)?;
        let others = divergence(&q_others, &p_others)?;
        let scale = self.temperature * self.temperature / rows as f64;
        let kd = ((target * (scale * self.alpha))? + (others * (scale * self.beta))?)?;
        reported(((ce * self.cross_entropy)? + kd)?, batch.student_logits, batch.teacher_logits)
    }
}
