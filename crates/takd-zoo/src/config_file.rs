//! `config.json`: read strictly, checked, and written so that the same configuration is the same bytes.

use crate::config::FORMAT_VERSION;
use crate::{Config, Error, Result, licence};
use serde::Deserialize;
use std::path::Path;
use takd_models::Family;

/// The configuration in a file's bytes; `path` is for errors.
///
/// # Errors
/// If they are not JSON of this version of the format, or contradict themselves.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Config> {
    /// What every version has, so that another one is told before its other fields are looked at.
    #[derive(Deserialize)]
    struct Version {
        format_version: u64,
    }
    let config_error = |error: serde_json::Error| Error::Config { path: path.into(), problem: error.to_string() };
    let Version { format_version: found } = serde_json::from_slice(bytes).map_err(config_error)?;
    if found != FORMAT_VERSION {
        return Err(Error::Version { path: path.into(), found, known: FORMAT_VERSION });
    }
    let config = serde_json::from_slice(bytes).map_err(config_error)?;
    check(&config, path)?;
    Ok(config)
}

/// The file's bytes.
pub(crate) fn to_bytes(config: &Config) -> Result<Vec<u8>> {
    let text = serde_json::to_string_pretty(config);
    let text = text.map_err(|error| Error::Config { path: "config.json".into(), problem: error.to_string() })?;
    Ok((text + "\n").into_bytes())
}

/// Refuses what contradicts itself or the network.
pub(crate) fn check(config: &Config, path: &Path) -> Result<()> {
    contradiction(config).map_or(Ok(()), |problem| Err(Error::Config { path: path.into(), problem }))
}

fn contradiction(config: &Config) -> Option<String> {
    let Config { architecture, classes, class_names, input, .. } = config;
    if config.format_version != FORMAT_VERSION {
        return Some(format!("`format_version` is {}, and {FORMAT_VERSION} is written", config.format_version));
    }
    if architecture.family() == Family::Logits {
        return Some(format!("`architecture` is {architecture}, which are no network"));
    }
    if class_names.len() != *classes || *classes == 0 {
        return Some(format!("`classes` is {classes}, and there are {} `class_names`", class_names.len()));
    }
    if let Some(class) = class_names.iter().position(|name| name.trim().is_empty()) {
        return Some(format!("class {class} (from 0) has no name"));
    }
    let side = input.scaling.side();
    if (input.height, input.width) != (side, side) {
        let (height, width) = (input.height, input.width);
        return Some(format!("images of {height}x{width} are not what `{}` scales to, {side}x{side}", input.scaling));
    }
    if !architecture.takes(side) {
        return Some(format!("{architecture} takes no images of {side}x{side}"));
    }
    if !input.mean.iter().all(|mean| mean.is_finite()) || !input.std.iter().all(|std| std.is_normal() && *std > 0.0) {
        return Some(format!("mean {:?} and std {:?} cannot normalise pixels", input.mean, input.std));
    }
    if let Err(error) = licence(&config.licence) {
        return Some(error.to_string());
    }
    let share = shares(config).find(|(_, share)| !(0.0..=1.0).contains(share));
    share.map(|(what, share)| format!("{what} is {share}, and it must be from 0 to 1"))
}

/// Every accuracy, and what it is called.
fn shares(config: &Config) -> impl Iterator<Item = (&'static str, f64)> {
    let accuracy = config.accuracy.iter().flat_map(|accuracy| {
        let mean = accuracy.seeds.as_ref().map(|seeds| seeds.mean);
        let deviation = accuracy.seeds.as_ref().map(|seeds| seeds.deviation);
        [
            ("the top-1 accuracy", Some(accuracy.top1)),
            ("the top-5 accuracy", accuracy.top5),
            ("the mean accuracy over seeds", mean),
            ("the deviation of the accuracy over seeds", deviation),
        ]
    });
    let precisions = config.precisions.iter().map(|cost| ("the accuracy of a precision", cost.top1));
    accuracy.chain(precisions).filter_map(|(what, share)| Some((what, share?)))
}
