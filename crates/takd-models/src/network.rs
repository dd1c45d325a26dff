//! A network that runs, built from its list of layers.

use crate::layers::{Bias, Conv, Flatten, FullyConnected, Layer, Shortcut};
use crate::parameters::Source;
use crate::{Family, ModelSpec, Parameters};
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::{Init, Linear, ModuleT, VarBuilder};
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, MaxPool, Precision, Then, reference};
use takd_rng::Streams;

/// A built network: `[batch, 3, side, side]` normalised images in, of a side that it [takes](ModelSpec::takes), `[batch, classes]` logits out.
///
/// Images may lie in memory in any order; channels-last memory (a permuted view of `[batch, side, side, 3]`) saves a copy.
#[derive(Clone, Debug)]
pub struct Network {
    spec: ModelSpec,
    classes: usize,
    precision: Precision,
    convolutional: Vec<Built>,
    flatten: Flatten,
    fully_connected: Vec<Linear>,
}

impl Network {
    /// A network with initial weights, and its parameters.
    ///
    /// Each tensor is drawn from a stream of its own under `seed`, named by the network and the tensor. So a network
    /// starts the same whatever else is drawn, and two networks of one seed have nothing in common.
    ///
    /// # Errors
    /// If `classes` is 0 or the device fails.
    pub fn random(spec: ModelSpec, classes: usize, seed: u64, device: &Device) -> Result<(Self, Parameters)> {
        let source = Source::Streams(Streams::new(seed, &spec.to_string()));
        Parameters::create(source, device, |vb| Self::new(spec, classes, vb))
    }

    /// Builds the network over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or holds it in another shape, `classes` is 0, or `spec` is no network but logits.
    #[expect(clippy::needless_pass_by_value, reason = "as every constructor of candle takes it")]
    pub fn new(spec: ModelSpec, classes: usize, vb: VarBuilder) -> Result<Self> {
        if classes == 0 {
            bail!("{spec}: 0 classes; a network needs at least one")
        }
        if spec.family() == Family::Logits {
            bail!("{spec} are those of a teacher that is not known otherwise: there is no network to build")
        }
        let layers = spec.layers(classes);
        Ok(Self {
            spec,
            classes,
            precision: Precision::F32,
            convolutional: layers.convolutional.iter().map(|layer| Built::new(layer, &vb)).collect::<Result<_>>()?,
            flatten: layers.flatten,
            fully_connected: layers.fully_connected.iter().map(|layer| linear(layer, &vb)).collect::<Result<_>>()?,
        })
    }

    /// The same network for evaluation only. It shares its numbers with this one, also after these change, but prepares
    /// no gradients, so that a forward pass keeps no activations.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self {
            convolutional: self.convolutional.iter().map(Built::frozen).collect(),
            fully_connected: self.fully_connected.iter().map(frozen_linear).collect(),
            ..self.clone()
        }
    }

    /// The same network, computed with this precision; [`Precision::F32`] unless it is told so.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
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
        let mut pixels = Features::new(&images.permute((0, 2, 3, 1))?)?.with_precision(self.precision);
        for layer in &self.convolutional {
            pixels = layer.forward_t(&pixels, train)?;
        }
        let [first, others @ ..] = self.fully_connected.as_slice() else { bail!("{} has no logits", self.spec) };
        let mut vectors = match self.flatten {
            Flatten::Whole => pixels.linear(first)?,
            Flatten::Mean => takd_ops::linear(&pixels.global_avg_pool()?, first, self.precision)?,
        };
        for layer in others {
            vectors = takd_ops::linear(&reference::relu(&vectors)?, layer, self.precision)?;
        }
        Ok(vectors)
    }
}

/// A [`Layer`] with its tensors.
#[derive(Clone, Debug)]
enum Built {
    Conv { conv: ConvBn, pool: Option<MaxPool> },
    Residual { convs: Vec<ConvBn>, projection: Option<ConvBn> },
}

impl Built {
    fn new(layer: &Layer, vb: &VarBuilder) -> Result<Self> {
        Ok(match layer {
            Layer::Conv { conv, pool } => Self::Conv { conv: conv_bn(conv, vb)?, pool: *pool },
            Layer::Residual { convs, shortcut } => Self::Residual {
                convs: convs.iter().map(|conv| conv_bn(conv, vb)).collect::<Result<_>>()?,
                projection: match shortcut {
                    Shortcut::Identity => None,
                    Shortcut::Projection(projection) => Some(conv_bn(projection, vb)?),
                },
            },
        })
    }

    fn forward_t(&self, input: &Features, train: bool) -> Result<Features> {
        match self {
            Self::Conv { conv, pool } => {
                conv.forward_features(input, pool.map_or(Then::Relu, Then::ReluMaxPool), train)
            }
            Self::Residual { convs, projection } => {
                let shortcut = match projection {
                    Some(projection) => projection.forward_features(input, Then::Nothing, train)?,
                    None => input.clone(),
                };
                let [first @ .., last] = convs.as_slice() else { return Ok(shortcut) };
                let mut hidden = input.clone();
                for conv in first {
                    hidden = conv.forward_features(&hidden, Then::Relu, train)?;
                }
                last.forward_features(&hidden, Then::AddRelu(&shortcut), train)
            }
        }
    }

    fn frozen(&self) -> Self {
        match self {
            Self::Conv { conv, pool } => Self::Conv { conv: frozen_conv_bn(conv), pool: *pool },
            Self::Residual { convs, projection } => Self::Residual {
                convs: convs.iter().map(frozen_conv_bn).collect(),
                projection: projection.as_ref().map(frozen_conv_bn),
            },
        }
    }
}

fn conv_bn(layer: &Conv, vb: &VarBuilder) -> Result<ConvBn> {
    let &Conv { kernel, stride, inputs, outputs, .. } = layer;
    let params = Conv2dParams { stride, padding: kernel / 2 };
    let new = match layer.bias {
        Bias::Present => Conv2d::new,
        Bias::Absent => Conv2d::no_bias,
    };
    let conv = new(inputs, outputs, kernel, params, &vb.pp(&layer.name))?;
    Ok(ConvBn { conv, bn: BatchNorm::new(outputs, &vb.pp(&layer.norm))? })
}

/// A fully connected layer initialised as PyTorch's `nn.Linear`: weight and bias uniform in ±1/√inputs.
fn linear(layer: &FullyConnected, vb: &VarBuilder) -> Result<Linear> {
    let &FullyConnected { inputs, outputs, .. } = layer;
    let bound = 1.0 / (inputs as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    let vb = vb.pp(&layer.name);
    let weight = vb.get_with_hints((outputs, inputs), "weight", init)?;
    let bias = vb.get_with_hints(outputs, "bias", init)?;
    Ok(Linear::new(weight, Some(bias)))
}

fn frozen_conv_bn(ConvBn { conv, bn }: &ConvBn) -> ConvBn {
    let bias = conv.bias.as_ref().map(Tensor::detach);
    ConvBn {
        conv: Conv2d { weight: conv.weight.detach(), bias, params: conv.params },
        bn: BatchNorm { weight: bn.weight.detach(), bias: bn.bias.detach(), ..bn.clone() },
    }
}

fn frozen_linear(layer: &Linear) -> Linear {
    Linear::new(layer.weight().detach(), layer.bias().map(Tensor::detach))
}
