//! The distillation loss of Hinton, Vinyals and Dean (2015, arXiv 1503.02531), as arXiv 1902.03393 weighs it:
//!
//! `L = (1 − λ) · CE(softmax(s), y) + λ · τ² · KL(softmax(t/τ) ‖ softmax(s/τ))`
//!
//! s student logits, t teacher logits, y label, τ temperature, λ the teacher's share. Its gradient, with p = softmax(s),
//! p' = softmax(s/τ), q = softmax(t/τ) and e_y the label's unit vector:
//!
//! `∂L/∂s = (1 − λ) · (p − e_y) + λ · τ · (p' − q)`
//!
//! With label smoothing ε, `(1 − ε) · e_y + ε/C` stands for e_y. With several teachers, each has a share of the KL term.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", feature = "metal"))]
mod device;
pub(crate) mod fused;
mod memory;
#[cfg(feature = "metal")]
mod metal;
mod numbers;
mod simd;
mod top_k;

pub use top_k::TopK;

use crate::error::{Error, Result};
use candle_core::Tensor;

/// How the losses of a batch's rows become one number.
///
/// B rows, C classes, `CE_i` and `KL_i` the two terms of row i (sums over classes), `w_i` the row's weight: 1 unless
/// weights are given, 0 for an ignored row. `W = Σ w_i`, which is B in the plain case. Where W is 0, an empty batch or
/// one of ignored rows only, the loss is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// `Σ w_i·CE_i / W` and `Σ w_i·KL_i / W`: the formula as written, PyTorch's `batchmean`.
    #[default]
    BatchMean,
    /// `Σ w_i·CE_i / W` and `Σ w_i·KL_i / (W·C)`: PyTorch's `reduction="mean"`, which divides the KL term by the
    /// number of classes too. The published code of arXiv 1902.03393 does so.
    Mean,
    /// `Σ w_i·CE_i` and `Σ w_i·KL_i`.
    Sum,
    /// No reduction: the loss is `[batch]`, row i being `w_i·((1 − λ)·CE_i + λ·τ²·KL_i)`.
    None,
}

/// What a batch comes to that has a bad row: a label that is no class, NaN or an infinity in its logits, a weight that is
/// negative or not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// An error, at once, that names the tensor and the row. On a GPU each loss then waits until it is there.
    #[default]
    Error,
    /// On a GPU, NaN: the loss (with [`Reduction::None`] the row's alone) and the row's whole gradient, so that whoever
    /// reads the loss sees it. Nothing waits for the GPU, neither forward nor backward. Finite logits whose loss is beyond f32
    /// (1e38 and -3e38 in a row) are NaN too.
    ///
    /// On the CPU, where the check costs nothing, an error as ever.
    Nan,
}

/// The knowledge-distillation loss. See the [crate's page](crate) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KdLoss {
    /// τ: divides both logits in the KL term; above 0. Higher shows more of the teacher's small probabilities.
    pub temperature: f64,
    /// λ: share of the teacher's term, 0 to 1. At 0 the loss is the cross-entropy and the teacher is not read; at 1 the
    /// labels are not read (but for rows to ignore, where an ignore index is set).
    pub lambda: f64,
    /// How the rows' losses become one number.
    pub reduction: Reduction,
    /// ε: the cross-entropy's target is `(1 − ε)` on the label and `ε / C` on every class; 0 to 1.
    pub label_smoothing: f64,
    /// Rows with this label count in neither term, as if they were not in the batch.
    pub ignore_index: Option<i64>,
    /// What a row without a loss does to its batch.
    pub bad_rows: BadRows,
}

impl Default for KdLoss {
    /// τ = 4, λ = 0.5, mean over the batch, no smoothing, nothing ignored, bad rows an error.
    fn default() -> Self {
        KdLoss {
            temperature: 4.0,
            lambda: 0.5,
            reduction: Reduction::BatchMean,
            label_smoothing: 0.0,
            ignore_index: None,
            bad_rows: BadRows::Error,
        }
    }
}

impl KdLoss {
    /// The loss of a batch: a scalar, or `[batch]` with [`Reduction::None`]; differentiable in the student's logits.
    ///
    /// `student_logits` and `teacher_logits` are `[batch, classes]` of f32, f16, bf16 or f64, `labels` is `[batch]` of
    /// u32, i64 or u8. The loss of f64 logits is f64, any other is f32. No gradient reaches the teacher.
    ///
    /// # Errors
    /// A setting outside its range; shapes, types or devices that do not fit; a label that is no class; NaN or an
    /// infinity in the logits. Each of the last two names the row, and is none where [`BadRows::Nan`] says so.
    pub fn forward(&self, student_logits: &Tensor, teacher_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        self.forward_weighted(student_logits, teacher_logits, labels, None)
    }

    /// The cross-entropy alone, as with λ = 0: it needs no teacher. Reduction and the rest are the loss's own.
    ///
    /// # Errors
    /// As [`KdLoss::forward`].
    pub fn cross_entropy(&self, student_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        fused::forward(&KdLoss { lambda: 0.0, ..*self }, student_logits, &[], labels, None)
    }

    /// [`KdLoss::forward`] with a weight for each row: `weights` is `[batch]` of any float type, each 0 or more.
    ///
    /// # Errors
    /// As [`KdLoss::forward`], and for a weight that is negative or not finite.
    pub fn forward_weighted(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        fused::forward(self, student_logits, &[(teacher_logits, 1.0)], labels, weights)
    }

