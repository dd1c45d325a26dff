//! The launches of a layer, forward and backward.

use super::conv;
use super::norm::{Keep, NormBackward, add_relu, coefficients, relu_max_pool};
use super::output::Output;
use super::shape::Shape;
use super::tile::fits;
use crate::activation::Activation;
use crate::conv_bn::layer::{ConvBn, Mode, Then, ThenKind, Write, check_residual};
use crate::cuda::{Buffer, Gpu, ValuesAt, address};
use crate::features::cuda::{Backward, Grads, Node, Values, leave_grad};
use crate::{Conv2dParams, Precision};
use candle_core::{DType, Device, Result, Tensor, bail};
use std::sync::Arc;

/// `None` if the kernels cannot do it.
pub(in crate::conv_bn) fn forward(
    layer: &ConvBn,
    input: &Arc<Node>,
    precision: Precision,
    then: Then<Arc<Node>>,
    mode: Mode,
) -> Result<Option<Arc<Node>>> {
    let (residual, kind) = (then.residual(), then.kind());
    let [batch, height, width, c_in] = input.dims;
    let (c_out, _, k_h, k_w) = layer.conv.weight.dims4()?;
    let Conv2dParams { stride, padding } = layer.conv.params;
    let [out_h, out_w] = layer.output_size(input.dims)?;
    let dims = kind.dims([batch, out_h, out_w, c_out])?;
    check_residual(residual.map(|residual| residual.dims), dims)?;
    let shape = Shape { batch, height, width, c_in, out_h, out_w, c_out, k_h, k_w, stride, padding, precision };
    if !is_supported(layer, &shape, input, residual.map(Arc::as_ref), mode) {
        return Ok(None);
    }
    if mode == Mode::Train && shape.pixels() < 2 {
        bail!("BatchNorm: one value per channel has no variance; train on more images or pixels")
    }
    let gpu = &input.gpu;
    let ConvBn { conv, bn } = layer;
    let Output { y, moments } = conv::forward(gpu, &shape, input.values_at(), address(&conv.weight)?, mode)?;
    let coefficients = coefficients(gpu, bn, conv.bias.as_ref(), moments.as_ref())?;
    let (y, coefficients) = (Arc::new(y), Arc::new(coefficients));
    let normalized = |activation| ValuesAt::unnormalized(gpu, &y, &coefficients, activation);
    let conv_dims = [batch, out_h, out_w, c_out];
    let values = match then {
        Then::AddRelu(residual) => {
            let sum = add_relu(gpu, normalized(Activation::Identity), residual.values_at(), conv_dims)?;
            Values::Stored(Arc::new(sum))
        }
        Then::ReluMaxPool(pool) => {
            Values::Stored(Arc::new(relu_max_pool(gpu, pool, normalized(Activation::Relu), conv_dims)?))
        }
        Then::Relu | Then::Nothing => {
            Values::Unnormalized { y: y.clone(), coefficients: coefficients.clone(), activation: read_with(kind) }
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
    let record = TrainOp { shape, input: input.clone(), residual, params: layer.clone(), y, coefficients, then: kind };
    let record = tracked.then(|| Box::new(record) as Box<dyn Backward>);
    Ok(Some(Node::output(gpu.clone(), dims, values, record, entries)))
}

/// What the normalised values go through as they are read.
fn read_with(then: ThenKind) -> Activation {
    match then {
        ThenKind::Activation(activation) => activation,
        ThenKind::ReluMaxPool(_) => Activation::Relu,
        ThenKind::AddRelu => Activation::Identity,
    }
}

/// Whether these kernels can do it: contiguous f32 in one device's memory, only variables for the parameters whose gradients
/// are needed, and no gradients in evaluation, which are rare.
fn is_supported(layer: &ConvBn, shape: &Shape, input: &Node, residual: Option<&Node>, mode: Mode) -> bool {
    let ConvBn { conv, bn } = layer;
    let params = [&conv.weight, &bn.weight, &bn.bias].into_iter().chain(&conv.bias);
    let device = Device::Cuda(input.gpu.device().clone());
    let readable = |tensor: &Tensor| {
        tensor.dtype() == DType::F32 && tensor.is_contiguous() && tensor.device().same_device(&device)
    };
    let tracked = input.is_tracked() || residual.is_some_and(Node::is_tracked);
    let mut params_and_statistics = params.clone().chain([bn.running_mean.as_tensor(), bn.running_var.as_tensor()]);
    params_and_statistics.all(readable)
        && params.clone().all(|tensor| tensor.is_variable() || !tensor.track_op())
        && (mode == Mode::Train || !tracked && params.clone().all(|tensor| !tensor.track_op()))
        && fits(shape)
}

/// What a backward pass after training needs.
struct TrainOp {
    shape: Shape,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    params: ConvBn,
    y: Arc<Buffer>,
    coefficients: Arc<Buffer>,
    then: ThenKind,
}

impl Backward for TrainOp {
    fn backward(&self, output: &Node, grad: Buffer, grads: &mut Grads) -> Result<()> {
        let gpu = &output.gpu;
        let Self { shape, input, residual, params: ConvBn { conv, bn }, y, coefficients, then } = self;
        let normalized = ValuesAt::unnormalized(gpu, y, coefficients, read_with(*then));
        let norm = NormBackward { gpu, y: normalized, then: *then, shape };
        let stored = match &output.values {
            Values::Stored(numbers) => numbers,
            Values::Unnormalized { y, .. } => y,
        };

        let sums = norm.sums(grad, stored)?;
        let terms = norm.terms(&sums.sums, coefficients)?;
        let d_residual = residual.as_ref().filter(|residual| residual.is_tracked());
        // The residual's gradient is that of the normalised values.
        let keep = if d_residual.is_some() { Keep::Yes } else { Keep::No };
        let of_output = norm.output(sums.grad, &terms.of_output, keep)?;
        if let (Some(residual), Some(kept)) = (d_residual, of_output.kept) {
            grads.add(residual, kept)?;
        }
        let d_y = of_output.d_y;
        if input.is_tracked() {
            let (d_input, write) = match grads.take(input) {
                Some(sum) => (sum, Write::Add),
                None => (gpu.buffer(input.len())?, Write::Store),
            };
            conv::backward(gpu, shape, &d_y, address(&conv.weight)?, &d_input, write)?;
            grads.set(input, d_input);
        }
        if conv.weight.is_variable() {
            leave(gpu, &conv.weight, conv::filter(gpu, shape, input.values_at(), &d_y)?)?;
        }
        leave(gpu, &bn.weight, terms.d_gamma)?;
        leave(gpu, &bn.bias, terms.d_beta)?;
        if let Some(bias) = &conv.bias {
            // It only moves the mean, which the normalisation takes away again.
            leave(gpu, bias, gpu.device().alloc_zeros(shape.c_out)?)?;
        }
        Ok(())
    }
}

/// Leaves a parameter's gradient if it is a variable.
fn leave(gpu: &Gpu, parameter: &Tensor, grad: Buffer) -> Result<()> {
    if !parameter.is_variable() {
        return Ok(());
    }
    leave_grad(parameter, gpu.tensor(grad, parameter.shape()))
}
