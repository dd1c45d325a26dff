//! The network as an ONNX file: images in, logits out, for any number of images at once.

mod fold;
mod graph;
mod network;
mod proto;

use crate::weights::Weights;
use crate::{Config, OnnxInput, Result};
use graph::Builder;
use network::LOGITS;
use prost::Message;
use proto::{
    Attribute, DataType, Dimension, Graph, Model, OperatorSet, Shape, StringEntry, TensorType, Type, ValueInfo,
};

/// The name of the network's input.
const IMAGES: &str = "images";

/// The format's version and the operators': those of 2020 and 2021, which every current reader has.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// The bytes of the file.
pub(crate) fn file(config: &Config, weights: &Weights, input: OnnxInput) -> Result<Vec<u8>> {
    let mut graph = Builder::default();
    let images = match input {
        OnnxInput::Pixels => add_normalization(&mut graph, config),
        OnnxInput::Normalized => IMAGES.to_owned(),
    };
    network::add(&mut graph, &config.architecture.layers(config.classes), weights, &images)?;

    let (height, width) = (config.input.height, config.input.width);
    let images = match input {
        OnnxInput::Pixels => value(IMAGES, DataType::Uint8, [height, width, 3]),
        OnnxInput::Normalized => value(IMAGES, DataType::Float, [3, height, width]),
    };
    let graph = Graph {
        node: graph.nodes,
        name: config.architecture.to_string(),
        initializer: graph.constants,
        input: vec![images],
        output: vec![value(LOGITS, DataType::Float, [config.classes])],
    };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "takd".to_owned(),
        producer_version: config.takd_version.clone(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: Some(String::new()), version: OPSET }],
        metadata_props: metadata(config),
    };
    Ok(model.encode_to_vec())
}

/// Adds the nodes that make normalised images of bytes, by the same operations as takd's own batches: `(p / 255 - mean) / std`.
fn add_normalization(graph: &mut Builder, config: &Config) -> String {
    let whole = graph.floats("levels", &[], &[255.0]);
    let mean = graph.floats("mean_of_channels", &[3], &config.input.mean);
    let std = graph.floats("std_of_channels", &[3], &config.input.std);
    let floats = graph.cast_to_floats("images.floats", IMAGES);
    let shares = graph.node("Div", "images.shares", &[&floats, &whole], vec![]);
    let centred = graph.node("Sub", "images.centred", &[&shares, &mean], vec![]);
    let scaled = graph.node("Div", "images.scaled", &[&centred, &std], vec![]);
    graph.node("Transpose", "images.normalized", &[&scaled], vec![Attribute::ints("perm", &[0, 3, 1, 2])])
}

/// A tensor with any number of rows of these dimensions.
fn value<const N: usize>(name: &str, data_type: DataType, dims: [usize; N]) -> ValueInfo {
    let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
    let dims = dims.map(|dim| Dimension { dim_value: Some(dim as i64), dim_param: None });
    let shape = Shape { dim: std::iter::once(batch).chain(dims).collect() };
    let tensor_type = TensorType { elem_type: data_type as i32, shape: Some(shape) };
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

/// What a program needs besides the graph, as JSON where it is more than a word.
fn metadata(config: &Config) -> Vec<StringEntry> {
    let input = &config.input;
    let entries = [
        ("architecture", config.architecture.to_string()),
        ("class_names", serde_json::json!(config.class_names).to_string()),
        ("mean", serde_json::json!(input.mean).to_string()),
        ("std", serde_json::json!(input.std).to_string()),
        ("scaling", input.scaling.to_string()),
        ("channels", "RGB".to_owned()),
        ("weights", config.weights.to_string()),
        ("licence", config.licence.clone()),
    ];
    entries.map(|(key, value)| StringEntry { key: key.to_owned(), value }).to_vec()
}
