//! The loss's settings.

use crate::error::{Error, Result};

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

/// What happens to a batch with a bad row: a label that is no class, NaN or an infinity in its logits, a weight that is
/// negative or not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// An error, at once, that names the tensor and the row. On a GPU each call then waits for the loss.
    #[default]
    Error,
    /// On a GPU, NaN: the loss (with [`Reduction::None`] the row's alone) and the row's whole gradient, so that whoever
    /// reads the loss sees it. Nothing waits for the GPU, neither forward nor backward. Finite logits whose loss is beyond f32
    /// (1e38 and -3e38 in a row) give NaN too.
    ///
    /// On the CPU, where the check costs nothing, an error all the same.
    Nan,
}

/// The knowledge-distillation loss. See the [crate's documentation](crate) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KdLoss {
    /// τ: divides both logits in the KL term; above 0. Higher shows more of the teacher's small probabilities.
    pub temperature: f64,
    /// λ: share of the teacher's term, 0 to 1. At 0 the loss is the cross-entropy and the teacher is not read; at 1 the
    /// labels are read only if an ignore index is set.
    pub lambda: f64,
    /// How the rows' losses become one number.
    pub reduction: Reduction,
    /// ε: the cross-entropy's target is `(1 − ε)` on the label and `ε / C` on every class; 0 to 1.
    pub label_smoothing: f64,
    /// Rows with this label count in neither term, as if they were not in the batch.
    pub ignore_index: Option<i64>,
    /// What happens to a batch with a bad row.
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
