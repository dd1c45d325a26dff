//! [`ConvBn`]: convolution, batch normalisation and what follows them, as one layer.

use crate::cpu::backward::Trained;
use crate::cpu::channels::Repeated;
use crate::cpu::conv::Plan;
use crate::cpu::forward::{convolve, convolve_finish, finish};
use crate::cpu::layer::{Follow, Shared};
use crate::cpu::norm::{Activation, Data};
use crate::features::{Backward, Features, Inner, LayerOp, Node, ParamGrads, Slot, param_handle, with_values};
use crate::{BatchNorm, Conv2d, max_pool2d, reference};
use candle_core::{Device, Result, Tensor, Var, bail};
use std::sync::{Arc, PoisonError};
use tracing::trace_span;

/// What follows the batch normalisation of a [`ConvBn`] layer; `T` is the kind of activations, [`Tensor`] or
/// [`Features`].
#[derive(Debug)]
pub enum Then<'a, T = Tensor> {
    /// Nothing: the normalised values themselves.
    Nothing,
    /// ReLU.
    Relu,
    /// ReLU, then 2×2 max-pooling.
    ReluMaxPool,
    /// Addition of the residual, of the output's shape, then ReLU.
    AddRelu(&'a T),
}

impl<T> Clone for Then<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Then<'_, T> {}

/// Convolution, batch normalisation and what follows them, as one layer, so that a backend may fuse the three.
#[derive(Clone, Debug)]
pub struct ConvBn {
    /// The convolution.
    pub conv: Conv2d,
    /// The normalisation of its output.
    pub bn: BatchNorm,
}

