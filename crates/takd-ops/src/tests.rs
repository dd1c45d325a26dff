//! The fused layer against the same layer in plain tensor operations (which f64 takes), in each kind of vector.

use crate::cpu::{force_arch, kinds};
use crate::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, Then};
use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::RngExt;

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

/// A layer and all that goes into it.
struct Parts {
    layer: ConvBn,
    input: Var,
    residual: Var,
    variables: Vec<(&'static str, Var)>,
}

/// Everything that comes out of a forward and backward pass.
struct Outcome {
    output: Tensor,
    grads: Vec<(&'static str, Tensor)>,
    running: Vec<(&'static str, Tensor)>,
}

fn parts(case: &Case, dtype: DType) -> Result<Parts> {
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

fn then<'a>(case: &Case, residual: &'a Tensor) -> Then<'a> {
    match case.follow {
        0 => Then::Nothing,
        1 => Then::Relu,
        2 => Then::ReluMaxPool,
        _ => Then::AddRelu(residual),
    }
}

/// Largest error an output may have, relative to the largest number.
const OUTPUT_BOUND: f64 = 1e-4;

/// The gradient the output gets: random, but zero where an error within [`OUTPUT_BOUND`] may decide which way ReLU or
/// pool sends it, for there f32 and f64 are both right and differ without measure.
fn loss_weights(case: &Case, train: bool) -> Result<Tensor> {
    let Parts { layer, input, residual, .. } = parts(case, DType::F64)?;
    let mut z = layer.forward_t(&input.detach(), Then::Nothing, train)?;
    if case.follow == 3 {
        z = (z + residual.as_detached_tensor())?;
    }
    let bound = OUTPUT_BOUND * z.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?.max(1.0);
    let (batch, height, width, channels) = z.dims4()?;
    let (dims, z) = ([batch, height, width, channels], z.flatten_all()?.to_vec1::<f64>()?);
    let (dims, sure): (_, Vec<bool>) = match case.follow {
        0 => (dims, vec![true; z.len()]),
        2 => {
            let mut sure = Vec::new();
            let at = |n: usize, y: usize, x: usize, c: usize| z[((n * height + y) * width + x) * channels + c];
            for (n, y, x, c) in indices([batch, height / 2, width / 2, channels]) {
                let mut block = [0, 1, 2, 3].map(|i| at(n, 2 * y + i / 2, 2 * x + i % 2, c));
                block.sort_by(f64::total_cmp);
                sure.push(block[3].abs() > bound && block[3] - block[2] > 2.0 * bound);
            }
            ([batch, height / 2, width / 2, channels], sure)
        }
        _ => (dims, z.iter().map(|z| z.abs() > bound).collect()),
    };
    let share = sure.iter().filter(|sure| **sure).count() as f64 / sure.len() as f64;
    assert!(share > 0.5, "only {share} of the outputs count in {case:?}");
    let sure = Tensor::from_iter(sure.into_iter().map(|sure| if sure { 1.0 } else { 0.0 }), &Device::Cpu)?;
    random(&dims, case.seed, "loss")?.to_dtype(DType::F64)? * sure.reshape(dims.to_vec())?
}

/// All indices of four dimensions, in order.
fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / d / c / b, i / d / c % b, i / d % c, i % d))
}

