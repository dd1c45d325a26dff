//! The statistics of batches for which they are hard to compute.

use super::common::{POINT, distance, everywhere, norm, random};
use crate::{Conv2d, ConvBn, Then};
use candle_core::{D, DType, Device, Result, Tensor};

const CHANNELS: usize = 16;

/// Output, batch mean and unbiased batch variance behind a 1×1 convolution.
fn normalised(images: &Tensor, weight: &Tensor, dtype: DType, device: &Device) -> Result<[Tensor; 3]> {
    let bn = norm(CHANNELS, 1.0, |_| 0.0, dtype, device)?;
    bn.running_var.set(&bn.running_var.zeros_like()?)?;
    let conv = Conv2d { weight: weight.to_dtype(dtype)?.to_device(device)?, bias: None, params: POINT };
    let layer = ConvBn { conv, bn };
    let output = layer.forward_t(&images.to_dtype(dtype)?.to_device(device)?, Then::Nothing, true)?;
    let batch = |running: &Tensor| running.to_device(&Device::Cpu)?.to_dtype(DType::F64)? / crate::BatchNorm::MOMENTUM;
    Ok([output, batch(&layer.bn.running_mean)?, batch(&layer.bn.running_var)?])
}

/// Checks the output to `bound`, variances to 10⁻⁴ of each, means to 10⁻⁴ of the standard deviation.
fn check(images: &Tensor, weight: &Tensor, bound: f64) -> Result<()> {
    let [output, mean, variance] = normalised(images, weight, DType::F64, &Device::Cpu)?;
    for (place, fast) in everywhere(|device| normalised(images, weight, DType::F32, device))? {
        let [fast_output, fast_mean, fast_variance] = fast;
        let ones = variance.ones_like()?;
        let off = distance(&(fast_variance / &variance)?, &ones)?;
        assert!(off < 1e-4, "variance off by {off} on {place}");
        // A running mean is f32.
        let rounding = (mean.abs()? * f64::from(f32::EPSILON))?;
        let off = ((fast_mean - &mean)?.abs()? / (variance.sqrt()? + rounding * 1e4)?)?.max(D::Minus1)?;
        let off = off.to_scalar::<f64>()?;
        assert!(off < 1e-4, "mean off by {off} standard deviations on {place}");
        let off = distance(&fast_output, &output)?;
        assert!(off < bound, "output off by {off} on {place}");
    }
    Ok(())
}

#[test]
fn an_outlier_in_the_corner_does_not_swallow_the_variance() -> Result<()> {
    let weight = random(&[CHANNELS, CHANNELS, 1, 1], 1, "weight")?;
    for size in [32, 64] {
        let corner = Tensor::ones((2, 1, 1, CHANNELS), DType::F32, &Device::Cpu)?;
        let corner = corner.pad_with_zeros(1, 0, size - 1)?.pad_with_zeros(2, 0, size - 1)?;
        let noise = (random(&[2, size, size, CHANNELS], 1, "noise")? * 1e-3)?;
        let inside = (1.0 - &corner)?;
        for images in [corner.clone(), ((noise * inside)? + &corner)?] {
            check(&images, &weight, 1e-4)?;
        }
    }
    Ok(())
}

#[test]
fn a_large_mean_does_not_swallow_the_variance() -> Result<()> {
    // The convolution hands its input on, so that the sums alone may be inexact.
    let weight = Tensor::eye(CHANNELS, DType::F32, &Device::Cpu)?.reshape((CHANNELS, CHANNELS, 1, 1))?;
    let noise = (random(&[2, 32, 32, CHANNELS], 1, "noise")? * 3f64.sqrt())?;
    // Numbers about 10⁴ are 10⁻³ apart in f32, and the output is an affine map of them.
    check(&(noise + 1e4)?, &weight, 1e-3)
}
