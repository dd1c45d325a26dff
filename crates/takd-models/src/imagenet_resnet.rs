//! ResNets for ImageNet (He et al. 2016, table 1) in torchvision's layout: a 7×7 convolution and a max-pool, then four stages of basic
//! blocks or bottlenecks. A bottleneck that halves the side does so in its 3×3 convolution, as torchvision's, not in its first as
//! the paper's.

use crate::layers::{Bias, Conv, Flatten, FullyConnected, Layer, Layers, Shortcut};
use takd_ops::MaxPool;

/// What a stage is made of.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1 to a quarter of the channels, 3×3, 1×1 back.
    Bottleneck,
}

/// The blocks of each stage. Those of 14, 20 and 26 are not torchvision's: 1 + 3 · blocks + 1 layers of bottlenecks, as arXiv
/// 1902.03393 has them for its Table 1.
fn stages(depth: usize) -> (Block, [usize; 4]) {
    match depth {
        14 => (Block::Bottleneck, [1, 1, 1, 1]),
        18 => (Block::Basic, [2, 2, 2, 2]),
        20 => (Block::Bottleneck, [1, 2, 2, 1]),
        26 => (Block::Bottleneck, [2, 2, 2, 2]),
        34 => (Block::Basic, [3, 4, 6, 3]),
        50 => (Block::Bottleneck, [3, 4, 6, 3]),
        101 => (Block::Bottleneck, [3, 4, 23, 3]),
        other => unreachable!("no network is called imagenet-resnet{other}"),
    }
}

/// The layers for images of `side` x `side`. Their parameters are the same for every side.
pub(crate) fn layers(depth: usize, classes: usize, side: usize) -> Layers {
    let (block, blocks) = stages(depth);
    let bias = Bias::Absent;
    let (name, norm) = ("conv1".to_owned(), "bn1".to_owned());
    let mut side = side.div_ceil(2);
    let stem = Conv { name, norm, kernel: 7, stride: 2, inputs: 3, outputs: 64, bias, side };
    let mut convolutional = vec![Layer::Conv { conv: stem, pool: Some(MaxPool::Three) }];
    side = MaxPool::Three.outputs(side);
    let mut channels = 64;
    for (stage, (width, count)) in [64, 128, 256, 512].into_iter().zip(blocks).enumerate() {
        let outputs = if block == Block::Basic { width } else { 4 * width };
        for index in 0..count {
            // The first block of all stages but the first halves the side.
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let (before, after) = (side, side.div_ceil(stride));
            side = after;
            let conv = |name: &str, norm: &str, kernel, [inputs, outputs]: [usize; 2], stride, side| {
                let [name, norm] = [name, norm].map(|part| format!("layer{}.{index}.{part}", stage + 1));
                Conv { name, norm, kernel, stride, inputs, outputs, bias, side }
            };
            let convs = match block {
                Block::Basic => vec![
                    conv("conv1", "bn1", 3, [channels, width], stride, after),
                    conv("conv2", "bn2", 3, [width, width], 1, after),
                ],
                Block::Bottleneck => vec![
                    conv("conv1", "bn1", 1, [channels, width], 1, before),
                    conv("conv2", "bn2", 3, [width, width], stride, after),
                    conv("conv3", "bn3", 1, [width, outputs], 1, after),
                ],
            };
            let shortcut = if stride == 1 && channels == outputs {
                Shortcut::Identity
            } else {
                Shortcut::Projection(conv("downsample.0", "downsample.1", 1, [channels, outputs], stride, after))
            };
            convolutional.push(Layer::Residual { convs, shortcut });
            channels = outputs;
        }
    }
    let logits = FullyConnected { name: "fc".to_owned(), inputs: channels, outputs: classes };
    Layers { convolutional, flatten: Flatten::Mean, fully_connected: vec![logits] }
}
