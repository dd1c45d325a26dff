//! The networks, their training step, and the least work that such a step is.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, VarBuilder, VarMap};
use std::sync::PoisonError;
use std::time::Instant;
use takd_ops::{
    BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, MaxPool, SgdParams, SgdUpdate, Then, backward, sgd_step,
};

/// Images a step.
pub const BATCH: usize = 128;
const SIDE: usize = 32;
const SGD: SgdParams = SgdParams { lr: 0.01, momentum: 0.9, nesterov: false };
const WEIGHT_DECAY: f64 = 1e-4;

struct Block {
    first: ConvBn,
    second: ConvBn,
    projection: Option<ConvBn>,
}

enum Network {
    /// Layers, each with or without pool; fully connected layers.
    Plain(Vec<(ConvBn, bool)>, Vec<Linear>),
    Resnet(ConvBn, Vec<Block>, Linear),
}

fn conv_bn(c_in: usize, c_out: usize, kernel: usize, stride: usize, bias: bool, vb: &VarBuilder) -> Result<ConvBn> {
    let params = Conv2dParams { stride, padding: kernel / 2 };
    let new = if bias { Conv2d::new } else { Conv2d::no_bias };
    Ok(ConvBn { conv: new(c_in, c_out, kernel, params, &vb.pp("conv"))?, bn: BatchNorm::new(c_out, &vb.pp("bn"))? })
}

fn build(name: &str, vb: &VarBuilder) -> Result<Network> {
    if let Some(depth) = name.strip_prefix("resnet").and_then(|depth| depth.parse::<usize>().ok()) {
        let mut blocks = Vec::new();
        let mut channels = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for i in 0..(depth - 2) / 6 {
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let vb = vb.pp(format!("{stage}.{i}"));
                let projection = if stride == 2 {
                    Some(conv_bn(channels, width, 1, stride, false, &vb.pp("projection"))?)
                } else {
                    None
                };
                blocks.push(Block {
                    first: conv_bn(channels, width, 3, stride, false, &vb.pp("first"))?,
                    second: conv_bn(width, width, 3, 1, false, &vb.pp("second"))?,
                    projection,
                });
                channels = width;
            }
        }
        let fc = candle_nn::linear(64, 10, vb.pp("fc"))?;
        return Ok(Network::Resnet(conv_bn(3, 16, 3, 1, false, &vb.pp("stem"))?, blocks, fc));
    }
    let (groups, hidden): (&[&[usize]], _) = match name {
        "plane2" => (&[&[16], &[16]], None),
        "plane4" => (&[&[16, 16], &[32, 32]], None),
        "plane10" => (&[&[32, 32], &[64, 64], &[128, 128], &[256; 4]], Some(128)),
        _ => candle_core::bail!("no network {name}: plane2, plane4, plane10 or resnet8, resnet14, …"),
    };
    let (mut layers, mut channels, mut side) = (Vec::new(), 3, SIDE);
    for group in groups {
        for (i, &width) in group.iter().enumerate() {
            layers.push((conv_bn(channels, width, 3, 1, true, &vb.pp(layers.len()))?, i + 1 == group.len()));
            channels = width;
        }
        side /= 2;
    }
    let features = channels * side * side;
    let fc = match hidden {
        Some(hidden) => {
            vec![candle_nn::linear(features, hidden, vb.pp("fc1"))?, candle_nn::linear(hidden, 10, vb.pp("fc2"))?]
        }
        None => vec![candle_nn::linear(features, 10, vb.pp("fc"))?],
    };
    Ok(Network::Plain(layers, fc))
}

impl Network {
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut features = Features::new(images)?;
        match self {
            Self::Plain(layers, fc) => {
                for (layer, pool) in layers {
                    let then = if *pool { Then::ReluMaxPool(MaxPool::Two) } else { Then::Relu };
                    features = layer.forward_features(&features, then, train)?;
                }
                let mut flat = features.linear(&fc[0])?;
                for fc in &fc[1..] {
                    flat = fc.forward(&flat.relu()?)?;
                }
                Ok(flat)
            }
            Self::Resnet(stem, blocks, fc) => {
                features = stem.forward_features(&features, Then::Relu, train)?;
                for block in blocks {
                    let shortcut = match &block.projection {
                        Some(projection) => projection.forward_features(&features, Then::Nothing, train)?,
                        None => features.clone(),
                    };
                    let hidden = block.first.forward_features(&features, Then::Relu, train)?;
                    features = block.second.forward_features(&hidden, Then::AddRelu(&shortcut), train)?;
                }
                fc.forward(&features.global_avg_pool()?)
            }
        }
    }
}

/// The least that a layer does for one image: multiplications of a direct sum, numbers read and written.
struct LayerWork {
    products: usize,
    inputs: usize,
    output: usize,
}

impl LayerWork {
    fn conv(layer: &ConvBn, side: usize) -> Result<Self> {
        let (c_out, c_in, kernel, _) = layer.conv.weight.dims4()?;
        let places = side.div_ceil(layer.conv.params.stride).pow(2);
        let taps = kernel * kernel;
        let inputs = c_in * side.pow(2).min(places * taps);
        Ok(Self { products: places * taps * c_in * c_out, inputs, output: places * c_out })
    }

