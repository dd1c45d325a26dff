//! The YAML at the head of a card, which the hub reads: licence, tags, data sets, accuracy.

use crate::card::yaml::Yaml;
use crate::config::{Accuracy, Data};
use crate::{Config, Extras};

/// The head, with the lines around it.
pub(super) fn text(config: &Config, extras: Extras) -> String {
    let mut entries = vec![
        ("license", Yaml::text(&config.licence)),
        ("library_name", Yaml::text("takd")),
        ("pipeline_tag", Yaml::text("image-classification")),
        ("tags", Yaml::texts(&tags(config, extras))),
    ];
    let data = config.data.as_ref();
    if let Some(id) = data.and_then(|data| data.hub_id.as_ref()) {
        entries.push(("datasets", Yaml::texts(&[id])));
    }
    if let Some(accuracy) = &config.accuracy {
        entries.push(("metrics", Yaml::texts(&["accuracy"])));
        // The hub refuses results on data without a name.
        entries.extend(data.map(|data| ("model-index", results(config, data, accuracy))));
    }
    format!("---\n{}---\n\n", Yaml::Map(entries))
}

fn tags(config: &Config, extras: Extras) -> Vec<&'static str> {
    let mut tags = vec!["image-classification", "takd", "candle", "safetensors"];
    tags.extend(extras.python.then_some("pytorch"));
    tags.extend(extras.onnx.map(|_| "onnx"));
    tags.extend(config.distillation_path().map(|_| "knowledge-distillation"));
    tags
}

/// What the hub shows beside the card.
fn results(config: &Config, data: &Data, accuracy: &Accuracy) -> Yaml {
    let metric = |name: &str, value: f64| {
        Yaml::Map(vec![("type", Yaml::text("accuracy")), ("name", Yaml::text(name)), ("value", Yaml::Number(value))])
    };
    let mut metrics = vec![metric("Top-1 accuracy", accuracy.top1)];
    metrics.extend(accuracy.top5.map(|top5| metric("Top-5 accuracy", top5)));
    let id = data.hub_id.as_ref().unwrap_or(&data.name);
    let dataset =
        Yaml::Map(vec![("name", Yaml::text(&data.name)), ("type", Yaml::text(id)), ("split", Yaml::text("test"))]);
    let result = Yaml::Map(vec![
        ("task", Yaml::Map(vec![("type", Yaml::text("image-classification"))])),
        ("dataset", dataset),
        ("metrics", Yaml::List(metrics)),
    ]);
    let name = Yaml::text(&config.architecture.to_string());
    Yaml::List(vec![Yaml::Map(vec![("name", name), ("results", Yaml::List(vec![result]))])])
}
