//! Checkpoints go both ways, and a wrong one says what is wrong with it.

use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use takd_models::{CheckpointError, Misfit, ModelSpec, Network, Parameters};
use tempfile::TempDir;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn drawn(name: &str, classes: usize) -> Outcome<Parameters> {
    let parameters = Parameters::random(20);
    Network::new(name.parse::<ModelSpec>()?, classes, parameters.var_builder(&Device::Cpu))?;
    Ok(parameters)
}

/// A file of the network's tensors after a change.
fn file(
    folder: &TempDir,
    name: &str,
    change: impl FnOnce(&mut HashMap<String, Tensor>),
) -> Outcome<std::path::PathBuf> {
    let mut tensors: HashMap<_, _> = drawn(name, 10)?.snapshot()?.into_iter().collect();
    change(&mut tensors);
    let path = folder.path().join("weights.safetensors");
    candle_core::safetensors::save(&tensors, &path)?;
    Ok(path)
}

fn load(name: &str, classes: usize, path: &Path) -> Result<Parameters, CheckpointError> {
    let spec = name.parse().expect("a known name");
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
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    for name in ["plane8", "resnet14"] {
        let parameters = drawn(name, 100)?;
        parameters.save(&path, HashMap::from([("model".to_owned(), name.to_owned())]))?;
        let again = load(name, 100, &path)?;
        assert_eq!(again.to_safetensors(HashMap::new())?, parameters.to_safetensors(HashMap::new())?);
        assert!(again.unused().is_empty());
    }
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "no half-written file stays");
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
    // The way through a `VarBuilder` says it too.
    let parameters = Parameters::load(&path)?;
    let error = Network::new("plane4".parse()?, 10, parameters.var_builder(&Device::Cpu)).unwrap_err().to_string();
    assert!(error.contains("weights.safetensors") && error.contains("`conv_layers.3.weight`"), "{error}");
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
    assert_eq!((unused.len(), holds), (72, Some(("resnet20".parse()?, 10))));
    for (name, classes) in [("resnet8", 10), ("resnet26", 10), ("resnet20", 100), ("plane10", 10)] {
        let message = refusal(name, classes, &path);
        assert!(message.contains("it holds resnet20 with 10 classes: load it as that"), "{message}");
    }
    // A builder takes what it needs; what it left is known.
    let parameters = Parameters::load(&path)?;
    Network::new("resnet8".parse()?, 10, parameters.var_builder(&Device::Cpu))?;
    assert_eq!(parameters.unused(), unused);
    Ok(())
}

#[test]
fn missing_truncated_and_foreign_files_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    assert!(refusal("plane2", 10, &path).starts_with("cannot access"));
    let whole = drawn("plane2", 10)?.to_safetensors(HashMap::new())?;
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length])?;
        assert!(refusal("plane2", 10, &path).contains("damaged"), "{length} bytes");
    }
    std::fs::write(&path, b"PK\x03\x04 a PyTorch file is a zip archive")?;
    assert!(refusal("plane2", 10, &path).contains("save_file"));
    Ok(())
}

#[test]
fn two_networks_of_different_shapes_cannot_share_parameters() -> Outcome {
    let parameters = drawn("resnet8", 10)?;
    let error = Network::new("resnet8".parse()?, 100, parameters.var_builder(&Device::Cpu)).unwrap_err().to_string();
    assert!(error.contains("fc.weight") && error.contains("[10, 64]"), "{error}");
    Ok(())
}
