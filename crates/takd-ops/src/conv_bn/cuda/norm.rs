//! Runs `norm.cu`.
//!
//! Its launches are safe for one reason: each gives the kernel's arguments, in its order and of its types, and buffers of the
//! sizes that it tells the kernel.

use super::output::OfBlocks;
use super::shape::Shape;
use crate::BatchNorm;
use crate::activation::Activation;
use crate::conv_bn::layer::{MaxPool, ThenKind};
use crate::cuda::{Arg, Buffer, Gpu, Source, ValuesAt, address, int};
use candle_core::{Result, Tensor};

const SOURCE: Source = Source {
    name: "norm",
    text: concat!(include_str!("../../cuda/common.cu"), include_str!("norm.cu")),
    contract: true,
};

/// Pixels that a block sums over, at least.
const PIXELS: usize = 64;

/// The values, normalised.
pub(super) fn normalized_values(gpu: &Gpu, values: ValuesAt, len: usize, channels: usize) -> Result<Buffer> {
    let to = gpu.buffer(len)?;
    let args = [Arg::Struct(values), Arg::Address(gpu.address(&to)), int(len), int(channels)];
    // SAFETY: this file's.
    unsafe { gpu.each(&SOURCE, "normalised_values", len, &args) }?;
    Ok(to)
}

/// The moments of a convolution's output.
pub(super) fn moments(gpu: &Gpu, y: &Buffer, shape: &Shape) -> Result<OfBlocks> {
    let (pixels, channels) = (shape.pixels(), shape.c_out);
    let blocks = pixels.div_ceil(PIXELS).min(2 * gpu.processors()?);
    let moments = OfBlocks { numbers: gpu.buffer(3 * blocks * channels)?, blocks };
    let to = gpu.address(&moments.numbers);
    let args: [Arg; 4] = [Arg::Address(gpu.address(y)), int(pixels), int(channels), Arg::Address(to)];
    // SAFETY: this file's.
    unsafe { gpu.each_part_and_channel(&SOURCE, "moments_of", blocks, channels, &args) }?;
    Ok(moments)
}

/// The coefficients of a layer: by the moments of a batch, towards which the running statistics move, or by those.
pub(super) fn coefficients(
    gpu: &Gpu,
    bn: &BatchNorm,
    bias: Option<&Tensor>,
    moments: Option<&OfBlocks>,
) -> Result<Buffer> {
    let channels = bn.weight.elem_count();
    let coefficients = gpu.buffer(4 * channels)?;
    let at = |tensor: &Tensor| -> Result<Arg> { Ok(Arg::Address(address(tensor)?)) };
    let affine = [at(&bn.weight)?, at(&bn.bias)?, Arg::Address(bias.map_or(Ok(0), address)?)];
    let running = [at(&bn.running_mean)?, at(&bn.running_var)?];
    let (size, eps) = (int(channels), Arg::F32(BatchNorm::EPS as f32));
    let to = Arg::Address(gpu.address(&coefficients));
    match moments {
        Some(OfBlocks { numbers, blocks }) => {
            let from = [Arg::Address(gpu.address(numbers)), int(*blocks)];
            let momentum = Arg::F32(BatchNorm::MOMENTUM as f32);
            let rest = [at(&bn.num_batches_tracked)?, size, eps, momentum, to];
            let args = [&from[..], &affine, &running, &rest].concat();
            // SAFETY: this file's.
            unsafe { gpu.each_channel(&SOURCE, "batch_statistics", channels, &args) }?;
        }
        None => {
            let args = [&affine[..], &running, &[size, eps, to]].concat();
            // SAFETY: this file's.
            unsafe { gpu.each(&SOURCE, "running_statistics", channels, &args) }?;
        }
    }
    Ok(coefficients)
}

/// `relu(y + residual)`.
pub(super) fn add_relu(gpu: &Gpu, y: ValuesAt, residual: ValuesAt, dims: [usize; 4]) -> Result<Buffer> {
    let len = dims.iter().product();
    let output = gpu.buffer(len)?;
    let to = Arg::Address(gpu.address(&output));
    let args = [Arg::Struct(y), Arg::Struct(residual), to, int(len), int(dims[3])];
    // SAFETY: this file's.
    unsafe { gpu.each(&SOURCE, "add_relu", len, &args) }?;
    Ok(output)
}

/// Max-pooling of `relu(y)`.
pub(super) fn relu_max_pool(
    gpu: &Gpu,
    pool: MaxPool,
    y: ValuesAt,
    [batch, height, width, channels]: [usize; 4],
) -> Result<Buffer> {
    let len = batch * pool.outputs(height) * pool.outputs(width) * channels;
    let output = gpu.buffer(len)?;
    let to = Arg::Address(gpu.address(&output));
    let args = [int(code(pool)), Arg::Struct(y), to, int(len), int(height), int(width), int(channels)];
    // SAFETY: this file's.
    unsafe { gpu.each(&SOURCE, "relu_max_pool", len, &args) }?;
    Ok(output)
}

