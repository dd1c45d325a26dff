//! The loss in candle's graph: autograd is served from what the kernel left.

use super::problem::{Gradient, Outcome, Problem};
use super::solve::{solve, solve_backward};
use crate::error::Result;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor};
use std::sync::Mutex;

/// The loss, as a node of candle's graph if its gradient may be asked for.
pub(super) fn differentiable(problem: Problem, student: &Tensor) -> Result<Tensor> {
    if !student.track_op() {
        let Outcome { loss, shape, .. } = solve(&problem, Gradient::Skip)?;
        return Ok(Tensor::from_storage(loss, shape, BackpropOp::none(), false));
    }
    let Outcome { loss, shape, grad } = solve(&problem, Gradient::OfTheSum)?;
    let loss = Mutex::new(Some((loss, shape)));
    Ok(student.apply_op1(FusedKdLoss { problem, loss, grad: Mutex::new(grad) })?)
}

/// A node of candle's graph whose value and gradient are known when it is made.
struct FusedKdLoss {
    problem: Problem,
    /// Handed to candle at once.
    loss: Mutex<Option<(Storage, Shape)>>,
    /// Handed to candle in the first backward pass.
    grad: Mutex<Option<Tensor>>,
}

impl CustomOp1 for FusedKdLoss {
    fn name(&self) -> &'static str {
        "kd-loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Cpu(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Cuda(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> candle_core::Result<(MetalStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Metal(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad_loss: &Tensor) -> candle_core::Result<Option<Tensor>> {
        solve_backward(&self.problem, take(&self.grad), grad_loss)
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}
