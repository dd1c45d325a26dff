//! A folder that is written is read back the same, and one that is not ours, damaged or hostile says what is wrong with it.

use crate::common::{Outcome, class_names, config, images, model, network};
use candle_core::Device;
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use takd_models::ModelSpec;
use takd_zoo::{Classifier, Config, Error, Existing, Extras, Model, OnnxInput, WeightPrecision};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";

fn outcome<T>(result: Outcome<T>) -> Result<T, TestCaseError> {
    result.map_err(|error| TestCaseError::fail(error.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_the_same(
        name in prop::sample::select(vec!["plane2", "plane2-wide", "plane4", "plane8", "resnet8", "resnet14"]),
        names in prop::collection::vec("\\PC{0,20}x", 1..12),
        seed in 0u64..9,
        precision in prop::sample::select(WeightPrecision::ALL.to_vec()),
        python in any::<bool>(),
    ) {
        outcome((|| {
            let spec: ModelSpec = name.parse()?;
            let (_, parameters) = network(spec, names.len(), seed)?;
            let config = Config { class_names: names.clone(), weights: precision, ..config(spec, names.len(), 32)? };
            let model = Model::new(config, &parameters)?;
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("model");
            model.write(&path, Extras { onnx: Some(OnnxInput::Normalized), python }, Existing::Keep)?;
            let found = Model::open(&path)?;
            assert_eq!(found, model);
            // What is read is what was measured, bit for bit.
            let bytes = |model: &Model| -> Outcome<Vec<u8>> { Ok(model.network(&Device::Cpu)?.1.to_safetensors([].into())?) };
            assert_eq!(bytes(&found)?, bytes(&model)?);
            if precision == WeightPrecision::F32 {
                assert_eq!(bytes(&found)?, parameters.to_safetensors([].into())?);
            }
            // And it is written again as it was.
            for (name, bytes) in found.files(Extras { onnx: Some(OnnxInput::Normalized), python })? {
                assert_eq!(fs::read(path.join(name))?, bytes, "{name}");
            }
            Ok(())
        })())?;
    }

    #[test]
    fn damaged_files_are_refused_or_read_and_never_panic(
        config_place in 0.0f64..1.0, weights_place in 0.0f64..1.0, value in any::<u8>()
    ) {
        outcome((|| {
            let folder = written("plane2", WeightPrecision::Int8)?;
            for (name, place) in [("config.json", config_place), (WEIGHTS, weights_place)] {
                let path = model_in(&folder).join(name);
                let whole = fs::read(&path)?;
                let mut bytes = whole.clone();
                let place = (place * bytes.len() as f64) as usize;
                bytes[place] ^= value;
                fs::write(&path, &bytes)?;
                let _ = Model::open(&model_in(&folder));
                fs::write(&path, &whole)?;
            }
            Ok(())
        })())?;
    }
}

/// A temporary folder in which there is a model.
fn written(name: &str, precision: WeightPrecision) -> Outcome<TempDir> {
    let folder = tempfile::tempdir()?;
    model(name, 10, 32)?.0.stored_as(precision)?.write(&model_in(&folder), Extras::default(), Existing::Keep)?;
    Ok(folder)
}

fn model_in(folder: &TempDir) -> PathBuf {
    folder.path().join("model")
}

/// The error of opening the model, which names the file.
fn refusal(folder: &TempDir, file: &str) -> Outcome<Error> {
    let path = model_in(folder);
    let error = Model::open(&path).err().ok_or("this folder should be refused")?;
    let message = error.to_string();
    assert!(message.contains(&path.join(file).display().to_string()) && !message.contains('\n'), "{message}");
    Ok(error)
}

/// Changes the configuration's JSON.
fn change_config(folder: &TempDir, change: impl FnOnce(&mut serde_json::Value)) -> Outcome {
    let path = model_in(folder).join("config.json");
    let mut json = serde_json::from_slice(&fs::read(&path)?)?;
    change(&mut json);
    Ok(fs::write(&path, json.to_string())?)
}

/// Changes the tensors of the weights.
fn change_weights(
    folder: &TempDir,
    change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>),
) -> Outcome {
    let path = model_in(folder).join(WEIGHTS);
    let bytes = fs::read(&path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let copied =
        |(name, view): (String, TensorView)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    let mut tensors = file.tensors().into_iter().map(copied).collect();
    change(&mut tensors);
    let views =
        tensors.iter().map(|(name, (dtype, shape, data))| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(fs::write(&path, safetensors::serialize(views, None)?)?)
}

#[test]
fn missing_files_are_named() -> Outcome {
    for file in ["config.json", WEIGHTS] {
        let folder = written("plane2", WeightPrecision::F32)?;
        fs::remove_file(model_in(&folder).join(file))?;
        assert!(matches!(refusal(&folder, file)?, Error::Missing { .. }));
    }
    let error = Model::open(Path::new("no/such/folder")).unwrap_err();
    assert!(matches!(&error, Error::Missing { path } if path.ends_with("config.json")), "{error}");
    Ok(())
}

#[test]
fn truncated_files_are_refused() -> Outcome {
    for file in ["config.json", WEIGHTS] {
        let folder = written("plane2", WeightPrecision::Int8)?;
        let path = model_in(&folder).join(file);
        let whole = fs::read(&path)?;
        // A configuration ends in a brace and a line break.
        for length in [0, 4, 8, whole.len() / 2, whole.len() - 2] {
            fs::write(&path, &whole[..length])?;
            refusal(&folder, file)?;
        }
    }
    Ok(())
}

#[test]
fn configurations_that_contradict_themselves_or_the_network_are_refused() -> Outcome {
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 16] = [
        (|json| json["classes"] = 9.into(), "`classes` is 9, and there are 10 `class_names`"),
        (|json| json["class_names"] = serde_json::json!([]), "10"),
        (|json| json["class_names"][3] = " ".into(), "class 3"),
        (|json| json["architecture"] = "plane3".into(), "did you mean `plane2` or `plane4`?"),
        (|json| json["architecture"] = "logits".into(), "which are no network"),
        (|json| json["input"]["scaling"] = "64".into(), "64x64"),
        (|json| json["input"]["scaling"] = "0".into(), "`0` is no size of images"),
        (|json| json["input"]["channels"] = "BGR".into(), "BGR"),
        (|json| json["input"]["std"][1] = 0.into(), "cannot normalise"),
        (|json| json["input"]["mean"][1] = 1e300.into(), "number out of range"),
        (|json| json["weights"] = "int4".into(), "unknown precision `int4`"),
        (|json| json["licence"] = "all: rights\nreserved".into(), "licence"),
        (|json| json["accuracy"] = serde_json::json!({ "top1": 66.07, "images": 10 }), "66.07"),
        (|json| json["colour"] = "red".into(), "unknown field `colour`"),
        (|json| drop(json.as_object_mut().and_then(|json| json.remove("licence"))), "missing field `licence`"),
        (|json| *json = "a text".into(), "invalid type"),
    ];
    for (change, expected) in changes {
        let folder = written("plane2", WeightPrecision::F32)?;
        change_config(&folder, change)?;
        let error = refusal(&folder, "config.json")?.to_string();
        assert!(error.contains(expected), "{error}");
    }
    Ok(())
}

#[test]
fn other_versions_are_refused_before_their_fields_are_looked_at() -> Outcome {
    let folder = written("plane2", WeightPrecision::F32)?;
    fs::write(model_in(&folder).join("config.json"), r#"{"format_version": 2, "everything": "else"}"#)?;
    assert!(matches!(refusal(&folder, "config.json")?, Error::Version { found: 2, known: 1, .. }));
    Ok(())
}

#[test]
fn weights_of_another_network_are_recognised() -> Outcome {
    let folder = written("plane4", WeightPrecision::F16)?;
    change_config(&folder, |json| json["architecture"] = "plane2".into())?;
    let error = refusal(&folder, WEIGHTS)?.to_string();
    assert!(error.contains("it holds plane4 with 10 classes"), "{error}");

    let folder = written("plane2", WeightPrecision::Int8)?;
    change_config(&folder, |json| {
        json["classes"] = 11.into();
        json["class_names"] = serde_json::json!(class_names(11));
    })?;
    let error = refusal(&folder, WEIGHTS)?.to_string();
    assert!(error.contains("it holds plane2 with 10 classes"), "{error}");
    Ok(())
}

#[test]
fn weights_that_are_no_numbers_or_stored_otherwise_are_refused() -> Outcome {
    type Change = fn(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);
    let changes: [(WeightPrecision, Change, &str); 8] = [
        (
            WeightPrecision::F32,
            |tensors| {
                let bias = tensors.get_mut("fc_layers.0.bias").expect("a bias");
                bias.2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            },
            "`fc_layers.0.bias` has NaN",
        ),
        (
            WeightPrecision::Int8,
            |tensors| {
                let scale = tensors.get_mut("conv_layers.0.weight.scale").expect("a scale");
                scale.2[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
            },
            "`conv_layers.0.weight` has inf",
        ),
        (
            WeightPrecision::F32,
            |tensors| {
                let variance = tensors.get_mut("conv_layers.1.running_var").expect("a variance");
                variance.2[..4].copy_from_slice(&(-1f32).to_le_bytes());
            },
            "has a variance below 0",
        ),
        (
            WeightPrecision::Int8,
            |tensors| drop(tensors.remove("conv_layers.0.weight.scale")),
            "`conv_layers.0.weight` has no 32-bit scale",
        ),
        (
            WeightPrecision::Int8,
            |tensors| {
                let scale = tensors.get_mut("conv_layers.0.weight.scale").expect("a scale");
                (scale.1, scale.2) = (vec![1], vec![0; 4]);
            },
            "`conv_layers.0.weight` has no 32-bit scale",
        ),
        (
            WeightPrecision::F32,
            |tensors| {
                let weight = tensors.get_mut("fc_layers.0.weight").expect("a weight");
                (weight.0, weight.2) = (Dtype::F16, vec![0; weight.2.len() / 2]);
            },
            "is stored as f16, and must be as f32",
        ),
        (
            WeightPrecision::F32,
            |tensors| {
                let weight = tensors.get_mut("fc_layers.0.weight").expect("a weight");
                (weight.0, weight.2) = (Dtype::F64, vec![0; weight.2.len() * 2]);
            },
            "is of type F64",
        ),
        (
            WeightPrecision::F16,
            |tensors| drop(tensors.insert("extra.scale".into(), (Dtype::F32, vec![1], vec![0; 4]))),
            "the file has a tensor `extra.scale`, the network has not",
        ),
    ];
    for (precision, change, expected) in changes {
        let folder = written("plane2", precision)?;
        change_weights(&folder, change)?;
        let error = refusal(&folder, WEIGHTS)?.to_string();
        assert!(error.contains(expected), "{error}");
    }
    Ok(())
}

#[test]
fn weights_too_large_for_half_precision_are_refused_and_named() -> Outcome {
    let spec: ModelSpec = "plane2".parse()?;
    let (_, parameters) = network(spec, 10, 31)?;
    let (_, bias) = parameters.all().into_iter().find(|(name, _)| name == "fc_layers.0.weight").ok_or("a weight")?;
    bias.set(&(bias.as_detached_tensor() * 1e7)?)?;
    let model = Model::new(config(spec, 10, 32)?, &parameters)?;
    let error = model.stored_as(WeightPrecision::F16).unwrap_err().to_string();
    assert!(error.contains("`fc_layers.0.weight`") && error.contains("stored as f16"), "{error}");
    model.stored_as(WeightPrecision::Int8)?;
    Ok(())
}

#[test]
fn configuration_of_50_megabytes_is_not_read() -> Outcome {
    let folder = written("plane2", WeightPrecision::F32)?;
    fs::File::create(model_in(&folder).join("config.json"))?.set_len(50 << 20)?;
    assert!(matches!(refusal(&folder, "config.json")?, Error::Store(takd_store::Error::TooLarge { .. })));
    Ok(())
}

#[test]
fn configuration_that_would_not_be_read_is_not_written() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, _) = model("plane2", 10, 32)?;
    let class_names = vec!["n".repeat(1 << 20); 10];
    let model = model.clone().with_config(Config { class_names, ..model.config().clone() })?;
    let error = model.write(&model_in(&folder), Extras::default(), Existing::Keep).unwrap_err();
    assert!(matches!(error, Error::TooLarge { name: "config.json", .. }), "{error}");
    assert!(!model_in(&folder).exists());
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_pipes_and_folders_in_place_of_files_are_refused_at_once() -> Outcome {
    for file in ["config.json", WEIGHTS] {
        let folder = written("plane2", WeightPrecision::F32)?;
        let path = model_in(&folder).join(file);
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved)?;
        std::os::unix::fs::symlink(&moved, &path)?;
        assert!(refusal(&folder, file)?.to_string().contains("symbolic link"));
        fs::remove_file(&path)?;
        assert!(std::process::Command::new("mkfifo").arg(&path).status()?.success());
        assert!(refusal(&folder, file)?.to_string().contains("named pipe"));
        fs::remove_file(&path)?;
        fs::create_dir(&path)?;
        assert!(refusal(&folder, file)?.to_string().contains("a folder"));
    }
    Ok(())
}

#[test]
fn model_is_opened_by_its_two_files_wherever_they_lie() -> Outcome {
    let folder = written("plane2", WeightPrecision::F16)?;
    let model = Model::open(&model_in(&folder))?;
    let [config, weights] = ["6f3a", "9c1b"].map(|name| folder.path().join(name));
    fs::rename(model_in(&folder).join("config.json"), &config)?;
    fs::rename(model_in(&folder).join(WEIGHTS), &weights)?;
    assert_eq!(Model::open_files(&config, &weights)?, model);
    fs::write(&weights, "no weights")?;
    let error = Model::open_files(&config, &weights).unwrap_err().to_string();
    assert!(error.contains("9c1b"), "{error}");
    Ok(())
}

#[test]
fn files_of_a_folder_are_a_models_own_as_they_are_there() -> Outcome {
    let folder = written("plane2", WeightPrecision::F32)?;
    let path = model_in(&folder);
    fs::write(path.join("README.md"), "changed")?;
    fs::write(path.join("letter.txt"), "dear")?;
    let found = Model::files_in(&path)?;
    for (name, bytes) in &found {
        assert_eq!(*bytes, fs::read(path.join(name))?, "{name}");
    }
    assert!(found.iter().any(|(name, _)| *name == "README.md") && found.iter().all(|(name, _)| *name != "letter.txt"));
    fs::remove_file(path.join("config.json"))?;
    assert!(matches!(Model::files_in(&path), Err(Error::Missing { .. })));
    Ok(())
}

#[test]
fn model_is_replaced_only_if_that_is_asked_for() -> Outcome {
    let folder = written("plane2", WeightPrecision::F32)?;
    let path = model_in(&folder);
    let (newer, _) = model("resnet8", 10, 32)?;
    let error = newer.write(&path, Extras::ALL, Existing::Keep).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(Model::open(&path)?.config().architecture.to_string(), "plane2");
    newer.write(&path, Extras::ALL, Existing::Replace)?;
    assert_eq!(Model::open(&path)?, newer);
    // Fewer files take the place of more.
    newer.write(&path, Extras::default(), Existing::Replace)?;
    assert_eq!(fs::read_dir(&path)?.count(), 3);
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

#[test]
fn folders_that_are_not_a_models_are_never_replaced() -> Outcome {
    let (model, _) = model("plane2", 10, 32)?;
    let folder = tempfile::tempdir()?;
    let path = model_in(&folder);
    fs::create_dir(&path)?;
    fs::write(path.join("config.json"), r#"{"model_type": "somebody's"}"#)?;
    let error = model.write(&path, Extras::default(), Existing::Replace).unwrap_err();
    assert!(matches!(error, Error::NotAModel { .. }), "{error}");
    assert_eq!(fs::read_dir(&path)?.count(), 1);

    // A model's folder in which something else is too.
    let folder = written("plane2", WeightPrecision::F32)?;
    fs::write(model_in(&folder).join("notes.txt"), "mine")?;
    let error = model.write(&model_in(&folder), Extras::default(), Existing::Replace).unwrap_err().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(fs::read_to_string(model_in(&folder).join("notes.txt"))?, "mine");

    // An empty folder is nobody's.
    let folder = tempfile::tempdir()?;
    fs::create_dir(model_in(&folder))?;
    model.write(&model_in(&folder), Extras::default(), Existing::Keep)?;
    Model::open(&model_in(&folder))?;
    Ok(())
}

#[test]
fn fewer_bits_cost_little_and_are_what_is_measured() -> Outcome {
    let (whole, _) = model("resnet8", 10, 32)?;
    let images = images(4, 32);
    let logits = |model: &Model| -> Outcome<Vec<f32>> {
        Ok(Classifier::new(model, &Device::Cpu)?.logits(&images)?.flatten_all()?.to_vec1()?)
    };
    let expected = logits(&whole)?;
    for (precision, most, bytes) in
        [(WeightPrecision::F32, 0.0, 4.0), (WeightPrecision::F16, 1e-3, 2.0), (WeightPrecision::Int8, 0.05, 1.0)]
    {
        let rounded = whole.stored_as(precision)?;
        let off = crate::common::difference(&logits(&rounded)?, &expected);
        assert!(off <= most, "{precision}: {off}");
        // Weights, and 14 KB of normalisation and header.
        let expected = 77_000.0 * bytes + 14_000.0;
        let found = rounded.cost(None)?.bytes;
        assert!((found as f64 - expected).abs() < 0.1 * expected, "{precision}: {found}, not about {expected}");
        // Rounding what is rounded changes nothing.
        assert_eq!(rounded.stored_as(precision)?, rounded);
    }
    Ok(())
}
