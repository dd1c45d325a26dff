//! A layer in evaluation: normalised by the running statistics.

use super::autograd::{Backward, LayerOp, ParamGrads, Slot, param_handle};
use super::forward::convolve_finish;
use super::plan::Plan;
use crate::conv_bn::layer::{ConvBn, Mode, Then, ThenKind, check_residual};
use crate::conv_bn::plain;
use crate::cpu::{Buffer, Repeated, Values, with_values};
use crate::features::cpu::{CpuFeatures, Node};
use crate::{BatchNorm, Conv2d};
use candle_core::{Device, Result, Tensor, Var};
use std::sync::Arc;
use tracing::trace_span;

pub(super) fn forward(layer: &ConvBn, input: &CpuFeatures, then: Then<CpuFeatures>) -> Result<CpuFeatures> {
    let (residual, then) = (then.residual(), then.kind());
    let [batch, ..] = input.node.dims;
    let plan = Plan::of(layer, input.node.dims, Mode::Eval)?;
    let dims = then.dims([batch, plan.out_h, plan.out_w, plan.c_out])?;
    check_residual(residual.map(|residual| residual.node.dims), dims)?;
    let ConvBn { conv, bn } = layer;
    let slot = Slot::default();
    let params = param_handle(&conv.weight, &bn.weight, &bn.bias, conv.bias.as_ref(), &slot)?;

    let numbers = |tensor: &Tensor| with_values(tensor, <[f32]>::to_vec);
    let (gamma, beta) = (numbers(&bn.weight)?, numbers(&bn.bias)?);
    let (mean, variance) = (numbers(&bn.running_mean)?, numbers(&bn.running_var)?);
    let bias = conv.bias.as_ref().map(numbers).transpose()?;
    let scale = |c: usize| (f64::from(gamma[c]) / (f64::from(variance[c]) + BatchNorm::EPS).sqrt()) as f32;
    let bias_of = |c: usize| bias.as_ref().map_or(0.0, |bias| bias[c]);
    let shift = |c: usize| beta[c] + (bias_of(c) - mean[c]) * scale(c);
    let channels = 0..plan.c_out;
    let scale_shift = [&Repeated::new(channels.clone().map(scale)), &Repeated::new(channels.map(shift))];
    let output = trace_span!("convolution and what follows").in_scope(|| {
        let residual = residual.map(|residual| &residual.node.values);
        with_values(&conv.weight, |weight| {
            convolve_finish(&plan, &input.node.values, weight, scale_shift, then, residual, batch)
        })
    })?;
    let node = Node::new(dims, Values::Stored(output));
    let residual_handle = residual.map_or(&params, |residual| &residual.handle);
    let op = EvalOp {
        layer: layer.clone(),
        input: input.node.clone(),
        residual: residual.map(|residual| residual.node.clone()),
        output: node.clone(),
        then,
        d_input: input.handle.track_op(),
        d_residual: residual.is_some_and(|residual| residual.handle.track_op()),
        slot,
    };
    let handle = input.handle.apply_op3(&params, residual_handle, LayerOp(op))?;
    Ok(CpuFeatures { node, handle })
}

/// The backward pass, so rare that it goes through the reference operations.
struct EvalOp {
    layer: ConvBn,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    output: Arc<Node>,
    then: ThenKind,
    /// Whether the gradients of input and residual are needed.
    d_input: bool,
    d_residual: bool,
    slot: Slot,
}

impl Backward for EvalOp {
    fn backward(&self) -> Result<()> {
        let variable = |tensor: &Tensor| Var::from_tensor(&tensor.copy()?);
        let features = |node: &Node| Var::from_vec(node.to_vec(), node.dims.to_vec(), &Device::Cpu);
        let ConvBn { conv, bn } = &self.layer;
        let input = features(&self.input)?;
        let residual = self.residual.as_deref().map(features).transpose()?;
        let (weight, gamma, beta) = (variable(&conv.weight)?, variable(&bn.weight)?, variable(&bn.bias)?);
        let bias = conv.bias.as_ref().map(variable).transpose()?;
        let copy = ConvBn {
            conv: Conv2d {
                weight: weight.as_tensor().clone(),
                bias: bias.as_ref().map(|bias| bias.as_tensor().clone()),
                params: conv.params,
            },
            bn: BatchNorm { weight: gamma.as_tensor().clone(), bias: beta.as_tensor().clone(), ..bn.clone() },
        };
        let then = self.then.with_residual(residual.as_ref().map(Var::as_tensor));
        let output = plain::forward(&copy, &input, then, Mode::Eval)?;
        let grad = Tensor::from_slice(&self.output.take_grad(), output.shape(), &Device::Cpu)?;
        let grads = (output * grad)?.sum_all()?.backward()?;
        let of = |variable: &Var| -> Result<Vec<f32>> {
            match grads.get(variable) {
                Some(grad) => grad.flatten_all()?.to_vec1(),
                None => Ok(vec![0.0; variable.elem_count()]),
            }
        };
        let buffer = |variable: &Var| -> Result<Buffer> {
            let values = of(variable)?;
            let mut buffer = Buffer::any(values.len());
            buffer.copy_from_slice(&values);
            Ok(buffer)
        };
        if self.d_input {
            self.input.add_grad(buffer(&input)?);
        }
        if let (Some(node), Some(residual), true) = (&self.residual, &residual, self.d_residual) {
            node.add_grad(buffer(residual)?);
        }
        self.slot.set(ParamGrads {
            weight: Some(of(&weight)?),
            gamma: Some(of(&gamma)?),
            beta: Some(of(&beta)?),
            bias: bias.as_ref().map(of).transpose()?,
        });
        Ok(())
    }
}
