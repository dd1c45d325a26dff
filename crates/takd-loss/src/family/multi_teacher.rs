//! Several teachers at once, in one pass of the fused kernel.

use super::loss::{Batch, DistillationLoss};
use crate::error::{Error, Result};
use crate::kd::{Teacher, forward};
use crate::settings::KdLoss;
use candle_core::Tensor;
use rand_chacha::rand_core::Rng;

/// KD from the mean of several teachers (You, Xu, Xu and Tao 2017, *Learning from Multiple Teacher Networks*, with
/// the divergences averaged):
///
/// `L = (1 − λ)·CE + λ·τ²·(1/M)·Σ_m KL(softmax(t_m/τ) ‖ softmax(s/τ))`
///
/// Its gradient is that of KD with the mean of the teachers' probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MultiTeacherKd {
    /// Temperature, λ, reduction and the rest.
    pub kd: KdLoss,
}

impl DistillationLoss for MultiTeacherKd {
    fn name(&self) -> &'static str {
        "multi-teacher KD"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let teachers = batch.teacher_logits;
        if teachers.is_empty() && self.kd.lambda > 0.0 {
            return Err(Error::Teachers { loss: self.name(), expected: "one teacher or more", found: 0 });
        }
        let share = 1.0 / teachers.len().max(1) as f64;
        let teachers: Vec<_> = teachers.iter().map(|logits| Teacher { logits, share }).collect();
        forward(&self.kd, batch.student_logits, &teachers, batch.labels, None)
    }
}

/// Densely guided KD (Son, Na, Choi and Hwang 2021, arXiv 2009.08825): the teacher and every larger assistant teach at
/// the same time, and in each step some of them, drawn at random, are left out:
///
/// `L = (1 − λ)·CE + λ·τ²·Σ_{m kept} KL(softmax(t_m/τ) ‖ softmax(s/τ))`
///
/// The sum is not divided by the number of teachers, as in the authors' code, which also averages the KL term over
/// classes ([`Reduction::Mean`](crate::Reduction::Mean)) and drops one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dgkd {
    /// Temperature, λ, reduction and the rest.
    pub kd: KdLoss,
    /// Teachers left out of each step; fewer than there are.
    pub dropped: usize,
    /// Seed of the draw, which depends on it and on [`Batch::step`] only.
    pub seed: u64,
}

impl Default for Dgkd {
    /// KD's default, one teacher dropped.
    fn default() -> Self {
        Dgkd { kd: KdLoss::default(), dropped: 1, seed: 0 }
    }
}

impl Dgkd {
    /// Which of `teachers` teachers teach in step `step`, in their order.
    pub fn kept(&self, teachers: usize, step: u64) -> Vec<usize> {
        let mut kept: Vec<usize> = (0..teachers).collect();
        let mut draw = takd_rng::stream(self.seed, &format!("dgkd/drop/step {step}"));
        for _ in 0..self.dropped.min(teachers) {
            // A 64-bit number over so few teachers: the bias of the remainder is below 2^-58.
            kept.remove((draw.next_u64() % kept.len() as u64) as usize);
        }
        kept
    }
}

impl DistillationLoss for Dgkd {
    fn name(&self) -> &'static str {
        "DGKD"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let teachers = batch.teacher_logits;
        if teachers.len() <= self.dropped && self.kd.lambda > 0.0 {
            return Err(Error::Teachers {
                loss: self.name(),
                expected: "more teachers than it drops",
                found: teachers.len(),
            });
        }
        let kept = self.kept(teachers.len(), batch.step);
        let teachers: Vec<_> = kept.iter().map(|&index| Teacher { logits: &teachers[index], share: 1.0 }).collect();
        forward(&self.kd, batch.student_logits, &teachers, batch.labels, None)
    }
}
