//! ResNets for ImageNet held to torchvision's, computed in float64: logits, losses, gradients, running statistics.
//!
//! Weights and images follow from a formula that `data/make_imagenet_golden.py` computes too, bit for bit.

use crate::common::{Outcome, devices, distance, norm};
use candle_core::{DType, Device, Tensor};
use candle_nn::ModuleT;
use std::collections::HashMap;
use takd_models::{Network, Parameters};

const IMAGES: usize = 4;
const SIDE: usize = 64;
/// Relative in norm, for logits, losses and running statistics.
const VALUES: f64 = 1e-4;
/// Relative in norm, for each parameter. PyTorch's own f32 is off by up to 7e-6.
const GRADIENTS: f64 = 1e-4;

/// Numbers in 0..1 with 24 bits: FNV-1a of the name, then `lowbias32` of that and the place.
fn unit(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..count as u32).map(move |place| {
        let x = start.wrapping_add(place.wrapping_mul(0x9e37_79b9));
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        f64::from((x ^ (x >> 16)) >> 8) / f64::from(1 << 24)
    })
}

fn formula(name: &str, dims: &[usize]) -> candle_core::Result<Tensor> {
    let fan_in = dims.iter().skip(1).product::<usize>() as f64;
    let scale = |number: f64| {
        if dims.len() > 1 {
            (2.0 * number - 1.0) * (3.0 / fan_in).sqrt()
        } else if name.ends_with("running_var") {
            0.5 + number
        } else if name.ends_with("weight") {
            0.25 + 0.5 * number
        } else if name.ends_with("bias") && !name.starts_with("fc") {
            // -2 to -1 and 1 to 2: few numbers come near 0 before a ReLU, where rounding would decide over the gradients below.
            let number = 2.0 * number - 1.0;
            number + if number == 0.0 { 0.0 } else { number.signum() }
        } else {
            0.2 * (number - 0.5)
        }
    };
    let numbers: Vec<f32> = unit(name, dims.iter().product()).map(|number| scale(number) as f32).collect();
    Tensor::from_vec(numbers, dims, &Device::Cpu)
}

fn images(name: &str) -> candle_core::Result<Tensor> {
    // Of variance 1 as normalised images are.
    let scale = ((3 * SIDE * SIDE) as f64).sqrt();
    (formula(name, &[IMAGES, 3, SIDE, SIDE])?.to_dtype(DType::F64)? * scale)?.to_dtype(DType::F32)
}

/// A network with the weights of the formula.
fn network(name: &str, classes: usize, device: &Device) -> Outcome<(Network, Parameters)> {
    let (network, parameters) = Network::random(name.parse()?, classes, 0, device)?;
    for (name, var) in parameters.all() {
        if var.dtype() == DType::F32 {
            var.set(&formula(&name, var.dims())?.to_device(device)?)?;
        }
    }
    Ok((network, parameters))
}

/// Up to `most` numbers, evenly spread.
fn sample(tensor: &Tensor, most: usize) -> candle_core::Result<Tensor> {
    let length = tensor.elem_count();
    let count = most.min(length);
    // An odd step, for it must not meet one place of all kernels alone.
    let places = (0..count).map(|index| (index * ((length / count) | 1) % length) as u32);
    let places = Tensor::from_iter(places, &Device::Cpu)?;
    tensor.to_device(&Device::Cpu)?.flatten_all()?.index_select(&places, 0)
}

fn holds_to_torchvision(name: &str, images: &str, bytes: &[u8]) -> Outcome {
    let golden = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    devices().iter().try_for_each(|device| holds_on(device, name, images, &golden))
}

fn holds_on(device: &Device, name: &str, images_name: &str, golden: &HashMap<String, Tensor>) -> Outcome {
    let classes = golden["logits_eval"].dims2()?.1;
    let (network, parameters) = network(name, classes, device)?;
    let images = images(images_name)?.to_device(device)?;
    let labels = Tensor::from_iter((0..IMAGES).map(|image| (image * 3 % classes) as u32), device)?;
    let relative = |what: &str, ours: &Tensor, theirs: &Tensor, bound: f64| -> Outcome<f64> {
        let (off, size) = distance(ours, theirs)?;
        assert!(off <= bound * size, "{name}: {what} is off by {:.1e} of its norm", off / size);
        Ok(off / size)
    };

    let eval = relative("evaluation", &network.forward_t(&images, false)?, &golden["logits_eval"], VALUES)?;
    let logits = network.forward_t(&images, true)?;
    let train = relative("training", &logits, &golden["logits_train"], VALUES)?;
    let loss = candle_nn::loss::cross_entropy(&logits, &labels)?;
    let loss_off = relative("the loss", &loss.reshape(1)?, &golden["loss_train"], VALUES)?;

    // Each of these golden tensors holds numbers of many tensors, one after the other by name.
    let mut after = golden["after_samples"].clone();
    let mut statistics = 0f64;
    for (tensor, var) in parameters.all().iter().filter(|(tensor, _)| tensor.contains("running_")) {
        let ours = sample(var, 16)?;
        statistics = statistics.max(relative(tensor, &ours, &take(&mut after, ours.elem_count())?, VALUES)?);
    }
    let grads = takd_ops::backward(&loss)?;
    let (mut norms, mut samples) = (golden["grad_norms"].clone(), golden["grad_samples"].clone());
    let mut gradients = 0f64;
    for (tensor, var) in &parameters.trainable() {
        let grad = grads.get(var).ok_or_else(|| format!("{name}: no gradient for {tensor}"))?;
        let ours = sample(grad, 64)?;
        gradients = gradients.max(relative(tensor, &ours, &take(&mut samples, ours.elem_count())?, GRADIENTS)?);
        let ours = Tensor::new(&[norm(&grad.to_device(&Device::Cpu)?)?], &Device::Cpu)?;
        gradients = gradients.max(relative(tensor, &ours, &take(&mut norms, 1)?, GRADIENTS)?);
    }
    assert_eq!([after, norms, samples].map(|rest| rest.elem_count()), [0; 3], "{name}: all is compared");
    println!(
        "{name} on {:?}: logits {eval:.1e} (evaluation) {train:.1e} (training), loss {loss_off:.1e}, \
         statistics {statistics:.1e}, gradients {gradients:.1e}",
        device.location()
    );
    Ok(())
}

/// The first `count` numbers; the others are left.
fn take(numbers: &mut Tensor, count: usize) -> candle_core::Result<Tensor> {
    let first = numbers.narrow(0, 0, count)?;
    *numbers = numbers.narrow(0, count, numbers.elem_count() - count)?;
    Ok(first)
}

#[test]
fn bottlenecks_of_the_paper_hold_to_torchvisions() -> Outcome {
    holds_to_torchvision("imagenet-resnet14", "images5", include_bytes!("../data/imagenet-resnet14.safetensors"))
}

#[test]
fn resnet18_holds_to_torchvision() -> Outcome {
    holds_to_torchvision("imagenet-resnet18", "images3", include_bytes!("../data/imagenet-resnet18.safetensors"))
}

#[test]
fn resnet50_holds_to_torchvision() -> Outcome {
    holds_to_torchvision("imagenet-resnet50", "images5", include_bytes!("../data/imagenet-resnet50.safetensors"))
}
