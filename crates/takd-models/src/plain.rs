//! The plain CNNs of section 4 of the paper: 3×3 convolutions with batch normalisation and ReLU, max-pools, fully
//! connected layers.

use crate::network::linear;
use candle_core::{Module, Result, Tensor};
use candle_nn::{Linear, VarBuilder};
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, Then, reference};

const SAME: Conv2dParams = Conv2dParams { stride: 1, padding: 1 };
const INPUT_SIZE: usize = 32;

/// What one network is made of.
struct Plan {
    /// Channels of the convolutions, in groups with a 2×2 max-pool after each.
    groups: &'static [&'static [usize]],
    /// Whether the last group has its pool too.
    last_pool: LastPool,
    /// Width of the fully connected layer before the logits.
    hidden: Option<usize>,
}

#[derive(PartialEq)]
enum LastPool {
    Kept,
    Absent,
}

fn plan(size: usize, classes: usize) -> Plan {
    let (groups, hidden): (&[&[usize]], _) = match (size, classes <= 10) {
        (2, true) => (&[&[16], &[16]], None),
        (2, false) => (&[&[32], &[32]], None),
        (4, true) => (&[&[16, 16], &[32, 32]], None),
        (4, false) => (&[&[32, 32], &[64, 64]], None),
        (6, true) => (&[&[16, 16], &[32, 32], &[64, 64]], None),
        (6, false) => (&[&[32, 32], &[64, 64], &[128, 128]], None),
        (8, true) => (&[&[16, 16], &[32, 32], &[64, 64], &[128, 128]], Some(64)),
        (8, false) => (&[&[32, 32], &[64, 64], &[128, 128], &[256, 256]], Some(64)),
        (10, few) => (&[&[32, 32], &[64, 64], &[128, 128], &[256; 4]], Some(if few { 128 } else { 512 })),
        (other, _) => unreachable!("ModelSpec admits no plane{other}"),
    };
    let last_pool = if size == 6 && classes > 10 { LastPool::Absent } else { LastPool::Kept };
    Plan { groups, last_pool, hidden }
}

/// Multiply-adds of one image's forward pass.
pub(crate) fn multiply_adds(size: usize, classes: usize) -> usize {
    let plan = plan(size, classes);
    let (mut channels, mut side, mut count) = (3, INPUT_SIZE, 0);
    for (g, group) in plan.groups.iter().enumerate() {
        for &width in *group {
            count += 9 * channels * width * side * side;
            channels = width;
        }
        if g + 1 < plan.groups.len() || plan.last_pool == LastPool::Kept {
            side /= 2;
        }
    }
    let features = channels * side * side;
    count + plan.hidden.map_or(features * classes, |hidden| features * hidden + hidden * classes)
}

/// A convolution layer and whether a max-pool follows it.
#[derive(Clone, Debug)]
struct Stage {
    layer: ConvBn,
    pool: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct PlainCnn {
    stages: Vec<Stage>,
    hidden: Option<Linear>,
    logits: Linear,
}

impl PlainCnn {
    pub(crate) fn new(size: usize, classes: usize, vb: &VarBuilder) -> Result<Self> {
        let plan = plan(size, classes);
        let layers = vb.pp("conv_layers");
        let mut stages = Vec::new();
        // Convolution, normalisation, ReLU and pool are numbered as in the published `nn.Sequential`.
        let mut index = 0;
        let (mut channels, mut side) = (3, INPUT_SIZE);
        for (g, group) in plan.groups.iter().enumerate() {
            for (i, &width) in group.iter().enumerate() {
                let conv = Conv2d::new(channels, width, 3, SAME, &layers.pp(index))?;
                let bn = BatchNorm::new(width, &layers.pp(index + 1))?;
                let last_of_all = g + 1 == plan.groups.len() && plan.last_pool == LastPool::Absent;
                let pool = i + 1 == group.len() && !last_of_all;
                stages.push(Stage { layer: ConvBn { conv, bn }, pool });
                channels = width;
                index += 3;
                if pool {
                    side /= 2;
                    index += 1;
                }
            }
        }
        let fc = vb.pp("fc_layers");
        let features = channels * side * side;
        let (hidden, logits) = match plan.hidden {
            Some(width) => (Some(linear(features, width, &fc.pp(0))?), linear(width, classes, &fc.pp(2))?),
            None => (None, linear(features, classes, &fc.pp(0))?),
        };
        Ok(Self { stages, hidden, logits })
    }

    /// `[batch, 32, 32, 3]` to `[batch, classes]`.
    pub(crate) fn forward_t(&self, images: Features, train: bool) -> Result<Tensor> {
        let mut features = images;
        for Stage { layer, pool } in &self.stages {
            let then = if *pool { Then::ReluMaxPool } else { Then::Relu };
            features = layer.forward_features(&features, then, train)?;
        }
        match &self.hidden {
            Some(hidden) => self.logits.forward(&reference::relu(&features.linear(hidden)?)?),
            None => features.linear(&self.logits),
        }
    }
}
