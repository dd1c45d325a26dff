//! `model.py`: the network in plain PyTorch; `example.py`: images classified with it.

use crate::Config;
use takd_models::Family;
use takd_models::layers::{Conv, Layer, Layers};
use takd_ops::MaxPool;

/// `example.py`: it reads what it needs from `config.json`.
pub(crate) const EXAMPLE: &str = include_str!("example.py");

/// Both families of ResNets; the places of the form `@NAME@` are filled in.
const RESNET: &str = include_str!("resnet.py");
const PLAIN: &str = include_str!("plain.py");
/// The end of either: weights in fewer bits as floats.
const FLOATS: &str = include_str!("floats.py");

/// The text of `model.py`.
pub(crate) fn model(config: &Config) -> String {
    let layers = config.architecture.layers(config.classes);
    let (template, values) = match config.architecture.family() {
        // Logits, which have no layers, are no model's architecture.
        Family::Plain | Family::Logits => (PLAIN, plain(&layers)),
        Family::Resnet | Family::ImagenetResnet => (RESNET, resnet(&layers)),
    };
    let mut text = template.replace("@NAME@", &config.architecture.to_string());
    text = text.replace("@CLASSES@", &config.classes.to_string());
    for (name, value) in values {
        text = text.replace(name, &value);
    }
    text + FLOATS
}

fn plain(layers: &Layers) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    for layer in &layers.convolutional {
        if let Layer::Conv { conv, pool } = layer {
            steps.push(conv.outputs.to_string());
            steps.extend(pool.map(|_| "\"M\"".to_owned()));
        }
    }
    let inputs: Vec<_> = layers.fully_connected.iter().map(|layer| layer.inputs.to_string()).collect();
    vec![("@CONVOLUTIONS@", list(&steps)), ("@FULLY_CONNECTED@", list(&inputs))]
}

fn resnet(layers: &Layers) -> Vec<(&'static str, String)> {
    let (mut stem, mut stages, mut is_bottleneck) = (None, Vec::<(usize, usize)>::new(), false);
    for layer in &layers.convolutional {
        match layer {
            Layer::Conv { conv, pool } => stem = Some((conv, *pool)),
            Layer::Residual { convs, .. } => {
                is_bottleneck = convs.len() == 3;
                // Each stage is wider than the one before.
                let width = convs.first().map_or(0, |conv| conv.outputs);
                match stages.last_mut().filter(|(of, _)| *of == width) {
                    Some((_, blocks)) => *blocks += 1,
                    None => stages.push((width, 1)),
                }
            }
        }
    }
    let stages: Vec<_> = stages.iter().map(|(width, blocks)| format!("({width}, {blocks})")).collect();
    let stem_numbers = |(conv, _): (&Conv, _)| format!("({}, {}, {})", conv.kernel, conv.stride, conv.outputs);
    let has_pool = stem.is_some_and(|(_, pool)| pool == Some(MaxPool::Three));
    vec![
        ("@STEM@", stem.map(stem_numbers).unwrap_or_default()),
        ("@STEM_POOL@", truth(has_pool)),
        ("@STAGES@", list(&stages)),
        ("@BOTTLENECK@", truth(is_bottleneck)),
    ]
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

/// A truth value as Python writes it.
fn truth(value: bool) -> String {
    if value { "True" } else { "False" }.to_owned()
}
