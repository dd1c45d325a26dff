//! CIFAR ResNets (He et al. 2016, section 4.2): three stages of basic blocks at 16, 32 and 64 channels, with 1×1
//! convolution shortcuts where the shape changes.

use crate::network::linear;
use candle_core::{Module, Result, Tensor};
use candle_nn::{Linear, VarBuilder};
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, Then};

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Clone, Debug)]
struct BasicBlock {
    first: ConvBn,
    second: ConvBn,
    /// Absent where the block keeps the shape: the input itself is added.
    projection: Option<ConvBn>,
}

impl BasicBlock {
    fn new(c_in: usize, c_out: usize, stride: usize, vb: &VarBuilder) -> Result<Self> {
        let first = conv_bn(c_in, c_out, 3, stride, &vb.pp("conv1"), &vb.pp("bn1"))?;
        let second = conv_bn(c_out, c_out, 3, 1, &vb.pp("conv2"), &vb.pp("bn2"))?;
        let projection = if stride != 1 || c_in != c_out {
            Some(conv_bn(c_in, c_out, 1, stride, &vb.pp("downsample.0"), &vb.pp("downsample.1"))?)
        } else {
            None
        };
        Ok(Self { first, second, projection })
    }

    fn forward_t(&self, input: &Features, train: bool) -> Result<Features> {
        let shortcut = match &self.projection {
            Some(projection) => projection.forward_features(input, Then::Nothing, train)?,
            None => input.clone(),
        };
        let hidden = self.first.forward_features(input, Then::Relu, train)?;
        self.second.forward_features(&hidden, Then::AddRelu(&shortcut), train)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Resnet {
    stem: ConvBn,
    blocks: Vec<BasicBlock>,
    fc: Linear,
}

impl Resnet {
    pub(crate) fn new(depth: usize, classes: usize, vb: &VarBuilder) -> Result<Self> {
        let blocks_per_stage = (depth - 2) / 6;
        let stem = conv_bn(3, 16, 3, 1, &vb.pp("conv1"), &vb.pp("bn1"))?;
        let mut blocks = Vec::with_capacity(3 * blocks_per_stage);
        let mut channels = 16;
        for (stage, width) in [(1, 16), (2, 32), (3, 64)] {
            for i in 0..blocks_per_stage {
                let stride = if i == 0 && stage > 1 { 2 } else { 1 };
                blocks.push(BasicBlock::new(channels, width, stride, &vb.pp(format!("layer{stage}.{i}")))?);
                channels = width;
            }
        }
        Ok(Self { stem, blocks, fc: linear(channels, classes, &vb.pp("fc"))? })
    }

    /// `[batch, 32, 32, 3]` to `[batch, classes]`.
    pub(crate) fn forward_t(&self, images: &Features, train: bool) -> Result<Tensor> {
        let mut features = self.stem.forward_features(images, Then::Relu, train)?;
        for block in &self.blocks {
            features = block.forward_t(&features, train)?;
        }
        self.fc.forward(&features.global_avg_pool()?)
    }
}

/// Multiply-adds of one image's forward pass.
pub(crate) fn multiply_adds(depth: usize, classes: usize) -> usize {
    let blocks_per_stage = (depth - 2) / 6;
    let mut count = 9 * 3 * 16 * 32 * 32;
    let mut channels = 16;
    for (width, side) in [(16, 32), (32, 16), (64, 8)] {
        let pixels = side * side;
        for _ in 0..blocks_per_stage {
            let projection = if channels == width { 0 } else { channels * width };
            count += (9 * channels * width + 9 * width * width + projection) * pixels;
            channels = width;
        }
    }
    count + channels * classes
}

/// A square convolution without bias that keeps the size (but for its stride), and its normalisation.
fn conv_bn(
    c_in: usize,
    c_out: usize,
    kernel: usize,
    stride: usize,
    conv: &VarBuilder,
    bn: &VarBuilder,
) -> Result<ConvBn> {
    let params = Conv2dParams { stride, padding: kernel / 2 };
    Ok(ConvBn { conv: Conv2d::no_bias(c_in, c_out, kernel, params, conv)?, bn: BatchNorm::new(c_out, bn)? })
}
