//! What the tests share: layers of many shapes, what comes out of them, and how far apart two tensors are.

use crate::cpu::{force_arch, kinds};
use crate::{BatchNorm, Conv2d, Conv2dParams, ConvBn, MaxPool, Then, backward};
use candle_core::{DType, Device, Result, Tensor, Var};
use rand::RngExt;

/// The output as large as the input, for a kernel of 3.
pub(crate) const SAME: Conv2dParams = Conv2dParams { stride: 1, padding: 1 };
/// The output half as large, for a kernel of 3.
pub(crate) const HALF: Conv2dParams = Conv2dParams { stride: 2, padding: 1 };
/// The output as large as the input, for a kernel of 1.
pub(crate) const POINT: Conv2dParams = Conv2dParams { stride: 1, padding: 0 };

/// The CUDA device, if the crate is built for one and there is one.
pub(crate) fn cuda_device() -> Option<Device> {
    let device = cfg!(feature = "cuda").then(|| Device::new_cuda(0))?;
    device.inspect_err(|error| println!("skipped on CUDA: {error}")).ok()
}

pub(crate) fn random(dims: &[usize], seed: u64, name: &str) -> Result<Tensor> {
    let mut rng = takd_rng::stream(seed, name);
    let values = (0..dims.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

/// A normalisation of one γ for all channels, each with its β; running mean 0, running variance 1.
pub(crate) fn norm(
    channels: usize,
    gamma: f64,
    beta: impl Fn(usize) -> f64,
    dtype: DType,
    device: &Device,
) -> Result<BatchNorm> {
    let each = |value: &dyn Fn(usize) -> f64| {
        Tensor::from_iter((0..channels).map(value), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    };
    Ok(BatchNorm {
        weight: each(&|_| gamma)?,
        bias: each(&beta)?,
        running_mean: Var::from_tensor(&each(&|_| 0.0)?)?,
        running_var: Var::from_tensor(&each(&|_| 1.0)?)?,
        num_batches_tracked: Var::zeros((), DType::I64, device)?,
    })
}

/// A layer that keeps the number of channels, without a bias, and its weight.
pub(crate) fn square_layer(kernel: usize, params: Conv2dParams, bn: BatchNorm, seed: u64) -> Result<(ConvBn, Var)> {
    let channels = bn.weight.elem_count();
    let weight = random(&[channels, channels, kernel, kernel], seed, "weight")?.to_dtype(bn.weight.dtype())?;
    let weight = Var::from_tensor(&weight.to_device(bn.weight.device())?)?;
    Ok((ConvBn { conv: Conv2d { weight: weight.as_tensor().clone(), bias: None, params }, bn }, weight))
}

/// The shapes and settings of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) batch: usize,
    pub(crate) size: (usize, usize),
    pub(crate) channels: (usize, usize),
    pub(crate) kernel: usize,
    pub(crate) params: Conv2dParams,
    pub(crate) bias: bool,
    pub(crate) follow: usize,
    pub(crate) seed: u64,
}

impl Case {
    /// Without a bias, from the dimensions of the input.
    pub(crate) fn new(input: [usize; 4], c_out: usize, kernel: usize, params: Conv2dParams, follow: usize) -> Self {
        let [batch, height, width, c_in] = input;
        Self { batch, size: (height, width), channels: (c_in, c_out), kernel, params, bias: false, follow, seed: 4 }
    }
}

/// A layer and everything that goes into it.
pub(crate) struct Parts {
    pub(crate) layer: ConvBn,
    pub(crate) input: Var,
    pub(crate) residual: Var,
    pub(crate) variables: Vec<(&'static str, Var)>,
}

/// Everything that comes out of a forward and backward pass.
pub(crate) struct Outcome {
    pub(crate) output: Tensor,
    pub(crate) grads: Vec<(&'static str, Tensor)>,
    pub(crate) running: Vec<(&'static str, Tensor)>,
}

pub(crate) fn parts(case: &Case, dtype: DType, device: &Device) -> Result<Parts> {
    let Case { batch, size, channels: (c_in, c_out), kernel, params, seed, .. } = *case;
    let make = |dims: &[usize], name: &'static str| {
        Var::from_tensor(&random(dims, seed, name)?.to_dtype(dtype)?.to_device(device)?)
    };
    let input = make(&[batch, size.0, size.1, c_in], "input")?;
    let weight = make(&[c_out, c_in, kernel, kernel], "weight")?;
    let bias = if case.bias { Some(make(&[c_out], "bias")?) } else { None };
    let (gamma, beta) = (make(&[c_out], "gamma")?, make(&[c_out], "beta")?);
    let layer = ConvBn {
        conv: Conv2d { weight: weight.as_tensor().clone(), bias: bias.as_ref().map(|b| b.as_tensor().clone()), params },
        bn: BatchNorm {
            weight: gamma.as_tensor().clone(),
            bias: beta.as_tensor().clone(),
            running_mean: make(&[c_out], "running mean")?,
            running_var: Var::from_tensor(&(make(&[c_out], "running var")?.as_tensor() + 1.5)?)?,
            num_batches_tracked: Var::zeros((), DType::I64, device)?,
        },
    };
    let out_dims = layer.forward_t(&input.detach(), Then::Nothing, false)?.dims().to_vec();
    let residual = make(&out_dims, "residual")?;
    let mut variables = vec![
        ("input", input.clone()),
        ("weight", weight),
        ("gamma", gamma),
        ("beta", beta),
        ("residual", residual.clone()),
    ];
    variables.extend(bias.map(|bias| ("bias", bias)));
    Ok(Parts { layer, input, residual, variables })
}

/// What follows, by its number up to 4; with 3 the residual.
pub(crate) fn then<T>(follow: usize, residual: &T) -> Then<'_, T> {
    match follow {
        0 => Then::Nothing,
        1 => Then::Relu,
        2 => Then::ReluMaxPool(MaxPool::Two),
        3 => Then::AddRelu(residual),
        _ => Then::ReluMaxPool(MaxPool::Three),
    }
}

/// Largest error an output may have, relative to the largest number.
pub(crate) const OUTPUT_BOUND: f64 = 1e-4;

/// The gradient the output gets: random, but zero if an error within [`OUTPUT_BOUND`] may decide which way ReLU or pool sends
/// it: then f32 and f64 are both right and may differ by any amount.
pub(crate) fn loss_weights(case: &Case, train: bool) -> Result<Tensor> {
    let Parts { layer, input, residual, .. } = parts(case, DType::F64, &Device::Cpu)?;
    let mut z = layer.forward_t(&input.detach(), Then::Nothing, train)?;
    if case.follow == 3 {
        z = (z + residual.as_detached_tensor())?;
    }
    let bound = OUTPUT_BOUND * z.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?.max(1.0);
    let (batch, height, width, channels) = z.dims4()?;
    let (dims, z) = ([batch, height, width, channels], z.flatten_all()?.to_vec1::<f64>()?);
    let (dims, sure): (_, Vec<bool>) = match case.follow {
        0 => (dims, vec![true; z.len()]),
        2 | 4 => {
            let pool = if case.follow == 2 { MaxPool::Two } else { MaxPool::Three };
            let (out_h, out_w) = (pool.outputs(height), pool.outputs(width));
            let mut sure = Vec::new();
            let at = |n: usize, y: usize, x: usize, c: usize| z[((n * height + y) * width + x) * channels + c];
            for (n, y, x, c) in indices([batch, out_h, out_w, channels]) {
                let columns = || pool.window(x, width);
                let mut block: Vec<f64> =
                    pool.window(y, height).flat_map(|y| columns().map(move |x| at(n, y, x, c))).collect();
                block.sort_by(|a, b| b.total_cmp(a));
                let second = block.get(1).copied().unwrap_or(f64::NEG_INFINITY);
                sure.push(block[0].abs() > bound && block[0] - second > 2.0 * bound);
            }
            ([batch, out_h, out_w, channels], sure)
        }
        _ => (dims, z.iter().map(|z| z.abs() > bound).collect()),
    };
    let share = sure.iter().filter(|sure| **sure).count() as f64 / sure.len() as f64;
    assert!(share > 0.5, "only {share} of the outputs count in {case:?}");
    let sure = Tensor::from_iter(sure.into_iter().map(|sure| if sure { 1.0 } else { 0.0 }), &Device::Cpu)?;
    random(&dims, case.seed, "loss")?.to_dtype(DType::F64)? * sure.reshape(dims.to_vec())?
}

/// All indices of four dimensions, in order.
pub(crate) fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / d / c / b, i / d / c % b, i / d % c, i % d))
}

