//! Runs the kernel of the device where the student's logits are.

use super::cpu;
#[cfg(feature = "cuda")]
use super::cuda;
#[cfg(feature = "metal")]
use super::metal;
use super::problem::{Gradient, Outcome, Problem};
#[cfg(not(all(feature = "cuda", feature = "metal")))]
use crate::error::Error;
use crate::error::Result;
#[cfg(any(feature = "cuda", feature = "metal"))]
use crate::settings::BadRows;
use candle_core::{DType, Device, Tensor};
#[cfg(any(feature = "cuda", feature = "metal"))]
use candle_core::{Storage, backend::BackendStorage, op::BackpropOp};

pub(super) fn solve(problem: &Problem, gradient: Gradient<'_>) -> Result<Outcome> {
    match problem.student.device() {
        Device::Cpu => cpu::solve(problem, gradient),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => checked(problem, cuda::kd_loss(problem, gradient)?, gradient),
        #[cfg(feature = "metal")]
        Device::Metal(_) => checked(problem, metal::kd_loss(problem, gradient)?, gradient),
        #[cfg(not(all(feature = "cuda", feature = "metal")))]
        other => Err(no_kernel(other)),
    }
}

/// The gradient times `upstream`, the gradient of whatever was computed from the loss; `ready` is the gradient of the loss if
/// it is still at hand.
pub(super) fn solve_backward(
    problem: &Problem,
    ready: Option<Tensor>,
    upstream: &Tensor,
) -> candle_core::Result<Option<Tensor>> {
    match problem.student.device() {
        Device::Cpu => {
            let upstream = upstream.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            if ready.is_some() && upstream.iter().all(|&grad| grad == 1.0) {
                return Ok(ready);
            }
            // Multiplied before rounding to the logits' type: with f16, a scaled loss is what keeps small gradients from
            // vanishing.
            Ok(cpu::solve(problem, Gradient::Times(&upstream))?.grad)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Ok(rescaled(problem, cuda::rescale, ready, upstream)?),
        #[cfg(feature = "metal")]
        Device::Metal(_) => Ok(rescaled(problem, metal::rescale, ready, upstream)?),
        #[cfg(not(all(feature = "cuda", feature = "metal")))]
        other => Err(no_kernel(other).into()),
    }
}

/// The gradient on a GPU, whose `rescale` multiplies it with `upstream`.
#[cfg(any(feature = "cuda", feature = "metal"))]
fn rescaled(
    problem: &Problem,
    rescale: impl Fn(&Problem, &Tensor, &Tensor) -> Result<()>,
    ready: Option<Tensor>,
    upstream: &Tensor,
) -> Result<Option<Tensor>> {
    let grad = match ready {
        Some(grad) => Some(grad),
        None => solve(problem, Gradient::OfTheSum)?.grad,
    };
    if let Some(grad) = &grad {
        rescale(problem, grad, upstream)?;
    }
    Ok(grad)
}

/// What a GPU found; if bad rows are errors and it found NaN, what the CPU finds: usually an error that names the label or the
/// logit, and otherwise the loss of finite logits too large for the GPU's f32.
#[cfg(any(feature = "cuda", feature = "metal"))]
fn checked(problem: &Problem, found: Outcome, gradient: Gradient<'_>) -> Result<Outcome> {
    if problem.bad_rows == BadRows::Nan || is_finite(&found.loss)? {
        return Ok(found);
    }
    let to_cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu);
    let copy = Problem {
        terms: problem.terms.clone(),
        student: to_cpu(&problem.student)?,
        teachers: problem.teachers.iter().map(to_cpu).collect::<candle_core::Result<_>>()?,
        top_k: None, // has no kernel on a GPU
        labels: problem.labels.as_ref().map(to_cpu).transpose()?,
        weights: problem.weights.as_ref().map(to_cpu).transpose()?,
        ..*problem
    };
    let Outcome { loss, shape, grad } = cpu::solve(&copy, Gradient::OfTheSum)?;
    let device = problem.student.device();
    let loss = Tensor::from_storage(loss, shape.clone(), BackpropOp::none(), false).to_device(device)?;
    let mut grad = grad.map(|grad| grad.to_device(device)).transpose()?;
    if let (Gradient::Into(into), Some(found)) = (gradient, &grad) {
        into.slice_set(found, 0, 0)?;
        grad = Some(into.clone());
    }
    let (storage, layout) = loss.storage_and_layout();
    Ok(Outcome { loss: storage.try_clone(layout)?, shape, grad })
}

/// Whether a GPU's loss is finite, or each of its losses. Waits for the GPU.
#[cfg(any(feature = "cuda", feature = "metal"))]
fn is_finite(loss: &Storage) -> Result<bool> {
    let loss = match loss {
        Storage::Cpu(loss) => loss.to_cpu_storage(),
        Storage::Cuda(loss) => loss.to_cpu_storage(),
        Storage::Metal(loss) => loss.to_cpu_storage(),
    }?;
    Ok(loss.as_slice::<f32>()?.iter().all(|loss| loss.is_finite()))
}

#[cfg(not(all(feature = "cuda", feature = "metal")))]
fn no_kernel(device: &Device) -> Error {
    Error::NoKernel { device: format!("{:?}", device.location()) }
}
