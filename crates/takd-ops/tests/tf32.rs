//! Products in TF32, on CUDA.
#![cfg(feature = "cuda")]

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Linear;
use rand::RngExt;
use takd_ops::{BatchNorm, Compute, Conv2d, Conv2dParams, ConvBn, Features, Precision, Then, backward, linear};

/// Random numbers between −1 and 1, multiples of `step`.
fn random(dims: &[usize], name: &str, step: f32, device: &Device) -> Result<Tensor> {
    let mut rng = takd_rng::stream(5, name);
    let mut draw = || (rng.random_range(-1.0f32..1.0) / step).round() * step;
    Tensor::from_iter((0..dims.iter().product()).map(|_| draw()), device)?.reshape(dims)
}

/// Output and gradients of input and weight of a layer.
fn pass(
    (c_in, c_out, kernel, stride): (usize, usize, usize, usize),
    step: f32,
    Compute { device, precision }: &Compute,
) -> Result<[Vec<f32>; 3]> {
    let each = |value: f32| Tensor::full(value, c_out, device);
    let weight = Var::from_tensor(&random(&[c_out, c_in, kernel, kernel], "weight", step, device)?)?;
    let bn = BatchNorm {
        weight: each(1.0)?,
        bias: each(0.1)?,
        running_mean: Var::from_tensor(&each(0.0)?)?,
        running_var: Var::from_tensor(&each(1.0)?)?,
        num_batches_tracked: Var::zeros((), DType::I64, device)?,
    };
    let params = Conv2dParams { stride, padding: kernel / 2 };
    let layer = ConvBn { conv: Conv2d { weight: weight.as_tensor().clone(), bias: None, params }, bn };
    let input = Var::from_tensor(&random(&[3, 9, 10, c_in], "input", step, device)?)?;
    let features = Features::new(&input)?.with_precision(*precision);
    let output = layer.forward_features(&features, Then::Nothing, true)?.to_tensor()?;
    let weights = random(output.dims(), "loss", step, device)?;
    let grads = backward(&(&output * weights)?.sum_all()?)?;
    let numbers = |tensor: Option<&Tensor>| match tensor {
        Some(tensor) => tensor.flatten_all()?.to_vec1(),
        None => candle_core::bail!("no gradient"),
    };
    Ok([numbers(Some(&output))?, numbers(grads.get(&input))?, numbers(grads.get(&weight))?])
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = a.iter().zip(b).map(|(&a, &b)| square(a - b)).sum();
    (off / b.iter().map(|&b| square(b)).sum::<f64>()).sqrt()
}

/// One GPU, to compute exactly and in TF32.
fn both() -> Option<[Compute; 2]> {
    let open = || Ok::<_, candle_core::Error>([Compute::cuda(0, Precision::F32)?, Compute::cuda(0, Precision::Tf32)?]);
    open().inspect_err(|error| println!("skipped: {error}")).ok()
}

#[test]
fn tf32_is_exact_for_what_it_can_hold_and_off_by_its_rounding_for_what_it_cannot() -> Result<()> {
    let Some([f32, tf32]) = both() else { return Ok(()) };
    for layer in [(3, 16, 3, 1), (16, 33, 3, 2), (20, 64, 1, 2), (64, 16, 3, 1)] {
        // Multiples of 1/64 up to 1 have 6 bits behind the point: only the sums' order differs then.
        let (exact, rounded) = (pass(layer, 1.0 / 64.0, &f32)?, pass(layer, 1.0 / 64.0, &tf32)?);
        let off = distance(&rounded[0], &exact[0]);
        assert!(off < 1e-5, "the output of {layer:?} is off by {off}");
        // The output's gradient is no such multiple.
        for (name, place) in [("input", 1), ("weight", 2)] {
            let off = distance(&rounded[place], &exact[place]);
            assert!(1e-6 < off && off < 1e-3, "the gradient of the {name} of {layer:?} is off by {off}");
        }
        let off = distance(&pass(layer, 1e-6, &tf32)?[0], &pass(layer, 1e-6, &f32)?[0]);
        assert!(1e-5 < off && off < 1e-3, "the output of {layer:?} is off by {off}");
    }
    Ok(())
}

#[test]
fn a_precision_is_that_of_the_features_alone_whatever_else_the_process_computes() -> Result<()> {
    let Some([f32, tf32]) = both() else { return Ok(()) };
    let layer = (16, 33, 3, 1);
    let alone = [pass(layer, 1e-6, &f32)?, pass(layer, 1e-6, &tf32)?];
    assert_ne!(alone[0][0], alone[1][0]);
    std::thread::scope(|scope| {
        let threads =
            [&f32, &tf32].map(|compute| scope.spawn(move || (0..4).map(|_| pass(layer, 1e-6, compute)).collect()));
        for (thread, expected) in threads.into_iter().zip(&alone) {
            let passes: Result<Vec<_>> = thread.join().expect("no panic");
            assert!(passes?.iter().all(|found| found == expected), "a pass took another thread's precision");
        }
        Ok(())
    })
}

#[test]
fn a_fully_connected_layer_is_computed_with_the_precision_it_is_given() -> Result<()> {
    let Some([Compute { device, .. }, _]) = both() else { return Ok(()) };
    let pass = |step: f32, precision: Precision| -> Result<[Vec<f32>; 3]> {
        let input = Var::from_tensor(&random(&[128, 256], "input", step, &device)?)?;
        let weight = Var::from_tensor(&random(&[128, 256], "weight", step, &device)?)?;
        let layer = Linear::new(weight.as_tensor().clone(), Some(random(&[128], "bias", step, &device)?));
        let output = linear(&input, &layer, precision)?;
        let grads = (&output * random(output.dims(), "loss", 1e-6, &device)?)?.sum_all()?.backward()?;
        let of = |var: &Var| match grads.get(var) {
            Some(grad) => grad.flatten_all()?.to_vec1(),
            None => candle_core::bail!("no gradient"),
        };
        Ok([output.flatten_all()?.to_vec1()?, of(&input)?, of(&weight)?])
    };
    let [exact, rounded] = [pass(1.0 / 64.0, Precision::F32)?, pass(1.0 / 64.0, Precision::Tf32)?];
    let off = distance(&rounded[0], &exact[0]);
    assert!(off < 1e-5, "the output is off by {off}");
    let finer = [pass(1e-6, Precision::F32)?, pass(1e-6, Precision::Tf32)?];
    for (name, [exact, rounded]) in [
        ("output", finer.each_ref().map(|pass| &pass[0])),
        ("gradient of the input", [&exact[1], &rounded[1]]),
        ("gradient of the weight", [&exact[2], &rounded[2]]),
    ] {
        let off = distance(rounded, exact);
        assert!(1e-5 < off && off < 1e-3, "the {name} is off by {off}");
    }
    Ok(())
}