impl ConvBn {
    /// `[batch, height, width, c_in]` to `[batch, height', width', c_out]`, halved once more by [`Then::ReluMaxPool`].
    ///
    /// `train` chooses the batch's statistics (and moves the running ones) or the running statistics, as
    /// `candle_nn::ModuleT` does.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn forward_t(&self, input: &Tensor, then: Then, train: bool) -> Result<Tensor> {
        let residual = match then {
            Then::AddRelu(residual) => Some(Features::new(residual)?),
            _ => None,
        };
        let then = match (then, &residual) {
            (Then::AddRelu(_), Some(residual)) => Then::AddRelu(residual),
            (Then::ReluMaxPool, _) => Then::ReluMaxPool,
            (Then::Relu, _) => Then::Relu,
            _ => Then::Nothing,
        };
        self.forward_features(&Features::new(input)?, then, train)?.to_tensor()
    }

    /// [`ConvBn::forward_t`] from layer to layer without tensors between, which is the fast way through a network.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn forward_features(&self, input: &Features, then: Then<Features>, train: bool) -> Result<Features> {
        #[cfg(feature = "cuda")]
        if let Inner::Cuda(node) = &input.0
            && let Some(output) = self.forward_cuda(node, then, train)?
        {
            return Ok(output);
        }
        if let Inner::Fast { .. } = &input.0 {
            return self.forward_fast(input, then, train);
        }
        let residual = match then {
            Then::AddRelu(residual) => Some(residual.to_tensor()?),
            _ => None,
        };
        let output = self.forward_plain(&input.to_tensor()?, then, residual.as_ref(), train)?;
        Ok(Features(Inner::Plain(output)))
    }

    /// Nothing where the kernels do not do it.
    #[cfg(feature = "cuda")]
    fn forward_cuda(
        &self,
        input: &Arc<crate::cuda::Node>,
        then: Then<Features>,
        train: bool,
    ) -> Result<Option<Features>> {
        let residual = match then {
            Then::AddRelu(Features(Inner::Cuda(residual))) => Some(residual),
            Then::AddRelu(_) => return Ok(None),
            _ => None,
        };
        let [batch, height, width, c_in] = input.dims;
        let (c_out, _, k_h, k_w) = self.conv.weight.dims4()?;
        let crate::Conv2dParams { stride, padding } = self.conv.params;
        let [out_h, out_w] = self.check(input.dims)?;
        let dims = follow(then).dims([batch, out_h, out_w, c_out])?;
        check_residual(residual.map(|residual| residual.dims), dims)?;
        let precision = crate::precision();
        let shape = crate::cuda::Shape {
            batch,
            height,
            width,
            c_in,
            out_h,
            out_w,
            c_out,
            k_h,
            k_w,
            stride,
            padding,
            precision,
        };
        if !crate::cuda::is_supported(self, &shape, input, residual.map(Arc::as_ref), train) {
            return Ok(None);
        }
        let node = crate::cuda::forward(self, shape, input, residual, follow(then), train)?;
        Ok(Some(Features(Inner::Cuda(node))))
    }

    /// In reference operations.
    fn forward_plain(
        &self,
        input: &Tensor,
        then: Then<Features>,
        residual: Option<&Tensor>,
        train: bool,
    ) -> Result<Tensor> {
        let output = reference::conv2d(input, &self.conv.weight, self.conv.bias.as_ref(), self.conv.params)?;
        let output = self.bn.forward_t(&output, train)?;
        match (then, residual) {
            (Then::AddRelu(_), Some(residual)) => reference::relu(&(output + residual)?),
            (Then::ReluMaxPool, _) => max_pool2d(&reference::relu(&output)?),
            (Then::Relu, _) => reference::relu(&output),
            _ => Ok(output),
        }
    }

    fn forward_fast(&self, input: &Features, then: Then<Features>, train: bool) -> Result<Features> {
        let (input, input_handle) = fast(input)?;
        let residual = match then {
            Then::AddRelu(residual) => Some(fast(residual)?),
            _ => None,
        };
        let follow = follow(then);
        let plan = self.plan(input.dims, train)?;
        let [batch, ..] = input.dims;
        let dims = follow.dims([batch, plan.out_h, plan.out_w, plan.c_out])?;
        check_residual(residual.map(|(residual, _)| residual.dims), dims)?;
        let residual_node = residual.map(|(node, _)| node);
        let residual_data = residual_node.map(|node| &node.data);
        let slot = Slot::default();
        let params = param_handle(&self.conv.weight, &self.bn.weight, &self.bn.bias, self.conv.bias.as_ref(), &slot)?;
        let residual_handle = residual.map_or(&params, |(_, handle)| handle);

        let gamma = numbers(&self.bn.weight)?;
        let beta = numbers(&self.bn.bias)?;
        let bias = self.conv.bias.as_ref().map(numbers).transpose()?;
        let (node, handle);
        if train {
            let (y, moments) = trace_span!("convolution")
                .in_scope(|| with_values(&self.conv.weight, |weight| convolve(&plan, &input.data, weight, batch)))?;
            let variance: Vec<f64> = moments.squares.iter().map(|squares| squares / moments.count).collect();
            let inv_std: Vec<f32> = variance.iter().map(|v| (1.0 / (v + BatchNorm::EPS).sqrt()) as f32).collect();
            let mean: Vec<f32> = moments.mean.iter().map(|&mean| mean as f32).collect();
            // The bias only moves the mean, which the normalisation takes away again.
            let biased = |c: usize| moments.mean[c] as f32 + bias.as_ref().map_or(0.0, |bias| bias[c]);
            let channels = 0..plan.c_out;
            let batch_mean = Tensor::from_iter(channels.clone().map(biased), &Device::Cpu)?;
            let batch_variance = Tensor::from_iter(variance.iter().map(|&v| v as f32), &Device::Cpu)?;
            self.bn.track(&batch_mean, &batch_variance, moments.count)?;

            let scale = Repeated::new(channels.clone().map(|c| gamma[c] * inv_std[c]));
            let shift = Repeated::new(channels.map(|c| beta[c] - mean[c] * gamma[c] * inv_std[c]));
            let y = Arc::new(y);
            let data = match follow {
                Follow::Activation(activation) => {
                    Data::Lazy { y: y.clone(), scale: scale.clone(), shift: shift.clone(), activation }
                }
                _ => Data::Dense(
                    trace_span!("what follows")
                        .in_scope(|| finish(&plan, &y, [&scale, &shift], follow, residual_data, batch)),
                ),
            };
            node = Node::new(dims, data);
            let op = TrainOp {
                d_input: input_handle.track_op(),
                d_residual: residual.is_some_and(|(_, handle)| handle.track_op()),
                has_bias: bias.is_some(),
                plan,
                batch,
                input: input.clone(),
                residual: residual_node.cloned(),
                output: node.clone(),
                weight: self.conv.weight.detach(),
                y,
                scale,
                shift,
                mean,
                inv_std,
                gamma,
                follow,
                slot,
            };
            handle = input_handle.apply_op3(&params, residual_handle, LayerOp(op))?;
        } else {
            let (mean, variance) = (numbers(&self.bn.running_mean)?, numbers(&self.bn.running_var)?);
            let scale = |c: usize| (f64::from(gamma[c]) / (f64::from(variance[c]) + BatchNorm::EPS).sqrt()) as f32;
            let bias_of = |c: usize| bias.as_ref().map_or(0.0, |bias| bias[c]);
            let shift = |c: usize| beta[c] + (bias_of(c) - mean[c]) * scale(c);
            let channels = 0..plan.c_out;
            let scale_shift = [&Repeated::new(channels.clone().map(scale)), &Repeated::new(channels.map(shift))];
            let output = trace_span!("convolution and what follows").in_scope(|| {
                with_values(&self.conv.weight, |weight| {
                    convolve_finish(&plan, &input.data, weight, scale_shift, follow, residual_data, batch)
                })
            })?;
            node = Node::new(dims, Data::Dense(output));
            let op = EvalOp {
                layer: self.clone(),
                input: input.clone(),
                residual: residual_node.cloned(),
                output: node.clone(),
                follow,
                d_input: input_handle.track_op(),
                d_residual: residual.is_some_and(|(_, handle)| handle.track_op()),
                slot,
            };
            handle = input_handle.apply_op3(&params, residual_handle, LayerOp(op))?;
        }
        Ok(Features(Inner::Fast { node, handle }))
    }

    fn plan(&self, dims: [usize; 4], train: bool) -> Result<Arc<Plan>> {
        self.check(dims)?;
        let [_, height, width, c_in] = dims;
        let (c_out, _, k_h, k_w) = self.conv.weight.dims4()?;
        match Plan::shared([height, width, c_in], [c_out, k_h, k_w], self.conv.params, train) {
            Some(plan) => Ok(plan),
            None => bail!("ConvBn: input {dims:?} and weight {:?} are too large", self.conv.weight.dims()),
        }
    }

    /// Height and width of the convolution's output, where everything fits.
    fn check(&self, [_, height, width, c_in]: [usize; 4]) -> Result<[usize; 2]> {
        let (weight, params) = (&self.conv.weight, self.conv.params);
        let (c_out, w_in, k_h, k_w) = weight.dims4()?;
        let one_each = [&self.bn.weight, &self.bn.bias, &self.bn.running_mean, &self.bn.running_var];
        if one_each.into_iter().chain(&self.conv.bias).any(|tensor| tensor.dims() != [c_out]) {
            bail!("ConvBn: bias and normalisation must have one value for each of the {c_out} output channels")
        }
        if weight.dims().contains(&0) {
            bail!("ConvBn: weight {:?} has no elements", weight.dims())
        }
        match (params.places(height, k_h), params.places(width, k_w)) {
            (Some(out_h), Some(out_w)) if c_in == w_in => Ok([out_h, out_w]),
            _ => bail!(
                "ConvBn: input {:?} and weight {:?} do not fit ({params:?})",
                [height, width, c_in],
                weight.dims()
            ),
        }
    }
}

