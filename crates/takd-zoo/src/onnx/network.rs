//! The nodes of a network, from its list of layers.

use crate::onnx::fold::{Folded, folded};
use crate::onnx::graph::Builder;
use crate::onnx::proto::{Attribute, DataType};
use crate::tensor::{Stored, Values};
use crate::weights::Weights;
use crate::{Error, Result, folder};
use takd_models::layers::{Conv, Flatten, FullyConnected, Layer, Layers, Shortcut};
use takd_ops::MaxPool;

/// The name of the network's output.
pub(crate) const LOGITS: &str = "logits";

/// Adds the nodes from normalised images, `[batch, 3, height, width]`, to [`LOGITS`].
pub(crate) fn add(graph: &mut Builder, layers: &Layers, weights: &Weights, images: &str) -> Result<()> {
    let mut features = images.to_owned();
    for layer in &layers.convolutional {
        features = add_layer(graph, layer, weights, &features)?;
    }
    if let Flatten::Mean = layers.flatten {
        features = graph.node("GlobalAveragePool", "mean", &[&features], vec![]);
    }
    let mut vectors = graph.node("Flatten", "flat", &[&features], vec![Attribute::int("axis", 1)]);
    for (index, layer) in layers.fully_connected.iter().enumerate() {
        if index > 0 {
            vectors = graph.node("Relu", &format!("{vectors}.relu"), &[&vectors], vec![]);
        }
        let is_last = index + 1 == layers.fully_connected.len();
        let name = if is_last { LOGITS } else { &layer.name };
        vectors = add_fully_connected(graph, layer, weights, name, &vectors)?;
    }
    Ok(())
}

fn add_layer(graph: &mut Builder, layer: &Layer, weights: &Weights, input: &str) -> Result<String> {
    match layer {
        Layer::Conv { conv, pool } => {
            let output = add_conv(graph, conv, weights, input)?;
            let output = graph.node("Relu", &format!("{}.relu", conv.name), &[&output], vec![]);
            Ok(pool.map_or(output.clone(), |pool| add_pool(graph, pool, &format!("{}.pool", conv.name), &output)))
        }
        Layer::Residual { convs, shortcut } => {
            let shortcut = match shortcut {
                Shortcut::Identity => input.to_owned(),
                Shortcut::Projection(conv) => add_conv(graph, conv, weights, input)?,
            };
            let mut hidden = input.to_owned();
            for (index, conv) in convs.iter().enumerate() {
                if index > 0 {
                    hidden = graph.node("Relu", &format!("{hidden}.relu"), &[&hidden], vec![]);
                }
                hidden = add_conv(graph, conv, weights, &hidden)?;
            }
            let sum = graph.node("Add", &format!("{hidden}.sum"), &[&hidden, &shortcut], vec![]);
            Ok(graph.node("Relu", &format!("{sum}.relu"), &[&sum], vec![]))
        }
    }
}

fn add_conv(graph: &mut Builder, conv: &Conv, weights: &Weights, input: &str) -> Result<String> {
    let Folded { factor, bias } = folded(weights, conv)?;
    let weight = add_weight(graph, &format!("{}.weight", conv.name), weights, Some(&factor))?;
    let bias = graph.floats(&format!("{}.bias", conv.name), &[conv.outputs], &bias);
    let [kernel, stride, padding] = [conv.kernel, conv.stride, conv.kernel / 2].map(|size| size as i64);
    let attributes = vec![
        Attribute::ints("kernel_shape", &[kernel; 2]),
        Attribute::ints("strides", &[stride; 2]),
        Attribute::ints("pads", &[padding; 4]),
    ];
    Ok(graph.node("Conv", &conv.name, &[input, &weight, &bias], attributes))
}

fn add_pool(graph: &mut Builder, pool: MaxPool, name: &str, input: &str) -> String {
    let (kernel, padding) = match pool {
        MaxPool::Two => (2, 0),
        MaxPool::Three => (3, 1),
    };
    let attributes = vec![
        Attribute::ints("kernel_shape", &[kernel; 2]),
        Attribute::ints("strides", &[2; 2]),
        Attribute::ints("pads", &[padding; 4]),
    ];
    graph.node("MaxPool", name, &[input], attributes)
}

