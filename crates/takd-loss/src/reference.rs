//! The same loss in candle's own operations: slow, plain, and what the fused kernels are held to.

use crate::error::{Error, Input, Result};
use crate::kd::{KdLoss, Reduction};
use candle_core::{D, DType, Tensor};

/// [`KdLoss::forward`] with the weight of each row, as a chain of candle operations that autograd differentiates.
///
/// `student_logits` and `teacher_logits` `[batch, classes]`, `labels` `[batch]`, `weights` `[batch]`. f16 and bf16 are
/// widened to f32 first.
///
/// # Errors
/// As [`KdLoss::forward`], without naming non-finite inputs.
pub fn kd_loss(
    loss: &KdLoss,
    student_logits: &Tensor,
    teacher_logits: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, classes) = student_logits.dims2().map_err(|_| Error::Shape {
        input: Input::StudentLogits,
        expected: "[batch, classes]".into(),
        found: student_logits.shape().clone(),
    })?;
    let student = widen(student_logits)?;
    let dtype = student.dtype();
    let device = student.device();

    // [batch]: each row's weight, 0 where its label is the ignore index.
    let mut weight = match weights {
        Some(weights) => weights.to_dtype(dtype)?,
        None => Tensor::ones(batch, dtype, device)?,
    };
    if let Some(ignored) = loss.ignore_index {
        let counted = labels.to_dtype(DType::I64)?.ne(ignored)?.to_dtype(dtype)?;
        weight = (weight * counted)?;
    }

    let mut per_row = Tensor::zeros(batch, dtype, device)?; // [batch]
    if loss.lambda < 1.0 {
        let index = class_index(loss, labels, classes)?; // [batch, 1]
        let log_p = log_softmax(&student)?; // [batch, classes]
        let on_label = log_p.gather(&index, D::Minus1)?.squeeze(1)?;
        let ce = ((on_label * (loss.label_smoothing - 1.0))?
            - (log_p.sum(D::Minus1)? * (loss.label_smoothing / classes as f64))?)?;
        per_row = (per_row + (ce * (1.0 - loss.lambda))?)?;
    }
    if loss.lambda > 0.0 {
        if teacher_logits.shape() != student_logits.shape() {
            return Err(Error::Shape {
                input: Input::TeacherLogits,
                expected: format!("{:?}, as the student's logits", student_logits.dims()),
                found: teacher_logits.shape().clone(),
            });
        }
        let tau = loss.temperature;
        let teacher = widen(&teacher_logits.detach())?.to_dtype(dtype)?;
        let log_q = log_softmax(&(teacher / tau)?)?;
        let log_p = log_softmax(&(&student / tau)?)?;
        let kl = (log_q.exp()? * (&log_q - &log_p)?)?.sum(D::Minus1)?;
        let share = match loss.reduction {
            Reduction::Mean => loss.lambda * tau * tau / classes as f64,
            _ => loss.lambda * tau * tau,
        };
        per_row = (per_row + (kl * share)?)?;
    }

    let weighted = (per_row * &weight)?;
    match loss.reduction {
        Reduction::None => Ok(weighted),
        Reduction::Sum => Ok(weighted.sum_all()?),
        Reduction::BatchMean | Reduction::Mean => {
            let total = weight.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
            Ok((weighted.sum_all()? * scale)?)
        }
    }
}

/// `x − log Σ exp x` over the last dimension, the maximum taken out first.
pub(crate) fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let sum = shifted.exp()?.sum_keepdim(D::Minus1)?;
    Ok(shifted.broadcast_sub(&sum.log()?)?)
}

/// `log Σ exp x` over the last dimension, which stays with length 1.
pub(crate) fn log_sum_exp(logits: &Tensor) -> Result<Tensor> {
    let max = logits.detach().max_keepdim(D::Minus1)?;
    let sum = logits.broadcast_sub(&max)?.exp()?.sum_keepdim(D::Minus1)?;
    Ok((sum.log()? + max)?)
}

/// f16 and bf16 as f32, f32 and f64 as they are.
pub(crate) fn widen(logits: &Tensor) -> Result<Tensor> {
    Ok(match logits.dtype() {
        DType::F16 | DType::BF16 => logits.to_dtype(DType::F32)?,
        _ => logits.clone(),
    })
}

/// The labels as `[batch, 1]` u32 for `gather`; ignored rows point at class 0. Checked to be classes.
pub(crate) fn class_index(loss: &KdLoss, labels: &Tensor, classes: usize) -> Result<Tensor> {
    let mut index = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    for (row, label) in index.iter_mut().enumerate() {
        if Some(*label) == loss.ignore_index {
            *label = 0;
        } else if *label < 0 || *label as u64 >= classes as u64 {
            return Err(Error::Label { row, label: *label, classes });
        }
    }
    let rows = index.len();
    Ok(Tensor::from_vec(index, (rows, 1), labels.device())?)
}
