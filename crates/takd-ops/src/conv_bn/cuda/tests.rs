//! Layers of ResNets for ImageNet on CUDA, against the reference in f64. Where there is no device they pass and say so.

use crate::tests::common::{
    Case, HALF, POINT, SAME, bits, cuda_device, distance, hold, loss_weights, norm, parts, random, run, then,
};
use crate::{Compute, Conv2d, Conv2dParams, ConvBn, Features, Precision, Then, backward};
use candle_core::{DType, Device, Result, Tensor, Var};

const STEM: Conv2dParams = Conv2dParams { stride: 2, padding: 3 };
const POINT_HALF: Conv2dParams = Conv2dParams { stride: 2, padding: 0 };

fn compare(case: &Case, train: bool) -> Result<()> {
    let Some(device) = cuda_device() else { return Ok(()) };
    let weights = loss_weights(case, train)?;
    let plain = run(case, DType::F64, &Device::Cpu, train, &weights)?;
    let fast = run(case, DType::F32, &device, train, &weights)?;
    hold(&fast, &plain, &format!("{case:?}, train = {train}"))
}

/// Whether the kernels take the layer, so that no comparison passes by plain operations on the device.
fn assert_kernels_take(case: &Case) {
    let Case { batch, size: (height, width), channels: (c_in, c_out), kernel, params, .. } = *case;
    let outputs = |size| params.outputs(size, kernel).expect("an output");
    let [out_h, out_w] = [outputs(height), outputs(width)];
    for precision in [Precision::F32, Precision::Tf32] {
        let shape = super::shape::Shape {
            batch,
            height,
            width,
            c_in,
            out_h,
            out_w,
            c_out,
            k_h: kernel,
            k_w: kernel,
            stride: params.stride,
            padding: params.padding,
            precision,
        };
        assert!(super::tile::fits(&shape), "{shape:?}");
    }
}

#[test]
fn stems_of_seven_by_seven_equal_the_reference() -> Result<()> {
    for (input, c_out, params, follow) in [
        ([2, 32, 32, 3], 64, STEM, 4),
        // Odd sizes, a row longer than a tile, channels that fill nothing.
        ([1, 19, 71, 3], 20, STEM, 4),
        ([3, 9, 11, 1], 5, STEM, 1),
        // Too many input channels for one chunk.
        ([2, 13, 10, 9], 17, STEM, 2),
        ([2, 9, 8, 3], 16, Conv2dParams { stride: 1, padding: 3 }, 3),
    ] {
        let case = Case { bias: true, ..Case::new(input, c_out, 7, params, follow) };
        assert_kernels_take(&case);
        compare(&case, true)?;
    }
    // Evaluation is on the kernels only if nothing asks for gradients.
    evaluation_equals_the_reference(&Case::new([2, 32, 32, 3], 64, 7, STEM, 4))
}

fn evaluation_equals_the_reference(case: &Case) -> Result<()> {
    let Some(device) = cuda_device() else { return Ok(()) };
    let evaluate = |dtype: DType, device: &Device| {
        let parts = parts(case, dtype, device)?;
        let ConvBn { conv, bn } = parts.layer;
        let conv = Conv2d { weight: conv.weight.detach(), bias: conv.bias.map(|bias| bias.detach()), ..conv };
        let [weight, bias] = [bn.weight.detach(), bn.bias.detach()];
        let layer = ConvBn { conv, bn: crate::BatchNorm { weight, bias, ..bn } };
        layer.forward_t(&parts.input.detach(), then(case.follow, &parts.residual.detach()), false)
    };
    let (plain, fast) = (evaluate(DType::F64, &Device::Cpu)?, evaluate(DType::F32, &device)?);
    let off = distance(&fast, &plain)?;
    assert!(off < crate::tests::common::OUTPUT_BOUND, "off by {off} in {case:?}");
    Ok(())
}

#[test]
fn pools_of_three_equal_the_reference_at_odd_and_even_sizes() -> Result<()> {
    for (height, width) in [(8, 8), (7, 9), (1, 6), (5, 1), (2, 3)] {
        compare(&Case::new([3, height, width, 5], 37, 3, SAME, 4), true)?;
    }
    evaluation_equals_the_reference(&Case::new([3, 7, 10, 5], 37, 3, SAME, 4))
}