    /// The loss and its gradient for the student's logits, `[batch, classes]` of their type, without autograd.
    ///
    /// For loops that do their own backward pass: autograd adds every gradient to zeros, which costs as much memory
    /// traffic again as the loss itself. With [`Reduction::None`] the gradient is that of the sum.
    ///
    /// # Errors
    /// As [`KdLoss::forward`].
    pub fn forward_and_grad(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        fused::forward_and_grad(self, student_logits, &[(teacher_logits, 1.0)], labels, None)
    }

    /// [`KdLoss::forward_and_grad`] with the gradient written into `grad`, of which no number is read; gives the loss.
    ///
    /// For training loops with many classes, which make `grad` once and hand it to every step: of a gradient of many
    /// megabytes in new memory, a good part of the time is the system's zeroing of that memory. `grad` is `[batch, classes]`,
    /// of the student's type and device, contiguous. Every tensor that shares its memory changes with it, and candle's graph
    /// knows nothing of that. After an error its numbers mean nothing.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use takd_loss::KdLoss;
    ///
    /// # fn main() -> takd_loss::Result<()> {
    /// # let batches = vec![(Tensor::new(&[[1.0f32, 2.0]], &Device::Cpu)?, Tensor::new(&[[0.5f32, 3.0]], &Device::Cpu)?)];
    /// # let labels = Tensor::new(&[1u32], &Device::Cpu)?;
    /// let (batch, classes) = (1, 2);
    /// let grad = Tensor::zeros((batch, classes), candle_core::DType::F32, &Device::Cpu)?;
    /// for (student_logits, teacher_logits) in &batches {
    ///     let loss = KdLoss::default().forward_and_grad_into(student_logits, teacher_logits, &labels, &grad)?;
    ///     // your backward pass, from `grad` on
    /// #   assert!(loss.to_scalar::<f32>()? > 0.0 && grad.to_vec2::<f32>()? != [[0.0, 0.0]]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`KdLoss::forward`], and for a `grad` that does not fit the student's logits, is not contiguous, or shares memory
    /// with the logits of student or teacher.
    pub fn forward_and_grad_into(
        &self,
        student_logits: &Tensor,
        teacher_logits: &Tensor,
        labels: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor> {
        let teachers = [(teacher_logits, 1.0)];
        let (loss, _) = fused::forward_and_grad(self, student_logits, &teachers, labels, Some(grad))?;
        Ok(loss)
    }

    /// [`KdLoss::forward`] for a teacher of which only the largest logits of each row were kept; see [`TopK`] for the loss it
    /// stands for. `weights` as in [`KdLoss::forward_weighted`].
    ///
    /// On the CPU it runs in the fused kernel. On a GPU it is a chain of candle operations, for which teacher and labels are
    /// copied to the CPU and checked there, whatever [`BadRows`] says: each call waits for the GPU.
    ///
    /// # Errors
    /// As [`KdLoss::forward_weighted`], and for a teacher made for another temperature, or whose listed classes are not
    /// different classes.
    pub fn forward_top_k(
        &self,
        student_logits: &Tensor,
        teacher: &TopK,
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        fused::forward_top_k(self, student_logits, teacher, labels, weights)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let check = |name, found: f64, fits, range| {
            if fits { Ok(()) } else { Err(Error::Setting { name, found, range }) }
        };
        let above_zero = self.temperature > 0.0 && self.temperature.is_finite();
        check("temperature", self.temperature, above_zero, "finite and above 0")?;
        check("lambda", self.lambda, (0.0..=1.0).contains(&self.lambda), "from 0 to 1")?;
        let from_0_to_1 = (0.0..=1.0).contains(&self.label_smoothing);
        check("label_smoothing", self.label_smoothing, from_0_to_1, "from 0 to 1")
    }
}

/// The cross-entropy of a batch, averaged over its rows: a scalar, differentiable in the student's logits.
///
/// `student_logits` is `[batch, classes]`, `labels` is `[batch]` of u32, i64 or u8. It is [`KdLoss::cross_entropy`] with the
/// default settings.
///
/// # Errors
/// As [`KdLoss::forward`].
pub fn cross_entropy(student_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    KdLoss::default().cross_entropy(student_logits, labels)
}

/// The loss's settings as the kernels use them.
#[derive(Clone, Debug)]
struct Terms {
    temperature: f64,
    /// `1 − λ`; 0 where there is no cross-entropy.
    ce: f64,
    /// ε.
    smoothing: f64,
    /// What each teacher's KL is multiplied with: its share of `λ·τ²`, over C for [`Reduction::Mean`].
    kl: Vec<f64>,
}

impl Terms {
    fn new(loss: &KdLoss, teacher_shares: impl Iterator<Item = f64>, classes: usize) -> Terms {
        let mut kl = loss.lambda * loss.temperature * loss.temperature;
        if loss.reduction == Reduction::Mean {
            kl /= classes as f64;
        }
        Terms {
            temperature: loss.temperature,
            ce: 1.0 - loss.lambda,
            smoothing: loss.label_smoothing,
            kl: teacher_shares.map(|share| share * kl).collect(),
        }
    }

    fn needs_ce(&self) -> bool {
        self.ce != 0.0
    }

    fn needs_kl(&self) -> bool {
        !self.kl.is_empty()
    }
}

/// What one row is to learn.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// Its label, a class; nothing where the loss has no cross-entropy.
    label: Option<usize>,
    /// What its loss is multiplied with: its weight, over their sum in a mean. 0 leaves the row out.
    weight: f64,
    /// What its gradient is multiplied with besides: the gradient that comes from above the loss.
    upstream: f64,
}
