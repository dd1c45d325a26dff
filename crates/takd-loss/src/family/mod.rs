//! One trait for every way of distilling logits, so that a training loop mentions its loss only once.
//!
//! | loss | paper |
//! |---|---|
//! | [`KdLoss`] | Hinton, Vinyals, Dean 2015, arXiv 1503.02531 |
//! | [`MultiTeacherKd`] | You, Xu, Xu, Tao 2017: the mean of several teachers |
//! | [`Dgkd`] | Son, Na, Choi, Hwang 2021, arXiv 2009.08825: all larger assistants, some dropped at random |
//! | [`Dkd`] | Zhao, Cui, Song, Qiu, Liang 2022, arXiv 2203.08679: target and other classes apart |
//! | [`StandardizedKd`] | Sun, Ren, Li, Wang, Cao 2024, arXiv 2403.01427: logits standardised before the softmax |
//! | [`Dist`] | Huang, You, Wang, Qian, Xu 2022, arXiv 2205.10536: correlations instead of divergences |
//!
//! The first three run in the fused kernel; the others are chains of candle operations.

mod dist;
mod dkd;
mod inputs;
mod loss;
mod multi_teacher;
mod standardized;

pub use dist::Dist;
pub use dkd::Dkd;
pub use loss::{Batch, DistillationLoss};
pub use multi_teacher::{Dgkd, MultiTeacherKd};
pub use standardized::StandardizedKd;

#[expect(unused_imports, reason = "named in this module's documentation")]
use crate::settings::KdLoss;
