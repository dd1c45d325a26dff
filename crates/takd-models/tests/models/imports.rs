//! Networks from elsewhere are recognised, and what was done on the way is told.

use crate::common::torch_file::{around, dict, expected, file_of, numbers, state_dict, text};
use crate::common::{Outcome, drawn, snapshot};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use takd_models::{Checkpoint, CheckpointError, Format, Import, Misfit, Nested, Origin};

fn recognise(bytes: &[u8]) -> Result<Import<'_>, CheckpointError> {
    Checkpoint { path: Path::new("weights.pth"), bytes }.recognise()
}

/// The error's text: it names the file and is short.
fn refusal(bytes: &[u8]) -> String {
    let message = recognise(bytes).expect_err("this file should be refused").to_string();
    assert!(message.starts_with("checkpoint weights.pth ") && !message.contains(char::is_control), "{message}");
    assert!(message.len() < 1000, "{} letters", message.len());
    message
}

/// How the file's tensors were found, which must be plane2's expected ones.
fn origin_of_plane2(bytes: &[u8]) -> Outcome<Origin> {
    let import = recognise(bytes)?;
    assert_eq!((import.spec, import.classes), ("plane2".parse()?, 10));
    let (found, expected) = (import.network(&Device::Cpu)?.1.all(), expected()?);
    assert_eq!(found.len(), expected.len());
    for (name, var) in found {
        assert_eq!((var.dims(), numbers(&var)?), (expected[&name].dims(), numbers(&expected[&name])?), "{name}");
    }
    Ok(import.origin)
}

/// A file of plane2's tensors and others, from the instructions that make its state dict.
fn around_plane2(pickled: impl FnOnce(&[u8]) -> Vec<u8>) -> Outcome<Vec<u8>> {
    let pickled = |state: Vec<u8>| [b"\x80\x02".as_slice(), &pickled(&state), b"."].concat();
    file_of(|told| pickled(state_dict(&told.into_iter().collect::<Vec<_>>())), |_| ())
}

/// A state dict of one small tensor that no network has, for which nothing must be in the file.
fn other_state_dict() -> Vec<u8> {
    let storage =
        [b"(".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text("99"), &text("cpu"), b"K\x02tQ"].concat();
    let tensor = [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage.as_slice(), b"K\0K\x02\x85K\x01\x85\x89}tR"];
    dict(&[("weight", &tensor.concat())])
}

fn safetensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Outcome<Vec<u8>> {
    Ok(safetensors::serialize(tensors.into_iter().collect::<BTreeMap<_, _>>(), None)?)
}

/// The tensors of a drawn network, each under another name.
fn renamed(name: &str, rename: impl Fn(&str) -> String) -> Outcome<BTreeMap<String, Tensor>> {
    Ok(snapshot(&drawn(name, 10, 7)?.1)?.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect())
}

#[test]
fn checkpoints_of_the_published_code_are_recognised() -> Outcome {
    let origin = origin_of_plane2(include_bytes!("../data/plane2_takd.pth.tar"))?;
    let nested = Nested { key: "model_state_dict".to_owned(), others: vec![] };
    let (prefix, precisions) = (String::new(), vec![DType::F16]);
    let format = Format::Pytorch;
    let expected = Origin { format, nested: Some(nested), prefix, names_of: None, counters: 0, precisions };
    assert_eq!(origin, expected);
    assert_eq!(origin.to_string(), "PyTorch file, f16; state dict under `model_state_dict`");
    Ok(())
}

#[test]
fn files_of_before_pytorch_1_6_are_recognised() -> Outcome {
    let origin = origin_of_plane2(include_bytes!("../data/plane2_legacy.th"))?;
    assert_eq!(
        origin.to_string(),
        "PyTorch file of before 1.6, f16; state dict under `state_dict`; prefix `module.` dropped"
    );
    Ok(())
}

