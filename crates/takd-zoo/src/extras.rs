//! What a model folder has besides the files that every one has.

use crate::OnnxInput;

/// The files of a folder besides `config.json`, `model.safetensors` and `README.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `model.onnx`, if it is wanted, and what it takes.
    pub onnx: Option<OnnxInput>,
    /// Whether `model.py`, the network in plain PyTorch, and `example.py`, which classifies images with it, are wanted.
    pub python: bool,
}

impl Extras {
    /// All there is; the ONNX file takes pixels.
    pub const ALL: Self = Self { onnx: Some(OnnxInput::Pixels), python: true };
}
