//! How exactly tensor cores may take products.

use std::sync::atomic::{AtomicBool, Ordering};

static TF32: AtomicBool = AtomicBool::new(false);

/// How exactly factors are taken where a GPU has tensor cores. Sums are f32 in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to TF32: 10 bits behind the point, which is a relative error of up to 2⁻¹¹.
    Tf32,
}

/// What convolutions and candle's matrix products on CUDA are computed with from now on, in the whole process; elsewhere
/// everything is f32. [`Precision::F32`] unless something else was set.
pub fn set_precision(precision: Precision) {
    TF32.store(precision == Precision::Tf32, Ordering::Relaxed);
    candle_core::cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
}

/// What [`set_precision`] has set.
pub fn precision() -> Precision {
    if TF32.load(Ordering::Relaxed) { Precision::Tf32 } else { Precision::F32 }
}
