//! The arguments of the CUDA and the Metal kernel, and the shape of their launch: the same for both.

use super::problem::Problem;
use crate::error::{Error, Input, Result};
use crate::settings::Reduction;
use candle_core::DType;
use std::f64::consts::LOG2_E;

/// As in `kd_loss.cu` and `kd_loss.metal`.
pub(super) const MOST_TEACHERS: usize = 8;
const CHUNK: usize = 8;
pub(super) const GIVEN_WEIGHTS: u32 = 1;
pub(super) const GIVEN_TOTAL: u32 = 2;
pub(super) const GIVEN_UPSTREAM: u32 = 4;
pub(super) const GIVEN_GRAD: u32 = 8;

/// Bytes of a thread's part of the shared memory: the kernel's `Sums`.
pub(super) const SUMS_BYTES: usize = 32;

/// Threads of the block that adds up the rows.
pub(super) const SUM_THREADS: usize = 256;

/// The kernel's `Terms`, field for field.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub batch: u32,
    pub classes: u32,
    pub teachers: u32,
    pub label_bytes: u32,
    pub needs_ce: u32,
    pub aligned: u32,
    pub upstream_step: u32,
    pub ignores: u32,
    pub given: u32,
    pub unused: u32,
    pub ignore_index: i64,
    pub ce: f32,
    pub smoothing: f32,
    pub ce_rate: f32,
    pub kl_rate: f32,
    pub temperature: f32,
    pub scale: f32,
    pub kl: [f32; MOST_TEACHERS],
}

/// Threads of a block: `threads` to a row, `rows` rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub threads: usize,
    pub rows: usize,
}

impl Block {
    /// A warp for a short row, eight of them in a block; a block for a long one.
    pub(super) fn new(classes: usize) -> Block {
        match classes {
            0..=1024 => Block { threads: 32, rows: 8 },
            _ => Block { threads: 512, rows: 1 },
        }
    }

    pub(super) fn shared_bytes(self) -> usize {
        self.threads * self.rows * SUMS_BYTES
    }
}

impl Terms {
    /// `given` without the total, which is added here unless it is known to be the batch.
    pub(super) fn new(problem: &Problem, offsets_aligned: bool, mut given: u32) -> Result<Terms> {
        let terms = &problem.terms;
        let (batch, classes) = (problem.batch(), problem.classes());
        let too_large = |input, found: &candle_core::Tensor, expected: &str| Error::Shape {
            input,
            expected: expected.into(),
            found: found.shape().clone(),
        };
        let (Ok(batch_u32), Ok(classes_u32)) = (u32::try_from(batch), u32::try_from(classes)) else {
            return Err(too_large(Input::StudentLogits, &problem.student, "fewer than 2^32 rows and classes on a GPU"));
        };
        if problem.teachers.len() > MOST_TEACHERS {
            return Err(too_large(Input::TeacherLogits, &problem.teachers[0], "those of 8 teachers at most on a GPU"));
        }
        let mut scale = 1.0;
        if matches!(problem.reduction, Reduction::BatchMean | Reduction::Mean) {
            if given & GIVEN_WEIGHTS != 0 || problem.ignore_index.is_some() {
                given |= GIVEN_TOTAL;
            } else {
                scale = 1.0 / batch.max(1) as f64;
            }
        }
        let mut kl = [0.0; MOST_TEACHERS];
        for (to, from) in kl.iter_mut().zip(&terms.kl) {
            *to = *from as f32;
        }
        Ok(Terms {
            batch: batch_u32,
            classes: classes_u32,
            teachers: problem.teachers.len() as u32,
            label_bytes: problem.labels.as_ref().map_or(0, |labels| labels.dtype().size_in_bytes() as u32),
            needs_ce: terms.needs_ce().into(),
            aligned: (classes.is_multiple_of(CHUNK) && offsets_aligned).into(),
            upstream_step: (problem.reduction == Reduction::None).into(),
            ignores: problem.ignore_index.is_some().into(),
            given,
            unused: 0,
            ignore_index: problem.ignore_index.unwrap_or(0),
            ce: terms.ce as f32,
            smoothing: terms.smoothing as f32,
            ce_rate: LOG2_E as f32,
            kl_rate: (LOG2_E / terms.temperature) as f32,
            temperature: terms.temperature as f32,
            scale: scale as f32,
            kl,
        })
    }
}

/// The name of a logits type in the kernels' text.
pub(super) fn kernel_type(input: Input, dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::F16 => Ok("f16"),
        DType::BF16 => Ok("bf16"),
        found => Err(Error::DType { input, expected: "f32, f16 or bf16 on a GPU", found }),
    }
}

/// Whether vectors of 16 bytes can be read from here on, given a buffer that starts at a multiple of 16.
pub(super) fn offset_aligned(layout: &candle_core::Layout, dtype: DType) -> bool {
    (layout.start_offset() * dtype.size_in_bytes()).is_multiple_of(16)
}
