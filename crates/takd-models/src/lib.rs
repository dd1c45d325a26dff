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
//! seed or file ───────────────────┴──▶ Network:  [batch, 3, 32, 32] ──▶ logits [batch, classes]
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
//! A network from elsewhere is recognised in its file, which may be a safetensors file or one of `torch.save` in the shapes that people
//! have; [`Checkpoint::recognise`] says which. What was done on the way is an [`Origin`].
//!
//! ```
//! use takd_models::{Checkpoint, Network};
//! # use candle_core::Device;
//! # use std::collections::HashMap;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir();
//! # let bytes = Network::random("resnet8".parse()?, 10, 31, &Device::Cpu)?.1.to_safetensors(HashMap::new())?;
//! # let path = folder.join(format!("takd-models-{}.safetensors", std::process::id()));
//! # std::fs::write(&path, bytes)?;
//!
//! let bytes = std::fs::read(&path)?;
//! # std::fs::remove_file(&path)?;
//! let import = Checkpoint { path: &path, bytes: &bytes }.recognise()?;
//! assert_eq!((import.spec.to_string().as_str(), import.classes), ("resnet8", 10));
//! assert_eq!(import.origin.to_string(), "safetensors file, f32");
//! let (network, parameters) = import.network(&Device::Cpu)?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: knows nothing of data sets, losses or training, and a network's definition never mentions a device.

mod architecture;
mod checkpoint;
mod file;
mod imagenet_resnet;
mod import;
pub mod layers;
mod name;
mod names;
mod nearest;
mod network;
mod origin;
mod outputs;
mod parameters;
mod pickle;
mod pickled;
mod plain;
mod pytorch;
mod resnet;
mod shown;
mod spec;
mod state_dict;
mod stored;
mod unreadable;
mod zip;

pub use checkpoint::{Checkpoint, CheckpointError, Misfit, Nearest, Recognised};
pub use import::Import;
pub use name::{Family, ModelName, UnknownModel, Width};
pub use network::Network;
pub use origin::{Format, Nested, Origin};
pub use parameters::Parameters;
pub use spec::ModelSpec;