fn follow<T>(then: Then<'_, T>) -> Follow {
    match then {
        Then::Nothing => Follow::Activation(Activation::Identity),
        Then::Relu => Follow::Activation(Activation::Relu),
        Then::ReluMaxPool => Follow::ReluMaxPool,
        Then::AddRelu(_) => Follow::AddRelu,
    }
}

fn check_residual(residual: Option<[usize; 4]>, output: [usize; 4]) -> Result<()> {
    match residual {
        Some(residual) if residual != output => {
            bail!("ConvBn: the residual is {residual:?}, the output {output:?}; they must be the same")
        }
        _ => Ok(()),
    }
}

fn fast(features: &Features) -> Result<(&Arc<Node>, &Tensor)> {
    match &features.0 {
        Inner::Fast { node, handle } => Ok((node, handle)),
        _ => bail!("ConvBn: input and residual must be of one type, on one device"),
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    with_values(tensor, <[f32]>::to_vec)
}

/// What the backward pass in training needs.
struct TrainOp {
    plan: Arc<Plan>,
    batch: usize,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    output: Arc<Node>,
    weight: Tensor,
    y: Shared,
    scale: Repeated,
    shift: Repeated,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    gamma: Vec<f32>,
    follow: Follow,
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
            input: &self.input.data,
            y: &self.y,
            scale_shift: [&self.scale, &self.shift],
            mean: &self.mean,
            inv_std: &self.inv_std,
            gamma: &self.gamma,
            follow: self.follow,
            output: &self.output.data,
        };
        let mut grad = self.output.take_grad();
        let norm = trace_span!("gradient of what follows").in_scope(|| layer.norm_grads(&mut grad));
        let mut d_input = self.d_input.then(|| match self.input.grad().take() {
            Some(sum) => (sum, true),
            None => (crate::cpu::buffer::Buffer::any(self.input.len()), false),
        });
        let d_weight = trace_span!("gradients of the convolution").in_scope(|| {
            with_values(&self.weight, |weight| {
                let d_input = d_input.as_mut().map(|(buffer, add)| (buffer, *add));
                layer.conv_grads(&grad, &norm, weight, d_input)
            })
        })?;
        if let Some((d_input, _)) = d_input {
            *self.input.grad() = Some(d_input);
        }
        if let (Some(residual), true) = (&self.residual, self.d_residual) {
            residual.add_grad(grad);
        }
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = ParamGrads {
            weight: Some(d_weight),
            gamma: norm.gamma,
            beta: norm.beta,
            bias: self.has_bias.then(|| vec![0.0; self.plan.c_out]),
        };
        Ok(())
    }
}