pub(crate) fn run(case: &Case, dtype: DType, device: &Device, train: bool, weights: &Tensor) -> Result<Outcome> {
    let Parts { layer, input, residual, variables } = parts(case, dtype, device)?;
    let output = layer.forward_t(&input, then(case.follow, residual.as_tensor()), train)?;
    let weights = weights.to_dtype(dtype)?.to_device(device)?;
    let store = backward(&(&output * weights)?.sum_all()?)?;
    let grads = variables.iter().filter_map(|(name, variable)| Some((*name, store.get(variable)?.clone()))).collect();
    let running = vec![
        ("running mean", layer.bn.running_mean.as_detached_tensor()),
        ("running var", layer.bn.running_var.as_detached_tensor()),
        ("batches", layer.bn.num_batches_tracked.as_detached_tensor()),
    ];
    Ok(Outcome { output, grads, running })
}

/// Largest difference, relative to the largest expected number, or to 1 if that is less; NaN if any of them is.
pub(crate) fn distance(found: &Tensor, expected: &Tensor) -> Result<f64> {
    assert_eq!(found.dims(), expected.dims());
    let wide = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let (found, expected) = (wide(found)?, wide(expected)?);
    let scale = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?.max(1.0);
    let differences = (found - expected)?.abs()?.flatten_all()?;
    // candle's maximum passes over NaN that does not come first; a sum does not.
    let nan = differences.sum_all()?.to_scalar::<f64>()?.is_nan();
    Ok(if nan { f64::NAN } else { differences.max(0)?.to_scalar::<f64>()? / scale })
}

