//! The networks of the teacher-assistant paper (Mirzadeh et al., arXiv 1902.03393): plain CNNs and CIFAR ResNets, for
//! candle.
//!
//! A name parses to a [`ModelSpec`], a specification and a `VarBuilder` make a [`Network`], and [`Parameters`] holds
//! what training changes. Parameter names and shapes are those of the published PyTorch code, so that checkpoints go
//! both ways through safetensors.
//!
//! ```text
//! "plane10" ──▶ ModelSpec ──┐
//!                           ├──▶ Network:  [batch, 3, 32, 32] ──▶ logits [batch, classes]
//! seed or checkpoint ──▶ Parameters
//! ```
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::ModuleT;
//! use takd_models::{ModelSpec, Network, Parameters};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec: ModelSpec = "plane2".parse()?;
//! let parameters = Parameters::random(31);
//! let network = Network::new(spec, 10, parameters.var_builder(&Device::Cpu))?;
//! assert_eq!(parameters.trainable_count(), 13_082);
//!
//! let images = Tensor::zeros((4, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! assert_eq!(network.forward_t(&images, false)?.dims(), [4, 10]);
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: knows nothing of data sets, losses or training, and never mentions a device.

mod checkpoint;
mod cost;
mod network;
mod parameters;
mod plain;
mod resnet;
mod spec;

pub use checkpoint::{CheckpointError, Misfit};
pub use network::Network;
pub use parameters::Parameters;
pub use spec::{Family, ModelSpec, UnknownModel};
