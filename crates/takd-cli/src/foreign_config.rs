//! What the `config.json` of another program says of pixels and classes, as timm writes it.

use serde::Deserialize;
use std::path::Path;
use takd_datasets::Normalization;

/// The most bytes that are read of it.
const MAX: u64 = 1 << 20;

/// What is taken from it; all else in it is left alone.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ForeignConfig {
    /// Mean and deviation of the pixels, if there are three of each.
    pub normalization: Option<Normalization>,
    /// What the outputs are called, in their order.
    pub class_names: Vec<String>,
}

impl ForeignConfig {
    /// Of a file; nothing if it is takd's own, or none that can be read.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        Self::parse(&takd_store::read_file(path, MAX).ok()??)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            format_version: Option<serde_json::Value>,
            pretrained_cfg: Option<serde_json::Value>,
            label_names: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Scaling {
            mean: [f32; 3],
            std: [f32; 3],
        }
        let written: Written = serde_json::from_slice(bytes).ok()?;
        if written.format_version.is_some() {
            return None;
        }
        let pretrained = written.pretrained_cfg.unwrap_or_default();
        let labels = written.label_names.or_else(|| pretrained.get("label_names").cloned()).unwrap_or_default();
        let normalization = Scaling::deserialize(pretrained).ok().and_then(|Scaling { mean, std }| {
            let is_sound =
                mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_normal() && *std > 0.0);
            is_sound.then_some(Normalization { mean, std })
        });
        Some(Self { normalization, class_names: Vec::deserialize(labels).unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_timm_says_of_pixels_and_classes_is_taken() {
        let text = br#"{"architecture": "resnet18", "num_classes": 2, "label_names": ["cat", "dog"],
            "pretrained_cfg": {"mean": [0.5, 0.25, 0.125], "std": [1.0, 0.5, 0.25], "input_size": [3, 224, 224]}}"#;
        let normalization = Some(Normalization { mean: [0.5, 0.25, 0.125], std: [1.0, 0.5, 0.25] });
        let class_names = vec!["cat".to_owned(), "dog".to_owned()];
        assert_eq!(ForeignConfig::parse(text), Some(ForeignConfig { normalization, class_names }));
        let inside = br#"{"pretrained_cfg": {"label_names": ["cat"], "mean": [0.5], "std": [0.5]}}"#;
        let class_names = vec!["cat".to_owned()];
        assert_eq!(ForeignConfig::parse(inside), Some(ForeignConfig { normalization: None, class_names }));
    }

    #[test]
    fn what_makes_no_sense_is_not_taken() {
        for text in [
            r"{}",
            r#"{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.0, 1.0, 1.0]}}"#,
            r#"{"pretrained_cfg": {"mean": [1e99, 0.5, 0.5], "std": [1.0, 1.0, 1.0]}}"#,
            r#"{"pretrained_cfg": 3, "label_names": {"cat": 0}}"#,
            r#"{"label_names": [1, 2]}"#,
        ] {
            assert_eq!(ForeignConfig::parse(text.as_bytes()), Some(ForeignConfig::default()), "{text}");
        }
        for text in [r#"{"format_version": 1, "classes": 10}"#, "[]", "no JSON"] {
            assert_eq!(ForeignConfig::parse(text.as_bytes()), None, "{text}");
        }
    }
}