/// What the kernels call it.
fn code(pool: MaxPool) -> usize {
    match pool {
        MaxPool::Two => 1,
        MaxPool::Three => 2,
    }
}

/// A layer's backward pass as far as its convolution.
pub(super) struct NormBackward<'a> {
    pub gpu: &'a Gpu,
    /// The convolution's output as it was normalised.
    pub y: ValuesAt,
    pub then: ThenKind,
    pub shape: &'a Shape,
}

/// The first step: the gradient, and its sums in each of some blocks.
pub(super) struct GradSums {
    /// The gradient of the normalised values, or of the output if the former is as quickly computed again.
    pub grad: Buffer,
    pub sums: OfBlocks,
}

/// What the sums give.
pub(super) struct Terms {
    pub d_gamma: Buffer,
    pub d_beta: Buffer,
    /// Three numbers per channel for [`NormBackward::output`].
    pub of_output: Buffer,
}

/// The gradient of the convolution's output, and if it was to be kept, of the normalised values.
pub(super) struct OutputGrad {
    pub d_y: Buffer,
    pub kept: Option<Buffer>,
}

impl NormBackward<'_> {
    /// `grad` is the gradient of `output`, which are the layer's stored numbers.
    pub(super) fn sums(&self, grad: Buffer, output: &Buffer) -> Result<GradSums> {
        let Self { gpu, shape, .. } = *self;
        let (pixels, channels) = (shape.pixels(), shape.c_out);
        let blocks = pixels.div_ceil(PIXELS).min(2 * gpu.processors()?);
        let sums = OfBlocks { numbers: gpu.buffer(2 * blocks * channels)?, blocks };
        let grad_at = gpu.address(&grad);
        let (then, pooled_grad, to) = match self.then {
            ThenKind::Activation(_) => (0, None, 0),
            ThenKind::ReluMaxPool(pool) => {
                let buffer = gpu.buffer(shape.output_len())?;
                let to = gpu.address(&buffer);
                (code(pool), Some(buffer), to)
            }
            ThenKind::AddRelu => (3, None, grad_at),
        };
        let args = [
            int(then),
            Arg::Struct(self.y),
            Arg::Address(gpu.address(output)),
            Arg::Address(grad_at),
            Arg::Address(to),
            int(pixels),
            int(shape.out_h),
            int(shape.out_w),
            int(channels),
            Arg::Address(gpu.address(&sums.numbers)),
        ];
        // SAFETY: this file's.
        unsafe { gpu.each_part_and_channel(&SOURCE, "grad_sums", blocks, channels, &args) }?;
        Ok(GradSums { grad: pooled_grad.unwrap_or(grad), sums })
    }

    pub(super) fn terms(&self, sums: &OfBlocks, coefficients: &Buffer) -> Result<Terms> {
        let Self { gpu, shape, .. } = *self;
        let channels = shape.c_out;
        let terms = Terms {
            d_gamma: gpu.buffer(channels)?,
            d_beta: gpu.buffer(channels)?,
            of_output: gpu.buffer(3 * channels)?,
        };
        let args: [Arg; 8] = [
            Arg::Address(gpu.address(&sums.numbers)),
            int(sums.blocks),
            Arg::Address(gpu.address(coefficients)),
            int(shape.pixels()),
            int(channels),
            Arg::Address(gpu.address(&terms.d_gamma)),
            Arg::Address(gpu.address(&terms.d_beta)),
            Arg::Address(gpu.address(&terms.of_output)),
        ];
        // SAFETY: this file's.
        unsafe { gpu.each_channel(&SOURCE, "grad_coefficients", channels, &args) }?;
        Ok(terms)
    }

    /// The gradient of the convolution's output; `keep` says whether `grad` is still needed.
    pub(super) fn output(&self, grad: Buffer, terms: &Buffer, keep: Keep) -> Result<OutputGrad> {
        let Self { gpu, shape, .. } = *self;
        let len = shape.output_len();
        let apart = match keep {
            Keep::Yes => Some(gpu.buffer(len)?),
            Keep::No => None,
        };
        let unnormalized = matches!(self.then, ThenKind::Activation(Activation::Relu | Activation::Identity));
        let args = [
            int(usize::from(unnormalized)),
            Arg::Struct(self.y),
            Arg::Address(gpu.address(&grad)),
            Arg::Address(gpu.address(terms)),
            Arg::Address(gpu.address(apart.as_ref().unwrap_or(&grad))),
            int(len),
            int(shape.c_out),
        ];
        // SAFETY: this file's.
        unsafe { gpu.each(&SOURCE, "grad_output", len, &args) }?;
        Ok(match apart {
            Some(d_y) => OutputGrad { d_y, kept: Some(grad) },
            None => OutputGrad { d_y: grad, kept: None },
        })
    }
}

/// Whether a gradient is needed after the next step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    No,
}
