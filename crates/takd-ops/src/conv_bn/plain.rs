//! A layer in reference operations.

use super::layer::{ConvBn, Mode, Then};
use crate::{max_pool2d, reference};
use candle_core::{Result, Tensor};

pub(super) fn forward(layer: &ConvBn, input: &Tensor, then: Then, mode: Mode) -> Result<Tensor> {
    let ConvBn { conv, bn } = layer;
    let output = reference::conv2d(input, &conv.weight, conv.bias.as_ref(), conv.params)?;
    let output = bn.forward_t(&output, mode == Mode::Train)?;
    match then {
        Then::Nothing => Ok(output),
        Then::Relu => reference::relu(&output),
        Then::ReluMaxPool(pool) => max_pool2d(&reference::relu(&output)?, pool),
        Then::AddRelu(residual) => reference::relu(&(output + residual)?),
    }
}
