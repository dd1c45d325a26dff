//! Shapes that are refused.

use super::common::{Case, Parts, SAME, parts, random};
use crate::{Conv2dParams, Features, MaxPool, Then};
use candle_core::{DType, Device, Result, Tensor};

#[test]
fn shapes_that_do_not_fit_are_an_error_that_names_them() -> Result<()> {
    let good = Case::new([2, 5, 5, 3], 4, 3, SAME, 1);
    let attempt = |dims: [usize; 4], params: Conv2dParams, dtype: DType| -> Result<String> {
        let Parts { mut layer, residual, .. } = parts(&good, dtype, &Device::Cpu)?;
        layer.conv.params = params;
        let input = Tensor::zeros(dims.to_vec(), dtype, &Device::Cpu)?;
        let attempts = [Then::Relu, Then::ReluMaxPool(MaxPool::Two), Then::AddRelu(residual.as_tensor())];
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
fn a_head_of_another_number_of_inputs_is_an_error_that_names_both() -> Result<()> {
    let features = Features::new(&random(&[2, 4, 4, 3], 1, "input")?)?;
    let layer = candle_nn::Linear::new(random(&[10, 47], 1, "weight")?, Some(random(&[10], 1, "bias")?));
    let message = features.linear(&layer).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("48") && message.contains("[10, 47]"), "{message}");
    Ok(())
}
