//! One loss of one batch, its inputs checked.

use crate::checks::{check_device, check_logits};
use crate::error::{Error, Input, Result};
use crate::settings::{BadRows, KdLoss, Reduction};
use crate::terms::Terms;
use crate::top_k::Rows;
use candle_core::{DType, Device, Shape, Storage, Tensor};

/// A teacher's logits, and its share of the KL term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Teacher<'a> {
    pub logits: &'a Tensor,
    pub share: f64,
}

/// One loss of one batch, its inputs checked and contiguous.
pub(crate) struct Problem {
    pub terms: Terms,
    pub reduction: Reduction,
    pub ignore_index: Option<i64>,
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), expect(dead_code, reason = "the CPU's are errors"))]
    pub bad_rows: BadRows,
    /// `[batch, classes]`, detached.
    pub student: Tensor,
    /// Each `[batch, classes]`, all of one type.
    pub teachers: Vec<Tensor>,
    /// Instead of them, a teacher of which the largest logits are known.
    pub top_k: Option<Rows>,
    /// `[batch]`; `None` if the loss does not read them.
    pub labels: Option<Tensor>,
    /// `[batch]`, of a float type, f32 on a GPU.
    pub weights: Option<Tensor>,
}

/// Which gradient is computed with the loss.
#[derive(Clone, Copy)]
pub(crate) enum Gradient<'a> {
    /// None: it is not needed.
    Skip,
    /// That of the loss, or of the sum of the rows' losses.
    OfTheSum,
    /// The same, in the memory of this tensor, which [`check_gradient`] has accepted.
    Into(&'a Tensor),
    /// The same, each row times the gradient of whatever is computed from the loss: one number, or one a row.
    Times(&'a [f64]),
}

/// A loss and the gradient that was asked for.
pub(crate) struct Outcome {
    pub loss: Storage,
    pub shape: Shape,
    pub grad: Option<Tensor>,
}

impl Problem {
    pub(crate) fn new(
        loss: &KdLoss,
        student: &Tensor,
        teachers: &[Teacher],
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Problem> {
        loss.check()?;
        let shape_error =
            |input, expected: String, found: &Tensor| Error::Shape { input, expected, found: found.shape().clone() };
        let (batch, classes) = match student.dims() {
            &[batch, classes] if classes > 0 => (batch, classes),
            _ => {
                return Err(shape_error(Input::StudentLogits, "[batch, classes], one class or more".into(), student));
            }
        };
        check_logits(Input::StudentLogits, student)?;

        let teachers = if loss.lambda > 0.0 { teachers } else { &[] };
        let terms = Terms::new(loss, teachers.iter().map(|teacher| teacher.share), classes);
        let mut teacher_logits = Vec::with_capacity(teachers.len());
        for Teacher { logits: teacher, .. } in teachers {
            if teacher.dims() != student.dims() {
                let expected = format!("[{batch}, {classes}], as the student's logits");
                return Err(shape_error(Input::TeacherLogits, expected, teacher));
            }
            check_logits(Input::TeacherLogits, teacher)?;
            check_device(Input::TeacherLogits, teacher, student)?;
            teacher_logits.push(teacher.detach().contiguous()?);
        }
        if let Some(common) = common_dtype(student, &teacher_logits) {
            for teacher in &mut teacher_logits {
                *teacher = teacher.to_dtype(common)?;
            }
        }

        let check_rows = |input, rows: &Tensor| match rows.dims() {
            &[length] if length == batch => check_device(input, rows, student),
            _ => Err(shape_error(input, format!("[{batch}], one for each of the student's rows"), rows)),
        };
        let labels = if terms.needs_ce() || loss.ignore_index.is_some() {
            check_rows(Input::Labels, labels)?;
            if !matches!(labels.dtype(), DType::U8 | DType::U32 | DType::I64) {
                return Err(Error::DType { input: Input::Labels, expected: "u32, i64 or u8", found: labels.dtype() });
            }
            Some(labels.contiguous()?)
        } else {
            None
        };
        let weights = match weights {
            Some(weights) => {
                check_rows(Input::Weights, weights)?;
                check_logits(Input::Weights, weights)?;
                let weights = match student.device() {
                    Device::Cpu => weights.detach(),
                    _ => weights.detach().to_dtype(DType::F32)?,
                };
                Some(weights.contiguous()?)
            }
            None => None,
        };
        Ok(Problem {
            terms,
            reduction: loss.reduction,
            ignore_index: loss.ignore_index,
            bad_rows: loss.bad_rows,
            student: student.detach().contiguous()?,
            teachers: teacher_logits,
            top_k: None,
            labels,
            weights,
        })
    }

    pub(crate) fn batch(&self) -> usize {
        self.student.dims()[0]
    }

    pub(crate) fn classes(&self) -> usize {
        self.student.dims()[1]
    }
}

/// Whether the gradient can be written into `grad`.
pub(crate) fn check_gradient(grad: &Tensor, student: &Tensor, teachers: &[Teacher]) -> Result<()> {
    let input = Input::Gradient;
    if grad.dims() != student.dims() {
        let expected = format!("{:?}, as the student's logits", student.dims());
        return Err(Error::Shape { input, expected, found: grad.shape().clone() });
    }
    if grad.dtype() != student.dtype() {
        return Err(Error::DType { input, expected: student.dtype().as_str(), found: grad.dtype() });
    }
    check_device(input, grad, student)?;
    if !grad.is_contiguous() {
        return Err(Error::NotContiguous);
    }
    // The address of what candle's tensors of one memory share.
    let memory = |tensor: &Tensor| std::ptr::from_ref(&*tensor.storage_and_layout().0);
    let teachers = teachers.iter().map(|teacher| (Input::TeacherLogits, teacher.logits));
    for (input, logits) in std::iter::once((Input::StudentLogits, student)).chain(teachers) {
        if memory(grad) == memory(logits) {
            return Err(Error::SharedMemory { input });
        }
    }
    Ok(())
}

/// The type to convert the teachers to, if they cannot stay as they are: the kernels take one type for all of them,
/// f64 with an f64 student and only then.
fn common_dtype(student: &Tensor, teachers: &[Tensor]) -> Option<DType> {
    let first = teachers.first()?.dtype();
    match student.dtype() {
        DType::F64 => Some(DType::F64),
        _ if first == DType::F64 || teachers.iter().any(|teacher| teacher.dtype() != first) => Some(DType::F32),
        _ => None,
    }
}