#[test]
fn wide_layers_of_residual_networks_equal_the_reference() -> Result<()> {
    for (input, c_out, kernel, params, follow) in [
        ([2, 7, 5, 256], 64, 1, POINT, 1),
        ([2, 7, 5, 64], 256, 1, POINT, 3),
        ([2, 7, 5, 68], 100, 1, POINT, 0),
        // Its moments are those of several blocks, the last of fewer pixels.
        ([3, 13, 7, 64], 66, 1, POINT, 0),
        ([3, 7, 6, 256], 512, 1, POINT_HALF, 0),
        ([2, 5, 4, 256], 128, 1, POINT_HALF, 1),
        ([2, 7, 6, 128], 128, 3, HALF, 1),
        ([1, 5, 7, 256], 256, 3, HALF, 1),
        ([2, 4, 3, 512], 512, 3, SAME, 3),
        ([2, 3, 3, 1024], 2048, 1, POINT, 1),
    ] {
        let case = Case::new(input, c_out, kernel, params, follow);
        assert_kernels_take(&case);
        compare(&case, true)?;
    }
    evaluation_equals_the_reference(&Case::new([2, 7, 5, 64], 256, 1, POINT, 3))
}

#[test]
fn moments_of_a_product_are_right_if_its_pixels_leave_the_last_blocks_none() -> Result<()> {
    // On the emulator's 132 processors 264 blocks of 65 pixels, more than there are.
    let case = Case::new([1, 107, 158, 64], 64, 1, POINT, 0);
    let Some(device) = cuda_device() else { return Ok(()) };
    let pass = |dtype: DType, device: &Device| -> Result<[Tensor; 2]> {
        let parts = parts(&case, dtype, device)?;
        let output = parts.layer.forward_t(&parts.input.detach(), Then::Nothing, true)?;
        Ok([output, parts.layer.bn.running_var.as_detached_tensor()])
    };
    let (plain, fast) = (pass(DType::F64, &Device::Cpu)?, pass(DType::F32, &device)?);
    for (found, expected) in fast.iter().zip(&plain) {
        let off = distance(found, expected)?;
        assert!(off < crate::tests::common::OUTPUT_BOUND, "off by {off}");
    }
    Ok(())
}

#[test]
fn networks_for_imagenet_at_batches_that_memory_allows_are_taken_by_the_kernels() {
    for batch in [1, 32, 256, 1024] {
        for (size, c_in, c_out, kernel, params) in [
            (224, 3, 64, 7, STEM),
            (288, 3, 64, 7, STEM),
            (56, 64, 64, 3, SAME),
            (56, 64, 256, 1, POINT),
            (56, 256, 128, 1, POINT),
            (56, 128, 128, 3, HALF),
            (56, 256, 512, 1, POINT_HALF),
            (14, 1024, 2048, 1, POINT_HALF),
            (7, 512, 2048, 1, POINT),
            (7, 2048, 512, 1, POINT),
            (7, 512, 512, 3, SAME),
        ] {
            assert_kernels_take(&Case::new([batch, size, size, c_in], c_out, kernel, params, 1));
        }
    }
}

