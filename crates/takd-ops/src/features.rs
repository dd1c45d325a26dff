//! Activations between layers, outside candle's tensors, and how candle's autograd reaches them; here on the CPU.
//!
//! candle adds each gradient to a tensor of zeros of the activation's size before it hands it on, and a tensor's memory
//! cannot be used again. So an activation of the fast path is a buffer beside the graph. In the graph stands a
//! scalar, its *handle*, which tells candle the order of the backward passes; the gradients themselves go from layer to
//! layer through [`Node::grad`].

use crate::cpu::buffer::Buffer;
use crate::cpu::norm::Data;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers copied at a time.
const PART: usize = 1 << 14;

/// Channels-last activations `[batch, height, width, channels]` on their way from layer to layer.
///
/// In f32 on the CPU they live in buffers that are used again from step to step and may wait to be normalised until the
/// next layer reads them, and likewise on CUDA; elsewhere this is a plain tensor. Either way gradients flow through, on CUDA
/// where the backward pass is begun by [`crate::backward`].
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
pub struct Features(pub(crate) Inner);

#[derive(Clone, Debug)]
pub(crate) enum Inner {
    /// Anything but f32 on the CPU or on CUDA.
    Plain(Tensor),
    Fast {
        node: Arc<Node>,
        handle: Tensor,
    },
    #[cfg(feature = "cuda")]
    Cuda(Arc<crate::cuda::Node>),
}

/// Numbers of an activation and, during a backward pass, the gradients that have come for them.
#[derive(Debug)]
pub(crate) struct Node {
    pub dims: [usize; 4],
    pub data: Data,
    grad: Mutex<Option<Buffer>>,
}

impl Node {
    pub(crate) fn new(dims: [usize; 4], data: Data) -> Arc<Self> {
        Arc::new(Self { dims, data, grad: Mutex::new(None) })
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn grad(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.grad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the consumers sent, or zeros where none did.
    pub(crate) fn take_grad(&self) -> Buffer {
        self.grad().take().unwrap_or_else(|| Buffer::zeros(self.len()))
    }

    /// Adds a consumer's gradient.
    pub(crate) fn add_grad(&self, grad: Buffer) {
        let mut slot = self.grad();
        match slot.as_mut() {
            None => *slot = Some(grad),
            Some(sum) => {
                for (sum, grad) in sum.iter_mut().zip(grad.iter()) {
                    *sum += grad;
                }
            }
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        let arch = crate::cpu::arch();
        let part = self.dims[3] * PART.div_ceil(self.dims[3]);
        values.par_chunks_mut(part).enumerate().for_each(|(i, to)| self.data.copy_to(arch, i * part, to));
        values
    }
}

impl Features {
    /// `[batch, height, width, channels]`, in memory in any order.
    ///
    /// # Errors
    /// Where the tensor has not four dimensions, or one of them is zero.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        let dims: [usize; 4] = tensor.dims4()?.into();
        if dims.contains(&0) {
            bail!("features: {dims:?} has no elements; give at least one image, pixel and channel")
        }
        #[cfg(feature = "cuda")]
        if let Some(node) = crate::cuda::enter(tensor)? {
            return Ok(Self(Inner::Cuda(node)));
        }
        if !tensor.device().is_cpu() || tensor.dtype() != DType::F32 {
            return Ok(Self(Inner::Plain(tensor.clone())));
        }
        let mut values = Buffer::any(tensor.elem_count());
        with_values(tensor, |from| {
            let parts = values.par_chunks_mut(PART).zip(from.par_chunks(PART));
            parts.for_each(|(to, from)| to.copy_from_slice(from));
        })?;
        let node = Node::new(dims, Data::Dense(values));
        let handle = if tensor.track_op() {
            tensor.apply_op1(Enter(node.clone()))?
        } else {
            Tensor::zeros((), DType::F32, &Device::Cpu)?
        };
        Ok(Self(Inner::Fast { node, handle }))
    }

    /// `[batch, height, width, channels]`.
    ///
    /// # Errors
    /// None of the caller's making.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.0 {
            Inner::Plain(tensor) => Ok(tensor.clone()),
            Inner::Fast { node, handle } => handle.apply_op1(Leave(node.clone())),
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => crate::cuda::leave(node, crate::cuda::As::ChannelsLast),
        }
    }

