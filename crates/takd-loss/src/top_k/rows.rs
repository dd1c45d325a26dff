//! A top-k teacher as the loss reads it.

use super::teacher::TopK;
use crate::checks::check_device;
use crate::error::{Error, Input, Result};
use crate::settings::KdLoss;
use candle_core::{DType, Device, Tensor};

/// A [`TopK`] in memory, its shapes and types checked.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub k: usize,
    /// `[batch, k]`.
    pub indices: Vec<u32>,
    /// `[batch, k]`.
    pub logits: Vec<f64>,
    /// `[batch]`.
    pub tail: Vec<f64>,
}

impl Rows {
    pub(crate) fn new(teacher: &TopK, loss: &KdLoss, student: &Tensor) -> Result<Rows> {
        if teacher.temperature != loss.temperature {
            let range = "the one that the top-k teacher's tails were made for";
            return Err(Error::Setting { name: "temperature", found: loss.temperature, range });
        }
        let (batch, classes) = student.dims2()?;
        let TopK { indices, logits, tail, .. } = teacher;
        let shape = |input, expected: String, tensor: &Tensor| {
            Err(Error::Shape { input, expected, found: tensor.shape().clone() })
        };
        let k = match *indices.dims() {
            [rows, k] if rows == batch && (1..=classes).contains(&k) => k,
            _ => return shape(Input::TopKIndices, format!("[{batch}, k] with a k of 1 to {classes}"), indices),
        };
        if logits.dims() != [batch, k] {
            return shape(Input::TopKLogits, format!("[{batch}, {k}], as the indices"), logits);
        }
        if tail.dims() != [batch] {
            return shape(Input::TopKTail, format!("[{batch}], one for each of the student's rows"), tail);
        }
        if indices.dtype() != DType::U32 {
            return Err(Error::DType { input: Input::TopKIndices, expected: "u32", found: indices.dtype() });
        }
        for (input, tensor) in [(Input::TopKLogits, logits), (Input::TopKTail, tail)] {
            if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
                return Err(Error::DType { input, expected: "f32, f16, bf16 or f64", found: tensor.dtype() });
            }
        }
        for (input, tensor) in [(Input::TopKIndices, indices), (Input::TopKLogits, logits), (Input::TopKTail, tail)] {
            check_device(input, tensor, student)?;
        }
        let numbers = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
        let indices = indices.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        Ok(Rows { k, indices, logits: numbers(logits)?, tail: numbers(tail)? })
    }

    /// The error if something is wrong with a row.
    pub(crate) fn check(&self, row: usize, classes: usize) -> Result<()> {
        let here = row * self.k..(row + 1) * self.k;
        let logits = &self.logits[here.clone()];
        if let Some(column) = logits.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { input: Input::TopKLogits, row, column, value: logits[column] });
        }
        let value = self.tail[row];
        if self.k < classes && (value.is_nan() || value == f64::INFINITY) {
            return Err(Error::NotFinite { input: Input::TopKTail, row, column: 0, value });
        }
        let mut listed = self.indices[here].to_vec();
        listed.sort_unstable();
        let twice = listed.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        match listed.last().copied().filter(|&class| class as usize >= classes).or(twice) {
            Some(class) => Err(Error::ListedClass { row, class, classes }),
            None => Ok(()),
        }
    }
}
