//! The networks, their training step, and the least work that such a step is.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, VarBuilder, VarMap};
use std::sync::PoisonError;
use std::time::Instant;
use takd_ops::{
    BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, MaxPool, SgdParams, SgdUpdate, Then, backward, sgd_step,
};

const SGD: SgdParams = SgdParams { lr: 0.01, momentum: 0.9, nesterov: false };
const WEIGHT_DECAY: f64 = 1e-4;

/// What a network is given: images of CIFAR's size, or of ImageNet's.
#[derive(Clone, Copy)]
pub struct Images {
    /// Images a step.
    pub batch: usize,
    pub side: usize,
    pub classes: usize,
}

impl Images {
    pub fn of(network: &str) -> Self {
        if network.starts_with("imagenet") {
            Self { batch: 32, side: 224, classes: 1000 }
        } else {
            Self { batch: 128, side: 32, classes: 10 }
        }
    }
}

enum Layer {
    Conv(ConvBn, Option<MaxPool>),
    /// Convolutions with a ReLU between two of them, and a shortcut.
    Block(Vec<ConvBn>, Option<ConvBn>),
}

struct Network {
    layers: Vec<Layer>,
    /// Whether the first fully connected layer sees the mean of the pixels, or all of them.
    mean: bool,
    fc: Vec<Linear>,
}

fn conv_bn(c_in: usize, c_out: usize, kernel: usize, stride: usize, bias: bool, vb: &VarBuilder) -> Result<ConvBn> {
    let params = Conv2dParams { stride, padding: kernel / 2 };
    let new = if bias { Conv2d::new } else { Conv2d::no_bias };
    Ok(ConvBn { conv: new(c_in, c_out, kernel, params, &vb.pp("conv"))?, bn: BatchNorm::new(c_out, &vb.pp("bn"))? })
}

/// Stages of blocks, each of convolutions `[kernel, outputs]`; `stride` of them is the one of the first block's that halves the side.
fn resnet(
    stem: (ConvBn, Option<MaxPool>),
    stages: &[(usize, Vec<[usize; 2]>)],
    stride_of: usize,
    classes: usize,
    vb: &VarBuilder,
) -> Result<Network> {
    let mut channels = stem.0.conv.weight.dim(0)?;
    let mut layers = vec![Layer::Conv(stem.0, stem.1)];
    for (stage, (blocks, convs)) in stages.iter().enumerate() {
        for block in 0..*blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let vb = vb.pp(format!("{stage}.{block}"));
            let (mut built, mut c_in) = (Vec::new(), channels);
            for (i, &[kernel, c_out]) in convs.iter().enumerate() {
                let stride = if i == stride_of { stride } else { 1 };
                built.push(conv_bn(c_in, c_out, kernel, stride, false, &vb.pp(i))?);
                c_in = c_out;
            }
            let projection = (stride == 2 || c_in != channels)
                .then(|| conv_bn(channels, c_in, 1, stride, false, &vb.pp("projection")))
                .transpose()?;
            layers.push(Layer::Block(built, projection));
            channels = c_in;
        }
    }
    let fc = vec![candle_nn::linear(channels, classes, vb.pp("fc"))?];
    Ok(Network { layers, mean: true, fc })
}

fn build(name: &str, Images { side, classes, .. }: Images, vb: &VarBuilder) -> Result<Network> {
    if let Some(depth) = name.strip_prefix("imagenet-resnet").and_then(|depth| depth.parse::<usize>().ok()) {
        let blocks = match depth {
            14 => [1, 1, 1, 1],
            20 => [1, 2, 2, 1],
            26 => [2, 2, 2, 2],
            50 => [3, 4, 6, 3],
            _ => candle_core::bail!("no network {name}: imagenet-resnet14, 20, 26 or 50"),
        };
        let bottleneck = |width: usize| vec![[1, width], [3, width], [1, 4 * width]];
        let stages: Vec<_> = blocks.into_iter().zip([64, 128, 256, 512].map(bottleneck)).collect();
        let stem = conv_bn(3, 64, 7, 2, false, &vb.pp("stem"))?;
        return resnet((stem, Some(MaxPool::Three)), &stages, 1, classes, vb);
    }
    if let Some(depth) = name.strip_prefix("resnet").and_then(|depth| depth.parse::<usize>().ok()) {
        let stages = [16, 32, 64].map(|width| ((depth - 2) / 6, vec![[3, width]; 2]));
        return resnet((conv_bn(3, 16, 3, 1, false, &vb.pp("stem"))?, None), &stages, 0, classes, vb);
    }
    let (groups, hidden): (&[&[usize]], _) = match name {
        "plane2" => (&[&[16], &[16]], None),
        "plane4" => (&[&[16, 16], &[32, 32]], None),
        "plane10" => (&[&[32, 32], &[64, 64], &[128, 128], &[256; 4]], Some(128)),
        _ => candle_core::bail!("no network {name}: plane2, plane4, plane10, resnet8, … or imagenet-resnet14, …"),
    };
    let (mut layers, mut channels, mut side) = (Vec::new(), 3, side);
    for group in groups {
        for (i, &width) in group.iter().enumerate() {
            let pool = (i + 1 == group.len()).then_some(MaxPool::Two);
            layers.push(Layer::Conv(conv_bn(channels, width, 3, 1, true, &vb.pp(layers.len()))?, pool));
            channels = width;
        }
        side /= 2;
    }
    let features = channels * side * side;
    let fc = match hidden {
        Some(hidden) => {
            vec![candle_nn::linear(features, hidden, vb.pp("fc1"))?, candle_nn::linear(hidden, classes, vb.pp("fc2"))?]
        }
        None => vec![candle_nn::linear(features, classes, vb.pp("fc"))?],
    };
    Ok(Network { layers, mean: false, fc })
}

