//! Each op in plain candle operations: slow, differentiable by candle's own autograd, any float type, any device, and
//! short enough to be seen to be right. The fast ops are tested against these.

use crate::MaxPool;
use crate::conv2d_params::Conv2dParams;
use candle_core::{D, Result, Tensor, bail};

/// 2-D convolution as `k·k` shifted copies of the input and one matrix product.
///
/// `input` is `[batch, height, width, c_in]`, `weight` `[c_out, c_in, k, k]`, `bias` `[c_out]`; the result is
/// `[batch, height', width', c_out]` with `height' = (height + 2·padding − k) / stride + 1`.
///
/// # Errors
/// If the shapes do not fit one another or the kernel does not fit the padded input.
pub fn conv2d(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv2dParams) -> Result<Tensor> {
    let (batch, height, width, c_in) = input.dims4()?;
    let (c_out, w_in, k_h, k_w) = weight.dims4()?;
    let Conv2dParams { stride, padding } = params;
    let size = params.outputs(height, k_h).zip(params.outputs(width, k_w));
    let (Some((out_h, out_w)), true) = (size, c_in == w_in && k_h * k_w * c_in > 0) else {
        bail!("conv2d: input {:?} and weight {:?} do not fit ({params:?})", input.dims(), weight.dims())
    };
    let padded = input.pad_with_zeros(1, padding, padding)?.pad_with_zeros(2, padding, padding)?;
    let mut shifted = Vec::with_capacity(k_h * k_w);
    for y in 0..k_h {
        let rows = every(&padded, 1, y, stride, out_h)?;
        for x in 0..k_w {
            shifted.push(every(&rows, 2, x, stride, out_w)?);
        }
    }
    // [b·h'·w', k·k·c_in] · [k·k·c_in, c_out]
    let columns = Tensor::cat(&shifted, 3)?.reshape((batch * out_h * out_w, k_h * k_w * c_in))?;
    let matrix = weight.permute((2, 3, 1, 0))?.reshape((k_h * k_w * c_in, c_out))?;
    let output = columns.matmul(&matrix)?.reshape((batch, out_h, out_w, c_out))?;
    match bias {
        Some(bias) => output.broadcast_add(bias),
        None => Ok(output),
    }
}

/// `count` entries of dimension `dim`, the first at `start`, then each `stride` further.
fn every(tensor: &Tensor, dim: usize, start: usize, stride: usize, count: usize) -> Result<Tensor> {
    if stride == 1 {
        return tensor.narrow(dim, start, count);
    }
    let indices: Vec<u32> = (0..count).map(|i| (start + i * stride) as u32).collect();
    tensor.contiguous()?.index_select(&Tensor::new(indices, tensor.device())?, dim)
}

/// What batch normalisation in training mode computes: the output, and the batch's statistics per channel.
pub struct Normalized {
    /// `[batch, height, width, channels]`.
    pub output: Tensor,
    /// Mean over batch, height and width, `[channels]`.
    pub mean: Tensor,
    /// Variance over batch, height and width, divided by their number (biased), `[channels]`.
    pub variance: Tensor,
}

/// Batch normalisation by the batch's own statistics (Ioffe and Szegedy 2015, algorithm 1):
/// `(x − mean) / sqrt(variance + eps) · weight + bias`, each per channel.
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_norm_train(input: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Normalized> {
    let mean = input.mean_keepdim((0, 1, 2))?;
    let centred = input.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 1, 2))?;
    let normalised = centred.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let output = normalised.broadcast_mul(weight)?.broadcast_add(bias)?;
    Ok(Normalized { output, mean: mean.flatten_all()?, variance: variance.flatten_all()? })
}

/// Batch normalisation by given statistics (Ioffe and Szegedy 2015, algorithm 2).
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_norm_eval(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let scale = (weight / (variance + eps)?.sqrt()?)?;
    input.broadcast_sub(mean)?.broadcast_mul(&scale)?.broadcast_add(bias)
}

/// `x` if it is above 0, else 0; NaN stays NaN, as in PyTorch (candle's own `relu` makes it 0).
///
/// # Errors
/// If the device reports one.
pub fn relu(input: &Tensor) -> Result<Tensor> {
    input.le(0.0)?.where_cond(&input.zeros_like()?, input)
}

/// The larger of two, `first` if they are equal, NaN if either is.
fn larger(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let second_is_nan = second.ne(second)?;
    (second.gt(first)? + second_is_nan)?.where_cond(second, first)
}

/// The largest of the pixels of each window. A window with NaN gives NaN, and of equal numbers the first gets the gradient, as in
/// PyTorch.
///
/// `[batch, height, width, channels]` becomes `[batch, height', width', channels]` of half the height and width, rounded down for
/// [`MaxPool::Two`], up for [`MaxPool::Three`].
///
/// # Errors
/// If the input does not have four dimensions, or height or width is below 2 ([`MaxPool::Two`]) or 0.
pub fn max_pool2d(input: &Tensor, pool: MaxPool) -> Result<Tensor> {
    let (batch, height, width, channels) = input.dims4()?;
    let (out_h, out_w) = (pool.outputs(height), pool.outputs(width));
    if out_h == 0 || out_w == 0 {
        bail!("max_pool2d: {:?} has no 2×2 block", input.dims())
    }
    if pool == MaxPool::Three {
        return largest_of_three(&largest_of_three(input, 2, out_w)?, 1, out_h);
    }
    let even = input.narrow(1, 0, 2 * out_h)?.narrow(2, 0, 2 * out_w)?.contiguous()?;
    let columns = even.reshape((batch, 2 * out_h * out_w, 2, channels))?;
    let columns = larger(&columns.narrow(2, 0, 1)?, &columns.narrow(2, 1, 1)?)?;
    let rows = columns.reshape((batch, out_h, 2, out_w * channels))?;
    let rows = larger(&rows.narrow(2, 0, 1)?, &rows.narrow(2, 1, 1)?)?;
    rows.reshape((batch, out_h, out_w, channels))
}

/// The largest of three neighbours along a dimension, around every second one; beyond the ends there is nothing.
fn largest_of_three(input: &Tensor, dim: usize, count: usize) -> Result<Tensor> {
    let mut dims = input.dims().to_vec();
    let end = |size: usize, dims: &mut Vec<usize>| {
        dims[dim] = size;
        Tensor::full(f64::NEG_INFINITY, dims.clone(), input.device())?.to_dtype(input.dtype())
    };
    let after = 2 * count - input.dim(dim)?;
    let mut parts = vec![end(1, &mut dims)?, input.clone()];
    if after > 0 {
        parts.push(end(after, &mut dims)?);
    }
    let padded = Tensor::cat(&parts, dim)?;
    let [left, centre, right] = [0, 1, 2].map(|start| every(&padded, dim, start, 2, count));
    larger(&larger(&left?, &centre?)?, &right?)
}

/// The mean over height and width: `[batch, height, width, channels]` becomes `[batch, channels]`.
///
/// # Errors
/// If the input does not have four dimensions, or has no pixels.
pub fn global_avg_pool(input: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = input.dims4()?;
    if height * width == 0 {
        bail!("global_avg_pool: {:?} has no pixels", input.dims())
    }
    input.reshape((batch, height * width, channels))?.mean(D::Minus2)
}
