//! [`ConvBn`]: convolution, batch normalisation and what follows them, as one layer.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod layer;
mod plain;

use crate::features::{Features, Inner};
use candle_core::{Result, Tensor, bail};
pub(crate) use cpu::release_plans;
use layer::Mode;
pub use layer::{ConvBn, MaxPool, Then};

impl ConvBn {
    /// `[batch, height, width, c_in]` to `[batch, height', width', c_out]`, of half the height and width after
    /// [`Then::ReluMaxPool`].
    ///
    /// `train` chooses the batch's statistics (and moves the running ones) or the running statistics, as
    /// `candle_nn::ModuleT` does. It is computed with [`Precision::F32`](crate::Precision).
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward_t(&self, input: &Tensor, then: Then, train: bool) -> Result<Tensor> {
        let residual = then.residual().map(Features::new).transpose()?;
        let then = then.kind().with_residual(residual.as_ref());
        self.forward_features(&Features::new(input)?, then, train)?.to_tensor()
    }

    /// [`ConvBn::forward_t`] from layer to layer without tensors between, which is the fast way through a network. It is
    /// computed with the precision of `input`, which the output has too.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward_features(&self, input: &Features, then: Then<Features>, train: bool) -> Result<Features> {
        let (mode, kind) = (Mode::of(train), then.kind());
        let inner = match &input.inner {
            Inner::Cpu(features) => {
                let residual = match then.residual().map(|residual| &residual.inner) {
                    Some(Inner::Cpu(residual)) => Some(residual),
                    Some(_) => bail!("ConvBn: input and residual must be of one type, on one device"),
                    None => None,
                };
                Inner::Cpu(cpu::forward(self, features, kind.with_residual(residual), mode)?)
            }
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => match self.forward_cuda(node, input.precision, then, mode)? {
                Some(node) => Inner::Cuda(node),
                None => self.forward_plain(input, then, mode)?,
            },
            Inner::Plain(_) => self.forward_plain(input, then, mode)?,
        };
        Ok(Features { inner, precision: input.precision })
    }

    /// `None` if the kernels cannot do it.
    #[cfg(feature = "cuda")]
    fn forward_cuda(
        &self,
        input: &std::sync::Arc<crate::features::cuda::Node>,
        precision: crate::Precision,
        then: Then<Features>,
        mode: Mode,
    ) -> Result<Option<std::sync::Arc<crate::features::cuda::Node>>> {
        let residual = match then.residual().map(|residual| &residual.inner) {
            Some(Inner::Cuda(residual)) => Some(residual),
            Some(_) => return Ok(None),
            None => None,
        };
        cuda::forward(self, input, precision, then.kind().with_residual(residual), mode)
    }

    fn forward_plain(&self, input: &Features, then: Then<Features>, mode: Mode) -> Result<Inner> {
        let residual = then.residual().map(Features::to_tensor).transpose()?;
        let then = then.kind().with_residual(residual.as_ref());
        Ok(Inner::Plain(plain::forward(self, &input.to_tensor()?, then, mode)?))
    }
}