    /// `[batch, height, width, channels]`.
    pub fn dims(&self) -> &[usize] {
        match &self.0 {
            Inner::Plain(tensor) => tensor.dims(),
            Inner::Fast { node, .. } => &node.dims,
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => &node.dims,
        }
    }
}

/// The gradients of `loss` by the variables that it depends on, as `loss.backward()` gives them.
///
/// On CUDA that alone fails where `loss` depends on features: there a layer's backward pass leaves the gradients of its
/// parameters beside candle's graph, which would add each to zeros of its own, two launches more for every tensor.
///
/// # Errors
/// Those of candle's backward pass.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    #[cfg(feature = "cuda")]
    if loss.device().is_cuda() {
        let (mut store, grads) = crate::cuda::collect_grads(|| loss.backward())?;
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

/// Runs `read` on the numbers of an f32 CPU tensor, in the order of its dimensions.
pub(crate) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (candle_core::Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(read(&values[start..end])),
        _ => bail!("expected f32 on the CPU, got {:?} on {:?}", tensor.dtype(), tensor.device().location()),
    }
}

/// The value of a handle, and the gradient of one: only that there is one counts.
fn token() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(()))
}

pub(crate) fn token_grad() -> Result<Option<Tensor>> {
    Tensor::zeros((), DType::F32, &Device::Cpu).map(Some)
}

/// Tensor → handle.
struct Enter(Arc<Node>);

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "features-from-tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    fn bwd(&self, arg: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let grad = self.0.take_grad();
        Tensor::from_slice(&grad, arg.shape(), &Device::Cpu).map(Some)
    }
}

/// Handle → tensor.
struct Leave(Arc<Node>);

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        "features-to-tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.to_vec()), Shape::from(self.0.dims.to_vec())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut buffer = Buffer::any(self.0.len());
        with_values(grad, |grad| buffer.copy_from_slice(grad))?;
        self.0.add_grad(buffer);
        token_grad()
    }
}

/// A layer's gradients, left by its backward pass for the parameters' handles.
#[derive(Default)]
pub(crate) struct ParamGrads {
    pub weight: Option<Vec<f32>>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub bias: Option<Vec<f32>>,
}

pub(crate) type Slot = Arc<Mutex<ParamGrads>>;

/// A handle of a layer's parameters: weight, γ and β, and the bias where there is one.
pub(crate) fn param_handle(
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    bias: Option<&Tensor>,
    slot: &Slot,
) -> Result<Tensor> {
    let three = weight.apply_op3(gamma, beta, Params(slot.clone()))?;
    match bias {
        Some(bias) => three.apply_op2(bias, Bias(slot.clone())),
        None => Ok(three),
    }
}

fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Option<Tensor>> {
    if values.is_empty() {
        return Ok(None);
    }
    Tensor::from_vec(values, tensor.shape(), &Device::Cpu).map(Some)
}

struct Params(Slot);

impl CustomOp3 for Params {
    fn name(&self) -> &'static str {
        "conv-bn-parameters"
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
        Ok(token())
    }

    fn bwd(
        &self,
        weight: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (d_weight, d_gamma, d_beta) =
            (grads.weight.take(), std::mem::take(&mut grads.gamma), std::mem::take(&mut grads.beta));
        Ok((like(d_weight.unwrap_or_default(), weight)?, like(d_gamma, gamma)?, like(d_beta, beta)?))
    }
}

struct Bias(Slot);

impl CustomOp2 for Bias {
    fn name(&self) -> &'static str {
        "conv-bn-bias"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    fn bwd(&self, _: &Tensor, bias: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_bias = self.0.lock().unwrap_or_else(PoisonError::into_inner).bias.take();
        Ok((token_grad()?, like(d_bias.unwrap_or_default(), bias)?))
    }
}

/// The backward pass of a layer.
pub(crate) trait Backward: Send + Sync + 'static {
    fn backward(&self) -> Result<()>;
}

/// Handles of input, parameters and residual → handle of the output.
pub(crate) struct LayerOp<B>(pub B);

impl<B: Backward> CustomOp3 for LayerOp<B> {
    fn name(&self) -> &'static str {
        "conv-bn"
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
        Ok(token())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.0.backward()?;
        Ok((token_grad()?, token_grad()?, token_grad()?))
    }
}