#[test]
fn bottlenecks_that_read_what_is_still_to_be_normalised_equal_the_reference() -> Result<()> {
    // x ─▶ narrow ─▶ middle ─▶ wide ─▶ + x, then the next block's first layer, as in ResNet-50.
    let build = |dtype: DType, device: &Device| -> Result<Vec<Tensor>> {
        // γ and β keep all numbers away from 0, at which f32 and f64 may go different ways; ReLU cuts half of the channels.
        let layer = |c_in: usize, c_out: usize, kernel: usize, seed: u64| -> Result<(ConvBn, Var)> {
            let weight = random(&[c_out, c_in, kernel, kernel], seed, "weight")?.to_dtype(dtype)?.to_device(device)?;
            let weight = Var::from_tensor(&weight)?;
            let params = if kernel == 1 { POINT } else { SAME };
            let conv = Conv2d { weight: weight.as_tensor().clone(), bias: None, params };
            let bn = norm(c_out, 0.2, |c| if c % 2 == 0 { 1.0 } else { -1.0 }, dtype, device)?;
            Ok((ConvBn { conv, bn }, weight))
        };
        let ((narrow, w1), (middle, w2), (wide, w3), (next, w4)) =
            (layer(128, 64, 1, 1)?, layer(64, 64, 3, 2)?, layer(64, 128, 1, 3)?, layer(128, 64, 1, 4)?);
        let input = random(&[2, 5, 6, 128], 9, "input")?.to_dtype(dtype)?.to_device(device)?;
        let input = Var::from_tensor(&input)?;
        let images = Features::new(&input)?;
        let hidden = narrow.forward_features(&images, Then::Relu, true)?;
        let hidden = middle.forward_features(&hidden, Then::Relu, true)?;
        let sum = wide.forward_features(&hidden, Then::AddRelu(&images), true)?;
        let last = next.forward_features(&sum, Then::AddRelu(&hidden), true)?.to_tensor()?;
        let weights = random(last.dims(), 9, "loss")?.to_dtype(dtype)?.to_device(device)?;
        let grads = backward(&(&last * weights)?.sum_all()?)?;
        let of = |var: &Var| grads.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
        Ok(vec![last, of(&input)?, of(&w1)?, of(&w2)?, of(&w3)?, of(&w4)?])
    };
    let Some(device) = cuda_device() else { return Ok(()) };
    let (plain, fast) = (build(DType::F64, &Device::Cpu)?, build(DType::F32, &device)?);
    for (index, (found, expected)) in fast.iter().zip(&plain).enumerate() {
        let largest = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
        let off = distance(&(found / largest)?, &(expected / largest)?)?;
        assert!(off < 1e-4, "{index} off by {off}");
    }
    Ok(())
}

/// Output, and gradients of input and weight.
fn pass(case: &Case, precision: Precision) -> Result<Option<[Tensor; 3]>> {
    let Ok(Compute { device, .. }) = Compute::cuda(0, precision) else { return Ok(None) };
    let parts = parts(case, DType::F32, &device)?;
    let features = Features::new(&parts.input)?.with_precision(precision);
    let output = parts.layer.forward_features(&features, Then::Nothing, true)?.to_tensor()?;
    let grads = backward(&(&output * random(output.dims(), 5, "loss")?.to_device(&device)?)?.sum_all()?)?;
    let of = |var: &Tensor| match grads.get(var) {
        Some(grad) => Ok(grad.clone()),
        None => candle_core::bail!("no gradient"),
    };
    Ok(Some([output, of(&parts.input)?, of(&parts.layer.conv.weight)?]))
}

#[test]
fn a_stem_is_computed_in_f32_whatever_precision_is_asked_for() -> Result<()> {
    let case = Case::new([2, 16, 16, 3], 64, 7, STEM, 0);
    let (Some(exact), Some(asked)) = (pass(&case, Precision::F32)?, pass(&case, Precision::Tf32)?) else {
        return Ok(());
    };
    // Not the input's, which sums over the 64 channels.
    for index in [0, 2] {
        assert!(bits(&exact[index])? == bits(&asked[index])?, "{index}");
    }
    Ok(())
}

#[test]
fn wide_layers_are_off_by_the_rounding_of_tf32_if_it_is_asked_for() -> Result<()> {
    let seven = Conv2dParams { stride: 1, padding: 3 };
    for (c_in, c_out, kernel, params) in [
        (64, 256, 1, POINT),
        (256, 64, 1, POINT),
        (128, 256, 1, POINT_HALF),
        (128, 128, 3, HALF),
        // Its gradient of the weights takes the kernel's rows in groups.
        (9, 16, 7, seven),
    ] {
        let case = Case::new([2, 7, 6, c_in], c_out, kernel, params, 0);
        let (Some(exact), Some(rounded)) = (pass(&case, Precision::F32)?, pass(&case, Precision::Tf32)?) else {
            return Ok(());
        };
        for (index, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
            let norm = |tensor: &Tensor| -> Result<f64> {
                tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.sqr()?.sum_all()?.sqrt()?.to_scalar()
            };
            let off = norm(&(exact - rounded)?)? / norm(exact)?;
            assert!(1e-6 < off && off < 1e-3, "{index} is off by {off} in {case:?}");
        }
    }
    Ok(())
}
