//! How candle's autograd runs a layer's backward pass, and gets the gradients of its parameters.

use crate::features::cpu::{handle_grad, handle_value};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A layer's gradients, left by its backward pass for the parameters' handles.
#[derive(Default)]
pub(super) struct ParamGrads {
    pub weight: Option<Vec<f32>>,
    pub gamma: Option<Vec<f32>>,
    pub beta: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
}

/// Where they are left.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<ParamGrads>>);

impl Slot {
    pub(super) fn set(&self, grads: ParamGrads) {
        *self.lock() = grads;
    }

    fn lock(&self) -> MutexGuard<'_, ParamGrads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle of a layer's parameters: weight, γ and β, and the bias if it has one.
pub(super) fn param_handle(
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    bias: Option<&Tensor>,
    slot: &Slot,
) -> Result<Tensor> {
    let three = weight.apply_op3(gamma, beta, Params(slot.clone()))?;
    match bias {
        Some(bias) => three.apply_op2(bias, Bias(slot.clone())),
        None => Ok(three),
    }
}

/// A gradient as a tensor like its parameter.
fn like(grad: Option<Vec<f32>>, parameter: &Tensor) -> Result<Option<Tensor>> {
    grad.map(|grad| Tensor::from_vec(grad, parameter.shape(), &Device::Cpu)).transpose()
}

struct Params(Slot);

impl CustomOp3 for Params {
    fn name(&self) -> &'static str {
        "conv-bn-parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(handle_value())
    }

    fn bwd(
        &self,
        weight: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.0.lock();
        let [d_weight, d_gamma, d_beta] = [grads.weight.take(), grads.gamma.take(), grads.beta.take()];
        Ok((like(d_weight, weight)?, like(d_gamma, gamma)?, like(d_beta, beta)?))
    }
}

struct Bias(Slot);

impl CustomOp2 for Bias {
    fn name(&self) -> &'static str {
        "conv-bn-bias"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(handle_value())
    }

    fn bwd(&self, _: &Tensor, bias: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_bias = self.0.lock().bias.take();
        Ok((handle_grad()?, like(d_bias, bias)?))
    }
}

/// The backward pass of a layer.
pub(super) trait Backward: Send + Sync + 'static {
    fn backward(&self) -> Result<()>;
}

/// Handles of input, parameters and residual → handle of the output.
pub(super) struct LayerOp<B>(pub B);

impl<B: Backward> CustomOp3 for LayerOp<B> {
    fn name(&self) -> &'static str {
        "conv-bn"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(handle_value())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.0.backward()?;
        Ok((handle_grad()?, handle_grad()?, handle_grad()?))
    }
}
