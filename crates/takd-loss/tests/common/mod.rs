//! What the tests share: golden values, random logits, and comparisons that say how far apart two tensors are.

#![allow(dead_code, missing_docs)] // each program uses its own part

use candle_core::{DType, Device, Result, Tensor, Var};
use rand_distr::{Distribution, Normal, Uniform};
use serde_json::Value;
use std::collections::HashMap;
use takd_loss::{KdLoss, Reduction};

pub const CPU: Device = Device::Cpu;

/// The first GPU, if the crate is built for it and there is one.
pub fn cuda() -> Option<Device> {
    let device =
        if cfg!(feature = "cuda") { Device::new_cuda(0).map_err(|e| e.to_string()) } else { Err("not built".into()) };
    device.inspect_err(|why| println!("skipped on CUDA: {why}")).ok()
}

/// `[batch, classes]` of N(0, spread²), f64.
pub fn logits(name: &str, batch: usize, classes: usize, spread: f64) -> Tensor {
    let normal = Normal::new(0.0, spread).unwrap();
    let values: Vec<f64> = normal.sample_iter(takd_rng::stream(7, name)).take(batch * classes).collect();
    Tensor::from_vec(values, (batch, classes), &CPU).unwrap()
}

/// `[batch]` of classes, u32.
pub fn labels(name: &str, batch: usize, classes: usize) -> Tensor {
    let classes = Uniform::new(0, classes as u32).unwrap();
    let values: Vec<u32> = classes.sample_iter(takd_rng::stream(7, name)).take(batch).collect();
    Tensor::from_vec(values, batch, &CPU).unwrap()
}

pub fn var(tensor: &Tensor, dtype: DType) -> Var {
    Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
}

pub fn scalar(tensor: &Tensor) -> f64 {
    match values(tensor).as_slice() {
        [value] => *value,
        values => panic!("{} numbers for one", values.len()),
    }
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_device(&CPU).unwrap(); // widened there: not every device has f64
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    tensor.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// The gradient that a backward pass from `loss` leaves at `student`.
pub fn gradient(loss: &Tensor, student: &Var) -> Result<Tensor> {
    Ok(loss.backward()?.get(student.as_tensor()).expect("a gradient for the student").clone())
}

/// ‖a − b‖ / ‖b‖, or ‖a‖ if b is zero.
pub fn relative_distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a), values(b));
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    let size = norm(&mut b.iter().copied());
    if size > 0.0 { apart / size } else { apart }
}

/// Values and gradients that PyTorch computed.
pub struct Golden {
    pub tensors: HashMap<String, Tensor>,
    /// Name and settings.
    pub cases: Vec<(String, Value)>,
}

pub fn read(bytes: &[u8]) -> Golden {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let mut cases: Vec<_> = header
        .metadata()
        .iter()
        .flatten()
        .filter_map(|(name, settings)| Some((name.clone(), serde_json::from_str(settings).ok()?)))
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    Golden { tensors: candle_core::safetensors::load_buffer(bytes, &CPU).unwrap(), cases }
}

/// The crate's own; in the program, which may be taken to another machine.
pub fn golden() -> Golden {
    read(include_bytes!("../golden/golden.safetensors"))
}

/// The settings of a golden case that KD has.
pub fn kd_of(settings: &Value) -> KdLoss {
    let number = |key: &str| settings[key].as_f64();
    let reduction = match settings["reduction"].as_str() {
        None | Some("batchmean") => Reduction::BatchMean,
        Some("mean") => Reduction::Mean,
        Some("sum") => Reduction::Sum,
        Some(_) => Reduction::None,
    };
    KdLoss {
        temperature: number("temperature").unwrap(),
        lambda: number("lam").unwrap_or(0.0),
        reduction,
        label_smoothing: number("smoothing").unwrap_or(0.0),
        ignore_index: settings["ignore"].as_i64(),
        ..KdLoss::default()
    }
}
