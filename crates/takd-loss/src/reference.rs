//! The same loss in candle's own operations: slow, plain, and what the fused kernels are tested against.

use crate::error::{Error, Input, Result};
use crate::settings::{KdLoss, Reduction};
use crate::top_k::TopK;
use candle_core::{D, DType, Device, Tensor};

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
    let divergence = |student: &Tensor| -> Result<Tensor> {
        if teacher_logits.shape() != student_logits.shape() {
            return Err(Error::Shape {
                input: Input::TeacherLogits,
                expected: format!("{:?}, as the student's logits", student_logits.dims()),
                found: teacher_logits.shape().clone(),
            });
        }
        let tau = loss.temperature;
        let teacher = widen(&teacher_logits.detach())?.to_dtype(student.dtype())?;
        let log_q = log_softmax(&(teacher / tau)?)?;
        let log_p = log_softmax(&(student / tau)?)?;
        Ok((log_q.exp()? * (&log_q - &log_p)?)?.sum(D::Minus1)?)
    };
    mixed(loss, student_logits, labels, weights, divergence)
}

/// [`KdLoss::forward_top_k`] as a chain of candle operations that autograd differentiates.
///
/// # Errors
/// As [`kd_loss`].
pub fn top_k_kd_loss(
    loss: &KdLoss,
    student_logits: &Tensor,
    teacher: &TopK,
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, classes) = dims(student_logits)?;
    mixed(loss, student_logits, labels, weights, |student| {
        // Finite, and as good as nothing in a sum of exponentials.
        const NOWHERE: f32 = -1e30;
        let tau = loss.temperature;
        let index = teacher.indices.contiguous()?; // [batch, k]
        let listed = (widen(&teacher.logits.detach())?.to_dtype(student.dtype())? / tau)?;
        let all = listed.dim(1)? == classes;
        let tail = if all {
            Tensor::full(NOWHERE, (batch, 1), student.device())?.to_dtype(student.dtype())?
        } else {
            teacher.tail.detach().to_dtype(student.dtype())?.maximum(NOWHERE)?.unsqueeze(1)?
        };
        let q = Tensor::cat(&[listed, tail], 1)?; // [batch, k + 1]: the listed classes, all others
        let log_q = log_softmax(&q)?;

        let student = (student / tau)?;
        let nowhere = Tensor::full(NOWHERE, (batch, classes), student.device())?.to_dtype(student.dtype())?;
        let is_listed = nowhere.zeros_like()?.scatter(&index, &index.ones_like()?.to_dtype(student.dtype())?, 1)?;
        let others = is_listed.to_dtype(DType::U8)?.where_cond(&nowhere, &student)?;
        let p = Tensor::cat(&[student.gather(&index, 1)?, log_sum_exp(&others)?], 1)?;
        let log_p = p.broadcast_sub(&log_sum_exp(&student)?)?;
        Ok((log_q.exp()? * (&log_q - &log_p)?)?.sum(D::Minus1)?)
    })
}

fn dims(student_logits: &Tensor) -> Result<(usize, usize)> {
    student_logits.dims2().map_err(|_| Error::Shape {
        input: Input::StudentLogits,
        expected: "[batch, classes]".into(),
        found: student_logits.shape().clone(),
    })
}

/// The loss, given the divergence of each row: `[batch]` of the student's widened logits.
fn mixed(
    loss: &KdLoss,
    student_logits: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    divergence: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (batch, classes) = dims(student_logits)?;
    let student = widen(student_logits)?;
    let dtype = student.dtype();
    let device = student.device();

    // [batch]: each row's weight, 0 if its label is the ignore index.
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
        let tau = loss.temperature;
        let share = match loss.reduction {
            Reduction::Mean => loss.lambda * tau * tau / classes as f64,
            _ => loss.lambda * tau * tau,
        };
        per_row = (per_row + (divergence(&student)? * share)?)?;
    }

    let weighted = (per_row * &weight)?;
    match loss.reduction {
        Reduction::None => Ok(weighted),
        Reduction::Sum => Ok(weighted.sum_all()?),
        Reduction::BatchMean | Reduction::Mean => {
            let total = weight.sum_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
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
