//! The networks of the teacher-assistant paper (Mirzadeh et al., arXiv 1902.03393): plain CNNs, and ResNets for
//! CIFAR and ImageNet, for candle.
//!
//! A name parses to a [`ModelSpec`], and with initial weights or a checkpoint that makes a [`Network`] and its
//! [`Parameters`], which training changes. Names and shapes of the parameters are those of the published PyTorch code and of torchvision, so
//! that checkpoints go both ways through safetensors.
//!
//! ```text
//! "plane10" ──▶ ModelSpec ──▶ list of layers ──▶ cost, names and shapes of tensors
//!                                  │
//! seed or checkpoint ──────────────┴──▶ Network:  [batch, 3, 32, 32] ──▶ logits [batch, classes]
//!                                       Parameters
//! ```
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::ModuleT;
//! use takd_models::{ModelSpec, Network};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec: ModelSpec = "plane2".parse()?;
//! assert_eq!(spec.parameter_count(10), 13_082);
//!
//! let (network, parameters) = Network::random(spec, 10, 31, &Device::Cpu)?;
//! let images = Tensor::zeros((4, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! assert_eq!(network.forward_t(&images, false)?.dims(), [4, 10]);
//! assert_eq!(parameters.trainable()[0].0, "conv_layers.0.bias");
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: knows nothing of data sets, losses or training, and a network's definition never mentions a device.

mod architecture;
mod checkpoint;
mod imagenet_resnet;
pub mod layers;
mod name;
mod network;
mod parameters;
mod pickle;
mod plain;
mod resnet;
mod spec;
mod stored;
mod zip;

pub use checkpoint::{Checkpoint, CheckpointError, Misfit, Recognised};
pub use name::{Family, ModelName, UnknownModel, Width};
pub use network::Network;
pub use parameters::Parameters;
pub use spec::ModelSpec;