#[test]
fn a_state_dict_is_found_under_any_key() -> Outcome {
    let options = b"cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb".as_slice();
    let nested = |bytes: &[u8]| Ok::<_, Box<dyn std::error::Error>>(origin_of_plane2(bytes)?.nested.map(|at| at.key));
    for key in ["state_dict", "model", "net", "model_state", "what I call it", "ü"] {
        let file = around_plane2(|state| {
            dict(&[("epoch", b"K\x03"), ("args", options), ("losses", b"](K\x01K\x02e"), (key, state), ("opt", b"}")])
        })?;
        assert_eq!(nested(&file)?.as_deref(), Some(key));
    }
    let file = around_plane2(|state| dict(&[("run", &dict(&[("student", state)])), ("best", b"}K\x01K\x02s")]))?;
    assert_eq!(nested(&file)?.as_deref(), Some("run.student"));
    // Set twice, the later counts.
    let file = around_plane2(|state| dict(&[("model", &other_state_dict()), ("model", state)]))?;
    assert_eq!(nested(&file)?.as_deref(), Some("model"));
    Ok(())
}

#[test]
fn of_several_state_dicts_that_under_the_usual_key_is_read_and_the_others_are_told() -> Outcome {
    let other = other_state_dict();
    let file = around_plane2(|state| dict(&[("ema", &other), ("a", &other), ("model", state)]))?;
    let nested = Nested { key: "model".to_owned(), others: vec!["a".to_owned(), "ema".to_owned()] };
    let origin = origin_of_plane2(&file)?;
    assert_eq!(origin.nested, Some(nested));
    assert!(origin.to_string().ends_with("state dict under `model` (not `a`, `ema`)"), "{origin}");

    let file = around_plane2(|state| dict(&[("teacher", &other), ("student", state)]))?;
    assert!(matches!(recognise(&file), Err(CheckpointError::Several { .. })));
    assert!(refusal(&file).contains("several state dicts, under `student`, `teacher`; save the one that is meant"));
    Ok(())
}

#[test]
fn what_all_names_begin_with_is_dropped() -> Outcome {
    for prefix in ["module.", "_orig_mod.", "model.", "net.", "backbone.", "_orig_mod.module.", "model._orig_mod."] {
        let file = safetensors(expected()?.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)))?;
        assert_eq!(origin_of_plane2(&file)?.prefix, prefix);
    }
    // But not what some begin with.
    let mut tensors = renamed("plane2", |name| format!("module.{name}"))?;
    let (weight, tensor) = tensors.pop_last().ok_or("tensors")?;
    tensors.insert(weight.replace("module.", ""), tensor);
    assert!(refusal(&safetensors(tensors)?).contains("no names like theirs, `fc_layers.0.weight` first"));
    Ok(())
}

#[test]
fn a_tensor_too_many_is_refused_by_its_name() -> Outcome {
    // As `torch.optim.swa_utils.AveragedModel` adds it.
    let mut tensors = renamed("plane2", |name| format!("module.{name}"))?;
    tensors.insert("n_averaged".to_owned(), Tensor::new(5i64, &Device::Cpu)?);
    let message = refusal(&safetensors(tensors.clone())?);
    assert!(message.contains("looks like plane2 with 10 classes, but the file has a tensor `n_averaged`"), "{message}");
    assert!(message.contains("(prefix `module.` dropped)"), "{message}");
    // Two would have one name if the prefix were dropped.
    tensors.insert("module.n_averaged".to_owned(), Tensor::new(5i64, &Device::Cpu)?);
    refusal(&safetensors(tensors)?);
    Ok(())
}

#[test]
fn names_of_other_libraries_are_mapped() -> Outcome {
    let linear = |name: &str| format!("module.{}", name.replace("fc.", "linear.").replace("downsample", "shortcut"));
    let hugging_face = |name: &str| {
        let mut name = name.to_owned();
        for (ours, theirs) in [
            ("downsample.0.", "shortcut.convolution."),
            ("downsample.1.", "shortcut.normalization."),
            (".conv1.", ".layer.0.convolution."),
            (".bn1.", ".layer.0.normalization."),
            (".conv2.", ".layer.1.convolution."),
            (".bn2.", ".layer.1.normalization."),
            ("layer1.", "resnet.encoder.stages.0.layers."),
            ("layer2.", "resnet.encoder.stages.1.layers."),
            ("layer3.", "resnet.encoder.stages.2.layers."),
            ("layer4.", "resnet.encoder.stages.3.layers."),
            ("fc.", "classifier.1."),
        ] {
            name = name.replace(ours, theirs);
        }
        // The stem's are not inside of a layer.
        let name = name
            .strip_prefix("conv1.")
            .map(|rest| format!("resnet.embedder.embedder.convolution.{rest}"))
            .unwrap_or(name);
        name.strip_prefix("bn1.").map(|rest| format!("resnet.embedder.embedder.normalization.{rest}")).unwrap_or(name)
    };
    type Rename<'a> = &'a dyn Fn(&str) -> String;
    for (network, whose, rename) in [
        ("resnet14", "akamaster/pytorch_resnet_cifar10 or kuangliu/pytorch-cifar", &linear as Rename),
        ("imagenet-resnet18", "Hugging Face transformers", &hugging_face),
    ] {
        let file = safetensors(renamed(network, rename)?)?;
        let import = recognise(&file)?;
        assert_eq!((import.spec, import.classes, import.origin.names_of), (network.parse()?, 10, Some(whose)));
        let expected = renamed(network, str::to_owned)?;
        for (name, var) in import.network(&Device::Cpu)?.1.all() {
            assert_eq!(numbers(&var)?, numbers(&expected[&name])?, "{name}");
        }
    }
    Ok(())
}

