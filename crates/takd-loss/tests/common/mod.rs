//! What the tests share: random logits, and comparisons that say how far apart two tensors are.

#![allow(dead_code, missing_docs)] // each test binary uses its own part

use candle_core::{DType, Device, Result, Tensor, Var};
use rand_distr::{Distribution, Normal, Uniform};

pub const CPU: Device = Device::Cpu;

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
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    tensor.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// The gradient that a backward pass from `loss` leaves at `student`.
pub fn gradient(loss: &Tensor, student: &Var) -> Result<Tensor> {
    Ok(loss.backward()?.get(student.as_tensor()).expect("a gradient for the student").clone())
}

/// ‖a − b‖ / ‖b‖, or ‖a‖ where b is nothing.
pub fn relative_distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a), values(b));
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    let size = norm(&mut b.iter().copied());
    if size > 0.0 { apart / size } else { apart }
}