impl Network {
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut features = Features::new(images)?;
        for layer in &self.layers {
            features = match layer {
                Layer::Conv(conv, pool) => {
                    conv.forward_features(&features, pool.map_or(Then::Relu, Then::ReluMaxPool), train)?
                }
                Layer::Block(convs, projection) => {
                    let shortcut = match projection {
                        Some(projection) => projection.forward_features(&features, Then::Nothing, train)?,
                        None => features.clone(),
                    };
                    for conv in &convs[..convs.len() - 1] {
                        features = conv.forward_features(&features, Then::Relu, train)?;
                    }
                    convs[convs.len() - 1].forward_features(&features, Then::AddRelu(&shortcut), train)?
                }
            };
        }
        let mut flat = match self.mean {
            true => self.fc[0].forward(&features.global_avg_pool()?)?,
            false => features.linear(&self.fc[0])?,
        };
        for fc in &self.fc[1..] {
            flat = fc.forward(&flat.relu()?)?;
        }
        Ok(flat)
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
    fn work(&self, side: usize, train: bool) -> Result<Vec<LayerWork>> {
        let (mut work, mut side) = (Vec::new(), side);
        for layer in &self.layers {
            match layer {
                Layer::Conv(conv, pool) => {
                    let mut layer = LayerWork::conv(conv, side)?;
                    side = side.div_ceil(conv.conv.params.stride);
                    if let Some(pool) = pool {
                        side = pool.outputs(side);
                        // In training the batch's statistics come before the pool, so that all must be written.
                        layer.output /= if train { 1 } else { 4 };
                    }
                    work.push(layer);
                }
                Layer::Block(convs, projection) => {
                    if let Some(projection) = projection {
                        work.push(LayerWork::conv(projection, side)?);
                    }
                    for conv in convs {
                        work.push(LayerWork::conv(conv, side)?);
                        side = side.div_ceil(conv.conv.params.stride);
                    }
                    // The residual.
                    if let Some(last) = work.last_mut() {
                        last.inputs += last.output;
                    }
                }
            }
        }
        for fc in &self.fc {
            work.push(LayerWork::linear(fc)?);
        }
        Ok(work)
    }
}

/// A network, its parameters with their momentum, and a batch: steps of training or evaluations.
pub struct Task {
    train: bool,
    network: Network,
    of: Images,
    vars: Vec<(Var, Var)>,
    images: Tensor,
    labels: Tensor,
}

impl Task {
    pub fn new(name: &str, train: bool, device: &Device) -> Result<Self> {
        let varmap = VarMap::new();
        let of = Images::of(name);
        let mut network = build(name, of, &VarBuilder::from_varmap(&varmap, DType::F32, device))?;
        let vars = varmap.all_vars();
        if !train {
            // As a teacher is evaluated: nothing is kept for a backward pass, in PyTorch neither.
            let tensors = varmap.data().lock().unwrap_or_else(PoisonError::into_inner);
            let detached = tensors.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
            network = build(name, of, &VarBuilder::from_tensors(detached, DType::F32, device))?;
        }
        let with_momentum = |var: Var| Ok((var.clone(), Var::from_tensor(&var.zeros_like()?)?));
        let vars = vars.into_iter().filter(|var| train && var.dtype() == DType::F32).map(with_momentum);
        let images = Tensor::randn(0f32, 1., (of.batch, of.side, of.side, 3), device)?;
        let labels = Tensor::from_iter((0..of.batch as u32).map(|i| i % 10), device)?;
        Ok(Self { train, network, of, vars: vars.collect::<Result<_>>()?, images, labels })
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
        for (i, layer) in self.network.work(self.of.side, self.train)?.iter().enumerate() {
            let passes = match (self.train, i) {
                (false, _) => 1,
                (true, 0) => 2,
                (true, _) => 3,
            };
            products += passes * layer.products;
            numbers += passes * layer.inputs + if self.train { 3 } else { 1 } * layer.output;
        }
        let batch = self.of.batch;
        Ok(Work { flop: (2 * batch * products) as f64, bytes: (size_of::<f32>() * batch * numbers) as f64 })
    }
}
