//! A layer in training: normalised by the statistics of the batch.

use super::autograd::{Backward, LayerOp, ParamGrads, Slot, param_handle};
use super::backward::{InputGrad, Trained};
use super::forward::{convolve, finish};
use super::plan::Plan;
use crate::BatchNorm;
use crate::conv_bn::layer::{ConvBn, Mode, Then, ThenKind, Write, check_residual};
use crate::cpu::{Buffer, Repeated, Values, with_values};
use crate::features::cpu::{CpuFeatures, Node};
use candle_core::{Device, Result, Tensor};
use std::sync::Arc;
use tracing::trace_span;

pub(super) fn forward(layer: &ConvBn, input: &CpuFeatures, then: Then<CpuFeatures>) -> Result<CpuFeatures> {
    let (residual, then) = (then.residual(), then.kind());
    let [batch, ..] = input.node.dims;
    let plan = Plan::of(layer, input.node.dims, Mode::Train)?;
    let dims = then.dims([batch, plan.out_h, plan.out_w, plan.c_out])?;
    check_residual(residual.map(|residual| residual.node.dims), dims)?;
    let ConvBn { conv, bn } = layer;
    let slot = Slot::default();
    let params = param_handle(&conv.weight, &bn.weight, &bn.bias, conv.bias.as_ref(), &slot)?;
    let gamma = with_values(&bn.weight, <[f32]>::to_vec)?;
    let beta = with_values(&bn.bias, <[f32]>::to_vec)?;
    let bias = conv.bias.as_ref().map(|bias| with_values(bias, <[f32]>::to_vec)).transpose()?;

    let (y, moments) = trace_span!("convolution")
        .in_scope(|| with_values(&conv.weight, |weight| convolve(&plan, &input.node.values, weight, then, batch)))?;
    let variance: Vec<f64> = moments.squares.iter().map(|squares| squares / moments.count).collect();
    let inv_std: Vec<f32> = variance.iter().map(|v| (1.0 / (v + BatchNorm::EPS).sqrt()) as f32).collect();
    let mean: Vec<f32> = moments.mean.iter().map(|&mean| mean as f32).collect();
    // The bias only moves the mean, which the normalisation takes away again.
    let biased = |c: usize| moments.mean[c] as f32 + bias.as_ref().map_or(0.0, |bias| bias[c]);
    let channels = 0..plan.c_out;
    let batch_mean = Tensor::from_iter(channels.clone().map(biased), &Device::Cpu)?;
    let batch_variance = Tensor::from_iter(variance.iter().map(|&v| v as f32), &Device::Cpu)?;
    bn.track(&batch_mean, &batch_variance, moments.count)?;

    let scale = Repeated::new(channels.clone().map(|c| gamma[c] * inv_std[c]));
    let shift = Repeated::new(channels.map(|c| beta[c] - mean[c] * gamma[c] * inv_std[c]));
    let y = Arc::new(y);
    let values = match then {
        ThenKind::Activation(activation) => {
            Values::Unnormalized { y: y.clone(), scale: scale.clone(), shift: shift.clone(), activation }
        }
        _ => {
            let residual = residual.map(|residual| &residual.node.values);
            let finish = || finish(&plan, &y, [&scale, &shift], then, residual, batch);
            Values::Stored(trace_span!("what follows").in_scope(finish))
        }
    };
    let node = Node::new(dims, values);
    let residual_handle = residual.map_or(&params, |residual| &residual.handle);
    let op = TrainOp {
        d_input: input.handle.track_op(),
        d_residual: residual.is_some_and(|residual| residual.handle.track_op()),
        has_bias: bias.is_some(),
        plan,
        batch,
        input: input.node.clone(),
        residual: residual.map(|residual| residual.node.clone()),
        output: node.clone(),
        weight: conv.weight.detach(),
        y,
        scale,
        shift,
        mean,
        inv_std,
        gamma,
        then,
        slot,
    };
    let handle = input.handle.apply_op3(&params, residual_handle, LayerOp(op))?;
    Ok(CpuFeatures { node, handle })
}

/// What the backward pass needs.
struct TrainOp {
    plan: Arc<Plan>,
    batch: usize,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    output: Arc<Node>,
    weight: Tensor,
    y: Arc<Buffer>,
    scale: Repeated,
    shift: Repeated,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    gamma: Vec<f32>,
    then: ThenKind,
    /// Whether the gradients of input and residual are needed.
    d_input: bool,
    d_residual: bool,
    has_bias: bool,
    slot: Slot,
}

impl Backward for TrainOp {
    fn backward(&self) -> Result<()> {
        let layer = Trained {
            plan: &self.plan,
            batch: self.batch,
            input: &self.input.values,
            y: &self.y,
            scale_shift: [&self.scale, &self.shift],
            mean: &self.mean,
            inv_std: &self.inv_std,
            gamma: &self.gamma,
            then: self.then,
            output: &self.output.values,
        };
        let mut grad = self.output.take_grad();
        let norm = trace_span!("gradient of what follows").in_scope(|| layer.norm_grads(&mut grad));
        let mut d_input = self.d_input.then(|| match self.input.grad().take() {
            Some(sum) => InputGrad { grad: sum, write: Write::Add },
            None => InputGrad { grad: Buffer::any(self.input.len()), write: Write::Store },
        });
        let d_weight = trace_span!("gradients of the convolution")
            .in_scope(|| with_values(&self.weight, |weight| layer.conv_grads(&grad, &norm, weight, &mut d_input)))?;
        if let Some(InputGrad { grad, .. }) = d_input {
            *self.input.grad() = Some(grad);
        }
        if let (Some(residual), true) = (&self.residual, self.d_residual) {
            residual.add_grad(grad);
        }
        self.slot.set(ParamGrads {
            weight: Some(d_weight),
            gamma: Some(norm.gamma),
            beta: Some(norm.beta),
            bias: self.has_bias.then(|| vec![0.0; self.plan.c_out]),
        });
        Ok(())
    }
}
