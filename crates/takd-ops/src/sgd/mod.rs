//! Stochastic gradient descent with momentum, in place.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

/// Settings of one step, by PyTorch's names and meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdParams {
    /// Learning rate.
    pub lr: f64,
    /// Share of the momentum buffer that stays; 0 for plain gradient descent.
    pub momentum: f64,
    /// Looks ahead along the momentum (Sutskever et al. 2013, PyTorch's form).
    pub nesterov: bool,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
}

/// One step of stochastic gradient descent, as `torch.optim.SGD` does it (dampening 0), in place:
///
/// ```text
/// g = grad + weight_decay · param
/// momentum_buffer = momentum · momentum_buffer + g
/// param = param − lr · (g + momentum · momentum_buffer  where nesterov, else momentum_buffer)
/// ```
///
/// All three have one shape. A momentum buffer of zeros is the first step's (PyTorch's copy of the gradient).
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use takd_ops::{SgdParams, sgd_step};
///
/// # fn main() -> candle_core::Result<()> {
/// let param = Var::new(&[1f32, 2.], &Device::Cpu)?;
/// let momentum_buffer = Var::zeros(2, candle_core::DType::F32, &Device::Cpu)?;
/// let grad = Tensor::new(&[10f32, -10.], &Device::Cpu)?;
/// let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
/// sgd_step(&param, &grad, &momentum_buffer, params)?;
/// assert_eq!(param.to_vec1::<f32>()?, [0., 3.]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where shapes, types or devices differ.
pub fn sgd_step(param: &Var, grad: &Tensor, momentum_buffer: &Var, params: SgdParams) -> Result<()> {
    if param.dims() != grad.dims() || param.dims() != momentum_buffer.dims() {
        bail!(
            "sgd_step: parameter {:?}, gradient {:?} and momentum buffer {:?} must have one shape",
            param.dims(),
            grad.dims(),
            momentum_buffer.dims()
        )
    }
    let device = param.device();
    let fast = (device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda())
        && param.dtype() == DType::F32
        && grad.dtype() == DType::F32
        && momentum_buffer.dtype() == DType::F32
        && param.is_contiguous()
        && momentum_buffer.is_contiguous();
    if !fast {
        return composite(param, grad, momentum_buffer, params);
    }
    let grad = grad.contiguous()?;
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        return param.inplace_op3(&grad, momentum_buffer, &cuda::Step(params));
    }
    momentum_buffer.inplace_op3(&grad, param, &Accumulate(params))?;
    param.inplace_op3(&grad, momentum_buffer, &Descend(params))
}

/// [`sgd_step`] in plain tensor operations.
fn composite(param: &Var, grad: &Tensor, momentum_buffer: &Var, params: SgdParams) -> Result<()> {
    let old = param.as_detached_tensor();
    let grad = (grad.detach() + (&old * params.weight_decay)?)?;
    let buffer = ((momentum_buffer.as_detached_tensor() * params.momentum)? + &grad)?;
    let direction = if params.nesterov { (&grad + (&buffer * params.momentum)?)? } else { buffer.clone() };
    momentum_buffer.set(&buffer)?;
    param.set(&(old - (direction * params.lr)?)?)
}

/// `buffer = momentum · buffer + grad + weight_decay · param`.
struct Accumulate(SgdParams);

impl InplaceOp3 for Accumulate {
    fn name(&self) -> &'static str {
        "sgd-momentum"
    }

    fn cpu_fwd(
        &self,
        buffer: &mut CpuStorage,
        buffer_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        param: &CpuStorage,
        param_layout: &Layout,
    ) -> Result<()> {
        let (momentum, decay) = (self.0.momentum as f32, self.0.weight_decay as f32);
        let (grad, param) = (values(grad, grad_layout)?, values(param, param_layout)?);
        in_chunks(values_mut(buffer, buffer_layout)?, grad, param, |buffer, grad, param| {
            for ((buffer, &grad), &param) in buffer.iter_mut().zip(grad).zip(param) {
                *buffer = momentum * *buffer + (grad + decay * param);
            }
        });
        Ok(())
    }
}

/// `param −= lr · direction`.
struct Descend(SgdParams);

