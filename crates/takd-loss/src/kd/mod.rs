//! The distillation loss of Hinton, Vinyals and Dean (2015, arXiv 1503.02531), weighted as in arXiv 1902.03393:
//!
//! `L = (1 − λ) · CE(softmax(s), y) + λ · τ² · KL(softmax(t/τ) ‖ softmax(s/τ))`
//!
//! s student logits, t teacher logits, y label, τ temperature, λ the teacher's share. Its gradient, with p = softmax(s),
//! p' = softmax(s/τ), q = softmax(t/τ) and e_y the label's unit vector:
//!
//! `∂L/∂s = (1 − λ) · (p − e_y) + λ · τ · (p' − q)`
//!
//! With label smoothing ε, `(1 − ε) · e_y + ε/C` replaces e_y. With several teachers, each has a share of the KL term.

mod autograd;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", feature = "metal"))]
mod gpu;
#[cfg(feature = "metal")]
mod metal;
mod problem;
mod solve;

use crate::checks::{checked_weights, numbers};
use crate::error::{Error, Input, Result};
use crate::reference;
use crate::settings::KdLoss;
use crate::terms::Terms;
use crate::top_k::{Rows, TopK};
use autograd::differentiable;
use candle_core::op::BackpropOp;
use candle_core::{Device, Tensor};
pub(crate) use problem::Teacher;
use problem::{Gradient, Outcome, Problem, check_gradient};
use solve::solve;

impl KdLoss {
    /// The loss of a batch: a scalar, or `[batch]` with [`Reduction::None`](crate::Reduction::None); differentiable in the student's logits.
    ///
    /// `student_logits` and `teacher_logits` are `[batch, classes]` of f32, f16, bf16 or f64, `labels` is `[batch]` of
    /// u32, i64 or u8. The loss of f64 logits is f64, any other is f32. No gradient reaches the teacher.
    ///
    /// # Errors
    /// A setting outside its range; shapes, types or devices that do not fit; a label that is no class; NaN or an
    /// infinity in the logits. Each of the last two names the row, and is no error with
    /// [`BadRows::Nan`](crate::BadRows::Nan).
    pub fn forward(&self, student_logits: &Tensor, teacher_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        self.forward_weighted(student_logits, teacher_logits, labels, None)
    }

    /// The cross-entropy alone, as with λ = 0: it needs no teacher. Reduction and the rest are the loss's own.
    ///
    /// # Errors
    /// As [`KdLoss::forward`].
    pub fn cross_entropy(&self, student_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        forward(&KdLoss { lambda: 0.0, ..*self }, student_logits, &[], labels, None)
    }

    /// [`KdLoss::forward`] with a weight for each row: `weights` is `[batch]` of any float type, each 0 or more.
    ///
    /// # Errors
    /// As [`KdLoss::forward`], and for a weight that is negative or not finite.
    pub fn forward_weighted(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        forward(self, student_logits, &[Teacher { logits: teacher_logits, share: 1.0 }], labels, weights)
    }

    /// The loss and its gradient for the student's logits, `[batch, classes]` of their type, without autograd.
    ///
    /// For loops that do their own backward pass: autograd adds every gradient to zeros, which costs as much memory
    /// traffic again as the loss itself. With [`Reduction::None`](crate::Reduction::None) the gradient is that of the sum.
    ///
    /// # Errors
    /// As [`KdLoss::forward`].
    pub fn forward_and_grad(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        forward_and_grad(self, student_logits, teacher_logits, labels, None)
    }

