//! A network of either family behind one type.

use crate::plain::PlainCnn;
use crate::resnet::Resnet;
use crate::{Family, ModelSpec};
use candle_core::{Result, Tensor};
use candle_nn::{Init, Linear, ModuleT, VarBuilder};
use takd_ops::Features;

/// A built network: `[batch, 3, 32, 32]` normalised images in, `[batch, classes]` logits out.
///
/// Images may lie in memory in any order; channels-last memory (a permuted view of `[batch, 32, 32, 3]`) saves a copy.
#[derive(Clone, Debug)]
pub struct Network {
    spec: ModelSpec,
    classes: usize,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Plain(PlainCnn),
    Resnet(Resnet),
}

impl Network {
    /// Builds the network over the tensors of `vb`.
    ///
    /// Up to 10 classes the plain CNNs have the paper's CIFAR-10 widths, above that its CIFAR-100 widths.
    ///
    /// # Errors
    /// Where `vb` lacks a tensor or holds it in another shape.
    pub fn new(spec: ModelSpec, classes: usize, vb: VarBuilder) -> Result<Self> {
        let body = match spec.family() {
            Family::Plain => Body::Plain(PlainCnn::new(spec.size(), classes, &vb)?),
            Family::Resnet => Body::Resnet(Resnet::new(spec.size(), classes, &vb)?),
        };
        Ok(Self { spec, classes, body })
    }

    /// Which network this is.
    pub fn spec(&self) -> ModelSpec {
        self.spec
    }

    /// Number of logits.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

impl ModuleT for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let channels_last = Features::new(&images.permute((0, 2, 3, 1))?)?;
        match &self.body {
            Body::Plain(network) => network.forward_t(channels_last, train),
            Body::Resnet(network) => network.forward_t(&channels_last, train),
        }
    }
}

/// A fully connected layer initialised as PyTorch's `nn.Linear`: weight and bias uniform in ±1/√inputs.
pub(crate) fn linear(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Linear> {
    let bound = 1.0 / (inputs as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    let weight = vb.get_with_hints((outputs, inputs), "weight", init)?;
    let bias = vb.get_with_hints(outputs, "bias", init)?;
    Ok(Linear::new(weight, Some(bias)))
}
