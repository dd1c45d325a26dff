//! Checkpoints go both ways, and a wrong one says what is wrong with it.

use crate::common::{Outcome, drawn, snapshot};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use takd_models::{Checkpoint, CheckpointError, Misfit, ModelName, Network, Parameters, Recognised};
use tempfile::TempDir;

/// A file of the network's tensors after a change.
fn file(folder: &TempDir, name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> Outcome<PathBuf> {
    let mut tensors: HashMap<_, _> = snapshot(&drawn(name, 10, 20)?.1)?.into_iter().collect();
    change(&mut tensors);
    let path = folder.path().join("weights.safetensors");
    candle_core::safetensors::save(&tensors, &path)?;
    Ok(path)
}

fn load(name: &str, classes: usize, path: &Path) -> Result<Parameters, CheckpointError> {
    let spec = name.parse::<ModelName>().expect("a known name").spec(classes);
    Network::load(spec, classes, path, &Device::Cpu).map(|(_, parameters)| parameters)
}

/// The error's text: it names the file.
fn refusal(name: &str, classes: usize, path: &Path) -> String {
    let message = load(name, classes, path).expect_err("this file should be refused").to_string();
    assert!(message.contains("weights.safetensors") && !message.contains('\n'), "{message}");
    message
}

#[test]
fn saving_and_loading_changes_no_bit() -> Outcome {
    for name in ["plane8", "resnet14"] {
        let parameters = drawn(name, 100, 20)?.1;
        let bytes = parameters.to_safetensors(HashMap::from([("model".to_owned(), name.to_owned())]))?;
        let checkpoint = Checkpoint { path: Path::new("weights.safetensors"), bytes: &bytes };
        let spec = name.parse::<ModelName>()?.spec(100);
        let (_, again) = Network::from_checkpoint(spec, 100, checkpoint, &Device::Cpu)?;
        assert_eq!(again.to_safetensors(HashMap::new())?, parameters.to_safetensors(HashMap::new())?);
    }
    Ok(())
}

#[test]
fn half_precision_files_become_32_bit_variables_and_counters_stay_integers() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = file(&folder, "resnet8", |tensors| {
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_dtype(DType::F16).expect("a copy in F16");
        }
    })?;
    for (name, var) in load("resnet8", 10, &path)?.all() {
        let expected = if name.ends_with("num_batches_tracked") { DType::I64 } else { DType::F32 };
        assert_eq!(var.dtype(), expected, "{name}");
    }
    Ok(())
}

#[test]
fn a_missing_tensor_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = file(&folder, "plane4", |tensors| {
        tensors.remove("conv_layers.3.weight");
    })?;
    let message = refusal("plane4", 10, &path);
    assert!(message.contains("`conv_layers.3.weight`") && message.contains("load it as"), "{message}");
    Ok(())
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = file(&folder, "resnet8", |tensors| {
        tensors.insert("fc.weight".to_owned(), Tensor::zeros((10, 63), DType::F32, &Device::Cpu).expect("zeros"));
    })?;
    let message = refusal("resnet8", 10, &path);
    for part in ["`fc.weight`", "[10, 63]", "[10, 64]"] {
        assert!(message.contains(part), "{message}");
    }
    Ok(())
}

#[test]
fn another_network_is_recognised() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = file(&folder, "resnet20", |_| ())?;
    let Err(CheckpointError::Misfit { misfit, holds, .. }) = load("resnet8", 10, &path) else {
        panic!("a deeper network's file holds all that a shallower one needs, and must be refused all the same")
    };
    let Misfit::Unused(unused) = *misfit else { panic!("{misfit}") };
    assert_eq!((unused.len(), holds), (72, Some(Recognised { spec: "resnet20".parse()?, classes: 10 })));
    for (name, classes) in [("resnet8", 10), ("resnet26", 10), ("resnet20", 100), ("plane10", 10)] {
        let message = refusal(name, classes, &path);
        assert!(message.contains("it holds resnet20 with 10 classes: load it as that"), "{message}");
    }
    Ok(())
}

#[test]
fn another_width_is_recognised() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (holds, name) in [("plane6", "plane6-wide"), ("plane10-wide", "plane10"), ("plane2-wide", "resnet8")] {
        let message = refusal(name, 10, &file(&folder, holds, |_| ())?);
        assert!(message.ends_with(&format!("it holds {holds} with 10 classes: load it as that")), "{message}");
    }
    Ok(())
}

#[test]
fn missing_truncated_and_foreign_files_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    assert!(refusal("plane2", 10, &path).starts_with("cannot read"));
    let whole = drawn("plane2", 10, 20)?.1.to_safetensors(HashMap::new())?;
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length])?;
        assert!(refusal("plane2", 10, &path).contains("damaged"), "{length} bytes");
    }
    std::fs::write(&path, b"PK\x03\x04 a zip archive that is none")?;
    assert!(refusal("plane2", 10, &path).contains("zip archive is cut short or damaged"));
    Ok(())
}

#[test]
fn a_network_is_not_built_over_tensors_of_other_shapes() -> Outcome {
    let tensors: HashMap<_, _> = snapshot(&drawn("resnet8", 10, 20)?.1)?.into_iter().collect();
    let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let error = Network::new("resnet8".parse()?, 100, vb).unwrap_err().to_string();
    assert!(error.contains("fc.weight") && error.contains("[10, 64]"), "{error}");
    Ok(())
}