/// The backward pass in evaluation mode, rare enough to be taken through the reference.
struct EvalOp {
    layer: ConvBn,
    input: Arc<Node>,
    residual: Option<Arc<Node>>,
    output: Arc<Node>,
    follow: Follow,
    d_input: bool,
    d_residual: bool,
    slot: Slot,
}

impl Backward for EvalOp {
    fn backward(&self) -> Result<()> {
        let variable = |tensor: &Tensor| Var::from_tensor(&tensor.copy()?);
        let activations = |node: &Node| Var::from_vec(node.to_vec(), node.dims.to_vec(), &Device::Cpu);
        let ConvBn { conv, bn } = &self.layer;
        let input = activations(&self.input)?;
        let residual = self.residual.as_deref().map(activations).transpose()?;
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
        let plain = residual.as_ref().map(|residual| Features(Inner::Plain(residual.as_tensor().clone())));
        let then = match (self.follow, &plain) {
            (Follow::AddRelu, Some(plain)) => Then::AddRelu(plain),
            (Follow::ReluMaxPool, _) => Then::ReluMaxPool,
            (Follow::Activation(Activation::Relu), _) => Then::Relu,
            _ => Then::Nothing,
        };
        let output = copy.forward_plain(&input, then, residual.as_ref().map(Var::as_tensor), false)?;
        let grad = Tensor::from_slice(&self.output.take_grad(), output.shape(), &Device::Cpu)?;
        let grads = (output * grad)?.sum_all()?.backward()?;
        let of = |variable: &Var| -> Result<Vec<f32>> {
            match grads.get(variable) {
                Some(grad) => grad.flatten_all()?.to_vec1(),
                None => Ok(vec![0.0; variable.elem_count()]),
            }
        };
        let buffer = |variable: &Var| -> Result<_> {
            let values = of(variable)?;
            let mut buffer = crate::cpu::buffer::Buffer::any(values.len());
            buffer.copy_from_slice(&values);
            Ok(buffer)
        };
        if self.d_input {
            self.input.add_grad(buffer(&input)?);
        }
        if let (Some(node), Some(residual), true) = (&self.residual, &residual, self.d_residual) {
            node.add_grad(buffer(residual)?);
        }
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = ParamGrads {
            weight: Some(of(&weight)?),
            gamma: of(&gamma)?,
            beta: of(&beta)?,
            bias: bias.as_ref().map(of).transpose()?,
        };
        Ok(())
    }
}
