//! The plain CNNs of section 4 of the paper: 3×3 convolutions with batch normalisation and ReLU, max-pools, fully
//! connected layers.

use crate::Width::{self, Narrow, Wide};
use crate::layers::{Bias, Conv, Flatten, FullyConnected, Layer, Layers};
use takd_ops::MaxPool;

/// The side of the images that these networks are made for: those of CIFAR.
pub(crate) const SIDE: usize = 32;

/// One entry of the paper's table.
#[derive(PartialEq)]
enum Step {
    /// Convolution to so many channels.
    C(usize),
    /// Max-pool.
    M,
    /// Fully connected layer before that of the logits.
    FC(usize),
}

/// The paper's table, without the last fully connected layer: that gives the logits.
fn table(size: usize, width: Width) -> &'static [Step] {
    use Step::{C, FC, M};
    match (size, width) {
        (2, Narrow) => &[C(16), M, C(16), M],
        (2, Wide) => &[C(32), M, C(32), M],
        (4, Narrow) => &[C(16), C(16), M, C(32), C(32), M],
        (4, Wide) => &[C(32), C(32), M, C(64), C(64), M],
        (6, Narrow) => &[C(16), C(16), M, C(32), C(32), M, C(64), C(64), M],
        (6, Wide) => &[C(32), C(32), M, C(64), C(64), M, C(128), C(128)],
        (8, Narrow) => &[C(16), C(16), M, C(32), C(32), M, C(64), C(64), M, C(128), C(128), M, FC(64)],
        (8, Wide) => &[C(32), C(32), M, C(64), C(64), M, C(128), C(128), M, C(256), C(256), M, FC(64)],
        (10, Narrow) => {
            &[C(32), C(32), M, C(64), C(64), M, C(128), C(128), M, C(256), C(256), C(256), C(256), M, FC(128)]
        }
        (10, Wide) => {
            &[C(32), C(32), M, C(64), C(64), M, C(128), C(128), M, C(256), C(256), C(256), C(256), M, FC(512)]
        }
        (other, _) => unreachable!("no network is called plane{other}"),
    }
}

pub(crate) fn layers(size: usize, width: Width, classes: usize) -> Layers {
    let mut convolutional = Vec::new();
    let mut fully_connected = Vec::new();
    let (mut channels, mut side) = (3, SIDE);
    // Convolution, normalisation, ReLU and max-pool are numbered as in the published `nn.Sequential`.
    let mut number = 0;
    let steps = table(size, width);
    for (i, step) in steps.iter().enumerate() {
        match *step {
            Step::C(outputs) => {
                let conv = Conv {
                    name: format!("conv_layers.{number}"),
                    norm: format!("conv_layers.{}", number + 1),
                    kernel: 3,
                    stride: 1,
                    inputs: channels,
                    outputs,
                    bias: Bias::Present,
                    side,
                };
                let pool = (steps.get(i + 1) == Some(&Step::M)).then_some(MaxPool::Two);
                convolutional.push(Layer::Conv { conv, pool });
                channels = outputs;
                number += 3;
            }
            Step::M => {
                side /= 2;
                number += 1;
            }
            Step::FC(outputs) => {
                fully_connected.push(linear(0, channels * side * side, outputs));
                // Its output is as one pixel.
                (channels, side) = (outputs, 1);
            }
        }
    }
    fully_connected.push(linear(2 * fully_connected.len(), channels * side * side, classes));
    Layers { convolutional, flatten: Flatten::Whole, fully_connected }
}

/// Fully connected layers are numbered as in the published code too, with a ReLU after each.
fn linear(number: usize, inputs: usize, outputs: usize) -> FullyConnected {
    FullyConnected { name: format!("fc_layers.{number}"), inputs, outputs }
}