#[test]
fn shortcuts_without_parameters_are_told() -> Outcome {
    let rename = |name: &str| name.replace("fc.", "linear.");
    let mut tensors = renamed("resnet20", rename)?;
    tensors.retain(|name, _| !name.contains("downsample"));
    let file = safetensors(tensors)?;
    let Err(CheckpointError::Unknown { tensors, nearest: Some(nearest), .. }) = recognise(&file) else {
        panic!("a network of option A is none of ours")
    };
    assert_eq!((tensors, nearest.spec, nearest.classes), (116, "resnet20".parse()?, Some(10)));
    assert_eq!(nearest.misfit, Misfit::NoProjections);
    let message = refusal(&file);
    assert!(message.contains("looks like resnet20 with 10 classes, but where the shape changes"), "{message}");
    assert!(message.contains("option A") && message.contains("names mapped from those of akamaster"), "{message}");
    // The same where the network was named.
    let checkpoint = Checkpoint { path: Path::new("weights.pth"), bytes: &file };
    let error = checkpoint.import_as("resnet20".parse()?, 100).expect_err("option A").to_string();
    assert!(error.contains("option A") && error.ends_with("no network of this crate is that one"), "{error}");
    Ok(())
}

#[test]
fn the_nearest_network_is_told_with_the_first_difference() -> Outcome {
    let mut tensors = renamed("imagenet-resnet18", |name| {
        let name = name.replace("downsample.", "shortcut.").replace("layer1", "conv2_x").replace("layer2", "conv3_x");
        let name = name.replace("layer3", "conv4_x").replace("layer4", "conv5_x");
        if name.starts_with("conv1.") {
            name.replace("conv1.", "conv1.0.")
        } else if name.starts_with("bn1.") {
            name.replace("bn1.", "conv1.1.")
        } else {
            let parts = [("conv1", "0"), ("bn1", "1"), ("conv2", "3"), ("bn2", "4")];
            parts.iter().fold(name, |name, (ours, number)| {
                name.replace(&format!(".{ours}."), &format!(".residual_function.{number}."))
            })
        }
    })?;
    tensors.insert("conv1.0.weight".to_owned(), Tensor::zeros((64, 3, 3, 3), DType::F32, &Device::Cpu)?);
    let message = refusal(&safetensors(tensors)?);
    assert!(message.contains("imagenet-resnet18 with 10 classes, but its first convolution is 3×3"), "{message}");
    assert!(message.contains("weiaicunzai/pytorch-cifar100"), "{message}");

    let mut tensors = renamed("resnet14", str::to_owned)?;
    tensors.retain(|name, _| !name.starts_with("fc."));
    let message = refusal(&safetensors(tensors)?);
    assert!(message.contains("looks like resnet14, but the file has no tensor `fc.bias`"), "{message}");

    let mut tensors = renamed("plane4", str::to_owned)?;
    tensors.insert("conv_layers.0.weight".to_owned(), Tensor::zeros((16, 3, 5, 5), DType::F32, &Device::Cpu)?);
    let message = refusal(&safetensors(tensors)?);
    let expected = "plane4 with 10 classes, but tensor `conv_layers.0.weight` has shape [16, 3, 5, 5] in the file";
    assert!(message.contains(expected), "{message}");

    let vit = [("blocks.0.attn.proj.bias", 8usize), ("cls_token", 8), ("pos_embed", 4)];
    let vit = vit.map(|(name, size)| (name.to_owned(), Tensor::zeros(size, DType::F32, &Device::Cpu)));
    let vit: Vec<_> = vit.into_iter().map(|(name, tensor)| Ok((name, tensor?))).collect::<Outcome<_>>()?;
    let message = refusal(&safetensors(vit)?);
    assert!(message.contains("3 tensors") && message.contains("no names like theirs, `blocks.0.attn"), "{message}");
    assert!(refusal(&around(b"}.")).contains("0 tensors, which are no network of this crate: it is empty"));
    Ok(())
}

