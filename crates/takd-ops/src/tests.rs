//! The fused layer against the same layer in plain tensor operations (which f64 takes).

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::RngExt;
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, Then};

fn random(dims: &[usize], seed: u64, name: &str) -> Result<Tensor> {
    let mut rng = takd_rng::stream(seed, name);
    let values = (0..dims.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

/// What a layer is made of.
#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    size: (usize, usize),
    channels: (usize, usize),
    kernel: usize,
    params: Conv2dParams,
    bias: bool,
    follow: usize,
    seed: u64,
}

/// Everything that comes out of a forward and backward pass.
struct Outcome {
    output: Tensor,
    grads: Vec<(&'static str, Tensor)>,
    running: Vec<(&'static str, Tensor)>,
}

fn run(case: &Case, dtype: DType, train: bool) -> Result<Outcome> {
    let Case { batch, size, channels: (c_in, c_out), kernel, params, seed, .. } = *case;
    let make = |dims: &[usize], name: &'static str| Var::from_tensor(&random(dims, seed, name)?.to_dtype(dtype)?);
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
            num_batches_tracked: Var::zeros((), DType::I64, &Device::Cpu)?,
        },
    };
    let out_dims = layer.forward_t(&input.detach(), Then::Nothing, false)?.dims().to_vec();
    let residual = make(&out_dims, "residual")?;
    let then = match case.follow {
        0 => Then::Nothing,
        1 => Then::Relu,
        2 => Then::ReluMaxPool,
        _ => Then::AddRelu(residual.as_tensor()),
    };
    let output = layer.forward_t(&input, then, train)?;
    let weights = random(output.dims(), seed, "loss")?.to_dtype(dtype)?;
    let store = (&output * weights)?.sum_all()?.backward()?;
    let mut grads = Vec::new();
    let named = [("input", &input), ("weight", &weight), ("gamma", &gamma), ("beta", &beta), ("residual", &residual)];
    for (name, variable) in named.into_iter().chain(bias.as_ref().map(|bias| ("bias", bias))) {
        if let Some(grad) = store.get(variable) {
            grads.push((name, grad.clone()));
        }
    }
    let running = vec![
        ("running mean", layer.bn.running_mean.as_detached_tensor()),
        ("running var", layer.bn.running_var.as_detached_tensor()),
        ("batches", layer.bn.num_batches_tracked.as_detached_tensor()),
    ];
    Ok(Outcome { output, grads, running })
}

/// Largest difference, relative to the largest expected number, or to 1 where that is less.
fn distance(found: &Tensor, expected: &Tensor) -> Result<f64> {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (found.to_dtype(DType::F64)?, expected.to_dtype(DType::F64)?);
    let scale = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?.max(1.0);
    let difference = (found - expected)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
    Ok(difference / scale)
}

fn compare(case: &Case, train: bool) -> Result<()> {
    let (fast, plain) = (run(case, DType::F32, train)?, run(case, DType::F64, train)?);
    let off = distance(&fast.output, &plain.output)?;
    assert!(off < 1e-4, "output off by {off} in {case:?}, train = {train}");
    assert_eq!(fast.grads.len(), plain.grads.len());
    for ((name, found), (_, expected)) in fast.grads.iter().zip(&plain.grads) {
        let off = distance(found, expected)?;
        assert!(off < 1e-3, "gradient of {name} off by {off} in {case:?}, train = {train}");
    }
    for ((name, found), (_, expected)) in fast.running.iter().zip(&plain.running) {
        let off = distance(found, expected)?;
        assert!(off < 1e-4, "{name} off by {off} in {case:?}, train = {train}");
    }
    Ok(())
}

fn cases() -> impl Strategy<Value = Case> {
    let kernel =
        prop_oneof![Just((3, 1)), Just((1, 0)), Just((3, 0)), Just((2, 1)), Just((5, 2)), Just((1, 1)), Just((3, 2))];
    let shape = (1usize..7, 5usize..14, 5usize..14, 1usize..40, 1usize..40);
    (shape, kernel, 1usize..4, any::<bool>(), 0usize..4, any::<u64>()).prop_map(
        |((batch, height, width, c_in, c_out), (kernel, padding), stride, bias, follow, seed)| Case {
            // Several pixels in the output, so that a variance is no matter of rounding.
            batch: batch + 2,
            size: (height, width),
            channels: (c_in, c_out),
            kernel,
            params: Conv2dParams { stride: if follow == 2 { 1 } else { stride }, padding },
            bias,
            follow,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fused_layer_equals_the_reference_in_training(case in cases()) {
        compare(&case, true).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }

    #[test]
    fn fused_layer_equals_the_reference_in_evaluation(case in cases()) {
        compare(&case, false).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

#[test]
fn the_networks_own_shapes_equal_the_reference() -> Result<()> {
    let same = Conv2dParams { stride: 1, padding: 1 };
    let half = Conv2dParams { stride: 2, padding: 1 };
    let skip = Conv2dParams { stride: 2, padding: 0 };
    for (size, c_in, c_out, kernel, params, follow) in [
        (32, 3, 16, 3, same, 1),
        (32, 3, 32, 3, same, 2),
        (32, 16, 16, 3, same, 3),
        (32, 16, 32, 3, half, 1),
        (32, 16, 32, 1, skip, 0),
        (16, 32, 64, 3, half, 1),
        (8, 64, 64, 3, same, 3),
        (8, 128, 128, 3, same, 2),
        (4, 256, 256, 3, same, 2),
    ] {
        let case = Case {
            batch: 5,
            size: (size, size),
            channels: (c_in, c_out),
            kernel,
            params,
            bias: false,
            follow,
            seed: 3,
        };
        compare(&case, true)?;
        compare(&case, false)?;
    }
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let case = Case {
        batch: 37,
        size: (9, 8),
        channels: (5, 20),
        kernel: 3,
        params: Conv2dParams { stride: 1, padding: 1 },
        bias: true,
        follow: 3,
        seed: 1,
    };
    let bits = |threads: usize| -> Result<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(candle_core::Error::wrap)?;
        let Outcome { output, grads, running } = pool.install(|| run(&case, DType::F32, true))?;
        let running = running.into_iter().filter(|(name, _)| *name != "batches").map(|(_, tensor)| tensor);
        let mut bits = Vec::new();
        for tensor in std::iter::once(output).chain(grads.into_iter().map(|(_, grad)| grad)).chain(running) {
            bits.extend(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
        }
        Ok(bits)
    };
    let one = bits(1)?;
    assert!(one.len() > 1000);
    for threads in [2, 3, 7] {
        assert!(bits(threads)? == one, "{threads} threads gave other bits than one");
    }
    Ok(())
}

#[test]
fn a_branch_gets_the_sum_of_its_consumers_gradients() -> Result<()> {
    // x ─▶ a ─▶ b ─┬─▶ + ─▶ loss, as in a residual block.
    let build = |dtype: DType| -> Result<Vec<Tensor>> {
        let layer = |seed: u64| -> Result<(ConvBn, Var)> {
            let weight = Var::from_tensor(&random(&[8, 8, 3, 3], seed, "weight")?.to_dtype(dtype)?)?;
            let constant = |value: f64| Tensor::full(value, 8, &Device::Cpu)?.to_dtype(dtype);
            let bn = BatchNorm {
                weight: constant(1.0)?,
                bias: constant(0.1)?,
                running_mean: Var::from_tensor(&constant(0.0)?)?,
                running_var: Var::from_tensor(&constant(1.0)?)?,
                num_batches_tracked: Var::zeros((), DType::I64, &Device::Cpu)?,
            };
            let params = Conv2dParams { stride: 1, padding: 1 };
            Ok((ConvBn { conv: Conv2d { weight: weight.as_tensor().clone(), bias: None, params }, bn }, weight))
        };
        let ((first, w1), (second, w2), (third, w3)) = (layer(1)?, layer(2)?, layer(3)?);
        let input = Var::from_tensor(&random(&[3, 6, 6, 8], 9, "input")?.to_dtype(dtype)?)?;
        let stem = first.forward_features(&Features::new(&input)?, Then::Relu, true)?;
        let hidden = second.forward_features(&stem, Then::Relu, true)?;
        let output = third.forward_features(&hidden, Then::AddRelu(&stem), true)?;
        let loss = output.to_tensor()?.sqr()?.sum_all()?;
        let grads = loss.backward()?;
        [&input, &w1, &w2, &w3]
            .into_iter()
            .map(|v| grads.get(v).cloned().ok_or_else(|| candle_core::Error::msg("no gradient")))
            .collect()
    };
    for (found, expected) in build(DType::F32)?.iter().zip(&build(DType::F64)?) {
        let off = distance(found, expected)?;
        assert!(off < 1e-3, "off by {off}");
    }
    Ok(())
}

#[test]
fn a_graph_may_be_walked_twice() -> Result<()> {
    let input = Var::from_tensor(&random(&[2, 5, 5, 3], 1, "input")?)?;
    let features = Features::new(&input)?;
    let loss = features.to_tensor()?.sqr()?.sum_all()?;
    let (once, twice) = (loss.backward()?, loss.backward()?);
    let grad = |store: &candle_core::backprop::GradStore| store.get(&input).cloned();
    let (Some(once), Some(twice)) = (grad(&once), grad(&twice)) else { panic!("no gradient") };
    assert_eq!(distance(&twice, &once)?, 0.0);
    Ok(())
}
