//! Features on the CPU, and how candle's autograd reaches them.
//!
//! In candle's graph stands a scalar for each, its *handle*, which tells candle the order of the backward passes; the
//! gradients themselves go from layer to layer through [`Node::grad`].

use crate::cpu::{Buffer, Values, arch, with_values};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers copied at a time.
const PART: usize = 1 << 14;

/// Features and their handle.
#[derive(Clone, Debug)]
pub(crate) struct CpuFeatures {
    pub node: Arc<Node>,
    pub handle: Tensor,
}

impl CpuFeatures {
    pub(super) fn new(tensor: &Tensor, dims: [usize; 4]) -> Result<Self> {
        let mut values = Buffer::any(tensor.elem_count());
        with_values(tensor, |from| {
            let parts = values.par_chunks_mut(PART).zip(from.par_chunks(PART));
            parts.for_each(|(to, from)| to.copy_from_slice(from));
        })?;
        let node = Node::new(dims, Values::Stored(values));
        let handle = if tensor.track_op() {
            tensor.apply_op1(Enter(node.clone()))?
        } else {
            Tensor::zeros((), DType::F32, &Device::Cpu)?
        };
        Ok(Self { node, handle })
    }

    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        self.handle.apply_op1(Leave(self.node.clone()))
    }
}

/// The numbers of features and, during a backward pass, the sum of the gradients that have come for them.
#[derive(Debug)]
pub(crate) struct Node {
    pub dims: [usize; 4],
    pub values: Values,
    grad: Mutex<Option<Buffer>>,
}

impl Node {
    pub(crate) fn new(dims: [usize; 4], values: Values) -> Arc<Self> {
        Arc::new(Self { dims, values, grad: Mutex::new(None) })
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn grad(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.grad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come for them, or zeros if nothing has.
    pub(crate) fn take_grad(&self) -> Buffer {
        self.grad().take().unwrap_or_else(|| Buffer::zeros(self.len()))
    }

    /// Adds the gradient of one reader.
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
        let arch = arch();
        let part = self.dims[3] * PART.div_ceil(self.dims[3]);
        values.par_chunks_mut(part).enumerate().for_each(|(i, to)| self.values.read(arch, i * part, to));
        values
    }
}

/// The value of a handle. It is never read.
pub(crate) fn handle_value() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(()))
}

/// The gradient of a handle: that there is one is what makes candle go on backwards.
pub(crate) fn handle_grad() -> Result<Option<Tensor>> {
    Tensor::zeros((), DType::F32, &Device::Cpu).map(Some)
}

/// Tensor → handle.
struct Enter(Arc<Node>);

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "features-from-tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(handle_value())
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
        handle_grad()
    }
}
