//! What all losses have in common.

use super::inputs::only_teacher;
use crate::error::Result;
use crate::settings::KdLoss;
use candle_core::Tensor;

/// The inputs of a loss for one batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[batch, classes]`; the loss is differentiable in them.
    pub student_logits: &'a Tensor,
    /// The logits of each teacher, `[batch, classes]`, largest teacher first. No gradient reaches them.
    pub teacher_logits: &'a [Tensor],
    /// `[batch]`, u32, i64 or u8.
    pub labels: &'a Tensor,
    /// Number of the training step: losses that draw random numbers draw the same ones for the same step.
    pub step: u64,
}

/// A loss that teaches a student from the logits of its teachers.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use takd_loss::{Batch, DistillationLoss, Dkd, KdLoss};
///
/// # fn main() -> takd_loss::Result<()> {
/// let losses: [Box<dyn DistillationLoss>; 2] = [Box::new(KdLoss::default()), Box::new(Dkd::default())];
/// let student_logits = Tensor::new(&[[1.0f32, 2.0, 0.5]], &Device::Cpu)?;
/// let teacher_logits = [Tensor::new(&[[0.5f32, 3.0, 0.0]], &Device::Cpu)?];
/// let labels = Tensor::new(&[1u32], &Device::Cpu)?;
/// let batch =
///     Batch { student_logits: &student_logits, teacher_logits: &teacher_logits, labels: &labels, step: 0 };
/// for loss in &losses {
///     assert!(loss.loss(&batch)?.to_scalar::<f32>()? > 0.0);
/// }
/// # Ok(())
/// # }
/// ```
pub trait DistillationLoss: Send + Sync {
    /// A short name, as in the papers: `KD`, `DKD`, ….
    fn name(&self) -> &'static str;

    /// The batch's loss: a scalar (or what the loss's reduction says), f64 for f64 logits, else f32.
    ///
    /// # Errors
    /// As [`KdLoss::forward`], and for another number of teachers than the loss takes.
    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor>;
}

impl DistillationLoss for KdLoss {
    fn name(&self) -> &'static str {
        "KD"
    }

    fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let teacher = match self.lambda {
            0.0 => batch.student_logits, // not read
            _ => only_teacher(self.name(), batch.teacher_logits)?,
        };
        self.forward(batch.student_logits, teacher, batch.labels)
    }
}
