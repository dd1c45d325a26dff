//! A teacher in compact form: the largest logits of each row, and what the others come to together.

pub(super) mod cpu;

use crate::error::{Error, Input, Result};
use crate::kd::KdLoss;
use candle_core::{DType, Device, Tensor};

/// A teacher of which, for each row, the k largest logits are known, and one number for all the others.
///
/// For teachers kept on disk where the classes are many: with 32 000 classes and k = 64, a row of f16 logits shrinks from
/// 64 kB to 388 bytes.
///
/// # The loss
/// K being the listed classes and τ the temperature, the teacher's probabilities are
///
/// `q_c = exp(t_c/τ) / Z` for c in K, and `q_rest = exp(tail) / Z`, with `Z = Σ_K exp(t_c/τ) + exp(tail)`.
///
/// The classes that are not listed count as one class, for the teacher and for the student:
///
/// `KL = Σ_K q_c·log(q_c / p'_c) + q_rest·log(q_rest / p'_rest)`, with `p'_rest = 1 − Σ_K p'_c`.
///
/// Nothing is made up about how the teacher spreads its rest: the student keeps its own proportions there. The divergence is
/// never more than that of all the logits (merging classes cannot raise it), and is equal to it where every class is listed. Its
/// gradient for the student's logits is `(p' − q)/τ`, as ever, with `q_c = q_rest·p'_c/p'_rest` for a class not listed.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use takd_loss::{KdLoss, TopK};
///
/// # fn main() -> takd_loss::Result<()> {
/// let kd = KdLoss { temperature: 2.0, ..KdLoss::default() };
/// let teacher_logits = Tensor::new(&[[4.0f32, 1.0, 3.0, 0.0, 0.5]], &Device::Cpu)?;
/// let teacher = TopK::from_logits(&teacher_logits, 2, kd.temperature)?; // kept: classes 0 and 2
/// assert_eq!(teacher.indices.to_vec2::<u32>()?, [[0, 2]]);
///
/// let student_logits = Tensor::new(&[[2.0f32, 0.0, 2.0, 1.0, 0.5]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32], &Device::Cpu)?;
/// let compact = kd.forward_top_k(&student_logits, &teacher, &labels, None)?.to_scalar::<f32>()?;
/// let full = kd.forward(&student_logits, &teacher_logits, &labels)?.to_scalar::<f32>()?;
/// assert!(compact < full);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TopK {
    /// The listed classes, `[batch, k]`, u32, in any order, each once a row.
    pub indices: Tensor,
    /// The teacher's logits for them, `[batch, k]`, of any float type.
    pub logits: Tensor,
    /// `log Σ exp(t_c/τ)` over the classes not listed, `[batch]`, of any float type; minus infinity for a teacher without a
    /// rest. Not read where every class is listed.
    pub tail: Tensor,
    /// τ of the tail, which a loss's temperature must be equal to.
    pub temperature: f64,
}

impl TopK {
    /// The k largest of each row of `teacher_logits` (`[batch, classes]`), largest first, with their tail in f32. The logits
    /// keep their type and all of it their device.
    ///
    /// # Errors
    /// For a k of 0 or above the number of classes, a temperature that is not above 0, and logits that are not finite.
    pub fn from_logits(teacher_logits: &Tensor, k: usize, temperature: f64) -> Result<TopK> {
        KdLoss { temperature, ..KdLoss::default() }.check()?;
        let found = teacher_logits.shape().clone();
        let &[batch, classes] = teacher_logits.dims() else {
            return Err(Error::Shape { input: Input::TeacherLogits, expected: "[batch, classes]".into(), found });
        };
        if k == 0 || k > classes {
            let expected = format!("[batch, classes] of {} classes or more, for a k of {k} above 0", k.max(1));
            return Err(Error::Shape { input: Input::TeacherLogits, expected, found });
        }
        let rows = teacher_logits.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let (mut indices, mut tails) = (Vec::with_capacity(batch * k), Vec::with_capacity(batch));
        for (row, logits) in rows.iter().enumerate() {
            if let Some(column) = logits.iter().position(|value| !value.is_finite()) {
                return Err(Error::NotFinite { input: Input::TeacherLogits, row, column, value: logits[column] });
            }
            let mut order: Vec<u32> = (0..classes as u32).collect();
            // Equal logits in order of their classes, so that the choice never depends on the sort.
            let by_size = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
            if k < classes {
                order.select_nth_unstable_by(k - 1, by_size);
            }
            order[..k].sort_unstable_by(by_size);
            let rest = || order[k..].iter().map(|&class| logits[class as usize] / temperature);
            let max = rest().fold(f64::NEG_INFINITY, f64::max);
            let tail = if k < classes { max + rest().map(|t| (t - max).exp()).sum::<f64>().ln() } else { max };
            indices.extend_from_slice(&order[..k]);
            tails.push(tail as f32);
        }
        let device = teacher_logits.device();
        let indices = Tensor::from_vec(indices, (batch, k), device)?;
        let logits = teacher_logits.detach().contiguous()?.gather(&indices, 1)?;
        Ok(TopK { indices, logits, tail: Tensor::from_vec(tails, batch, device)?, temperature })
    }
}

/// A [`TopK`] in memory, its shapes and types checked.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub k: usize,
    /// `[batch, k]`.
    pub indices: Vec<u32>,
    /// `[batch, k]`.
    pub logits: Vec<f64>,
    /// `[batch]`.
    pub tail: Vec<f64>,
}

impl Rows {
    pub(super) fn new(teacher: &TopK, loss: &KdLoss, student: &Tensor) -> Result<Rows> {
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
            crate::kd::fused::check_device(input, tensor, student)?;
        }
        let numbers = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
        let indices = indices.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        Ok(Rows { k, indices, logits: numbers(logits)?, tail: numbers(tail)? })
    }

    /// What of a row is not as it must be.
    pub(super) fn check(&self, row: usize, classes: usize) -> Result<()> {
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
