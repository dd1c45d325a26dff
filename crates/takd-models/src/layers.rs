//! What a network is made of, as data: the one list of layers from which follow the network that runs, what it costs, and
//! the names and shapes of its tensors.

use std::collections::BTreeMap;
use takd_ops::MaxPool;

/// The layers of a network in the order in which an image passes them.
pub struct Layers {
    /// `[batch, side, side, 3]` to `[batch, side', side', channels]`.
    pub convolutional: Vec<Layer>,
    /// From pixels to one vector an image, `[batch, features]`.
    pub flatten: Flatten,
    /// `[batch, features]` to `[batch, classes]`, with a ReLU between two of them.
    pub fully_connected: Vec<FullyConnected>,
}

/// A layer on pixels.
pub enum Layer {
    /// Convolution, batch normalisation, ReLU, and a max-pool perhaps.
    Conv {
        /// The convolution and its normalisation.
        conv: Conv,
        /// What follows the ReLU.
        pool: Option<MaxPool>,
    },
    /// Convolutions, each normalised, with a ReLU between two of them; the shortcut is added before the last ReLU. Two are a
    /// basic block, `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`, three a bottleneck.
    Residual {
        /// In the order in which the block's input passes them.
        convs: Vec<Conv>,
        /// What is added to their output.
        shortcut: Shortcut,
    },
}

/// A square convolution that keeps height and width (but for its stride), and the batch normalisation of its output.
pub struct Conv {
    /// What the names of the convolution's tensors begin with.
    pub name: String,
    /// What the names of the normalisation's tensors begin with.
    pub norm: String,
    /// Rows and columns of the kernel; the padding is half of it, rounded down.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Whether the convolution has a bias.
    pub bias: Bias,
    /// Height and width of the output.
    pub side: usize,
}

/// Whether a convolution has a bias, and with it how the published code draws its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// Weights and bias uniform in ±1/√fan_in, PyTorch's default.
    Present,
    /// Weights from N(0, √(2 / (kernel² · outputs))).
    Absent,
}

/// What a residual block adds to the output of its convolutions.
pub enum Shortcut {
    /// The input itself.
    Identity,
    /// Its 1×1 convolution, if the block changes the shape.
    Projection(Conv),
}

/// How pixels become one vector an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flatten {
    /// All numbers of an image, channel by channel.
    Whole,
    /// Each channel's mean.
    Mean,
}

/// A fully connected layer with bias.
pub struct FullyConnected {
    /// What the names of its tensors begin with.
    pub name: String,
    /// Length of the vector that comes in.
    pub inputs: usize,
    /// Length of the vector that goes out.
    pub outputs: usize,
}

/// Names and shapes of tensors.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

impl Layers {
    pub(crate) fn multiply_adds(&self) -> u64 {
        let conv = |conv: &Conv| conv.kernel.pow(2) * conv.inputs * conv.numbers();
        let convs = self.convs().map(conv).sum::<usize>();
        let fully_connected: usize = self.fully_connected.iter().map(|layer| layer.inputs * layer.outputs).sum();
        (convs + fully_connected) as u64
    }

    pub(crate) fn parameter_count(&self) -> usize {
        let shapes = self.tensors().into_iter().filter(|(name, _)| !is_statistic(name));
        shapes.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    pub(crate) fn activation_count(&self) -> usize {
        let convs = self.convs().map(Conv::numbers).sum::<usize>();
        let more = self.convolutional.iter().map(|layer| match layer {
            Layer::Conv { conv, pool: Some(pool) } => conv.outputs * pool.outputs(conv.side).pow(2),
            Layer::Conv { pool: None, .. } => 0,
            Layer::Residual { convs, .. } => convs.last().map_or(0, Conv::numbers),
        });
        let vectors: usize = self.fully_connected.iter().map(|layer| layer.outputs).sum();
        convs + more.sum::<usize>() + vectors
    }

    /// The names and shapes of all tensors, those of the published PyTorch code.
    pub(crate) fn tensors(&self) -> Shapes {
        let convs = self.convs().flat_map(Conv::tensors);
        convs.chain(self.fully_connected.iter().flat_map(FullyConnected::tensors)).collect()
    }

    /// Every convolution, those of a block's shortcut after the others of the block.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.convolutional.iter().flat_map(|layer| {
            let (convs, projection) = match layer {
                Layer::Conv { conv, .. } => (std::slice::from_ref(conv), None),
                Layer::Residual { convs, shortcut: Shortcut::Identity } => (convs.as_slice(), None),
                Layer::Residual { convs, shortcut: Shortcut::Projection(conv) } => (convs.as_slice(), Some(conv)),
            };
            convs.iter().chain(projection)
        })
    }
}

impl Conv {
    /// Of one image's output.
    fn numbers(&self) -> usize {
        self.outputs * self.side.pow(2)
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { name, norm, kernel, inputs, outputs, .. } = self;
        let mut tensors = vec![(format!("{name}.weight"), vec![*outputs, *inputs, *kernel, *kernel])];
        if let Bias::Present = self.bias {
            tensors.push((format!("{name}.bias"), vec![*outputs]));
        }
        let norms = ["weight", "bias", "running_mean", "running_var"];
        tensors.extend(norms.map(|tensor| (format!("{norm}.{tensor}"), vec![*outputs])));
        tensors.push((format!("{norm}.{COUNTER}"), vec![]));
        tensors
    }
}

impl FullyConnected {
    fn tensors(&self) -> [(String, Vec<usize>); 2] {
        let Self { name, inputs, outputs } = self;
        [(format!("{name}.weight"), vec![*outputs, *inputs]), (format!("{name}.bias"), vec![*outputs])]
    }
}

/// What batch normalisation calls the number of batches it was trained on. Checkpoints of before PyTorch 0.4.1 have none.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// Whether a tensor is kept by batch normalisation and not changed by the optimiser.
pub(crate) fn is_statistic(name: &str) -> bool {
    ["running_mean", "running_var", COUNTER].iter().any(|suffix| name.ends_with(suffix))
}
