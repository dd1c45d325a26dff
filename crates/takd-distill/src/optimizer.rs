//! The parameters of one network in training, and the momentum of each.

use crate::training::{DecayOn, Training};
use crate::{Error, Result};
use candle_core::{Tensor, Var, backprop::GradStore};
use std::collections::BTreeMap;
use takd_models::Parameters;
use takd_ops::{SgdParams, SgdUpdate, sgd_step};

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
    pub(crate) fn new(parameters: &Parameters, training: &Training) -> Result<Self> {
        let trained = parameters.trainable().into_iter().map(|(name, var)| {
            let decays = training.weight_decay_on == DecayOn::All || var.dims().len() > 1;
            Ok(Trained {
                name,
                momentum_buffer: Var::from_tensor(&var.zeros_like()?)?,
                var,
                weight_decay: if decays { training.weight_decay } else { 0.0 },
            })
        });
        Ok(Self {
            parameters: trained.collect::<Result<_>>()?,
            momentum: training.momentum,
            nesterov: training.nesterov,
        })
    }

    /// Updates all parameters, or none if a gradient is not finite; the returned [`Update`] says which. Does not wait for a GPU.
    pub(crate) fn step(&self, grads: &GradStore, lr: f64) -> Result<Update<'_>> {
        let updates = self.parameters.iter().filter_map(|Trained { name, var, momentum_buffer, weight_decay }| {
            let grad = grads.get(var)?;
            Some((name.as_str(), SgdUpdate { param: var, grad, momentum_buffer, weight_decay: *weight_decay }))
        });
        let (names, updates): (Vec<_>, Vec<_>) = updates.unzip();
        let params = SgdParams { lr, momentum: self.momentum, nesterov: self.nesterov };
        Ok(Update { verdict: sgd_step(&updates, params)?, names })
    }

    /// The momentum buffers by the names of their parameters.
    pub(crate) fn momentum_buffers(&self) -> BTreeMap<String, &Var> {
        self.parameters.iter().map(|trained| (trained.name.clone(), &trained.momentum_buffer)).collect()
    }
}

/// Whether a step has updated the parameters.
pub(crate) struct Update<'a> {
    /// As [`sgd_step`] gives it.
    pub verdict: Tensor,
    /// The parameters that had a gradient.
    pub names: Vec<&'a str>,
}

impl Update<'_> {
    /// Fails where the number read from `verdict` says that a gradient was not finite.
    pub(crate) fn check(&self, verdict: u32) -> Result<()> {
        match self.names.get(verdict as usize) {
            Some(name) => Err(Error::NotFinite(format!("the gradient of {name} is not finite"))),
            None => Ok(()),
        }
    }
}

/// Gives a variable the numbers of `tensor`.
pub(crate) fn restore(var: &Var, tensor: &Tensor) -> candle_core::Result<()> {
    var.set(&tensor.to_device(var.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LrFrom, Protocol};
    use candle_core::{Device, safetensors};
    use candle_nn::ModuleT;
    use std::collections::HashMap;
    use std::path::PathBuf;
    use takd_loss::cross_entropy;
    use takd_models::{ModelSpec, Network};

    /// PyTorch's tensors, beside the workspace or where `TAKD_REFERENCE_DIR` says.
    fn reference(file: &str) -> Option<HashMap<String, Tensor>> {
        let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference"));
        let path = std::env::var_os("TAKD_REFERENCE_DIR").map_or_else(beside, PathBuf::from).join(file);
        if !path.is_file() {
            println!("skipped: {} is not there; TAKD_REFERENCE_DIR names its folder", path.display());
            return None;
        }
        Some(safetensors::load(&path, &Device::Cpu).unwrap())
    }

    #[test]
    fn gradient_that_is_not_finite_is_named_and_moves_no_parameter() -> Result<()> {
        let spec: ModelSpec = "plane2".parse().unwrap();
        let (_, parameters) = Network::random(spec, 10, 0, &Device::Cpu)?;
        let optimizer = Optimizer::new(&parameters, &Protocol::Code.training(spec.family(), 1))?;
        let trainable = parameters.trainable();
        let ((_, first), (name, last)) = (&trainable[0], &trainable[trainable.len() - 1]);
        let before = first.as_detached_tensor().copy()?;
        // The first parameter's gradient is 1, the last one's ∞.
        let loss = (first.as_tensor().sum_all()? + (last.as_tensor() * f64::INFINITY)?.sum_all()?)?;
        let update = optimizer.step(&loss.backward()?, 0.01)?;
        let error = update.check(update.verdict.to_scalar()?).unwrap_err();
        assert!(matches!(&error, Error::NotFinite(reason) if reason.contains(name)), "{error}");
        assert_eq!((first.as_tensor() - before)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn twenty_steps_follow_pytorchs() -> Result<()> {
        let Some(tensors) = reference("sgd_plane4_cifar10.safetensors") else { return Ok(()) };
        let spec: ModelSpec = "plane4".parse().unwrap();
        let (network, parameters) = Network::random(spec, 10, 0, &Device::Cpu)?;
        for (name, var) in parameters.all() {
            restore(&var, &tensors[&format!("init.{name}")])?;
        }
        let training = Protocol::Code.training(spec.family(), 1);
        assert_eq!((training.momentum, training.weight_decay, training.nesterov), (0.9, 1e-4, false));
        assert_eq!(training.lr, [LrFrom { epoch: 0, lr: 0.01 }]);
        let optimizer = Optimizer::new(&parameters, &training)?;

        let expected: Vec<f32> = tensors["losses"].to_vec1()?;
        for (step, &expected) in expected.iter().enumerate() {
            let images = tensors["inputs"].get(step % 4)?;
            let logits = network.forward_t(&images, true)?;
            let loss = cross_entropy(&logits, &tensors["labels"].get(step % 4)?)?;
            optimizer.step(&loss.backward()?, 0.01)?;
            let found: f32 = loss.to_scalar()?;
            // The loss rises to 16 on the way: what rounding differs by doubles with every step, from 1e-7 to 1e-2.
            let bound = if step < 8 { 1e-6 } else { 1e-2 };
            assert!((found / expected - 1.0).abs() < bound, "step {step}: loss {found}, PyTorch's {expected}");
        }
        for (name, var) in parameters.trainable() {
            let expected = &tensors[&format!("final.{name}")];
            let off: f32 = (var.as_tensor() - expected)?.sqr()?.sum_all()?.to_scalar()?;
            let moved: f32 = (expected - &tensors[&format!("init.{name}")])?.sqr()?.sum_all()?.to_scalar()?;
            // A bias before a normalisation moves by weight decay and rounding alone.
            let bound = 0.2 * moved.sqrt() + 1e-4;
            assert!(off.sqrt() < bound, "{name} is off by {} after moving {}", off.sqrt(), moved.sqrt());
        }
        Ok(())
    }
}
