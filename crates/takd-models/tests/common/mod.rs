//! What the tests share.

use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::error::Error;
use takd_models::{ModelName, Network, Parameters};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The network that a name means for so many classes, with initial weights.
#[allow(dead_code, reason = "not every test file draws networks")]
pub fn drawn(name: &str, classes: usize, seed: u64) -> Outcome<(Network, Parameters)> {
    Ok(Network::random(name.parse::<ModelName>()?.spec(classes), classes, seed, &Device::Cpu)?)
}

/// A copy of every variable as it is now.
pub fn snapshot(parameters: &Parameters) -> candle_core::Result<BTreeMap<String, Tensor>> {
    parameters.all().into_iter().map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?))).collect()
}
