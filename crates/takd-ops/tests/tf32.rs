//! Products in TF32, on CUDA; the setting is the whole process's, so that these tests are a program of their own.
#![cfg(feature = "cuda")]

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::RngExt;
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Precision, Then, backward, cuda_device, set_precision};

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
    precision: Precision,
    device: &Device,
) -> Result<[Vec<f32>; 3]> {
    set_precision(precision);
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
    let output = layer.forward_t(&input, Then::Nothing, true)?;
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

#[test]
fn tf32_is_exact_for_what_it_can_hold_and_off_by_its_rounding_for_what_it_cannot() -> Result<()> {
    let device = match cuda_device(0) {
        Ok(device) => device,
        Err(error) => {
            println!("skipped: {error}");
            return Ok(());
        }
    };
    for layer in [(3, 16, 3, 1), (16, 33, 3, 2), (20, 64, 1, 2), (64, 16, 3, 1)] {
        // Multiples of 1/64 up to 1 have 6 bits behind the point: only the sums' order differs then.
        let [exact, rounded] =
            [Precision::F32, Precision::Tf32].map(|precision| pass(layer, 1.0 / 64.0, precision, &device));
        let (exact, rounded) = (exact?, rounded?);
        let off = distance(&rounded[0], &exact[0]);
        assert!(off < 1e-5, "the output of {layer:?} is off by {off}");
        // The output's gradient is no such multiple.
        for (name, place) in [("input", 1), ("weight", 2)] {
            let off = distance(&rounded[place], &exact[place]);
            assert!(1e-6 < off && off < 1e-3, "the gradient of the {name} of {layer:?} is off by {off}");
        }
        let [exact, rounded] = [Precision::F32, Precision::Tf32].map(|precision| pass(layer, 1e-6, precision, &device));
        let off = distance(&rounded?[0], &exact?[0]);
        assert!(1e-5 < off && off < 1e-3, "the output of {layer:?} is off by {off}");
    }
    Ok(())
}
