//! The settings and tensors of a step.

use candle_core::{Tensor, Var};

/// Settings of one step, by PyTorch's names and meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdParams {
    /// Learning rate.
    pub lr: f64,
    /// Share of the momentum buffer that stays; 0 for plain gradient descent.
    pub momentum: f64,
    /// Nesterov momentum (Sutskever et al. 2013, PyTorch's form).
    pub nesterov: bool,
}

/// One parameter and what its step is computed from; the three tensors have one shape.
#[derive(Clone, Copy, Debug)]
pub struct SgdUpdate<'a> {
    /// The parameter.
    pub param: &'a Var,
    /// The loss's gradient by it.
    pub grad: &'a Tensor,
    /// Its momentum; zeros before the first step (PyTorch begins with a copy of the gradient, which is the same).
    pub momentum_buffer: &'a Var,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
}
