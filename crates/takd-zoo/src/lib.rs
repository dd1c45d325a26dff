//! Trained image networks as folders to give away, and classifying images with them.
//!
//! A model folder has all that is needed to use a network elsewhere: its weights, the size, mean and deviation of its images, its
//! classes' names, where it came from and how well it does.
//!
//! ```text
//! a trained network ──┐                ┌─▶ config.json         what it is: see Config
//!   Parameters        ├─▶ Model ───────┼─▶ model.safetensors   f32, f16 or int8, by PyTorch's names
//! Config ─────────────┘    ▲           ├─▶ README.md           the model card
//!                          │           ├─▶ model.onnx          pixels [batch, height, width, 3] ──▶ logits [batch, classes]
//! a model folder ──────────┘           └─▶ model.py, example.py   the network in plain PyTorch
//!      │
//!      └─▶ Model ──▶ Classifier ──▶ for each image file the likeliest classes
//! ```
//!
//! ```
//! use candle_core::Device;
//! use takd_datasets::{Fit, Normalization};
//! use takd_models::{ModelSpec, Network};
//! use takd_zoo::{Classifier, Config, Existing, Extras, Input, Model, WeightPrecision};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("plane2");
//! let spec: ModelSpec = "plane2".parse()?;
//! let (_, parameters) = Network::random(spec, 3, 31, &Device::Cpu)?; // or a trained one
//!
//! let class_names = ["cat", "dog", "ship"].map(String::from).to_vec();
//! let input = Input::new(Fit::square(32)?, Normalization::IMAGENET);
//! let model = Model::new(Config::new(spec, class_names, input, "mit"), &parameters)?;
//! model.stored_as(WeightPrecision::Int8)?.write(&folder, Extras::ALL, Existing::Keep)?;
//!
//! let classifier = Classifier::new(&Model::open(&folder)?, &Device::Cpu)?;
//! let grey = vec![128; 32 * 32 * 3]; // `classifier.read(path)?` gives the pixels of an image file
//! for guess in &classifier.classify(&[grey], 2)?[0] {
//!     println!("{:.2} {}", guess.probability, guess.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: a folder is written whole or not at all, and equal models are equal bytes; whatever bytes a folder holds, opening it
//! neither panics nor follows a link. The crate trains nothing and knows nothing of runs: what it says of a model is what its caller
//! knows.

mod card;
mod classifier;
mod config;
mod config_file;
mod error;
mod extras;
mod folder;
mod licence;
mod model;
mod onnx;
mod onnx_input;
mod precision;
mod python;
mod tensor;
mod weights;

pub use classifier::{Classifier, Guess};
pub use config::{Accuracy, Channels, Config, Data, FORMAT_VERSION, Fact, Input, PrecisionCost, Seeds, Training};
pub use error::{Error, Result};
pub use extras::Extras;
pub use folder::{Existing, check_place};
pub use licence::{BadLicence, licence};
pub use model::Model;
pub use onnx_input::OnnxInput;
pub use precision::{UnknownPrecision, WeightPrecision};

/// Its example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
