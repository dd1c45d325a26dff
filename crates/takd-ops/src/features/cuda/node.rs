//! Features on CUDA, what made them, and the backward pass from each to those before it.

use super::numbers::add;
use crate::activation::Activation;
use crate::cuda::{Buffer, Gpu, ValuesAt};
use candle_core::{Result, Tensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of features, or what they are computed from.
#[derive(Clone)]
pub(crate) enum Values {
    Stored(Arc<Buffer>),
    /// A convolution's output, which is normalised by a layer's coefficients when it is read.
    Unnormalized {
        y: Arc<Buffer>,
        coefficients: Arc<Buffer>,
        activation: Activation,
    },
}

/// What made features and takes their gradient further back.
pub(crate) trait Backward: Send + Sync {
    /// `grad` is that of `output`. Adds the gradients of what it was made of to `grads`, and leaves those of parameters by
    /// [`leave_grad`].
    fn backward(&self, output: &Node, grad: Buffer, grads: &mut Grads) -> Result<()>;
}

/// Features, `[batch, height, width, channels]`.
pub(crate) struct Node {
    pub gpu: Gpu,
    pub dims: [usize; 4],
    pub values: Values,
    /// What made them, if their gradient is needed.
    layer: Option<Box<dyn Backward>>,
    /// Tensors of candle's graph that they depend on, each once.
    pub entries: Vec<Tensor>,
    /// Whether they are the first of their entries itself.
    is_entry: bool,
    /// Grows with every node: a layer's output has a greater one than its inputs.
    number: u64,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("dims", &self.dims).finish_non_exhaustive()
    }
}

impl Node {
    /// A tensor of candle's graph as features: `entry`, if its gradient is needed.
    pub(super) fn entry(gpu: Gpu, dims: [usize; 4], numbers: Buffer, entry: Option<&Tensor>) -> Arc<Self> {
        let values = Values::Stored(Arc::new(numbers));
        let (entries, is_entry) = (entry.cloned().into_iter().collect(), entry.is_some());
        Arc::new(Self { gpu, dims, values, layer: None, entries, is_entry, number: next_number() })
    }

    /// What a layer made; `layer` is given if its gradient is needed.
    pub(crate) fn output(
        gpu: Gpu,
        dims: [usize; 4],
        values: Values,
        layer: Option<Box<dyn Backward>>,
        entries: Vec<Tensor>,
    ) -> Arc<Self> {
        Arc::new(Self { gpu, dims, values, layer, entries, is_entry: false, number: next_number() })
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The numbers as kernels read them.
    pub(crate) fn values_at(&self) -> ValuesAt {
        match &self.values {
            Values::Stored(numbers) => ValuesAt::stored(&self.gpu, numbers),
            Values::Unnormalized { y, coefficients, activation } => {
                ValuesAt::unnormalized(&self.gpu, y, coefficients, *activation)
            }
        }
    }

    /// Whether their gradient is needed.
    pub(crate) fn is_tracked(&self) -> bool {
        self.is_entry || self.layer.is_some()
    }
}

fn next_number() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Gradients that have come for features and have not gone further, those of the latest features last.
#[derive(Default)]
pub(crate) struct Grads(BTreeMap<u64, (Arc<Node>, Buffer)>);

impl Grads {
    /// Removes and returns what has come for `node`.
    pub(crate) fn take(&mut self, node: &Node) -> Option<Buffer> {
        self.0.remove(&node.number).map(|(_, grad)| grad)
    }

    pub(crate) fn set(&mut self, node: &Arc<Node>, grad: Buffer) {
        self.0.insert(node.number, (node.clone(), grad));
    }

    pub(crate) fn add(&mut self, node: &Arc<Node>, grad: Buffer) -> Result<()> {
        let sum = match self.take(node) {
            Some(sum) => {
                add(&node.gpu, &sum, &grad)?;
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

/// Takes `grad` from `output` back to its entries and returns their gradients, in their order; those of parameters are left
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
                Some(Some(sum)) => add(&node.gpu, sum, &grad)?,
                Some(empty) => *empty = Some(grad),
                None => {}
            }
        }
    }
    Ok(of_entries)
}

/// Leaves a parameter's gradient for [`collect_grads`].
pub(crate) fn leave_grad(parameter: &Tensor, grad: Tensor) -> Result<()> {
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

/// Runs `work`, a backward pass of candle's, and returns its result and the parameters' gradients that layers left.
pub(in crate::features) fn collect_grads<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Vec<(Tensor, Tensor)>)> {
    OF_PARAMETERS.set(Some(Vec::new()));
    let result = work();
    let grads = OF_PARAMETERS.take().unwrap_or_default();
    Ok((result?, grads))
}
