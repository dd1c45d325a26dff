//! Stochastic gradient descent with momentum, in place.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod finite;
mod params;

use candle_core::{DType, Device, Result, Tensor, bail};
use finite::find_not_finite;
pub use params::{SgdParams, SgdUpdate};

/// One step of stochastic gradient descent of all parameters, as `torch.optim.SGD` does it (dampening 0), in place:
///
/// ```text
/// g = grad + weight_decay · param
/// momentum_buffer = momentum · momentum_buffer + g
/// param = param − lr · (if nesterov { g + momentum · momentum_buffer } else { momentum_buffer })
/// ```
///
/// If a gradient has a value that is not finite, nothing is updated. The result, a `u32` scalar on the parameters' device, is
/// the index of such a gradient in `updates`, or `u32::MAX` if there is none. On a GPU nothing waits until it is read.
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
/// If shapes, types or devices differ; nothing is updated then.
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
        if fast {
            cpu::step(update, params)?;
        } else {
            composite(update, params)?;
        }
    }
    Tensor::new(u32::MAX, device)
}

/// One parameter's step in plain tensor operations.
fn composite(update: &SgdUpdate<'_>, params: SgdParams) -> Result<()> {
    let SgdUpdate { param, grad, momentum_buffer, weight_decay } = *update;
    let old = param.as_detached_tensor();
    let grad = (grad.detach() + (&old * weight_decay)?)?;
    let buffer = ((momentum_buffer.as_detached_tensor() * params.momentum)? + &grad)?;
    let direction = if params.nesterov { (&grad + (&buffer * params.momentum)?)? } else { buffer.clone() };
    momentum_buffer.set(&buffer)?;
    param.set(&(old - (direction * params.lr)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    /// The weight decay of every update.
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

    /// The CPU, and a CUDA device if the crate is built for one and there is one.
    fn devices() -> Vec<Device> {
        crate::tests::common::cuda_device().into_iter().chain([Device::Cpu]).collect()
    }

    #[test]
    fn the_fast_step_equals_plain_tensor_operations() -> Result<()> {
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
    fn a_gradient_that_is_not_finite_is_named_and_nothing_is_updated() -> Result<()> {
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
    fn shapes_that_differ_are_an_error_before_anything_is_updated() -> Result<()> {
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