fn add_fully_connected(
    graph: &mut Builder,
    layer: &FullyConnected,
    weights: &Weights,
    name: &str,
    input: &str,
) -> Result<String> {
    let weight = add_weight(graph, &format!("{}.weight", layer.name), weights, None)?;
    let bias_name = format!("{}.bias", layer.name);
    let bias = graph.floats(&bias_name, &[layer.outputs], &weights.get(&bias_name).floats());
    Ok(graph.node("Gemm", name, &[input, &weight, &bias], vec![Attribute::int("transB", 1)]))
}

/// Adds a weight in its stored form, so that the file is as small as the stored weights, and nodes that make floats of it:
///
/// ```text
/// f32     factor * w
/// f16     Cast(w) * factor
/// int8    Cast(w) * (scale * factor)
/// ```
///
/// Readers compute such constants once, when they load the file. (`DequantizeLinear` would say the same of 8-bit weights. tract 0.22 takes
/// the first channel's scale for all of them there, without a word.) The integers and halves are those of `model.safetensors`: a
/// normalisation that is put into a convolution rounds no weight again.
fn add_weight(graph: &mut Builder, name: &str, weights: &Weights, factor: Option<&[f64]>) -> Result<String> {
    let stored = weights.get(name);
    let factor_of = |channel: usize| factor.map_or(1.0, |factor| factor[channel]);
    match &stored.values {
        Values::Int8 { weights, scale } => {
            let bytes = weights.iter().map(|weight| weight.cast_unsigned()).collect();
            let scale = scale.iter().enumerate().map(|(channel, &scale)| f64::from(scale) * factor_of(channel));
            let floats = add_cast(graph, name, stored, DataType::Int8, bytes);
            add_product(graph, name, stored, &floats, scale)
        }
        Values::F16(values) => {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let floats = add_cast(graph, name, stored, DataType::Float16, bytes);
            factor
                .map_or(Ok(floats.clone()), |factor| add_product(graph, name, stored, &floats, factor.iter().copied()))
        }
        Values::F32(_) | Values::Counter(_) => {
            let size = stored.channel_size();
            let weights = stored.floats().into_iter().enumerate();
            let folded = weights.map(|(place, weight)| f64::from(weight) * factor_of(place / size));
            Ok(graph.floats(name, &stored.shape, &rounded(folded, name)?))
        }
    }
}

/// Adds a constant in its stored form, and the node that makes floats of it.
fn add_cast(graph: &mut Builder, name: &str, stored: &Stored, data_type: DataType, bytes: Vec<u8>) -> String {
    let constant = graph.constant(&format!("{name}.stored"), &stored.shape, data_type, bytes);
    graph.cast_to_floats(&format!("{name}.floats"), &constant)
}

/// Adds the node that multiplies each output channel with its factor.
fn add_product(
    graph: &mut Builder,
    name: &str,
    stored: &Stored,
    floats: &str,
    factor: impl Iterator<Item = f64>,
) -> Result<String> {
    let factor = rounded(factor, name)?;
    // `[channels, 1, …]`, which is multiplied with all of a channel.
    let dims: Vec<usize> = std::iter::once(factor.len()).chain(stored.shape.iter().skip(1).map(|_| 1)).collect();
    let factor = graph.floats(&format!("{name}.factor"), &dims, &factor);
    Ok(graph.node("Mul", name, &[floats, &factor], vec![]))
}

/// Numbers as 32-bit floats.
fn rounded(values: impl Iterator<Item = f64>, name: &str) -> Result<Vec<f32>> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    let problem = "cannot be multiplied with its batch normalisation: a weight would be larger than any 32-bit float";
    Err(Error::Weights { path: folder::WEIGHTS.into(), tensor: name.to_owned(), problem: problem.to_owned() })
}
