//! A layer: its parameters, what may follow it, and which shapes it takes.

use crate::activation::Activation;
use crate::{BatchNorm, Conv2d};
use candle_core::{Result, Tensor, bail};

/// Convolution, batch normalisation and what follows them, as one layer, so that a backend may fuse the three.
#[derive(Clone, Debug)]
pub struct ConvBn {
    /// The convolution.
    pub conv: Conv2d,
    /// The normalisation of its output.
    pub bn: BatchNorm,
}

/// What follows the batch normalisation of a [`ConvBn`] layer; `T` is the type of the residual, [`Tensor`] or
/// [`Features`](crate::Features).
#[derive(Debug)]
pub enum Then<'a, T = Tensor> {
    /// Nothing: the output is the normalised values.
    Nothing,
    /// ReLU.
    Relu,
    /// ReLU, then max-pooling.
    ReluMaxPool(MaxPool),
    /// Addition of the residual, of the output's shape, then ReLU.
    AddRelu(&'a T),
}

/// Max-pooling of stride 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxPool {
    /// Of 2×2 pixels; a last odd row or column is left out.
    Two,
    /// Of the 3×3 pixels around every second one, from the first on (padding 1), as at the beginning of ResNets for ImageNet.
    Three,
}

impl MaxPool {
    /// How many results one side of so many pixels has.
    pub fn outputs(self, size: usize) -> usize {
        match self {
            Self::Two => size / 2,
            Self::Three => size.div_ceil(2),
        }
    }

    /// The pixels along one side of `size` that a result is the largest of.
    pub(crate) fn window(self, output: usize, size: usize) -> std::ops::Range<usize> {
        match self {
            Self::Two => 2 * output..2 * output + 2,
            Self::Three => (2 * output).saturating_sub(1)..(2 * output + 2).min(size),
        }
    }
}

impl<T> Clone for Then<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Then<'_, T> {}

impl<'a, T> Then<'a, T> {
    pub(super) fn kind(self) -> ThenKind {
        match self {
            Self::Nothing => ThenKind::Activation(Activation::Identity),
            Self::Relu => ThenKind::Activation(Activation::Relu),
            Self::ReluMaxPool(pool) => ThenKind::ReluMaxPool(pool),
            Self::AddRelu(_) => ThenKind::AddRelu,
        }
    }

    pub(super) fn residual(self) -> Option<&'a T> {
        match self {
            Self::AddRelu(residual) => Some(residual),
            _ => None,
        }
    }
}

/// [`Then`] without the residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThenKind {
    Activation(Activation),
    ReluMaxPool(MaxPool),
    AddRelu,
}

impl ThenKind {
    /// The same with this residual, if it takes one.
    pub(super) fn with_residual<T>(self, residual: Option<&T>) -> Then<'_, T> {
        match (self, residual) {
            (Self::AddRelu, Some(residual)) => Then::AddRelu(residual),
            (Self::ReluMaxPool(pool), _) => Then::ReluMaxPool(pool),
            (Self::Activation(Activation::Relu), _) => Then::Relu,
            _ => Then::Nothing,
        }
    }

    /// Height and width of the result, for a normalised output of this size.
    pub(super) fn size(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::ReluMaxPool(pool) => (pool.outputs(height), pool.outputs(width)),
            _ => (height, width),
        }
    }

    /// Dimensions of the result, for a normalised output of these.
    pub(super) fn dims(self, [batch, out_h, out_w, channels]: [usize; 4]) -> Result<[usize; 4]> {
        let (height, width) = self.size(out_h, out_w);
        if height * width == 0 {
            bail!("ConvBn: {out_h}×{out_w} has no 2×2 block to pool")
        }
        Ok([batch, height, width, channels])
    }
}

/// Which statistics normalise a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The batch's own, which also move the running ones.
    Train,
    /// The running ones.
    Eval,
}

impl Mode {
    /// As `candle_nn::ModuleT` says it.
    pub(super) fn of(train: bool) -> Self {
        if train { Self::Train } else { Self::Eval }
    }
}

/// What happens to a buffer's old numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// They are overwritten.
    Store,
    /// The new ones are added to them.
    Add,
}

impl ConvBn {
    /// Height and width of the convolution's output for an input of these dimensions, if the layer takes it.
    pub(super) fn output_size(&self, [_, height, width, c_in]: [usize; 4]) -> Result<[usize; 2]> {
        let (weight, params) = (&self.conv.weight, self.conv.params);
        let (c_out, w_in, k_h, k_w) = weight.dims4()?;
        let one_each = [&self.bn.weight, &self.bn.bias, &self.bn.running_mean, &self.bn.running_var];
        if one_each.into_iter().chain(&self.conv.bias).any(|tensor| tensor.dims() != [c_out]) {
            bail!("ConvBn: bias and normalisation must have one value for each of the {c_out} output channels")
        }
        if weight.dims().contains(&0) {
            bail!("ConvBn: weight {:?} has no elements", weight.dims())
        }
        match (params.outputs(height, k_h), params.outputs(width, k_w)) {
            (Some(out_h), Some(out_w)) if c_in == w_in => Ok([out_h, out_w]),
            _ => bail!(
                "ConvBn: input {:?} and weight {:?} do not fit ({params:?})",
                [height, width, c_in],
                weight.dims()
            ),
        }
    }
}

pub(super) fn check_residual(residual: Option<[usize; 4]>, output: [usize; 4]) -> Result<()> {
    match residual {
        Some(residual) if residual != output => {
            bail!("ConvBn: the residual is {residual:?}, the output {output:?}; they must be the same")
        }
        _ => Ok(()),
    }
}
