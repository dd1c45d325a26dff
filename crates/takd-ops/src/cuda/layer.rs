//! A layer, forward and backward, launch by launch.
//!
//! ```text
//! forward   1  convolve, in training with the moments of each block's outputs
//!           2  the coefficients of each channel, by those moments or the running statistics
//!           3  pool or add the residual; nothing where what follows is left to the reader
//! backward  1  the gradient of the normalised values, and its sums per channel
//!           2  the gradients of γ and β
//!           3  the gradient of the convolution's output
//!           4  the gradient of the input, added to what has come for it
//!           5  the gradient of the weights, in parts; 6 their sum
//! ```

use super::conv::{self, Shape};
use super::gpu::address;
use super::node::{Activation, Buffer, Grads, Node, Values, leave_grad};
use super::norm;
use crate::ConvBn;
use crate::cpu::layer::Follow;
use crate::cpu::norm::Activation as Function;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::sync::Arc;

/// What a backward pass in training needs.
pub(super) struct Layer {
    shape: Shape,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    params: ConvBn,
    y: Arc<Buffer>,
    coefficients: Arc<Buffer>,
    follow: Follow,
}

/// Whether these kernels do it: f32 in order in one device's memory, parameters that are asked for their gradients being
/// variables, and no gradients in evaluation, which are rare.
pub(crate) fn is_supported(layer: &ConvBn, shape: &Shape, input: &Node, residual: Option<&Node>, train: bool) -> bool {
    let ConvBn { conv, bn } = layer;
    let params = [&conv.weight, &bn.weight, &bn.bias].into_iter().chain(&conv.bias);
    let device = Device::Cuda(input.gpu.device().clone());
    let fits = |tensor: &Tensor| {
        tensor.dtype() == DType::F32 && tensor.is_contiguous() && tensor.device().same_device(&device)
    };
    let tracked = input.is_tracked() || residual.is_some_and(Node::is_tracked);
    let mut params_and_statistics = params.clone().chain([bn.running_mean.as_tensor(), bn.running_var.as_tensor()]);
    params_and_statistics.all(fits)
        && params.clone().all(|tensor| tensor.is_variable() || !tensor.track_op())
        && (train || !tracked && params.clone().all(|tensor| !tensor.track_op()))
        && shape.fits()
}

pub(crate) fn forward(
    layer: &ConvBn,
    shape: Shape,
    input: &Arc<Node>,
    residual: Option<&Arc<Node>>,
    follow: Follow,
    train: bool,
) -> Result<Arc<Node>> {
    let gpu = &input.gpu;
    let ConvBn { conv, bn } = layer;
    if train && shape.pixels() < 2 {
        bail!("BatchNorm: one value per channel has no variance; train on more images or pixels")
    }
    let (y, moments) = conv::forward(gpu, &shape, input.activation(), address(&conv.weight)?, train)?;
    let coefficients = norm::coefficients(gpu, bn, conv.bias.as_ref(), moments.as_ref())?;
    let (y, coefficients) = (Arc::new(y), Arc::new(coefficients));
    let Shape { batch, out_h, out_w, c_out, .. } = shape;
    let mut dims = [batch, out_h, out_w, c_out];
    let normalised = |relu| Activation::normalised(gpu, &y, &coefficients, relu);
    let values = match (follow, residual) {
        (Follow::AddRelu, Some(residual)) => {
            let sum = norm::add_relu(gpu, normalised(false), residual.activation(), dims)?;
            Values { numbers: Arc::new(sum), norm: None }
        }
        (Follow::ReluMaxPool, _) => {
            let pooled = norm::relu_max_pool(gpu, normalised(true), dims)?;
            dims = [batch, out_h / 2, out_w / 2, c_out];
            Values { numbers: Arc::new(pooled), norm: None }
        }
        _ => {
            let relu = follow == Follow::Activation(Function::Relu);
            Values { numbers: y.clone(), norm: Some((coefficients.clone(), relu)) }
        }
    };
    let params = [&conv.weight, &bn.weight, &bn.bias];
    let residual = residual.cloned();
    let tracked = input.is_tracked()
        || residual.as_deref().is_some_and(Node::is_tracked)
        || params.into_iter().chain(&conv.bias).any(|tensor| tensor.is_variable());
    let mut entries = input.entries.clone();
    for entry in residual.iter().flat_map(|residual| &residual.entries) {
        if entries.iter().all(|other| other.id() != entry.id()) {
            entries.push(entry.clone());
        }
    }
    let record = Layer { shape, input: input.clone(), residual, params: layer.clone(), y, coefficients, follow };
    Ok(Arc::new(Node::new(gpu, dims, values, tracked.then_some(record), entries)))
}

impl Layer {
    /// Takes the output's gradient to input and residual, and leaves those of the parameters.
    pub(super) fn backward(&self, output: &Node, grad: Buffer, grads: &mut Grads) -> Result<()> {
        let gpu = &output.gpu;
        let Self { shape, input, residual, params: ConvBn { conv, bn }, y, coefficients, follow } = self;
        let relu = *follow != Follow::Activation(Function::Identity) && *follow != Follow::AddRelu;
        let normalised = Activation::normalised(gpu, y, coefficients, relu);
        let channels = norm::Backward { gpu, y: normalised, follow: *follow, shape };

        let (grad, sums) = channels.sums(grad, &output.values.numbers)?;
        let terms = channels.terms(&sums, coefficients)?;
        let d_residual = residual.as_ref().filter(|residual| residual.is_tracked());
        // The residual's gradient is that of the normalised values, which must stay then.
        let (d_y, kept) = channels.output(grad, &terms.of_output, d_residual.is_some())?;
        if let (Some(residual), Some(kept)) = (d_residual, kept) {
            grads.add(residual, kept)?;
        }
        if input.is_tracked() {
            let (d_input, add) = match grads.take(input) {
                Some(sum) => (sum, true),
                None => (gpu.buffer(input.len())?, false),
            };
            conv::backward(gpu, shape, &d_y, address(&conv.weight)?, (&d_input, add))?;
            grads.set(input, d_input);
        }
        let leave = |parameter: &Tensor, grad: Buffer| match parameter.is_variable() {
            true => leave_grad(parameter, gpu.tensor(grad, parameter.shape())),
            false => Ok(()),
        };
        if conv.weight.is_variable() {
            leave(&conv.weight, conv::filter(gpu, shape, input.activation(), &d_y)?)?;
        }
        leave(&bn.weight, terms.d_gamma)?;
        leave(&bn.bias, terms.d_beta)?;
        if let Some(bias) = &conv.bias {
            // It only moves the mean, which the normalisation takes away again.
            leave(bias, gpu.device().alloc_zeros(shape.c_out)?)?;
        }
        Ok(())
    }
}
