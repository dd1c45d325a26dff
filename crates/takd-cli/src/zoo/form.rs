//! What is in a model's folder.

use std::str::FromStr;
use takd_zoo::{Existing, Extras, OnnxInput, WeightPrecision};

/// What is in a model's folder, as a person asks for it.
#[derive(clap::Args)]
pub(crate) struct Form {
    /// How weights are stored: f32 as they were trained, f16 rounded to half precision, int8 in a byte each with a scale a channel
    #[arg(long, value_name = "f32|f16|int8", default_value = "f32")]
    precision: WeightPrecision,
    /// What model.onnx takes: `pixels` are bytes, mean and deviation are inside; `normalized` is what the network itself takes; `none`
    /// leaves the file out
    #[arg(long, value_name = "pixels|normalized|none", default_value = "pixels")]
    onnx: Onnx,
    /// Leave out model.py and example.py
    #[arg(long)]
    no_python: bool,
    /// The licence of the weights, as the hub names licences [default: mit; other, if they were trained elsewhere or on images of your
    /// own]
    #[arg(long, value_name = "LICENCE", value_parser = takd_zoo::licence)]
    licence: Option<String>,
    /// A sentence for the model card on the data, such as what is special about this copy of them; may be given several times
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
}

impl Form {
    pub(crate) fn wanted(&self, measured: bool, existing: Existing) -> Wanted<'_> {
        Wanted {
            precision: self.precision,
            extras: Extras { onnx: self.onnx.0, python: !self.no_python },
            licence: self.licence.as_deref(),
            notes: &self.note,
            measured,
            existing,
        }
    }
}

/// How a run becomes a model to give away.
pub(crate) struct Wanted<'a> {
    pub(crate) precision: WeightPrecision,
    pub(crate) extras: Extras,
    /// That of the weights; the usual one if none is named.
    pub(crate) licence: Option<&'a str>,
    /// Sentences for the card.
    pub(crate) notes: &'a [String],
    /// Whether it is measured what other precisions cost.
    pub(crate) measured: bool,
    pub(crate) existing: Existing,
}

/// What the ONNX file takes.
#[derive(Clone, Copy, Debug)]
struct Onnx(Option<OnnxInput>);

impl FromStr for Onnx {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pixels" => Ok(Self(Some(OnnxInput::Pixels))),
            "normalized" => Ok(Self(Some(OnnxInput::Normalized))),
            "none" => Ok(Self(None)),
            _ => Err("it is pixels, normalized or none".into()),
        }
    }
}
