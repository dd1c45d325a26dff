//! Networks held to tensors that PyTorch computed in float64 from the published definitions: on the CPU, and on CUDA where the
//! crate is built for it and a device is there.
//!
//! The small files are kept in `tests/data`. Larger ones are looked for in `../shared/reference` from the workspace's
//! root, or where `TAKD_REFERENCE_DIR` says; without them those tests say so and pass.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::ModuleT;
use common::{Outcome, devices, distance, snapshot};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use takd_models::{ModelName, Network, Parameters};

type Tensors = HashMap<String, Tensor>;

/// Relative, for logits, losses and running statistics.
const VALUES: f64 = 1e-4;
/// Relative in norm.
const GRADIENTS: f64 = 1e-3;
/// Files in which a number before a ReLU is nearer to 0 than f32 resolves: 1.4e-8 in the one and 1.9e-7 in the other, where a sum
/// of numbers about 1 is rounded to steps of 6e-8. Which side it falls on is the order of additions' to say, and one number on
/// the other side moved the gradients below it by up to 4e-3. The CPU's order gives PyTorch's side.
const ON_EDGE: [&str; 2] = ["resnet8_cifar10", "resnet14_cifar100"];
/// Relative in norm, for those on CUDA.
const GRADIENTS_ON_EDGE: f64 = 1e-2;
/// A gradient whose norm is below this is zero but for rounding (a convolution's bias before batch normalisation).
const ZERO: f64 = 1e-6;

/// Those of `tests/data`; in the program, which may be taken to another machine.
const KEPT: [(&str, &[u8]); 2] = [
    ("plane2_cifar10", include_bytes!("data/plane2_cifar10.safetensors")),
    ("resnet8_cifar10", include_bytes!("data/resnet8_cifar10.safetensors")),
];

/// `None`, and a line that says so, where the file is not there.
fn reference(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TAKD_REFERENCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"), PathBuf::from);
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: no {}; TAKD_REFERENCE_DIR may name another folder", path.display());
    None
}

/// A network with the tensors called `{prefix}*` in a golden file, by way of a checkpoint on disk.
fn network(
    name: &str,
    tensors: &Tensors,
    prefix: &str,
    classes: usize,
    device: &Device,
) -> Outcome<(Network, Parameters)> {
    let spec = name.parse::<ModelName>()?.spec(classes);
    let state: Tensors = with_prefix(tensors, prefix);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state.safetensors");
    candle_core::safetensors::save(&state, &path)?;
    // Loads only where the file holds exactly the network's names and shapes.
    Ok(Network::load(spec, classes, &path, device)?)
}

fn with_prefix(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone()))).collect()
}

fn variables(parameters: &Parameters) -> HashMap<String, Var> {
    parameters.all().into_iter().collect()
}

fn holds_to_pytorch(file: &str, bytes: &[u8]) -> Outcome {
    devices().iter().try_for_each(|device| holds_on(device, file, bytes))
}

fn holds_on(device: &Device, file: &str, bytes: &[u8]) -> Outcome {
    let (name, data) = file.split_once('_').ok_or("a file name <model>_<data>")?;
    let classes = if data == "cifar10" { 10 } else { 100 };
    let golden = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    let get = |key: &str| golden.get(key).ok_or_else(|| format!("{file}: no tensor {key}"));
    let (network, parameters) = network(name, &golden, "w.", classes, device)?;
    let images = get("input")?.to_dtype(DType::F32)?.to_device(device)?;
    let labels = get("labels")?.to_dtype(DType::U32)?.to_device(device)?;

    let relative = |what: &str, ours: &Tensor| -> Outcome<f64> {
        let (off, size) = distance(ours, get(what)?)?;
        assert!(off <= VALUES * size, "{file}: {what} is off by {:.1e} of its norm", off / size);
        Ok(off / size)
    };
    let before = snapshot(&parameters)?;
    let eval = relative("logits_eval", &network.forward_t(&images, false)?)?;
    for (name, tensor) in &snapshot(&parameters)? {
        assert_eq!(distance(tensor, &before[name])?.0, 0.0, "{file}: evaluation changed {name}");
    }
    let logits = network.forward_t(&images, true)?;
    let train = relative("logits_train", &logits)?;
    let loss = candle_nn::loss::cross_entropy(&logits, &labels)?;
    let loss_off = relative("loss_train", &loss.reshape(1)?)?;

    let vars = variables(&parameters);
    let (mut statistics, mut compared) = (0f64, 0);
    for name in with_prefix(&golden, "after.").keys() {
        statistics = statistics.max(relative(&format!("after.{name}"), vars[name].as_tensor())?);
        compared += 1;
    }
    assert_eq!(compared, vars.keys().filter(|name| name.contains("running_")).count());

    let grads = takd_ops::backward(&loss)?;
    let trainable = parameters.trainable();
    assert_eq!(trainable.len(), with_prefix(&golden, "grad.").len());
    let (mut worst, mut worst_zero) = (0f64, 0f64);
    let bound = if device.is_cpu() || !ON_EDGE.contains(&file) { GRADIENTS } else { GRADIENTS_ON_EDGE };
    for (name, var) in &trainable {
        let ours = grads.get(var).ok_or_else(|| format!("{file}: no gradient for {name}"))?;
        let (off, size) = distance(ours, get(&format!("grad.{name}"))?)?;
        if size < ZERO {
            assert!(off < ZERO, "{file}: the gradient of {name} should be zero, not {off:.1e}");
            worst_zero = worst_zero.max(off);
        } else {
            assert!(off <= bound * size, "{file}: the gradient of {name} is off by {:.1e} of its norm", off / size);
            worst = worst.max(off / size);
        }
    }
    println!(
        "{file} on {:?}: logits {eval:.1e} (evaluation) {train:.1e} (training), loss {loss_off:.1e}, \
         statistics {statistics:.1e}, gradients {worst:.1e} (zero ones {worst_zero:.1e})",
        device.location()
    );
    Ok(())
}

#[test]
fn kept_golden_files_hold() -> Outcome {
    KEPT.iter().try_for_each(|(name, bytes)| holds_to_pytorch(name, bytes))
}

#[test]
fn reference_files_hold() -> Outcome {
    for name in ["plane2_cifar10", "plane4_cifar100", "resnet8_cifar10", "resnet14_cifar100"] {
        if let Some(path) = reference(&format!("{name}.safetensors")) {
            holds_to_pytorch(name, &std::fs::read(path)?)?;
        }
    }
    Ok(())
}
