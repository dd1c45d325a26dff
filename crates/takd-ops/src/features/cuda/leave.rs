//! From tensors to features and back.

use super::node::{Node, backward};
use super::numbers::{Order, numbers};
use crate::cuda::{Buffer, Gpu};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, Var, bail,
};
use std::sync::Arc;

/// An f32 tensor as features.
pub(in crate::features) fn enter(tensor: &Tensor, dims: [usize; 4], device: &CudaDevice) -> Result<Arc<Node>> {
    let gpu = Gpu::new(device);
    // A copy of its own: the memory of a node is freed with the node.
    let numbers = gpu.copy_of(&tensor.detach())?;
    Ok(Node::entry(gpu, dims, numbers, tensor.track_op().then_some(tensor)))
}

/// A tensor that features can become.
pub(crate) trait Form: Send + Sync + 'static {
    /// Its numbers and shape.
    fn forward(&self, node: &Node) -> Result<(Buffer, Shape)>;

    /// The gradient of the features by that of the tensor, which is contiguous.
    fn backward(&self, node: &Node, grad: &Tensor) -> Result<Buffer>;
}

/// `[batch, height, width, channels]`.
pub(in crate::features) struct ChannelsLast;

impl Form for ChannelsLast {
    fn forward(&self, node: &Node) -> Result<(Buffer, Shape)> {
        let numbers = numbers(&node.gpu, node.dims, node.values_at(), Order::ChannelsLast)?;
        Ok((numbers, Shape::from(node.dims.to_vec())))
    }

    fn backward(&self, node: &Node, grad: &Tensor) -> Result<Buffer> {
        node.gpu.copy_of(grad)
    }
}

/// The tensor, through which gradients flow.
pub(crate) fn leave(node: &Arc<Node>, form: impl Form) -> Result<Tensor> {
    if !node.is_tracked() {
        let (numbers, shape) = form.forward(node)?;
        return Ok(node.gpu.tensor(numbers, shape));
    }
    if node.entries.len() > 3 {
        bail!("features: the gradients of more than three tensors that became features are needed at once")
    }
    // candle takes gradients through an operation only if there is a variable before it, any variable.
    let anchor = Var::zeros((), DType::F32, &Device::Cuda(node.gpu.device().clone()))?;
    let arg = |place: usize| node.entries.get(place).unwrap_or(&anchor);
    arg(0).apply_op3(arg(1), arg(2), Leave { node: node.clone(), form })
}

/// The tensors that entered → a tensor.
struct Leave<F> {
    node: Arc<Node>,
    form: F,
}

impl<F: Form> CustomOp3 for Leave<F> {
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
        let (numbers, shape) = self.form.forward(&self.node)?;
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
        let node = &self.node;
        let grad = self.form.backward(node, &grad.contiguous()?)?;
        let mut of_entries = backward(node, grad)?
            .into_iter()
            .zip(&node.entries)
            .map(|(grad, entry)| grad.map(|grad| node.gpu.tensor(grad, entry.shape())));
        let mut next = || of_entries.next().flatten();
        Ok((next(), next(), next()))
    }
}