fn run(case: &Case, dtype: DType, train: bool, weights: &Tensor) -> Result<Outcome> {
    let Parts { layer, input, residual, variables } = parts(case, dtype)?;
    let output = layer.forward_t(&input, then(case, &residual), train)?;
    let store = (&output * weights.to_dtype(dtype)?)?.sum_all()?.backward()?;
    let grads = variables.iter().filter_map(|(name, variable)| Some((*name, store.get(variable)?.clone()))).collect();
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
    let weights = loss_weights(case, train)?;
    let (fast, plain) = (run(case, DType::F32, train, &weights)?, run(case, DType::F64, train, &weights)?);
    let off = distance(&fast.output, &plain.output)?;
    assert!(off < OUTPUT_BOUND, "output off by {off} in {case:?}, train = {train}");
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

/// The case in every kind of vector this processor has.
fn compare_all(case: &Case, train: bool) -> std::result::Result<(), TestCaseError> {
    for kind in kinds() {
        let result = force_arch(kind, || compare(case, train));
        result.map_err(|error| TestCaseError::fail(format!("{error} with {kind:?}")))?;
    }
    Ok(())
}

/// Those that are convolved tile by tile.
fn tiled_cases() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![Just(16), Just(32), Just(64)];
    let shape = (1usize..5, 2usize..8, 2usize..8, channels(), channels());
    (shape, 0usize..3, 0usize..4, any::<u64>()).prop_map(
        |((batch, height, width, c_in, c_out), padding, follow, seed)| Case {
            batch: batch + 2,
            size: (2 * height, 2 * width),
            channels: (c_in, c_out),
            kernel: 3,
            params: Conv2dParams { stride: 1, padding },
            bias: false,
            follow,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn fused_layer_equals_the_reference_in_training(case in cases()) {
        compare_all(&case, true)?;
    }

    #[test]
    fn fused_layer_equals_the_reference_in_evaluation(case in cases()) {
        compare_all(&case, false)?;
    }

    #[test]
    fn tiles_equal_the_reference(case in tiled_cases(), train in any::<bool>()) {
        compare_all(&case, train)?;
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
        for kind in kinds() {
            force_arch(kind, || compare(&case, true).and_then(|()| compare(&case, false)))?;
        }
    }
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let same = Conv2dParams { stride: 1, padding: 1 };
    let half = Conv2dParams { stride: 2, padding: 1 };
    let cases = [(37, (9, 8), (5, 20), same, 3), (33, (16, 16), (16, 32), half, 1), (40, (8, 8), (64, 64), same, 2)];
    for (kind, (batch, size, channels, params, follow)) in kinds().into_iter().zip(cases.into_iter().cycle()) {
        let case = Case { batch, size, channels, kernel: 3, params, bias: true, follow, seed: 1 };
        let bits = |threads: usize, train: bool| -> Result<Vec<u32>> {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(candle_core::Error::wrap)?;
            let weights = loss_weights(&case, train)?;
            let pass = || force_arch(kind, || run(&case, DType::F32, train, &weights));
            let Outcome { output, grads, running } = pool.install(pass)?;
            let running = running.into_iter().filter(|(name, _)| *name != "batches").map(|(_, tensor)| tensor);
            let mut bits = Vec::new();
            for tensor in std::iter::once(output).chain(grads.into_iter().map(|(_, grad)| grad)).chain(running) {
                bits.extend(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
            }
            Ok(bits)
        };
        for train in [true, false] {
            let one = bits(1, train)?;
            assert!(one.len() > 1000);
            for threads in [2, 3, 7] {
                assert!(bits(threads, train)? == one, "{threads} threads gave other bits than one with {kind:?}");
            }
        }
    }
    Ok(())
}

/// The two heads of a network behind a layer whose normalisation is still to be done, and their gradients.
fn heads(dims: &[usize; 4], outputs: usize, seed: u64, dtype: DType) -> Result<Vec<Tensor>> {
    let channels = dims[3];
    let make = |dims: &[usize], name: &str| Var::from_tensor(&random(dims, seed, name)?.to_dtype(dtype)?);
    let (input, kernel) = (make(dims, "input")?, make(&[channels, channels, 1, 1], "kernel")?);
    let constant = |value: f64| Tensor::full(value, channels, &Device::Cpu)?.to_dtype(dtype);
    let bn = BatchNorm {
        weight: constant(1.0)?,
        bias: constant(0.1)?,
        running_mean: Var::from_tensor(&constant(0.0)?)?,
        running_var: Var::from_tensor(&constant(1.0)?)?,
        num_batches_tracked: Var::zeros((), DType::I64, &Device::Cpu)?,
    };
    let params = Conv2dParams { stride: 1, padding: 0 };
    let layer = ConvBn { conv: Conv2d { weight: kernel.as_tensor().clone(), bias: None, params }, bn };
    let features = layer.forward_features(&Features::new(&input)?, Then::Nothing, true)?;
    let inputs = dims[1..].iter().product();
    let (weight, bias) = (make(&[outputs, inputs], "weight")?, make(&[outputs], "bias")?);
    let linear = |bias| features.linear(&candle_nn::Linear::new(weight.as_tensor().clone(), bias));
    let (with, without) = (linear(Some(bias.as_tensor().clone()))?, linear(None)?);
    let pooled = features.global_avg_pool()?;
    let grads = ((with.sqr()?.sum_all()? + without.sqr()?.sum_all()?)? + pooled.sqr()?.sum_all()?)?.backward()?;
    let of = |var: &Var| grads.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
    Ok(vec![with, without, pooled, of(&input)?, of(&kernel)?, of(&weight)?, of(&bias)?])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn heads_equal_the_reference(
        dims in [2usize..6, 2usize..6, 1usize..6, 1usize..20], outputs in 1usize..12, seed in any::<u64>(),
    ) {
        let run = |dtype| heads(&dims, outputs, seed, dtype).map_err(|error| TestCaseError::fail(error.to_string()));
        for (index, (found, expected)) in run(DType::F32)?.iter().zip(&run(DType::F64)?).enumerate() {
            let off = distance(found, expected).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(off < 1e-3, "{index} off by {off}");
        }
    }
}

#[test]
fn a_head_of_another_number_of_inputs_is_an_error_that_names_both() -> Result<()> {
    let features = Features::new(&random(&[2, 4, 4, 3], 1, "input")?)?;
    let layer = candle_nn::Linear::new(random(&[10, 47], 1, "weight")?, Some(random(&[10], 1, "bias")?));
    let message = features.linear(&layer).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("48") && message.contains("[10, 47]"), "{message}");
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

#[test]
fn nan_in_the_input_is_nan_in_the_output_and_in_every_gradient_it_reaches() -> Result<()> {
    let params = Conv2dParams { stride: 1, padding: 1 };
    for follow in 0..4 {
        let (batch, channels) = (3, (4, 5));
        let case = Case { batch, size: (8, 8), channels, kernel: 3, params, bias: true, follow, seed: 5 };
        for (kind, dtype) in kinds().into_iter().zip([DType::F32; 3]).chain([(kinds()[0], DType::F64)]) {
            for train in [true, false] {
                let Parts { layer, input, residual, variables } = parts(&case, dtype)?;
                let mut values = input.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                values[5] = f32::NAN;
                input.set(&Tensor::from_vec(values, input.dims(), &Device::Cpu)?.to_dtype(dtype)?)?;
                let output = force_arch(kind, || layer.forward_t(&input, then(&case, &residual), train))?;
                let nans = |tensor: &Tensor| -> Result<f32> {
                    tensor.ne(tensor)?.to_dtype(DType::F32)?.mean_all()?.to_scalar()
                };
                // In evaluation only the pixels near it; in training all, by the batch's mean.
                let found = nans(&output)?;
                assert!(if train { found == 1.0 } else { found > 0.0 }, "{found} in {case:?}, {kind:?}, {dtype:?}");
                let grads = output.sqr()?.sum_all()?.backward()?;
                for (name, variable) in variables {
                    // The bias's gradient is zero whatever comes, where a normalisation by the batch follows.
                    if let Some(grad) = grads.get(&variable).filter(|_| !(train && name == "bias")) {
                        assert!(nans(grad)? > 0.0, "gradient of {name} in {case:?}, {kind:?}, {dtype:?}");
                    }
                }
                if train {
                    assert_eq!(nans(&layer.bn.running_var)?, 1.0);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_an_error_that_names_them() -> Result<()> {
    let good = Case {
        batch: 2,
        size: (5, 5),
        channels: (3, 4),
        kernel: 3,
        params: Conv2dParams { stride: 1, padding: 1 },
        bias: false,
        follow: 1,
        seed: 1,
    };
    let attempt = |dims: [usize; 4], params: Conv2dParams, dtype: DType| -> Result<String> {
        let Parts { mut layer, residual, .. } = parts(&good, dtype)?;
        layer.conv.params = params;
        let input = Tensor::zeros(dims.to_vec(), dtype, &Device::Cpu)?;
        let attempts = [Then::Relu, Then::ReluMaxPool, Then::AddRelu(residual.as_tensor())];
        let mut errors = String::new();
        for then in attempts {
            for train in [true, false] {
                match layer.forward_t(&input, then, train) {
                    Ok(_) => errors.push_str("ok;"),
                    Err(error) => errors.push_str(&format!("{error};")),
                }
            }
        }
        Ok(errors)
    };
    let params = good.params;
    for dtype in [DType::F32, DType::F64] {
        for (dims, params, message) in [
            ([2, 5, 5, 7], params, "do not fit"),
            ([2, 5, 5, 3], Conv2dParams { stride: 0, padding: 1 }, "do not fit"),
            ([2, 1, 5, 3], Conv2dParams { stride: 1, padding: 0 }, "do not fit"),
            ([2, 5, 5, 3], Conv2dParams { stride: 1, padding: usize::MAX }, "do not fit"),
            ([2, 5, 5, 3], Conv2dParams { stride: 1, padding: usize::MAX / 8 }, "do not fit"),
            ([0, 5, 5, 3], params, "no elements"),
            ([2, 0, 5, 3], params, "no elements"),
        ] {
            let errors = attempt(dims, params, dtype)?;
            assert!(errors.contains(message) && !errors.contains("ok;"), "{dims:?}, {params:?}, {dtype:?}: {errors}");
        }
        let errors = attempt([2, 1, 1, 3], params, dtype)?;
        assert!(errors.contains("no 2×2 block"), "{dtype:?}: {errors}");
        let errors = attempt([1, 1, 1, 3], params, dtype)?;
        assert!(errors.contains("has no variance"), "{dtype:?}: {errors}");
    }
    Ok(())
}

#[test]
fn extreme_strides_and_paddings_equal_the_reference() -> Result<()> {
    for (stride, padding, kernel) in [(7, 9, 3), (5, 4, 5), (4, 0, 1), (3, 7, 2)] {
        let params = Conv2dParams { stride, padding };
        let case = Case { batch: 3, size: (9, 11), channels: (2, 3), kernel, params, bias: true, follow: 1, seed: 2 };
        compare(&case, true)?;
        compare(&case, false)?;
    }
    Ok(())
}
