//! A teacher in compact form.

use crate::error::{Error, Input, Result};
use crate::settings::KdLoss;
use candle_core::{DType, Device, Tensor};

/// A teacher of which, for each row, the k largest logits are known, and one number for all the others.
///
/// For teachers with many classes, kept on disk: with 32 000 classes and k = 64, a row of f16 logits shrinks from
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
/// Nothing is assumed about how the teacher spreads its rest: the student keeps its own proportions there. The divergence is
/// never more than that of all the logits (merging classes cannot raise it), and equal to it if every class is listed. Its
/// gradient for the student's logits is `(p' − q)/τ`, as usual, with `q_c = q_rest·p'_c/p'_rest` for a class not listed.
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
    /// rest. Not read if every class is listed.
    pub tail: Tensor,
    /// τ of the tail. The loss's temperature must be equal to it.
    pub temperature: f64,
}

impl TopK {
    /// The k largest of each row of `teacher_logits` (`[batch, classes]`), largest first, with their tail in f32. The logits
    /// keep their type, and everything stays on their device.
    ///
    /// # Errors
    /// If k is 0 or above the number of classes, the temperature not above 0, or a logit not finite.
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
            // Equal logits in the order of their classes, so that the choice never depends on the sort.
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
