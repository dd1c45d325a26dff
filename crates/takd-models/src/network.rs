//! A network of either family behind one type.

use crate::checkpoint::{Layout, difference};
use crate::plain::PlainCnn;
use crate::resnet::Resnet;
use crate::{CheckpointError, Family, ModelSpec, Parameters};
use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, Linear, ModuleT, VarBuilder};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Where `vb` lacks a tensor or holds it in another shape, or `classes` is 0.
    #[expect(clippy::needless_pass_by_value, reason = "as every constructor of candle takes it")]
    pub fn new(spec: ModelSpec, classes: usize, vb: VarBuilder) -> Result<Self> {
        if classes == 0 {
            bail!("{spec}: 0 classes; a network needs at least one")
        }
        let body = match spec.family() {
            Family::Plain => Body::Plain(PlainCnn::new(spec.size(), classes, &vb)?),
            Family::Resnet => Body::Resnet(Resnet::new(spec.size(), classes, &vb)?),
        };
        Ok(Self { spec, classes, body })
    }

    /// The network in a checkpoint, on `device`, with its parameters. The file must hold the network's tensors and no
    /// others, so that another network's checkpoint is never taken for part of it.
    ///
    /// # Errors
    /// Where the file is missing, damaged or another network's.
    pub fn load(
        spec: ModelSpec,
        classes: usize,
        path: &Path,
        device: &Device,
    ) -> std::result::Result<(Self, Parameters), CheckpointError> {
        Self::over(Parameters::load(path)?, spec, classes, path, device)
    }

    /// [`Network::load`] from the bytes of a file, for who has read and checked them; `path` is for errors.
    ///
    /// # Errors
    /// Where they are no whole safetensors file, or another network's.
    pub fn from_safetensors(
        spec: ModelSpec,
        classes: usize,
        (path, bytes): (&Path, &[u8]),
        device: &Device,
    ) -> std::result::Result<(Self, Parameters), CheckpointError> {
        Self::over(Parameters::from_safetensors(path, bytes)?, spec, classes, path, device)
    }

    fn over(
        parameters: Parameters,
        spec: ModelSpec,
        classes: usize,
        path: &Path,
        device: &Device,
    ) -> std::result::Result<(Self, Parameters), CheckpointError> {
        let damaged =
            |error: candle_core::Error| CheckpointError::Damaged { path: path.to_owned(), reason: error.to_string() };
        let found = parameters.checkpoint_layout();
        let expected = layout(spec, classes).map_err(damaged)?;
        if let Some(misfit) = difference(&found, &expected) {
            let holds = recognise(&found).map_err(damaged)?;
            let misfit = Box::new(misfit);
            return Err(CheckpointError::Misfit { path: path.to_owned(), spec, classes, misfit, holds });
        }
        let network = Self::new(spec, classes, parameters.var_builder(device)).map_err(damaged)?;
        Ok((network, parameters))
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

/// Names and shapes of a network's tensors.
fn layout(spec: ModelSpec, classes: usize) -> Result<Layout> {
    let recorder = Recorder::default();
    Network::new(spec, classes, VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu))?;
    let layout = std::mem::take(&mut *recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(layout)
}

/// The network and number of classes with exactly these tensors.
fn recognise(found: &Layout) -> Result<Option<(ModelSpec, usize)>> {
    let logits = ["fc.bias", "fc_layers.2.bias", "fc_layers.0.bias"].iter().find_map(|name| found.get(*name));
    let Some(&[classes]) = logits.map(Vec::as_slice) else { return Ok(None) };
    if classes == 0 {
        return Ok(None);
    }
    for spec in ModelSpec::all() {
        if layout(spec, classes)? == *found {
            return Ok(Some((spec, classes)));
        }
    }
    Ok(None)
}

/// Writes down what a network asks for.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Layout>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), shape.dims().to_vec());
        // One number seen as many: only the shape is asked for.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("`{name}` was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
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
