//! Layers that read what layers left, and send their gradients back.

use super::common::{OUTPUT_BOUND, SAME, distance, everywhere, norm, random, square_layer, then};
use crate::{ConvBn, Features, Precision, Then, backward};
use candle_core::{DType, Device, Result, Tensor, Var};

#[test]
fn a_branch_gets_the_sum_of_its_consumers_gradients() -> Result<()> {
    // x ─▶ a ─▶ b ─┬─▶ + ─▶ loss, as in a residual block: a gets the residual's gradient, then b's is added to it.
    let build = |channels: usize, size: usize, dtype: DType, device: &Device| -> Result<Vec<Tensor>> {
        // γ and β keep all numbers away from 0, at which f32 and f64 may go different ways; ReLU cuts half of the channels.
        let norm = || norm(channels, 0.2, |c| if c % 2 == 0 { 1.0 } else { -1.0 }, dtype, device);
        let layer = |seed: u64| square_layer(3, SAME, norm()?, seed);
        let ((first, w1), (second, w2), (third, w3)) = (layer(1)?, layer(2)?, layer(3)?);
        let input = random(&[3, size, size, channels], 9, "input")?.to_dtype(dtype)?.to_device(device)?;
        let input = Var::from_tensor(&input)?;
        let stem = first.forward_features(&Features::new(&input)?, Then::Relu, true)?;
        let hidden = second.forward_features(&stem, Then::Relu, true)?;
        let output = third.forward_features(&hidden, Then::AddRelu(&stem), true)?.to_tensor()?;
        let weights = random(output.dims(), 9, "loss")?.to_dtype(dtype)?.to_device(device)?;
        let grads = backward(&(output * weights)?.sum_all()?)?;
        [&input, &w1, &w2, &w3]
            .into_iter()
            .map(|v| grads.get(v).cloned().ok_or_else(|| candle_core::Error::msg("no gradient")))
            .collect()
    };
    for (channels, size) in [8, 16, 32, 64].into_iter().flat_map(|channels| [(channels, 8), (channels, 6)]) {
        let plain = build(channels, size, DType::F64, &Device::Cpu)?;
        for (place, fast) in everywhere(|device| build(channels, size, DType::F32, device))? {
            for (index, (found, expected)) in fast.iter().zip(&plain).enumerate() {
                let largest = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
                let off = distance(&(found / largest)?, &(expected / largest)?)?;
                assert!(off < 1e-4, "{index} off by {off}, {channels} channels at {size}×{size}, {place}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_tensor_that_is_input_and_residual_gets_both_gradients() -> Result<()> {
    let build = |dtype: DType, device: &Device| -> Result<Tensor> {
        let (layer, _) = square_layer(3, SAME, norm(16, 0.2, |_| 1.0, dtype, device)?, 1)?;
        let input = random(&[2, 6, 6, 16], 9, "input")?.to_dtype(dtype)?.to_device(device)?;
        let input = Var::from_tensor(&input)?;
        let output = layer.forward_t(&input, Then::AddRelu(&input), true)?;
        let grads =
            backward(&(&output * random(output.dims(), 9, "loss")?.to_dtype(dtype)?.to_device(device)?)?.sum_all()?)?;
        grads.get(&input).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"))
    };
    let plain = build(DType::F64, &Device::Cpu)?;
    for (place, fast) in everywhere(|device| build(DType::F32, device))? {
        let off = distance(&fast, &plain)?;
        assert!(off < 1e-4, "off by {off}, {place}");
    }
    Ok(())
}

#[test]
fn evaluation_reads_inputs_and_residuals_that_are_still_to_be_normalised() -> Result<()> {
    let build = |(channels, size): (usize, usize), before: Then<Features>, follow, dtype, device: &Device| {
        let norm = || norm(channels, 0.7, |c| 0.1 * c as f64 - 1.0, dtype, device);
        let layer = |seed: u64| -> Result<ConvBn> { Ok(square_layer(3, SAME, norm()?, seed)?.0) };
        let (first, beside, last) = (layer(1)?, layer(2)?, layer(3)?);
        let images = random(&[3, size, size, channels], 9, "images")?.to_dtype(dtype)?.to_device(device)?.detach();
        let images = Features::new(&images)?;
        let input = first.forward_features(&images, before, true)?;
        let residual = beside.forward_features(&images, before, true)?;
        last.forward_features(&input, then(follow, &residual), false)?.to_tensor()
    };
    for sizes in [(16, 8), (16, 6), (32, 8), (32, 6)] {
        for before in [Then::Nothing, Then::Relu] {
            for follow in 0..4 {
                let plain = build(sizes, before, follow, DType::F64, &Device::Cpu)?;
                for (place, fast) in everywhere(|device| build(sizes, before, follow, DType::F32, device))? {
                    let off = distance(&fast, &plain)?;
                    assert!(off < OUTPUT_BOUND, "off by {off} in {:?}, {place}", (sizes, before, follow));
                }
            }
        }
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
fn features_hand_their_precision_on_through_layers_of_every_type() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let (layer, _) = square_layer(3, SAME, norm(4, 1.0, |_| 0.1, dtype, &Device::Cpu)?, 1)?;
        let images = Features::new(&random(&[2, 6, 6, 4], 1, "images")?.to_dtype(dtype)?)?;
        assert_eq!(images.precision(), Precision::F32);
        for precision in [Precision::F32, Precision::Tf32] {
            let images = images.clone().with_precision(precision);
            for train in [true, false] {
                let hidden = layer.forward_features(&images, Then::Relu, train)?;
                let output = layer.forward_features(&hidden, Then::AddRelu(&hidden), train)?;
                assert_eq!((hidden.precision(), output.precision()), (precision, precision), "{dtype:?}, {train}");
            }
        }
    }
    Ok(())
}
