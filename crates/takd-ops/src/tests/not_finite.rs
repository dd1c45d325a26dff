//! NaN and infinity come through.

use super::common::{Case, Parts, SAME, parts, random, then};
use crate::Features;
use crate::cpu::{force_arch, kinds};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::Linear;

/// The tensor with `value` for its numbers in `range`.
fn spoilt(tensor: &Tensor, range: std::ops::Range<usize>, value: f32) -> Result<Tensor> {
    let mut values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    values[range].fill(value);
    Tensor::from_vec(values, tensor.dims(), &Device::Cpu)?.to_dtype(tensor.dtype())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// Asserts that what is NaN in the reference, or else not finite, is so in the fast path, and that of both there is some.
fn assert_spoilt(fast: &Tensor, plain: &Tensor, value: f32, case: &dyn std::fmt::Debug) -> Result<()> {
    let is = |number: &f64| if value.is_nan() { number.is_nan() } else { !number.is_finite() };
    let (fast, plain) = (numbers(fast)?, numbers(plain)?);
    let lost = plain.iter().zip(&fast).filter(|(plain, fast)| is(plain) && !is(fast)).count();
    assert_eq!(lost, 0, "outputs that lost {value} in {case:?}");
    let share = plain.iter().filter(|number| is(number)).count() as f64 / plain.len() as f64;
    assert!(0.0 < share && share < 0.5, "{share} of the outputs have {value} in {case:?}");
    Ok(())
}

#[test]
fn a_spoilt_pixel_spoils_all_outputs_of_a_layer_that_it_spoils_in_the_reference() -> Result<()> {
    for (channels, size, follow) in [16, 32].into_iter().flat_map(|c| (0..4).flat_map(move |f| [(c, 8, f), (c, 6, f)]))
    {
        let case = Case::new([3, size, size, channels], channels, 3, SAME, follow);
        // In the middle image: a corner, the last pixel of a tile, one in the last row.
        for (y, x) in [(0, 0), (3, 3), (size - 1, 2)] {
            let start = ((size + y) * size + x) * channels;
            for (range, value) in [
                (start..start + channels, f32::NAN),
                (start + 3..start + 4, f32::NAN),
                (start..start + channels, f32::INFINITY),
                (start + 5..start + 6, f32::INFINITY),
            ] {
                let evaluate = |dtype: DType| -> Result<Tensor> {
                    let Parts { layer, input, residual, .. } = parts(&case, dtype, &Device::Cpu)?;
                    let images = spoilt(&input, range.clone(), value)?;
                    layer.forward_t(&images, then(follow, residual.as_tensor()), false)
                };
                let plain = evaluate(DType::F64)?;
                for kind in kinds() {
                    let fast = force_arch(kind, || evaluate(DType::F32))?;
                    assert_spoilt(&fast, &plain, value, &(&case, y, x, kind))?;
                    for image in [0, 2] {
                        let other = numbers(&fast.narrow(0, image, 1)?)?;
                        assert!(other.iter().all(|number| number.is_finite()), "image {image} of {case:?}, {kind:?}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_spoilt_number_spoils_what_a_head_makes_of_its_image() -> Result<()> {
    let (dims, start) = ([3, 5, 4, 7], (5 + 2) * 4 * 7 + 2);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let evaluate = |dtype: DType| -> Result<[Tensor; 3]> {
            let images = spoilt(&random(&dims, 1, "images")?, start..start + 1, value)?.to_dtype(dtype)?;
            let features = Features::new(&images)?;
            let make = |dims: &[usize], name: &str| random(dims, 1, name)?.to_dtype(dtype);
            let (weight, bias) = (make(&[10, 140], "weight")?, make(&[10], "bias")?);
            let linear = |bias| features.linear(&Linear::new(weight.clone(), bias));
            Ok([features.global_avg_pool()?, linear(Some(bias))?, linear(None)?])
        };
        let plain = evaluate(DType::F64)?;
        for kind in kinds() {
            let fast = force_arch(kind, || evaluate(DType::F32))?;
            for (head, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
                assert_spoilt(fast, plain, value, &(head, kind))?;
                for image in [0, 2] {
                    assert!(numbers(&fast.get(image)?)?.iter().all(|number| number.is_finite()), "{head}, {kind:?}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn nan_in_the_input_is_nan_in_the_output_and_in_every_gradient_it_reaches() -> Result<()> {
    for follow in 0..4 {
        let case = Case { bias: true, ..Case::new([3, 8, 8, 4], 5, 3, SAME, follow) };
        for (kind, dtype) in kinds().into_iter().map(|kind| (kind, DType::F32)).chain([(kinds()[0], DType::F64)]) {
            for train in [true, false] {
                let Parts { layer, input, residual, variables } = parts(&case, dtype, &Device::Cpu)?;
                input.set(&spoilt(&input, 5..6, f32::NAN)?)?;
                let follows = then(follow, residual.as_tensor());
                let output = force_arch(kind, || layer.forward_t(&input, follows, train))?;
                let nans = |tensor: &Tensor| -> Result<f32> {
                    tensor.ne(tensor)?.to_dtype(DType::F32)?.mean_all()?.to_scalar()
                };
                // In evaluation only the pixels near it; in training all, by the batch's mean.
                let found = nans(&output)?;
                assert!(if train { found == 1.0 } else { found > 0.0 }, "{found} in {case:?}, {kind:?}, {dtype:?}");
                let grads = force_arch(kind, || output.sqr()?.sum_all()?.backward())?;
                for (name, variable) in variables {
                    // Before a normalisation by the batch the bias's gradient is always zero.
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
