//! What ends a network.

use super::common::{POINT, bits, distance, everywhere, everywhere_at_times, norm, random, square_layer};
use crate::cpu::{force_arch, kinds};
use crate::{Features, Precision, Then, backward};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Linear;
use proptest::prelude::*;

/// The two heads of a network behind a layer whose normalisation is still to be done, and their gradients.
pub(super) fn heads(
    dims: &[usize; 4],
    outputs: usize,
    seed: u64,
    (dtype, device): (DType, &Device),
) -> Result<Vec<Tensor>> {
    let make =
        |dims: &[usize], name: &str| Var::from_tensor(&random(dims, seed, name)?.to_dtype(dtype)?.to_device(device)?);
    let input = make(dims, "input")?;
    let (layer, kernel) = square_layer(1, POINT, norm(dims[3], 1.0, |_| 0.1, dtype, device)?, seed)?;
    let features = layer.forward_features(&Features::new(&input)?, Then::Nothing, true)?;
    let inputs = dims[1..].iter().product();
    let (weight, bias) = (make(&[outputs, inputs], "matrix")?, make(&[outputs], "bias")?);
    let linear = |bias| features.linear(&Linear::new(weight.as_tensor().clone(), bias));
    let (with, without) = (linear(Some(bias.as_tensor().clone()))?, linear(None)?);
    let pooled = features.global_avg_pool()?;
    let grads = backward(&((with.sqr()?.sum_all()? + without.sqr()?.sum_all()?)? + pooled.sqr()?.sum_all()?)?)?;
    let of = |var: &Var| grads.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
    Ok(vec![with, without, pooled, of(&input)?, of(&kernel)?, of(&weight)?, of(&bias)?])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn heads_equal_the_reference(
        dims in [2usize..6, 2usize..6, 1usize..6, 1usize..20], outputs in 1usize..12, seed in any::<u64>(),
    ) {
        let failed = |error: candle_core::Error| TestCaseError::fail(error.to_string());
        let plain = heads(&dims, outputs, seed, (DType::F64, &Device::Cpu)).map_err(failed)?;
        let pass = |device: &Device| heads(&dims, outputs, seed, (DType::F32, device));
        for (place, fast) in everywhere_at_times(seed, pass).map_err(failed)? {
            for (index, (found, expected)) in fast.iter().zip(&plain).enumerate() {
                let off = distance(found, expected).map_err(failed)?;
                prop_assert!(off < 1e-3, "{index} off by {off}, {place}");
            }
        }
    }
}

#[test]
fn mean_of_a_large_image_loses_nothing() -> Result<()> {
    let images = Tensor::full(0.1f32, (2, 224, 224, 3), &Device::Cpu)?;
    let expected = Tensor::full(0.1f32, (2, 3), &Device::Cpu)?;
    for kind in kinds() {
        let mean = force_arch(kind, || Features::new(&images)?.global_avg_pool())?;
        let off = distance(&mean, &expected)?;
        assert!(off < 1e-6, "off by {off} with {kind:?}");
    }
    Ok(())
}

#[test]
fn a_head_whose_images_need_no_gradient_still_trains() -> Result<()> {
    let grads = |dtype: DType| -> Result<[Tensor; 2]> {
        let images = Features::new(&random(&[3, 2, 4, 5], 1, "images")?.to_dtype(dtype)?)?;
        let weight = Var::from_tensor(&random(&[6, 40], 1, "weight")?.to_dtype(dtype)?)?;
        let bias = Var::from_tensor(&random(&[6], 1, "bias")?.to_dtype(dtype)?)?;
        let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let store = images.linear(&linear)?.sqr()?.sum_all()?.backward()?;
        let of = |var: &Var| store.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
        Ok([of(&weight)?, of(&bias)?])
    };
    let plain = grads(DType::F64)?;
    for kind in kinds() {
        for (found, expected) in force_arch(kind, || grads(DType::F32))?.iter().zip(&plain) {
            let off = distance(found, expected)?;
            assert!(off < 1e-5, "off by {off} with {kind:?}");
        }
    }
    Ok(())
}

#[test]
fn a_transposed_weight_gives_the_bits_of_its_copy() -> Result<()> {
    let images = Features::new(&random(&[3, 2, 4, 5], 1, "images")?)?;
    let (upright, bias) = (Var::from_tensor(&random(&[40, 6], 1, "weight")?)?, random(&[6], 1, "bias")?);
    let turned = Var::from_tensor(&upright.t()?.contiguous()?)?;
    let through = |weight: Tensor, var: &Var| -> Result<(Tensor, Tensor)> {
        let output = images.linear(&Linear::new(weight, Some(bias.clone())))?;
        let store = output.sqr()?.sum_all()?.backward()?;
        Ok((output, store.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"))?))
    };
    for kind in kinds() {
        let (output, grad) = force_arch(kind, || through(upright.t()?, &upright))?;
        let (same_output, same_grad) = force_arch(kind, || through(turned.as_tensor().clone(), &turned))?;
        assert!(bits(&output)? == bits(&same_output)? && bits(&grad.t()?)? == bits(&same_grad)?, "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_fully_connected_layer_over_a_tensor_equals_the_reference() -> Result<()> {
    let pass = |sizes: [usize; 3], dtype: DType, device: &Device| -> Result<Vec<Tensor>> {
        let [batch, inputs, outputs] = sizes;
        let make = |dims: &[usize], name: &str| random(dims, 5, name)?.to_dtype(dtype)?.to_device(device);
        let of = |tensor: Tensor| Var::from_tensor(&tensor);
        let (input, weight) = (of(make(&[batch, inputs], "input")?)?, of(make(&[outputs, inputs], "weight")?)?);
        // A view whose rows are columns in memory.
        let turned = Var::from_tensor(&make(&[inputs, outputs], "turned")?)?;
        let bias = of(make(&[outputs], "bias")?)?;
        let through = |input: &Tensor, weight: Tensor, bias: Option<&Var>| {
            let layer = Linear::new(weight, bias.map(|bias| bias.as_tensor().clone()));
            crate::linear(input, &layer, Precision::F32)
        };
        let with = through(&input, weight.as_tensor().clone(), Some(&bias))?;
        let without = through(&input, turned.t()?, None)?;
        let of_images = through(&input.detach(), weight.as_tensor().clone(), Some(&bias))?;
        let loss = ((with.sqr()?.sum_all()? + without.sqr()?.sum_all()?)? + of_images.sum_all()?)?;
        let grads = backward(&loss)?;
        let of = |var: &Var| grads.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
        Ok(vec![with, without, of_images, of(&input)?, of(&weight)?, of(&turned)?, of(&bias)?])
    };
    for sizes in [[1, 1, 1], [3, 5, 7], [64, 33, 10]] {
        let plain = pass(sizes, DType::F64, &Device::Cpu)?;
        for (place, found) in everywhere(|device| pass(sizes, DType::F32, device))? {
            for (index, (found, expected)) in found.iter().zip(&plain).enumerate() {
                let off = distance(found, expected)?;
                assert!(off < 1e-4, "{index} off by {off} in {sizes:?}, {place}");
            }
        }
    }
    Ok(())
}
