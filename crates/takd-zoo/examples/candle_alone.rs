//! Uses the weights of a model folder with candle alone, without any crate of takd:
//! `cargo run --release -p takd-zoo --example candle_alone -- models/plane2-cifar10-takd`.
//!
//! It prints the logits of a grey image. What differs between networks is the list of layers, which `model.py` in the folder has too.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, batch_norm, conv2d, linear};
use std::path::{Path, PathBuf};

/// Channels of each convolution of plane2; a max-pool follows each.
const CONVOLUTIONS: [usize; 2] = [16, 16];
const SIDE: usize = 32;
const CLASSES: usize = 10;

struct Plane2 {
    convolutions: Vec<(Conv2d, BatchNorm)>,
    logits: Linear,
}

impl Plane2 {
    /// The names are those of PyTorch's `nn.Sequential`: a convolution, its normalisation, ReLU and max-pool are four layers.
    fn new(vb: &VarBuilder) -> Result<Self> {
        let (layers, mut channels, mut convolutions) = (vb.pp("conv_layers"), 3, Vec::new());
        for (place, out) in CONVOLUTIONS.into_iter().enumerate() {
            let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
            let convolution = conv2d(channels, out, 3, config, layers.pp(4 * place))?;
            convolutions.push((convolution, batch_norm(out, 1e-5, layers.pp(4 * place + 1))?));
            channels = out;
        }
        let left = SIDE >> CONVOLUTIONS.len();
        Ok(Self { convolutions, logits: linear(channels * left * left, CLASSES, vb.pp("fc_layers.0"))? })
    }

    /// Images `[batch, 3, 32, 32]`, normalised; logits `[batch, 10]`.
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut features = images.clone();
        for (convolution, normalisation) in &self.convolutions {
            features = normalisation.forward_t(&convolution.forward(&features)?, false)?.relu()?.max_pool2d(2)?;
        }
        self.logits.forward(&features.flatten_from(1)?)
    }
}

/// The three numbers at `key` of the folder's `config.json`, `[1, 3, 1, 1]`.
fn three(folder: &Path, key: &str) -> Result<Tensor> {
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json"))?).map_err(candle_core::Error::wrap)?;
    let numbers = config["input"][key].as_array().into_iter().flatten();
    let numbers: Vec<f32> = numbers.filter_map(|number| Some(number.as_f64()? as f32)).collect();
    Tensor::from_vec(numbers, (1, 3, 1, 1), &Device::Cpu)
}

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "models/plane2-cifar10-takd".into(), PathBuf::from);
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let network = Plane2::new(&VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?)?;
    // Pixels from 0 to 1, minus the mean, by the deviation.
    let grey = (Tensor::ones((1, 3, SIDE, SIDE), DType::F32, &Device::Cpu)? * (128.0 / 255.0))?;
    let images = grey.broadcast_sub(&three(&folder, "mean")?)?.broadcast_div(&three(&folder, "std")?)?;
    for logit in network.forward(&images)?.squeeze(0)?.to_vec1::<f32>()? {
        println!("{logit}");
    }
    Ok(())
}
