//! The files of a model folder: what they are called, how large they may be, and how a folder is written.

use crate::{Error, Result, config_file};
use std::path::Path;
use takd_store::{check_folder, read_file, write_folder};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const CARD: &str = "README.md";
pub(crate) const ONNX: &str = "model.onnx";
pub(crate) const MODEL_PY: &str = "model.py";
pub(crate) const EXAMPLE_PY: &str = "example.py";

/// The most bytes of `config.json`: it has the names of a hundred thousand classes in it, and is small otherwise.
const MAX_CONFIG: u64 = 4 << 20;

/// The most bytes of `model.safetensors`: five times the largest network there is.
const MAX_WEIGHTS: u64 = 1 << 30;

/// What is to be done with a model that is in the folder already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    #[default]
    Keep,
    /// The new one takes its place.
    Replace,
}

/// The most bytes of the other files: an ONNX file has the weights in 32-bit floats.
const MAX_OTHER: u64 = 4 << 30;

/// All files of a model; the first two make it one.
const ALL: [&str; 6] = [CONFIG, WEIGHTS, CARD, ONNX, MODEL_PY, EXAMPLE_PY];

/// The bytes of `config.json`.
pub(crate) fn read_config(path: &Path) -> Result<Vec<u8>> {
    read(path, MAX_CONFIG)
}

/// The bytes of `model.safetensors`.
pub(crate) fn read_weights(path: &Path) -> Result<Vec<u8>> {
    read(path, MAX_WEIGHTS)
}

/// Those of a model's files that are in the folder.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let read = |name: &'static str| {
        let path = folder.join(name);
        let bytes = match name {
            CONFIG => read_config(&path).map(Some),
            WEIGHTS => read_weights(&path).map(Some),
            _ => read_file(&path, MAX_OTHER).map_err(Error::from),
        };
        bytes.map(|bytes| Some((name, bytes?))).transpose()
    };
    ALL.into_iter().filter_map(read).collect()
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_file(path, limit)?.ok_or_else(|| Error::Missing { path: path.into() })
}

/// Writes a model's files, whole or not at all. A folder is replaced only if it is a model and nothing else is in it.
pub(crate) fn write(folder: &Path, files: &[(&'static str, Vec<u8>)], existing: Existing) -> Result<()> {
    for &(name, ref bytes) in files {
        let limit = match name {
            CONFIG => MAX_CONFIG,
            WEIGHTS => MAX_WEIGHTS,
            _ => continue,
        };
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { name, found: bytes.len(), limit });
        }
    }
    check_place(folder, existing)?;
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    Ok(write_folder(folder, &files, is_own)?)
}

/// Whether a model may be written into a folder, for those who want to know it long before.
///
/// # Errors
/// If it has files that are not a model's, or a model that is to stay.
pub fn check_place(folder: &Path, existing: Existing) -> Result<()> {
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.is_dir() && !is_empty {
        // Its configuration says whether it is one; of which version does not matter.
        let config_path = folder.join(CONFIG);
        match read_config(&config_path).and_then(|bytes| config_file::parse(&bytes, &config_path)) {
            Ok(_) | Err(Error::Version { .. }) => {}
            Err(error) => return Err(Error::NotAModel { path: folder.into(), reason: error.to_string() }),
        }
        if existing == Existing::Keep {
            return Err(Error::Exists { path: folder.into() });
        }
    }
    Ok(check_folder(folder, is_own)?)
}

/// Whether a file of this name is part of a model.
fn is_own(name: &str) -> bool {
    ALL.contains(&name)
}
