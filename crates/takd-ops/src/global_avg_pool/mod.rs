//! The mean over pixels.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::features::{Features, Inner};
use crate::reference;
use candle_core::{Result, Tensor};

impl Features {
    /// The mean over height and width, `[batch, channels]`.
    ///
    /// # Errors
    /// If the device reports one.
    pub fn global_avg_pool(&self) -> Result<Tensor> {
        match &self.inner {
            Inner::Cpu(features) => cpu::global_avg_pool(features),
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => cuda::global_avg_pool(node),
            Inner::Plain(tensor) => reference::global_avg_pool(tensor),
        }
    }
}