    /// [`KdLoss::forward_and_grad`] with the gradient written into `grad`, whose old numbers are not read; returns the loss.
    ///
    /// For training loops with many classes, which make `grad` once and pass it to every step: with a gradient of many
    /// megabytes in new memory, much of the time is the system's zeroing of that memory. `grad` is `[batch, classes]`,
    /// of the student's type and device, contiguous. Every tensor that shares its memory changes with it, and candle's graph
    /// knows nothing of that. After an error its numbers are undefined.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use takd_loss::KdLoss;
    ///
    /// # fn main() -> takd_loss::Result<()> {
    /// # let batches = vec![(Tensor::new(&[[1.0f32, 2.0]], &Device::Cpu)?, Tensor::new(&[[0.5f32, 3.0]], &Device::Cpu)?)];
    /// # let labels = Tensor::new(&[1u32], &Device::Cpu)?;
    /// let (batch, classes) = (1, 2);
    /// let grad = Tensor::zeros((batch, classes), candle_core::DType::F32, &Device::Cpu)?;
    /// for (student_logits, teacher_logits) in &batches {
    ///     let loss = KdLoss::default().forward_and_grad_into(student_logits, teacher_logits, &labels, &grad)?;
    ///     // your backward pass, from `grad` on
    /// #   assert!(loss.to_scalar::<f32>()? > 0.0 && grad.to_vec2::<f32>()? != [[0.0, 0.0]]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`KdLoss::forward`], and for a `grad` that does not fit the student's logits, is not contiguous, or shares memory
    /// with the logits of student or teacher.
    pub fn forward_and_grad_into(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor> {
        let (loss, _) = forward_and_grad(self, student_logits, teacher_logits, labels, Some(grad))?;
        Ok(loss)
    }

    /// [`KdLoss::forward`] for a teacher of which only the largest logits of each row were kept; [`TopK`] says which loss that
    /// is. `weights` as in [`KdLoss::forward_weighted`].
    ///
    /// On the CPU it runs in the fused kernel. On a GPU it is a chain of candle operations, for which teacher and labels are
    /// copied to the CPU and checked there, whatever [`BadRows`](crate::BadRows) says: each call waits for the GPU.
    ///
    /// # Errors
    /// As [`KdLoss::forward_weighted`], and for a teacher made for another temperature, or whose listed classes are not
    /// different classes.
    pub fn forward_top_k(
        &self,
        student_logits: &Tensor,
        teacher: &TopK,
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        forward_top_k(self, student_logits, teacher, labels, weights)
    }
}

/// The cross-entropy of a batch, averaged over its rows: a scalar, differentiable in the student's logits.
///
/// `student_logits` is `[batch, classes]`, `labels` is `[batch]` of u32, i64 or u8. It is [`KdLoss::cross_entropy`] with the
/// default settings.
///
/// # Errors
/// As [`KdLoss::forward`].
pub fn cross_entropy(student_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    KdLoss::default().cross_entropy(student_logits, labels)
}

/// The loss, differentiable in `student`. Each teacher has its share of the KL term.
pub(crate) fn forward(
    loss: &KdLoss,
    student: &Tensor,
    teachers: &[Teacher],
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    differentiable(Problem::new(loss, student, teachers, labels, weights)?, student)
}

/// The loss for a teacher of which the largest logits are known.
fn forward_top_k(
    loss: &KdLoss,
    student: &Tensor,
    teacher: &TopK,
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let mut problem = Problem::new(loss, student, &[], labels, weights)?;
    if loss.lambda > 0.0 {
        let rows = Rows::new(teacher, loss, student)?;
        if !matches!(student.device(), Device::Cpu) {
            if let Some(weights) = weights {
                checked_weights(weights)?;
            }
            (0..problem.batch()).try_for_each(|row| rows.check(row, problem.classes()))?;
            let found = reference::top_k_kd_loss(loss, student, teacher, labels, weights)?;
            check_student_behind(&found, &problem.student)?;
            return Ok(found);
        }
        problem.terms = Terms::new(loss, std::iter::once(1.0), problem.classes());
        problem.top_k = Some(rows);
    }
    differentiable(problem, student)
}

/// If a loss made of candle operations is not finite, the error that names the student's logit that is not.
fn check_student_behind(loss: &Tensor, student: &Tensor) -> Result<()> {
    if numbers(loss)?.iter().all(|loss| loss.is_finite()) {
        return Ok(());
    }
    let (classes, logits) = (student.dims()[1], numbers(student)?);
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(at) => {
            let (input, row, column) = (Input::StudentLogits, at / classes, at % classes);
            Err(Error::NotFinite { input, row, column, value: logits[at] })
        }
        None => Ok(()), // finite logits whose loss is beyond the range of its type
    }
}

/// The loss and the gradient of its sum for `student`, in the memory of `into` or in new memory.
fn forward_and_grad(
    loss: &KdLoss,
    student: &Tensor,
    teacher: &Tensor,
    labels: &Tensor,
    into: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let teachers = [Teacher { logits: teacher, share: 1.0 }];
    let problem = Problem::new(loss, student, &teachers, labels, None)?;
    let gradient = match into {
        Some(grad) => {
            check_gradient(grad, student, &teachers)?;
            Gradient::Into(grad)
        }
        None => Gradient::OfTheSum,
    };
    let Outcome { loss, shape, grad } = solve(&problem, gradient)?;
    let grad = grad.map_or_else(|| student.zeros_like(), Ok)?;
    Ok((Tensor::from_storage(loss, shape, BackpropOp::none(), false), grad))
}
