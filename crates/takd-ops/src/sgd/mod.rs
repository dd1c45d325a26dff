//! Stochastic gradient descent with momentum, in place.

#[cfg(feature = "cuda")]
mod cuda;

use crate::finite::find_not_finite;
use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Result, Tensor, Var, bail};
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
}

/// One parameter and what it is moved by; the three tensors have one shape.
#[derive(Clone, Copy, Debug)]
pub struct SgdUpdate<'a> {
    /// The parameter.
    pub param: &'a Var,
    /// The loss's gradient by it.
    pub grad: &'a Tensor,
    /// Its momentum; zeros before the first step (PyTorch begins with a copy of the gradient, which is the same).
    pub momentum_buffer: &'a Var,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
}

/// One step of stochastic gradient descent of all parameters, as `torch.optim.SGD` does it (dampening 0), in place:
///
/// ```text
/// g = grad + weight_decay · param
/// momentum_buffer = momentum · momentum_buffer + g
/// param = param − lr · (g + momentum · momentum_buffer  where nesterov, else momentum_buffer)
/// ```
///
/// Where a gradient has a value that is not finite, nothing moves. The result, a `u32` scalar on the parameters' device, is
/// the place of such a gradient in `updates`, or `u32::MAX` where there is none. On a GPU nothing waits until it is read.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use takd_ops::{SgdParams, SgdUpdate, sgd_step};
///
/// # fn main() -> candle_core::Result<()> {
/// let param = Var::new(&[1f32, 2.], &Device::Cpu)?;
/// let momentum_buffer = Var::zeros(2, candle_core::DType::F32, &Device::Cpu)?;
/// let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov: false };
/// let step = |grad: &Tensor| {
///     let update = SgdUpdate { param: &param, grad, momentum_buffer: &momentum_buffer, weight_decay: 0.0 };
///     sgd_step(&[update], params)?.to_scalar::<u32>()
/// };
/// assert_eq!(step(&Tensor::new(&[10f32, -10.], &Device::Cpu)?)?, u32::MAX);
/// assert_eq!(param.to_vec1::<f32>()?, [0., 3.]);
/// assert_eq!(step(&Tensor::new(&[10f32, f32::NAN], &Device::Cpu)?)?, 0);
/// assert_eq!(param.to_vec1::<f32>()?, [0., 3.]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where shapes, types or devices differ; nothing has moved then.
pub fn sgd_step(updates: &[SgdUpdate<'_>], params: SgdParams) -> Result<Tensor> {
    let device = updates.first().map_or(&Device::Cpu, |update| update.param.device());
    let mut fast = device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda();
    for SgdUpdate { param, grad, momentum_buffer, .. } in updates {
        let all = [param.as_tensor(), *grad, momentum_buffer.as_tensor()];
        if all.iter().any(|tensor| tensor.dims() != param.dims() || !tensor.device().same_device(device)) {
            bail!(
                "sgd_step: parameter {:?}, gradient {:?} and momentum buffer {:?} must have one shape and device",
                param.dims(),
                grad.dims(),
                momentum_buffer.dims()
            )
        }
        fast &= all.iter().all(|tensor| tensor.dtype() == DType::F32);
        fast &= param.is_contiguous() && momentum_buffer.is_contiguous();
    }
    #[cfg(feature = "cuda")]
    if let (true, Device::Cuda(device)) = (fast, device) {
        return cuda::step(updates, params, device);
    }
    let grads: Vec<&Tensor> = updates.iter().map(|update| update.grad).collect();
    if let Some(place) = find_not_finite(&grads)? {
        return Tensor::new(place as u32, device);
    }
    for update in updates {
        let SgdUpdate { param, grad, momentum_buffer, weight_decay } = *update;
        if fast {
            let grad = grad.contiguous()?;
            momentum_buffer.inplace_op3(&grad, param, &Accumulate { momentum: params.momentum, weight_decay })?;
            param.inplace_op3(&grad, momentum_buffer, &Descend { params, weight_decay })?;
        } else {
            composite(update, params)?;
        }
    }
    Tensor::new(u32::MAX, device)
}

/// The move of one parameter in plain tensor operations.
fn composite(update: &SgdUpdate<'_>, params: SgdParams) -> Result<()> {
    let SgdUpdate { param, grad, momentum_buffer, weight_decay } = *update;
    let old = param.as_detached_tensor();
    let grad = (grad.detach() + (&old * weight_decay)?)?;
    let buffer = ((momentum_buffer.as_detached_tensor() * params.momentum)? + &grad)?;
    let direction = if params.nesterov { (&grad + (&buffer * params.momentum)?)? } else { buffer.clone() };
    momentum_buffer.set(&buffer)?;
    param.set(&(old - (direction * params.lr)?)?)
}

/// `buffer = momentum · buffer + grad + weight_decay · param`.
struct Accumulate {
    momentum: f64,
    weight_decay: f64,
}

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
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
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
struct Descend {
    params: SgdParams,
    weight_decay: f64,
}

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
        let SgdParams { lr, momentum, nesterov } = self.params;
        let (lr, momentum, decay) = (lr as f32, momentum as f32, self.weight_decay as f32);
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

    /// No update moves by decay but this.
    const DECAY: f64 = 1e-2;

    fn random(n: usize, seed: u64) -> Result<Tensor> {
        use rand::RngExt;
        let mut rng = takd_rng::stream(seed, "sgd");
        Tensor::from_iter((0..n).map(|_| rng.random_range(-1.0f32..1.0)), &Device::Cpu)
    }

    /// A parameter with its momentum.
    fn variables(start: &Tensor) -> Result<(Var, Var)> {
        Ok((Var::from_tensor(&start.copy()?)?, Var::from_tensor(&start.zeros_like()?)?))
    }

    fn update<'a>((param, momentum_buffer): &'a (Var, Var), grad: &'a Tensor) -> SgdUpdate<'a> {
        SgdUpdate { param, grad, momentum_buffer, weight_decay: DECAY }
    }

    /// The CPU, and a CUDA device where the crate is built for one and one is there.
    fn devices() -> Vec<Device> {
        crate::tests::cuda_device().into_iter().chain([Device::Cpu]).collect()
    }

    #[test]
    fn fast_step_equals_plain_tensor_operations() -> Result<()> {
        for device in devices() {
            for nesterov in [false, true] {
                let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov };
                // More parameters than one launch on a GPU takes, one of them large.
                let lengths = [1, 7, 100_000].into_iter().chain((0..200).map(|i| i % 5 + 1));
                let starts: Vec<Tensor> =
                    lengths.enumerate().map(|(i, n)| random(n, i as u64)?.to_device(&device)).collect::<Result<_>>()?;
                let grads: Vec<Tensor> = starts.iter().map(|start| start.affine(-0.7, 0.1)).collect::<Result<_>>()?;
                let fast: Vec<_> = starts.iter().map(variables).collect::<Result<_>>()?;
                let plain: Vec<_> = starts.iter().map(variables).collect::<Result<_>>()?;
                let updates: Vec<_> = fast.iter().zip(&grads).map(|(var, grad)| update(var, grad)).collect();
                for _ in 0..3 {
                    assert_eq!(sgd_step(&updates, params)?.to_scalar::<u32>()?, u32::MAX);
                    for (variables, grad) in plain.iter().zip(&grads) {
                        composite(&update(variables, grad), params)?;
                    }
                }
                for (i, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
                    for (fast, plain) in [(&fast.0, &plain.0), (&fast.1, &plain.1)] {
                        let off = (fast.as_tensor() - plain.as_tensor())?.abs()?.max_all()?.to_scalar::<f32>()?;
                        assert!(off < 1e-6, "{off} at parameter {i}, nesterov = {nesterov}, {device:?}");
                    }
                    let moved = (fast.0.as_tensor() - &starts[i])?.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(moved > 1e-3 || fast.0.elem_count() < 8, "parameter {i} moved by {moved}, {device:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn gradient_that_is_not_finite_is_told_and_moves_nothing() -> Result<()> {
        let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov: false };
        for device in devices() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let start = random(300, 1)?.to_device(&device)?;
                let vars: Vec<_> = (0..250).map(|_| variables(&start)).collect::<Result<_>>()?;
                let mut values = vec![0.5; 300];
                values[299] = bad;
                let (good, bad) = (Tensor::full(0.5f32, 300, &device)?, Tensor::from_vec(values, 300, &device)?);
                let grad = |i| if i == 201 { &bad } else { &good };
                let updates: Vec<_> = vars.iter().enumerate().map(|(i, var)| update(var, grad(i))).collect();
                assert_eq!(sgd_step(&updates, params)?.to_scalar::<u32>()?, 201, "{device:?}");
                for (param, buffer) in &vars {
                    assert_eq!(param.to_vec1::<f32>()?, start.to_vec1::<f32>()?);
                    assert_eq!(buffer.to_vec1::<f32>()?, [0.0; 300]);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn steps_follow_pytorch() -> Result<()> {
        // torch.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=n), p = 1, gradient 0.5 twice.
        for (nesterov, expected) in [(false, 0.852_151_f32), (true, 0.765_074_1)] {
            let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov };
            let (one, grad) = (Tensor::new(1f32, &Device::Cpu)?, Tensor::new(0.5f32, &Device::Cpu)?);
            let variables = variables(&one)?;
            for _ in 0..2 {
                sgd_step(&[update(&variables, &grad)], params)?;
            }
            let found = variables.0.to_scalar::<f32>()?;
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}, nesterov = {nesterov}");
        }
        Ok(())
    }

    #[test]
    fn shapes_that_differ_are_an_error_before_anything_moves() -> Result<()> {
        let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov: false };
        let start = Tensor::new(&[1f32, 2.], &Device::Cpu)?;
        let (good, bad) = (variables(&start)?, variables(&start)?);
        let short = Tensor::new(&[1f32], &Device::Cpu)?;
        let error = sgd_step(&[update(&good, &start), update(&bad, &short)], params).unwrap_err().to_string();
        assert!(error.contains("one shape"), "{error}");
        assert_eq!(good.0.to_vec1::<f32>()?, [1., 2.]);
        Ok(())
    }
}
