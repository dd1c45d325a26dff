//! Runs `norm.cu`.

use super::conv::Shape;
use super::gpu::{Arg, Gpu, Source, address};
use super::node::{Activation, Buffer, Node};
use crate::BatchNorm;
use crate::cpu::layer::Follow;
use crate::cpu::norm::Activation as Function;
use candle_core::{Result, Tensor};

const NORM: Source = Source {
    name: "norm",
    text: concat!(include_str!("kernels/common.cu"), include_str!("kernels/norm.cu")),
    contract: true,
};

/// Threads of a block where each has a number of its own.
const THREADS: usize = 256;

/// Pixels that a block sums over, at least.
const PIXELS: usize = 64;

/// Launches a kernel with a thread for each of `count` numbers.
fn each(gpu: &Gpu, kernel: &'static str, count: usize, args: &[Arg<Activation>]) -> Result<()> {
    let function = gpu.function(&NORM, &[], kernel)?;
    // SAFETY: as for `sums`.
    unsafe { gpu.launch(&function, (count.div_ceil(THREADS) as u32, 1, 1), (THREADS as u32, 1, 1), args) }
}

/// Launches a kernel for every 32 channels, which are along the grid's `x`: a block has as many rows of threads as can be,
/// since the others wait for it. Or where `blocks` go along `x`, along `y`, with 8 rows.
fn sums(
    gpu: &Gpu,
    kernel: &'static str,
    (blocks, channels): (Option<usize>, usize),
    args: &[Arg<Activation>],
) -> Result<()> {
    let function = gpu.function(&NORM, &[], kernel)?;
    let of_channels = channels.div_ceil(32) as u32;
    let grid = blocks.map_or((of_channels, 1, 1), |blocks| (blocks as u32, of_channels, 1));
    // SAFETY: every caller gives the kernel's arguments, in its order and of its types, and buffers of the sizes that it tells
    // the kernel.
    unsafe { gpu.launch(&function, grid, (32, if blocks.is_some() { 8 } else { 32 }, 1), args) }
}

fn int(number: usize) -> Arg<Activation> {
    Arg::I32(number as i32)
}

/// A count, 64 bits wide.
fn count(number: usize) -> Arg<Activation> {
    Arg::Address(number as u64)
}

/// The coefficients of a layer, by the moments of so many blocks, which move the running statistics, or by those.
pub(super) fn coefficients(
    gpu: &Gpu,
    bn: &BatchNorm,
    bias: Option<&Tensor>,
    moments: Option<&(Buffer, usize)>,
) -> Result<Buffer> {
    let channels = bn.weight.elem_count();
    let coefficients = gpu.buffer(4 * channels)?;
    let at = |tensor: &Tensor| -> Result<_> { Ok(Arg::Address(address(tensor)?)) };
    let affine = [at(&bn.weight)?, at(&bn.bias)?, Arg::Address(bias.map_or(Ok(0), address)?)];
    let running = [at(&bn.running_mean)?, at(&bn.running_var)?];
    let (size, eps) = (int(channels), Arg::F32(BatchNorm::EPS as f32));
    let to = Arg::Address(gpu.address(&coefficients));
    match moments {
        Some((moments, blocks)) => {
            let from = [Arg::Address(gpu.address(moments)), int(*blocks)];
            let momentum = Arg::F32(BatchNorm::MOMENTUM as f32);
            let rest = [at(&bn.num_batches_tracked)?, size, eps, momentum, to];
            sums(gpu, "batch_statistics", (None, channels), &[&from[..], &affine, &running, &rest].concat())?;
        }
        None => each(gpu, "running_statistics", channels, &[&affine[..], &running, &[size, eps, to]].concat())?,
    }
    Ok(coefficients)
}

/// `relu(y + residual)`.
pub(super) fn add_relu(gpu: &Gpu, y: Activation, residual: Activation, dims: [usize; 4]) -> Result<Buffer> {
    let len = dims.iter().product();
    let output = gpu.buffer(len)?;
    let to = Arg::Address(gpu.address(&output));
    each(gpu, "add_relu", len, &[Arg::Struct(y), Arg::Struct(residual), to, int(len), int(dims[3])])?;
    Ok(output)
}

/// 2×2 max-pooling of `relu(y)`.
pub(super) fn relu_max_pool(gpu: &Gpu, y: Activation, [batch, height, width, channels]: [usize; 4]) -> Result<Buffer> {
    let len = batch * (height / 2) * (width / 2) * channels;
    let output = gpu.buffer(len)?;
    let to = Arg::Address(gpu.address(&output));
    let args = [Arg::Struct(y), to, int(len), int(height), int(width), int(channels)];
    each(gpu, "relu_max_pool", len, &args)?;
    Ok(output)
}

/// A layer's backward pass up to its convolution.
pub(super) struct Backward<'a> {
    pub gpu: &'a Gpu,
    /// The convolution's output as it was normalised.
    pub y: Activation,
    pub follow: Follow,
    pub shape: &'a Shape,
}

/// What comes of the gradient's sums.
pub(super) struct Terms {
    pub d_gamma: Buffer,
    pub d_beta: Buffer,
    pub of_output: Buffer,
}

