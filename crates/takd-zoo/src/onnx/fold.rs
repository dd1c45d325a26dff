//! A batch normalisation and its convolution as one convolution.

use crate::weights::Weights;
use crate::{Error, Result, folder};
use takd_models::layers::{Bias, Conv};
use takd_ops::BatchNorm;

/// What becomes of a convolution's channels when the normalisation of its output is put into it:
/// `w' = factor * w` and the bias.
///
/// ```text
/// factor = γ / √(running variance + ε)
/// bias   = (b - running mean) * factor + β
/// ```
///
/// Computed in 64-bit floats and rounded once, so that a folded weight is off by no more than half of its last bit.
pub(crate) struct Folded {
    /// For each output channel.
    pub factor: Vec<f64>,
    /// For each output channel.
    pub bias: Vec<f32>,
}

pub(crate) fn folded(weights: &Weights, conv: &Conv) -> Result<Folded> {
    let values = |prefix: &str, tensor: &str| weights.get(&format!("{prefix}.{tensor}")).floats();
    let of_norm = |tensor: &str| values(&conv.norm, tensor).into_iter().map(f64::from);
    let conv_bias = match conv.bias {
        Bias::Present => values(&conv.name, "bias"),
        Bias::Absent => vec![0.0; conv.outputs],
    };
    let factor: Vec<f64> = of_norm("weight")
        .zip(of_norm("running_var"))
        .map(|(gamma, var)| gamma / (var + BatchNorm::EPS).sqrt())
        .collect();
    let centred = conv_bias.into_iter().zip(of_norm("running_mean")).map(|(bias, mean)| f64::from(bias) - mean);
    let scaled = centred.zip(&factor).map(|(bias, factor)| bias * factor);
    let bias: Vec<f32> = scaled.zip(of_norm("bias")).map(|(bias, beta)| (bias + beta) as f32).collect();
    let Some(channel) = bias.iter().position(|bias| !bias.is_finite()) else { return Ok(Folded { factor, bias }) };
    Err(Error::Weights {
        path: folder::WEIGHTS.into(),
        tensor: format!("{}.bias", conv.norm),
        problem: format!("cannot be put into the convolution: channel {channel} would be larger than any 32-bit float"),
    })
}
