//! Activations on CUDA, and the backward pass through them.

use super::gpu::Gpu;
use super::layer::Layer;
use super::norm;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr};
use candle_core::{Result, Tensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) type Buffer = CudaSlice<f32>;

/// The kernels' `Activation`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Activation {
    values: u64,
    coefficients: u64,
    relu: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, plain numbers, field for field the kernels' struct.
unsafe impl DeviceRepr for Activation {}

impl Activation {
    /// Numbers as they are.
    pub(super) fn of(gpu: &Gpu, values: &Buffer) -> Self {
        Self { values: gpu.address(values), coefficients: 0, relu: 0, unused: 0 }
    }

    /// Numbers normalised where they are read.
    pub(super) fn normalised(gpu: &Gpu, y: &Buffer, coefficients: &Buffer, relu: bool) -> Self {
        Self { coefficients: gpu.address(coefficients), relu: i32::from(relu), ..Self::of(gpu, y) }
    }
}

/// What an activation's numbers are, or are computed from.
#[derive(Clone)]
pub(super) struct Values {
    pub numbers: Arc<Buffer>,
    /// A layer's coefficients, and whether ReLU follows.
    pub norm: Option<(Arc<Buffer>, bool)>,
}

/// An activation, `[batch, height, width, channels]`.
pub(crate) struct Node {
    pub gpu: Gpu,
    pub dims: [usize; 4],
    pub(super) values: Values,
    /// What made it, where its gradient is asked for.
    pub(super) layer: Option<Layer>,
    /// Tensors of candle's graph that it depends on, each once.
    pub(super) entries: Vec<Tensor>,
    /// Whether it is the first of its entries itself.
    pub(super) is_entry: bool,
    /// Grows with every node: a layer's output has a greater one than its inputs.
    number: u64,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("dims", &self.dims).finish_non_exhaustive()
    }
}

impl Node {
    pub(super) fn new(gpu: &Gpu, dims: [usize; 4], values: Values, layer: Option<Layer>, entries: Vec<Tensor>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { gpu: gpu.clone(), dims, values, layer, entries, is_entry: false, number }
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub(super) fn activation(&self) -> Activation {
        let Values { numbers, norm } = &self.values;
        match norm {
            Some((coefficients, relu)) => Activation::normalised(&self.gpu, numbers, coefficients, *relu),
            None => Activation::of(&self.gpu, numbers),
        }
    }

    /// Whether anything asks for its gradient.
    pub(super) fn is_tracked(&self) -> bool {
        self.is_entry || self.layer.is_some()
    }
}

/// Gradients that have come for activations and have not gone further, the latest activation last.
#[derive(Default)]
pub(super) struct Grads(BTreeMap<u64, (Arc<Node>, Buffer)>);

impl Grads {
    /// Takes what has come for `node` out.
    pub(super) fn take(&mut self, node: &Node) -> Option<Buffer> {
        self.0.remove(&node.number).map(|(_, grad)| grad)
    }

    pub(super) fn set(&mut self, node: &Arc<Node>, grad: Buffer) {
        self.0.insert(node.number, (node.clone(), grad));
    }

    pub(super) fn add(&mut self, node: &Arc<Node>, grad: Buffer) -> Result<()> {
        let sum = match self.take(node) {
            Some(sum) => {
                norm::add(&node.gpu, &sum, &grad)?;
                sum
            }
            None => grad,
        };
        self.set(node, sum);
        Ok(())
    }
}

thread_local! {
    /// Where the gradients of parameters go while [`collect_grads`] runs.
    static OF_PARAMETERS: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// Takes `grad` from `output` back to the entries, whose gradients come out, in their order; those of parameters are left
/// for [`collect_grads`].
pub(super) fn backward(output: &Arc<Node>, grad: Buffer) -> Result<Vec<Option<Buffer>>> {
    let mut grads = Grads::default();
    let mut of_entries: Vec<Option<Buffer>> = output.entries.iter().map(|_| None).collect();
    grads.set(output, grad);
    while let Some((_, (node, grad))) = grads.0.pop_last() {
        if let Some(layer) = &node.layer {
            layer.backward(&node, grad, &mut grads)?;
        } else if node.is_entry {
            let place = output.entries.iter().position(|entry| entry.id() == node.entries[0].id());
            // A tensor that entered more than once has several.
            match place.and_then(|place| of_entries.get_mut(place)) {
                Some(Some(sum)) => norm::add(&node.gpu, sum, &grad)?,
                Some(empty) => *empty = Some(grad),
                None => {}
            }
        }
    }
    Ok(of_entries)
}

/// Leaves a parameter's gradient for [`collect_grads`].
pub(super) fn leave_grad(parameter: &Tensor, grad: Tensor) -> Result<()> {
    OF_PARAMETERS.with_borrow_mut(|grads| match grads {
        Some(grads) => {
            grads.push((parameter.clone(), grad));
            Ok(())
        }
        None => candle_core::bail!(
            "layers on CUDA keep the gradients of their parameters out of candle's graph: call takd_ops::backward(&loss), \
             not loss.backward()"
        ),
    })
}

/// Runs `work`, a backward pass of candle's, and gives with its result the parameters' gradients that layers left.
pub(crate) fn collect_grads<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Vec<(Tensor, Tensor)>)> {
    OF_PARAMETERS.set(Some(Vec::new()));
    let result = work();
    let grads = OF_PARAMETERS.take().unwrap_or_default();
    Ok((result?, grads))
}
