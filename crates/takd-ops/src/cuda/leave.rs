//! From tensors to activations and back.

use super::gpu::{Gpu, address};
use super::node::{Buffer, Node, Values, backward};
use super::norm;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, Var, bail};
use std::sync::Arc;

/// A tensor as an activation.
pub(crate) fn enter(tensor: &Tensor) -> Result<Option<Arc<Node>>> {
    let Device::Cuda(device) = tensor.device() else { return Ok(None) };
    if tensor.dtype() != DType::F32 {
        return Ok(None);
    }
    let gpu = Gpu::new(device);
    // A copy of its own: what a node has is freed with the node.
    let numbers = gpu.copy_of(&tensor.detach())?;
    let values = Values { numbers: Arc::new(numbers), norm: None };
    let entries = if tensor.track_op() { vec![tensor.clone()] } else { Vec::new() };
    let mut node = Node::new(&gpu, tensor.dims4()?.into(), values, None, entries);
    node.is_entry = tensor.track_op();
    Ok(Some(Arc::new(node)))
}

/// What of an activation becomes a tensor.
#[derive(Clone, Copy)]
pub(crate) enum As {
    /// `[batch, height, width, channels]`.
    ChannelsLast,
    /// `[batch, channels · height · width]`.
    Flat,
    /// `[batch, channels]`, the mean over height and width.
    Means,
}

impl As {
    fn of(self, node: &Node) -> Result<(Buffer, Shape)> {
        let [batch, height, width, channels] = node.dims;
        Ok(match self {
            Self::ChannelsLast => (norm::numbers(node, false)?, Shape::from(node.dims.to_vec())),
            Self::Flat => (norm::numbers(node, true)?, Shape::from((batch, channels * height * width))),
            Self::Means => (norm::mean_of_pixels(node)?, Shape::from((batch, channels))),
        })
    }
}

/// The tensor, through which gradients flow.
pub(crate) fn leave(node: &Arc<Node>, form: As) -> Result<Tensor> {
    if !node.is_tracked() {
        let (numbers, shape) = form.of(node)?;
        return Ok(node.gpu.tensor(numbers, shape));
    }
    if node.entries.len() > 3 {
        bail!("features: gradients of more than three tensors that became features are asked for at once")
    }
    // candle must have a variable before it, whatever that is, to take gradients through it.
    let anchor = Var::zeros((), DType::F32, &Device::Cuda(node.gpu.device().clone()))?;
    let arg = |place: usize| node.entries.get(place).unwrap_or(&anchor);
    arg(0).apply_op3(arg(1), arg(2), Leave { node: node.clone(), form })
}

/// The tensors that entered → a tensor.
struct Leave {
    node: Arc<Node>,
    form: As,
}

impl CustomOp3 for Leave {
    fn name(&self) -> &'static str {
        "features-to-tensor"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("these features are on CUDA")
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (numbers, shape) = self.form.of(&self.node)?;
        Ok((self.node.gpu.storage(numbers), shape))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (node, grad) = (&self.node, grad.contiguous()?);
        let grad = match self.form {
            As::ChannelsLast => node.gpu.copy_of(&grad)?,
            As::Flat => norm::channels_last(node, address(&grad)?)?,
            As::Means => norm::spread_over_pixels(node, address(&grad)?)?,
        };
        let mut of_entries = backward(node, grad)?
            .into_iter()
            .zip(&node.entries)
            .map(|(grad, entry)| grad.map(|grad| node.gpu.tensor(grad, entry.shape())));
        let mut next = || of_entries.next().flatten();
        Ok((next(), next(), next()))
    }
}
