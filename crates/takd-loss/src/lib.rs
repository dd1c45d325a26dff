//! Knowledge-distillation losses for candle.
//!
//! ```text
//! student logits [batch, classes] ─┐
//! teacher logits [batch, classes] ─┼─▶ KdLoss { temperature, lambda, reduction } ─▶ loss, differentiable in the student
//! labels         [batch]          ─┘
//! ```
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use takd_loss::{KdLoss, Reduction};
//!
//! # fn main() -> takd_loss::Result<()> {
//! let student_logits = Var::new(&[[1.0f32, 2.0, 0.5], [0.1, 0.2, 0.3]], &Device::Cpu)?;
//! let teacher_logits = Tensor::new(&[[0.5f32, 3.0, 0.0], [0.0, 0.0, 2.0]], &Device::Cpu)?;
//! let labels = Tensor::new(&[1u32, 2], &Device::Cpu)?;
//!
//! let kd = KdLoss { temperature: 4.0, lambda: 0.5, reduction: Reduction::BatchMean, ..KdLoss::default() };
//! let loss = kd.forward(&student_logits, &teacher_logits, &labels)?;
//! let gradients = loss.backward()?;
//! assert_eq!(gradients.get(&student_logits).unwrap().dims(), [2, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! # Invariant
//! Knows nothing of networks, data, training loops or files; needs candle-core and small libraries only.

// Each operation has a folder. `mod.rs` is what a caller sees of it; `cpu.rs` or `cpu/`, `cuda.rs` and `metal.rs` are the backends,
// with the text of the kernels, `.cu` and `.metal`, beside the Rust that launches them. `cpu/` here is what the operations share
// on the CPU. takd-ops is laid out the same way.
mod checks;
mod cpu;
mod error;
mod family;
mod kd;
pub mod reference;
mod settings;
mod terms;
mod top_k;

pub use error::{Error, Input, Result};
pub use family::{Batch, Dgkd, Dist, DistillationLoss, Dkd, MultiTeacherKd, StandardizedKd};
pub use kd::cross_entropy;
pub use settings::{BadRows, KdLoss, Reduction};
pub use top_k::TopK;

/// The README's examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