#[test]
fn precisions_and_missing_counters_are_told() -> Outcome {
    for (dtypes, said) in
        [([DType::BF16; 2], "bf16"), ([DType::F64; 2], "f64"), ([DType::F32, DType::F16], "f32 and f16")]
    {
        let tensors = expected()?.into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
        let tensors = tensors.map(|(name, tensor)| {
            let dtype = if name.starts_with("conv") { dtypes[0] } else { dtypes[1] };
            Ok((name, tensor.to_dtype(dtype)?))
        });
        let file = safetensors(tensors.collect::<Outcome<Vec<_>>>()?)?;
        let import = recognise(&file)?;
        let expected = format!("safetensors file, {said}; 2 missing num_batches_tracked set to 0");
        assert_eq!(import.origin.to_string(), expected);
        for (name, var) in import.network(&Device::Cpu)?.1.all() {
            let counter = name.ends_with("num_batches_tracked");
            assert_eq!(var.dtype(), if counter { DType::I64 } else { DType::F32 }, "{name}");
        }
    }
    Ok(())
}

#[test]
fn numbers_that_are_not_finite_or_no_weights_are_refused_by_the_tensors_name() -> Outcome {
    let with_bias = |bias: Tensor| {
        let mut tensors = renamed("plane2", |name| format!("module.{name}"))?;
        tensors.insert("module.fc_layers.0.bias".to_owned(), bias);
        safetensors(tensors)
    };
    let ten = |number: f64, dtype| (Tensor::ones(10, DType::F64, &Device::Cpu)? * number)?.to_dtype(dtype);
    for (number, dtype, said) in [
        (f64::NAN, DType::F32, "NaN"),
        (f64::INFINITY, DType::F16, "inf"),
        (f64::NEG_INFINITY, DType::BF16, "-inf"),
        // Too large for what it becomes here.
        (1e300, DType::F64, "inf"),
    ] {
        let message = refusal(&with_bias(ten(number, dtype)?)?);
        assert!(message.contains(&format!("has {said} in its tensor `module.fc_layers.0.bias`")), "{message}");
    }
    let message = refusal(&with_bias(ten(1.0, DType::I64)?)?);
    assert!(message.contains("`module.fc_layers.0.bias` is of type i64, which no network has"), "{message}");
    Ok(())
}

#[test]
fn whole_objects_are_refused_with_the_remedy_and_never_executed() {
    let message = refusal(include_bytes!("../data/whole_module.pth"));
    assert!(message.contains("a whole object of `torch.nn.modules.linear.Linear` under `net`"), "{message}");
    assert!(message.contains("weights_only=False)[\"net\"].state_dict(), path)"), "{message}");
    let message = refusal(include_bytes!("../data/torchscript.pt"));
    assert!(message.contains("torch.jit.load(path, map_location=\"cpu\").state_dict()"), "{message}");

    let folder = std::env::temp_dir().join(format!("takd-import-{}", std::process::id()));
    let command = format!("mkdir {}", folder.display());
    let system = [b"\x80\x02cos\nsystem\n".as_slice(), &text(&command), b"\x85R."].concat();
    assert!(refusal(&around(&system)).contains("a whole object of `os.system`"));
    assert!(!folder.exists());

    // No state dict, but not an object in place of one either.
    let epoch = [b"}".as_slice(), &text("epoch"), b"K\x05s."].concat();
    assert!(refusal(&around(&epoch)).contains("its entry `epoch` is an integer and not a tensor"));
    assert!(refusal(&around(b"}K\x01K\x02s.")).contains("a dict with an integer for a key"));
    assert!(refusal(&around(b"]K\x01a.")).contains("it holds a list and not a state dict"));
    assert!(refusal(b"\x80\x04}.").contains("a pickle that torch.save did not write"));
}