    fn linear(layer: &Linear) -> Result<Self> {
        let (output, inputs) = layer.weight().dims2()?;
        Ok(Self { products: inputs * output, inputs, output })
    }
}

/// The least work of a step.
pub struct Work {
    /// Multiplications and additions of the convolutions and linear layers as direct sums.
    pub flop: f64,
    /// Bytes of the layers' inputs and outputs that are read and written. Weights are left out: they stay in the cache.
    pub bytes: f64,
}

impl Network {
    fn layers(&self, train: bool) -> Result<Vec<LayerWork>> {
        let (mut layers, mut side) = (Vec::new(), SIDE);
        match self {
            Self::Plain(convs, fc) => {
                for (conv, pool) in convs {
                    let mut layer = LayerWork::conv(conv, side)?;
                    if *pool {
                        side /= 2;
                        // In training the batch's statistics come before the pool, so that all must be written.
                        layer.output /= if train { 1 } else { 4 };
                    }
                    layers.push(layer);
                }
                for fc in fc {
                    layers.push(LayerWork::linear(fc)?);
                }
            }
            Self::Resnet(stem, blocks, fc) => {
                layers.push(LayerWork::conv(stem, side)?);
                for block in blocks {
                    if let Some(projection) = &block.projection {
                        layers.push(LayerWork::conv(projection, side)?);
                    }
                    layers.push(LayerWork::conv(&block.first, side)?);
                    side /= block.first.conv.params.stride;
                    let mut second = LayerWork::conv(&block.second, side)?;
                    // The residual.
                    second.inputs += second.output;
                    layers.push(second);
                }
                layers.push(LayerWork::linear(fc)?);
            }
        }
        Ok(layers)
    }
}

/// A network, its parameters with their momentum, and a batch: steps of training or evaluations.
pub struct Task {
    train: bool,
    network: Network,
    vars: Vec<(Var, Var)>,
    images: Tensor,
    labels: Tensor,
}

impl Task {
    pub fn new(name: &str, train: bool, device: &Device) -> Result<Self> {
        let varmap = VarMap::new();
        let mut network = build(name, &VarBuilder::from_varmap(&varmap, DType::F32, device))?;
        let vars = varmap.all_vars();
        if !train {
            // As a teacher is evaluated: nothing is kept for a backward pass, in PyTorch neither.
            let tensors = varmap.data().lock().unwrap_or_else(PoisonError::into_inner);
            let detached = tensors.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
            network = build(name, &VarBuilder::from_tensors(detached, DType::F32, device))?;
        }
        let with_momentum = |var: Var| Ok((var.clone(), Var::from_tensor(&var.zeros_like()?)?));
        let vars = vars.into_iter().filter(|var| train && var.dtype() == DType::F32).map(with_momentum);
        let images = Tensor::randn(0f32, 1., (BATCH, SIDE, SIDE, 3), device)?;
        let labels = Tensor::from_iter((0..BATCH as u32).map(|i| i % 10), device)?;
        Ok(Self { train, network, vars: vars.collect::<Result<_>>()?, images, labels })
    }

    fn step(&self) -> Result<()> {
        let logits = self.network.forward(&self.images, self.train)?;
        if !self.train {
            return Ok(());
        }
        let grads = backward(&candle_nn::loss::cross_entropy(&logits, &self.labels)?)?;
        let updates = self.vars.iter().filter_map(|(param, momentum_buffer)| {
            let grad = grads.get(param)?;
            Some(SgdUpdate { param, grad, momentum_buffer, weight_decay: WEIGHT_DECAY })
        });
        sgd_step(&updates.collect::<Vec<_>>(), SGD)?;
        Ok(())
    }

    /// Milliseconds of each of `steps` steps, after one that does not count; on a GPU, on which nothing waits for a single step,
    /// their mean.
    pub fn times(&self, steps: usize) -> Result<Vec<f64>> {
        let device = self.images.device();
        let timed = |steps: usize| {
            let start = Instant::now();
            for _ in 0..steps {
                self.step()?;
            }
            device.synchronize()?;
            Ok(1000.0 * start.elapsed().as_secs_f64() / steps as f64)
        };
        timed(1)?;
        if device.is_cpu() { (0..steps).map(|_| timed(1)).collect() } else { Ok(vec![timed(steps)?]) }
    }

    /// The least work of a step.
    ///
    /// A forward pass reads each layer's inputs once and writes its output once. A backward pass reads both again, reads the
    /// output's gradient, and writes those of the inputs; its products are as many for the weights' gradient and for
    /// the inputs'. Images need no gradient.
    pub fn work(&self) -> Result<Work> {
        let (mut products, mut numbers) = (0, 0);
        for (i, layer) in self.network.layers(self.train)?.iter().enumerate() {
            let passes = match (self.train, i) {
                (false, _) => 1,
                (true, 0) => 2,
                (true, _) => 3,
            };
            products += passes * layer.products;
            numbers += passes * layer.inputs + if self.train { 3 } else { 1 } * layer.output;
        }
        Ok(Work { flop: (2 * BATCH * products) as f64, bytes: (size_of::<f32>() * BATCH * numbers) as f64 })
    }
}