impl InplaceOp3 for Descend {
    fn name(&self) -> &'static str {
        "sgd-descend"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        param_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        buffer: &CpuStorage,
        buffer_layout: &Layout,
    ) -> Result<()> {
        let SgdParams { lr, momentum, nesterov, weight_decay } = self.0;
        let (lr, momentum, decay) = (lr as f32, momentum as f32, weight_decay as f32);
        let (grad, buffer) = (values(grad, grad_layout)?, values(buffer, buffer_layout)?);
        in_chunks(values_mut(param, param_layout)?, grad, buffer, |param, grad, buffer| {
            if nesterov {
                for ((param, &grad), &buffer) in param.iter_mut().zip(grad).zip(buffer) {
                    *param -= lr * (grad + decay * *param + momentum * buffer);
                }
            } else {
                for (param, &buffer) in param.iter_mut().zip(buffer) {
                    *param -= lr * buffer;
                }
            }
        });
        Ok(())
    }
}

/// Numbers below which a second thread does not pay, and in a task.
const CHUNK: usize = 1 << 15;

/// Runs `update` over chunks of the three, in vectors as wide as the processor has.
fn in_chunks(target: &mut [f32], a: &[f32], b: &[f32], update: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) {
    let arch = crate::cpu::arch();
    let chunk = |(target, (a, b)): (&mut [f32], (&[f32], &[f32]))| arch.dispatch(|| update(target, a, b));
    if target.len() <= CHUNK {
        return chunk((target, (a, b)));
    }
    target.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK))).for_each(chunk);
}

/// The numbers of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("sgd_step: expected contiguous f32 values"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("sgd_step: expected contiguous f32 values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn pair(n: usize, seed: u64) -> Result<(Tensor, Tensor)> {
        use rand::RngExt;
        let mut rng = takd_rng::stream(seed, "sgd");
        let mut draw = || Tensor::from_iter((0..n).map(|_| rng.random_range(-1.0f32..1.0)), &Device::Cpu);
        Ok((draw()?, draw()?))
    }

    #[test]
    fn fast_step_equals_plain_tensor_operations() -> Result<()> {
        for n in [1, 7, 100_000] {
            for nesterov in [false, true] {
                let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 1e-2 };
                let (start, grad) = pair(n, 1)?;
                let (fast, plain) = (Var::from_tensor(&start.copy()?)?, Var::from_tensor(&start.copy()?)?);
                let fast_buffer = Var::from_tensor(&start.zeros_like()?)?;
                let plain_buffer = Var::from_tensor(&start.zeros_like()?)?;
                for _ in 0..3 {
                    sgd_step(&fast, &grad, &fast_buffer, params)?;
                    composite(&plain, &grad, &plain_buffer, params)?;
                }
                let difference = (fast.as_tensor() - plain.as_tensor())?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(difference < 1e-6, "{difference} at n = {n}, nesterov = {nesterov}");
                let moved = (fast.as_tensor() - &start)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(moved > 1e-3 || n == 1, "the parameter moved by {moved}");
            }
        }
        Ok(())
    }

    #[test]
    fn steps_follow_pytorch() -> Result<()> {
        // torch.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=n), p = 1, gradient 0.5 twice.
        for (nesterov, expected) in [(false, 0.852_151_f32), (true, 0.765_074_1)] {
            let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01 };
            let param = Var::new(1f32, &Device::Cpu)?;
            let buffer = Var::new(0f32, &Device::Cpu)?;
            for _ in 0..2 {
                sgd_step(&param, &Tensor::new(0.5f32, &Device::Cpu)?, &buffer, params)?;
            }
            let found = param.to_scalar::<f32>()?;
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}, nesterov = {nesterov}");
        }
        Ok(())
    }

    #[test]
    fn shapes_that_differ_are_an_error() -> Result<()> {
        let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        let param = Var::new(&[1f32, 2.], &Device::Cpu)?;
        let grad = Tensor::new(&[1f32], &Device::Cpu)?;
        let error = sgd_step(&param, &grad, &param, params).unwrap_err().to_string();
        assert!(error.contains("one shape"), "{error}");
        Ok(())
    }
}
