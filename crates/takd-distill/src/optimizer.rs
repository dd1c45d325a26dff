//! The parameters of one network in training, and the momentum of each.

use crate::{DecayOn, Recipe, Result};
use candle_core::{Tensor, Var, backprop::GradStore};
use std::collections::BTreeMap;
use takd_models::Parameters;
use takd_ops::{SgdParams, sgd_step};

/// Stochastic gradient descent with momentum.
pub(crate) struct Optimizer {
    parameters: Vec<Trained>,
    momentum: f64,
    nesterov: bool,
}

struct Trained {
    name: String,
    var: Var,
    momentum_buffer: Var,
    weight_decay: f64,
}

impl Optimizer {
    pub(crate) fn new(parameters: &Parameters, recipe: &Recipe) -> Result<Self> {
        let trained = parameters.trainable().into_iter().map(|(name, var)| {
            let decays = recipe.weight_decay_on == DecayOn::All || var.dims().len() > 1;
            Ok(Trained {
                name,
                momentum_buffer: Var::from_tensor(&var.zeros_like()?)?,
                var,
                weight_decay: if decays { recipe.weight_decay } else { 0.0 },
            })
        });
        Ok(Self { parameters: trained.collect::<Result<_>>()?, momentum: recipe.momentum, nesterov: recipe.nesterov })
    }

    pub(crate) fn step(&self, grads: &GradStore, lr: f64) -> Result<()> {
        for Trained { var, momentum_buffer, weight_decay, .. } in &self.parameters {
            if let Some(grad) = grads.get(var) {
                let params =
                    SgdParams { lr, momentum: self.momentum, nesterov: self.nesterov, weight_decay: *weight_decay };
                sgd_step(var, grad, momentum_buffer, params)?;
            }
        }
        Ok(())
    }

    /// The momentum buffers by the names of their parameters.
    pub(crate) fn momentum_buffers(&self) -> BTreeMap<String, &Var> {
        self.parameters.iter().map(|trained| (trained.name.clone(), &trained.momentum_buffer)).collect()
    }
}

/// Gives a variable the numbers of `tensor`.
pub(crate) fn restore(var: &Var, tensor: &Tensor) -> candle_core::Result<()> {
    var.set(&tensor.to_device(var.device())?)
}
