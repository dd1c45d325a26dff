//! One trait for every way of distilling logits, so that a training loop names its loss once.
//!
//! | loss | paper |
//! |---|---|
//! | [`KdLoss`] | Hinton, Vinyals, Dean 2015, arXiv 1503.02531 |
//! | [`MultiTeacherKd`] | You, Xu, Xu, Tao 2017: the mean of several teachers |
//! | [`Dgkd`] | Son, Na, Choi, Hwang 2021, arXiv 2009.08825: all larger assistants, some dropped at random |
//! | [`Dkd`] | Zhao, Cui, Song, Qiu, Liang 2022, arXiv 2203.08679: target and other classes apart |
//! | [`StandardizedKd`] | Sun, Ren, Li, Wang, Cao 2024, arXiv 2403.01427: logits standardised before the softmax |
//! | [`Dist`] | Huang, You, Wang, Qian, Xu 2022, arXiv 2205.10536: correlations instead of divergences |
//!
//! The first three run in the fused kernel; the others are chains of candle operations.

mod dist;
mod dkd;
mod multi_teacher;
mod standardized;

pub use dist::Dist;
pub use dkd::Dkd;
pub use multi_teacher::{Dgkd, MultiTeacherKd};
pub use standardized::StandardizedKd;

use crate::error::{Error, Input, Result};
use crate::kd::KdLoss;
use candle_core::{DType, Device, Tensor};

/// What a loss is told of one batch.
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
    /// A short name, as the papers have it: `KD`, `DKD`, ….
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
            _ => only_teacher(self.name(), batch)?,
        };
        self.forward(batch.student_logits, teacher, batch.labels)
    }
}

/// The teacher of a loss that takes one.
fn only_teacher<'a>(loss: &'static str, batch: &Batch<'a>) -> Result<&'a Tensor> {
    match batch.teacher_logits {
        [teacher] => Ok(teacher),
        teachers => Err(Error::Teachers { loss, expected: "one teacher", found: teachers.len() }),
    }
}

/// A number of a loss's own that must be finite and no less than 0.
fn check_weight(name: &'static str, found: f64) -> Result<()> {
    match found.is_finite() && found >= 0.0 {
        true => Ok(()),
        false => Err(Error::Setting { name, found, range: "finite and 0 or more" }),
    }
}

fn check_temperature(temperature: f64) -> Result<()> {
    match temperature.is_finite() && temperature > 0.0 {
        true => Ok(()),
        false => Err(Error::Setting { name: "temperature", found: temperature, range: "finite and above 0" }),
    }
}

/// Student and teacher logits of a loss made of candle operations: of one shape with `least` classes or more, of one
/// type (f32 or f64), the teacher's detached.
fn composite_logits(student: &Tensor, teacher: &Tensor, least: usize) -> Result<(Tensor, Tensor)> {
    let shape =
        |input, expected: String, found: &Tensor| Error::Shape { input, expected, found: found.shape().clone() };
    match student.dims() {
        &[_, classes] if classes >= least => {}
        _ => {
            return Err(shape(Input::StudentLogits, format!("[batch, classes], {least} classes or more"), student));
        }
    }
    if teacher.dims() != student.dims() {
        let expected = format!("{:?}, as the student's logits", student.dims());
        return Err(shape(Input::TeacherLogits, expected, teacher));
    }
    for (input, logits) in [(Input::StudentLogits, student), (Input::TeacherLogits, teacher)] {
        if !logits.dtype().is_float() {
            return Err(Error::DType { input, expected: "f32, f16, bf16 or f64", found: logits.dtype() });
        }
    }
    let dtype = if student.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    Ok((student.to_dtype(dtype)?, teacher.detach().to_dtype(dtype)?))
}

/// The loss, unless logits that are not finite have spoilt it.
fn reported(loss: Tensor, batch: &Batch<'_>) -> Result<Tensor> {
    let finite = |values: Vec<f64>| values.iter().position(|value| !value.is_finite()).map(|at| (at, values[at]));
    // On the CPU: not every device has f64.
    let flat = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    if finite(flat(&loss)?).is_none() {
        return Ok(loss);
    }
    let teachers = batch.teacher_logits.iter().map(|teacher| (Input::TeacherLogits, teacher));
    for (input, logits) in std::iter::once((Input::StudentLogits, batch.student_logits)).chain(teachers) {
        if let (Some((at, value)), &[_, classes]) = (finite(flat(logits)?), logits.dims()) {
            return Err(Error::NotFinite { input, row: at / classes, column: at % classes, value });
        }
    }
    Ok(loss) // finite logits whose loss is beyond the range of its type
}
