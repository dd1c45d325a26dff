//! CIFAR ResNets (He et al. 2016, section 4.2): three stages of basic blocks at 16, 32 and 64 channels, with 1×1
//! convolutions as shortcuts where the shape changes.

use crate::layers::{Bias, Conv, Flatten, FullyConnected, Layer, Layers, Shortcut};

/// The layers for images of `side` x `side`. Their parameters are the same for every side.
pub(crate) fn layers(depth: usize, classes: usize, side: usize) -> Layers {
    let blocks_per_stage = (depth - 2) / 6;
    let bias = Bias::Absent;
    let (name, norm) = ("conv1".to_owned(), "bn1".to_owned());
    let stem = Conv { name, norm, kernel: 3, stride: 1, inputs: 3, outputs: 16, bias, side };
    let mut convolutional = vec![Layer::Conv { conv: stem, pool: None }];
    let mut channels = 16;
    for (stage, outputs, side) in [(1, 16, side), (2, 32, side.div_ceil(2)), (3, 64, side.div_ceil(4))] {
        for block in 0..blocks_per_stage {
            let conv = |name: &str, norm: &str, kernel, inputs, stride| {
                let [name, norm] = [name, norm].map(|part| format!("layer{stage}.{block}.{part}"));
                Conv { name, norm, kernel, stride, inputs, outputs, bias, side }
            };
            // The first block of a stage has more channels than its input, and all but the first stage halve the side.
            let stride = if channels == outputs { 1 } else { 2 };
            let shortcut = if channels == outputs {
                Shortcut::Identity
            } else {
                Shortcut::Projection(conv("downsample.0", "downsample.1", 1, channels, stride))
            };
            let convs = vec![conv("conv1", "bn1", 3, channels, stride), conv("conv2", "bn2", 3, outputs, 1)];
            convolutional.push(Layer::Residual { convs, shortcut });
            channels = outputs;
        }
    }
    let logits = FullyConnected { name: "fc".to_owned(), inputs: channels, outputs: classes };
    Layers { convolutional, flatten: Flatten::Mean, fully_connected: vec![logits] }
}
