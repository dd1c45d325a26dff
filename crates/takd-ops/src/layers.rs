//! The layers that [`ConvBn`](crate::ConvBn) is made of: tensors and a constructor over a `VarBuilder`.

use crate::conv2d_params::Conv2dParams;
use crate::reference;
use candle_core::{DType, Result, Tensor, Var, bail};
use candle_nn::{Init, VarBuilder};

/// A 2-D convolution over channels-last activations.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// `[out_channels, in_channels, kernel, kernel]`.
    pub weight: Tensor,
    /// `[out_channels]`.
    pub bias: Option<Tensor>,
    /// Stride and padding.
    pub params: Conv2dParams,
}

impl Conv2d {
    /// Square kernel, with bias, initialised as PyTorch's `nn.Conv2d`: both uniform in ±1/√fan_in.
    ///
    /// # Errors
    /// If `vb` lacks `weight` or `bias`, or has them in another shape.
    pub fn new(c_in: usize, c_out: usize, kernel: usize, params: Conv2dParams, vb: &VarBuilder) -> Result<Self> {
        let bound = 1.0 / ((c_in * kernel * kernel) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get_with_hints((c_out, c_in, kernel, kernel), "weight", init)?;
        let bias = Some(vb.get_with_hints(c_out, "bias", init)?);
        Ok(Self { weight, bias, params })
    }

    /// Square kernel, without bias, weight drawn from N(0, √(2 / (k²·c_out))) (He et al. 2015, fan-out form).
    ///
    /// # Errors
    /// If `vb` lacks `weight`, or has it in another shape.
    pub fn no_bias(c_in: usize, c_out: usize, kernel: usize, params: Conv2dParams, vb: &VarBuilder) -> Result<Self> {
        let stdev = (2.0 / (kernel * kernel * c_out) as f64).sqrt();
        let init = Init::Randn { mean: 0.0, stdev };
        let weight = vb.get_with_hints((c_out, c_in, kernel, kernel), "weight", init)?;
        Ok(Self { weight, bias: None, params })
    }
}

/// Batch normalisation over the last dimension, with running statistics as PyTorch keeps them.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// γ, `[channels]`.
    pub weight: Tensor,
    /// β, `[channels]`.
    pub bias: Tensor,
    /// Exponential mean of the batches' means, `[channels]`.
    pub running_mean: Var,
    /// Exponential mean of the batches' unbiased variances, `[channels]`.
    pub running_var: Var,
    /// How many training batches went into the running statistics; a scalar of 64-bit integers, as in PyTorch.
    pub num_batches_tracked: Var,
}

impl BatchNorm {
    /// Added to the variance before the square root.
    pub const EPS: f64 = 1e-5;
    /// Share of the newest batch in the running statistics.
    pub const MOMENTUM: f64 = 0.1;

    /// γ = 1, β = 0, running mean 0, running variance 1.
    ///
    /// The running statistics follow the training only if `vb` hands out variables.
    ///
    /// # Errors
    /// If `vb` lacks a tensor, or has it in another shape.
    pub fn new(channels: usize, vb: &VarBuilder) -> Result<Self> {
        let counter = vb.get_with_hints_dtype((), "num_batches_tracked", Init::Const(0.0), DType::I64)?;
        Ok(Self {
            weight: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            running_mean: Var::from_tensor(&vb.get_with_hints(channels, "running_mean", Init::Const(0.0))?)?,
            running_var: Var::from_tensor(&vb.get_with_hints(channels, "running_var", Init::Const(1.0))?)?,
            num_batches_tracked: Var::from_tensor(&counter)?,
        })
    }

    pub(crate) fn forward_t(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            let (mean, variance) = (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
            return reference::batch_norm_eval(input, &self.weight, &self.bias, &mean, &variance, Self::EPS);
        }
        let normalised = reference::batch_norm_train(input, &self.weight, &self.bias, Self::EPS)?;
        let count = (input.elem_count() / input.dim(candle_core::D::Minus1)?) as f64;
        self.track(&normalised.mean.detach(), &normalised.variance.detach(), count)?;
        Ok(normalised.output)
    }

    /// Moves the running statistics towards those of a batch of `count` values per channel.
    pub(crate) fn track(&self, mean: &Tensor, biased_variance: &Tensor, count: f64) -> Result<()> {
        if count < 2.0 {
            bail!("BatchNorm: one value per channel has no variance; train on more images or pixels")
        }
        let keep = 1.0 - Self::MOMENTUM;
        let variance = (biased_variance * (count / (count - 1.0)))?;
        let running_mean = ((self.running_mean.as_detached_tensor() * keep)? + (mean * Self::MOMENTUM)?)?;
        let running_var = ((self.running_var.as_detached_tensor() * keep)? + (variance * Self::MOMENTUM)?)?;
        self.running_mean.set(&running_mean)?;
        self.running_var.set(&running_var)?;
        self.num_batches_tracked.set(&(self.num_batches_tracked.as_detached_tensor() + 1.0)?)
    }
}
