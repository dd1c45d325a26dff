//! Features: what one layer hands to the next.
//!
//! candle adds each gradient to a tensor of zeros of the features' size before it hands it on, and a tensor's memory cannot be
//! used again. So the features of the fast path are buffers outside candle's graph, on the CPU and on CUDA.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;

use crate::Precision;
use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, bail};
#[cfg(feature = "cuda")]
use std::sync::Arc;

/// Channels-last features `[batch, height, width, channels]` on their way from layer to layer.
///
/// In f32 on the CPU they are in buffers that are used again from step to step and may be normalised only when the next layer
/// reads them, and likewise on CUDA; elsewhere this is a plain tensor. Gradients flow through them, on CUDA only if
/// [`crate::backward`] starts the backward pass.
///
/// They carry the precision with which the layers that read them, and their gradients, are computed.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use takd_ops::Features;
///
/// # fn main() -> candle_core::Result<()> {
/// let images = Var::ones((2, 4, 4, 3), DType::F32, &Device::Cpu)?;
/// let features = Features::new(&images)?;
/// let loss = features.to_tensor()?.sqr()?.sum_all()?;
/// assert_eq!(loss.backward()?.get(&images).map(|grad| grad.dims().to_vec()), Some(vec![2, 4, 4, 3]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Features {
    pub(crate) inner: Inner,
    pub(crate) precision: Precision,
}

#[derive(Clone, Debug)]
pub(crate) enum Inner {
    /// f32 on the CPU.
    Cpu(cpu::CpuFeatures),
    /// f32 on CUDA.
    #[cfg(feature = "cuda")]
    Cuda(Arc<cuda::Node>),
    /// Any other type or device.
    Plain(Tensor),
}

impl Features {
    /// `[batch, height, width, channels]`, in memory in any order. What reads them is computed with [`Precision::F32`], unless
    /// [`Features::with_precision`] says otherwise.
    ///
    /// # Errors
    /// If the tensor does not have four dimensions, or one of them is zero.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        let dims: [usize; 4] = tensor.dims4()?.into();
        if dims.contains(&0) {
            bail!("features: {dims:?} has no elements; give at least one image, pixel and channel")
        }
        let is_f32 = tensor.dtype() == DType::F32;
        let inner = match tensor.device() {
            candle_core::Device::Cpu if is_f32 => Inner::Cpu(cpu::CpuFeatures::new(tensor, dims)?),
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(device) if is_f32 => Inner::Cuda(cuda::enter(tensor, dims, device)?),
            _ => Inner::Plain(tensor.clone()),
        };
        Ok(Self { inner, precision: Precision::F32 })
    }

    /// The same features for layers that compute with this precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How exactly what reads them is computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// `[batch, height, width, channels]`.
    ///
    /// # Errors
    /// If the device reports one.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.inner {
            Inner::Cpu(features) => features.to_tensor(),
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => cuda::leave(node, cuda::ChannelsLast),
            Inner::Plain(tensor) => Ok(tensor.clone()),
        }
    }

    /// `[batch, height, width, channels]`.
    pub fn dims(&self) -> &[usize] {
        match &self.inner {
            Inner::Cpu(features) => &features.node.dims,
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => &node.dims,
            Inner::Plain(tensor) => tensor.dims(),
        }
    }
}

/// The gradients of `loss` by the variables that it depends on, as `loss.backward()` gives them.
///
/// On CUDA `loss.backward()` alone fails if `loss` depends on features: there a layer's backward pass leaves the gradients of
/// its parameters outside candle's graph, which would add each to new zeros, two more launches for every tensor.
///
/// # Errors
/// Those of candle's backward pass.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    #[cfg(feature = "cuda")]
    if loss.device().is_cuda() {
        let (mut store, grads) = cuda::collect_grads(|| loss.backward())?;
        for (parameter, grad) in grads {
            // A layer that was used more than once has several.
            let grad = match store.remove(&parameter) {
                Some(sum) => (sum + grad)?,
                None => grad,
            };
            store.insert(&parameter, grad);
        }
        return Ok(store);
    }
    loss.backward()
}