/// Does `work` in every kind of vector this processor has; returns each result with the kind's name.
pub(crate) fn on_cpu<T>(work: impl Fn(&Device) -> Result<T>) -> Result<Vec<(String, T)>> {
    kinds().into_iter().map(|kind| Ok((format!("{kind:?}"), force_arch(kind, || work(&Device::Cpu))?))).collect()
}

/// The same, and on CUDA if there is a device.
pub(crate) fn everywhere<T>(work: impl Fn(&Device) -> Result<T>) -> Result<Vec<(String, T)>> {
    let on_cuda = cuda_device().map(|device| Ok(("CUDA".to_owned(), work(&device)?)));
    on_cpu(&work)?.into_iter().map(Ok).chain(on_cuda).collect()
}

/// [`everywhere`], but only every fourth seed on CUDA: kernels are compiled for each case's sizes, which takes an emulator
/// seconds.
pub(crate) fn everywhere_at_times<T>(seed: u64, work: impl Fn(&Device) -> Result<T>) -> Result<Vec<(String, T)>> {
    if seed.is_multiple_of(4) { everywhere(work) } else { on_cpu(work) }
}

pub(crate) fn compare(case: &Case, train: bool) -> Result<()> {
    let weights = loss_weights(case, train)?;
    let plain = run(case, DType::F64, &Device::Cpu, train, &weights)?;
    let pass = |device: &Device| run(case, DType::F32, device, train, &weights);
    for (place, fast) in everywhere_at_times(case.seed, pass)? {
        hold(&fast, &plain, &format!("{case:?}, train = {train}, {place}"))?;
    }
    Ok(())
}

/// Asserts that two outcomes are equal within the bounds that all tests share.
pub(crate) fn hold(fast: &Outcome, plain: &Outcome, name: &str) -> Result<()> {
    let off = distance(&fast.output, &plain.output)?;
    assert!(off < OUTPUT_BOUND, "output off by {off} in {name}");
    assert_eq!(fast.grads.len(), plain.grads.len(), "{name}");
    for ((what, found), (_, expected)) in fast.grads.iter().zip(&plain.grads) {
        let off = distance(found, expected)?;
        assert!(off < 1e-3, "gradient of {what} off by {off} in {name}");
    }
    for ((what, found), (_, expected)) in fast.running.iter().zip(&plain.running) {
        let off = distance(found, expected)?;
        assert!(off < 1e-4, "{what} off by {off} in {name}");
    }
    Ok(())
}

/// The same in training and in evaluation.
pub(crate) fn compare_both(case: &Case) -> Result<()> {
    compare(case, true)?;
    compare(case, false)
}

/// All numbers, bit for bit.
pub(crate) fn bits(tensor: &Tensor) -> Result<Vec<u32>> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
}

#[test]
fn the_distance_to_nan_is_nan() -> Result<()> {
    let numbers = Tensor::new(&[1.0, 2.0, 3.0], &Device::Cpu)?;
    for nan in [[f64::NAN, 2.0, 3.0], [1.0, f64::NAN, 3.0], [1.0, 2.0, f64::NAN]] {
        let nan = Tensor::new(&nan, &Device::Cpu)?;
        assert!(distance(&nan, &numbers)?.is_nan() && distance(&numbers, &nan)?.is_nan(), "{nan}");
    }
    Ok(())
}
