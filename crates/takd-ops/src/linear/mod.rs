//! Fully connected layers, over features and over tensors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::Precision;
use crate::features::{Features, Inner};
use candle_core::{Module, Result, Tensor};
use candle_nn::Linear;

/// A fully connected layer, `[batch, inputs]` to `[batch, outputs]`, computed with this precision.
///
/// It gives what `layer.forward(input)` gives. The precision of that, on CUDA, is a setting of candle's for the whole process
/// (`candle_core::cuda::set_gemm_reduced_precision_f32`), which this function does not look at.
///
/// # Errors
/// If the shapes do not fit.
pub fn linear(input: &Tensor, layer: &Linear, precision: Precision) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(product) = cuda::product(input, layer.weight(), precision)? {
        return match layer.bias() {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        };
    }
    #[cfg(not(feature = "cuda"))]
    let _ = precision;
    layer.forward(input)
}

impl Features {
    /// A fully connected layer over all numbers of an image, `[batch, outputs]`. Its weight
    /// `[outputs, channels · height · width]` has them channel by channel, as PyTorch flattens.
    ///
    /// # Errors
    /// If the weight has another number of inputs.
    pub fn linear(&self, layer: &Linear) -> Result<Tensor> {
        match (&self.inner, layer.bias()) {
            (Inner::Cpu(features), Some(bias)) => cpu::linear(features, layer.weight(), bias),
            #[cfg(feature = "cuda")]
            (Inner::Cuda(node), _) => linear(&cuda::flatten(node)?, layer, self.precision),
            _ => {
                let channels_first = self.to_tensor()?.permute((0, 3, 1, 2))?;
                linear(&channels_first.flatten_from(1)?, layer, self.precision)
            }
        }
    }
}