impl Backward<'_> {
    /// The gradient of the normalised values, or where it is as quickly computed again that of the output still, and the sums
    /// of so many blocks.
    pub(super) fn sums(&self, grad: Buffer, output: &Buffer) -> Result<(Buffer, (Buffer, usize))> {
        let Self { gpu, shape, .. } = *self;
        let (pixels, channels) = (shape.pixels(), shape.c_out);
        let blocks = pixels.div_ceil(PIXELS).min(2 * gpu.processors()?);
        let sums_of_blocks = gpu.buffer(2 * blocks * channels)?;
        let (follow, normalised_grad) = match self.follow {
            Follow::Activation(_) => (0, None),
            Follow::ReluMaxPool => (1, Some(gpu.buffer(shape.output_len())?)),
            Follow::AddRelu => (2, None),
        };
        let grad_at = gpu.address(&grad);
        let to = match (&normalised_grad, self.follow) {
            (Some(buffer), _) => gpu.address(buffer),
            (None, Follow::AddRelu) => grad_at,
            (None, _) => 0,
        };
        let args = [
            int(follow),
            Arg::Struct(self.y),
            Arg::Address(gpu.address(output)),
            Arg::Address(grad_at),
            Arg::Address(to),
            int(pixels),
            int(shape.out_h),
            int(shape.out_w),
            int(channels),
            Arg::Address(gpu.address(&sums_of_blocks)),
        ];
        sums(gpu, "grad_sums", (Some(blocks), channels), &args)?;
        Ok((normalised_grad.unwrap_or(grad), (sums_of_blocks, blocks)))
    }

    pub(super) fn terms(&self, (sums_of_blocks, blocks): &(Buffer, usize), coefficients: &Buffer) -> Result<Terms> {
        let Self { gpu, shape, .. } = *self;
        let channels = shape.c_out;
        let terms = Terms {
            d_gamma: gpu.buffer(channels)?,
            d_beta: gpu.buffer(channels)?,
            of_output: gpu.buffer(3 * channels)?,
        };
        let args = [
            Arg::Address(gpu.address(sums_of_blocks)),
            int(*blocks),
            Arg::Address(gpu.address(coefficients)),
            int(shape.pixels()),
            int(channels),
            Arg::Address(gpu.address(&terms.d_gamma)),
            Arg::Address(gpu.address(&terms.d_beta)),
            Arg::Address(gpu.address(&terms.of_output)),
        ];
        sums(gpu, "grad_coefficients", (None, channels), &args)?;
        Ok(terms)
    }

    /// The gradient of the convolution's output, and `grad` too where it is to be kept.
    pub(super) fn output(&self, grad: Buffer, terms: &Buffer, keep: bool) -> Result<(Buffer, Option<Buffer>)> {
        let Self { gpu, shape, .. } = *self;
        let len = shape.output_len();
        let apart = if keep { Some(gpu.buffer(len)?) } else { None };
        let lazy = matches!(self.follow, Follow::Activation(Function::Relu | Function::Identity));
        let args = [
            int(usize::from(lazy)),
            Arg::Struct(self.y),
            Arg::Address(gpu.address(&grad)),
            Arg::Address(gpu.address(terms)),
            Arg::Address(gpu.address(apart.as_ref().unwrap_or(&grad))),
            int(len),
            int(shape.c_out),
        ];
        each(gpu, "grad_output", len, &args)?;
        Ok(match apart {
            Some(d_y) => (d_y, Some(grad)),
            None => (grad, None),
        })
    }
}

/// An activation's numbers; of each image channel by channel where `channels_first` says so.
pub(super) fn numbers(node: &Node, channels_first: bool) -> Result<Buffer> {
    let [_, height, width, channels] = node.dims;
    let (gpu, len) = (&node.gpu, node.len());
    let to = gpu.buffer(len)?;
    let pixels = if channels_first { height * width } else { 0 };
    let args = [Arg::Struct(node.activation()), Arg::Address(gpu.address(&to)), count(len), int(channels), int(pixels)];
    each(gpu, "numbers", len, &args)?;
    Ok(to)
}

/// What [`numbers`] is undone by for a gradient whose numbers are at `from`.
pub(super) fn channels_last(node: &Node, from: u64) -> Result<Buffer> {
    let [_, height, width, channels] = node.dims;
    let (gpu, len) = (&node.gpu, node.len());
    let to = gpu.buffer(len)?;
    let args = [Arg::Address(from), Arg::Address(gpu.address(&to)), count(len), int(channels), int(height * width)];
    each(gpu, "channels_last", len, &args)?;
    Ok(to)
}

/// The mean over an image's pixels, `[batch, channels]`.
pub(super) fn mean_of_pixels(node: &Node) -> Result<Buffer> {
    let [batch, height, width, channels] = node.dims;
    let means = node.gpu.buffer(batch * channels)?;
    let to = Arg::Address(node.gpu.address(&means));
    let args = [Arg::Struct(node.activation()), to, int(height * width), int(channels)];
    sums(&node.gpu, "mean_of_pixels", (Some(batch), channels), &args)?;
    Ok(means)
}

/// Its gradient, by that of the means at `from`.
pub(super) fn spread_over_pixels(node: &Node, from: u64) -> Result<Buffer> {
    let [_, height, width, channels] = node.dims;
    let (gpu, len) = (&node.gpu, node.len());
    let to = gpu.buffer(len)?;
    let args = [Arg::Address(from), Arg::Address(gpu.address(&to)), count(len), int(height * width), int(channels)];
    each(gpu, "spread_over_pixels", len, &args)?;
    Ok(to)
}

/// Adds one to the other.
pub(super) fn add(gpu: &Gpu, to: &Buffer, from: &Buffer) -> Result<()> {
    let len = from.len();
    each(gpu, "add", len, &[Arg::Address(gpu.address(to)), Arg::Address(gpu.address(from)), count(len)])
}
