//! Inputs and settings of the losses that are made of candle operations.

use crate::error::{Error, Input, Result};
use candle_core::{DType, Device, Tensor};

/// The teacher of a loss that takes one.
pub(super) fn only_teacher<'a>(loss: &'static str, teacher_logits: &'a [Tensor]) -> Result<&'a Tensor> {
    match teacher_logits {
        [teacher] => Ok(teacher),
        teachers => Err(Error::Teachers { loss, expected: "one teacher", found: teachers.len() }),
    }
}

/// A loss's own weights must be finite and 0 or more.
pub(super) fn check_weight(name: &'static str, found: f64) -> Result<()> {
    if found.is_finite() && found >= 0.0 {
        Ok(())
    } else {
        Err(Error::Setting { name, found, range: "finite and 0 or more" })
    }
}

pub(super) fn check_temperature(temperature: f64) -> Result<()> {
    if temperature.is_finite() && temperature > 0.0 {
        Ok(())
    } else {
        Err(Error::Setting { name: "temperature", found: temperature, range: "finite and above 0" })
    }
}

/// Student and teacher logits of a loss made of candle operations: of one shape with `least` classes or more, of one
/// type (f32 or f64), the teacher's detached.
pub(super) fn composite_logits(student: &Tensor, teacher: &Tensor, least: usize) -> Result<(Tensor, Tensor)> {
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

/// The loss, or an error that names a logit that is not finite if the loss is not.
pub(super) fn reported(loss: Tensor, student_logits: &Tensor, teacher_logits: &[Tensor]) -> Result<Tensor> {
    let finite = |values: Vec<f64>| values.iter().position(|value| !value.is_finite()).map(|at| (at, values[at]));
    // On the CPU: not every device has f64.
    let flat = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    if finite(flat(&loss)?).is_none() {
        return Ok(loss);
    }
    let teachers = teacher_logits.iter().map(|teacher| (Input::TeacherLogits, teacher));
    for (input, logits) in std::iter::once((Input::StudentLogits, student_logits)).chain(teachers) {
        if let (Some((at, value)), &[_, classes]) = (finite(flat(logits)?), logits.dims()) {
            return Err(Error::NotFinite { input, row: at / classes, column: at % classes, value });
        }
    }
    Ok(loss) // finite logits whose loss is beyond the range of its type
}
