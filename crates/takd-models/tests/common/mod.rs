//! What the tests share.
#![allow(dead_code, reason = "each program uses a part")]

pub mod torch_file;

use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::error::Error;
use takd_models::{ModelName, Network, Parameters};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The network that a name means for so many classes, with initial weights.
pub fn drawn(name: &str, classes: usize, seed: u64) -> Outcome<(Network, Parameters)> {
    Ok(Network::random(name.parse::<ModelName>()?.spec(classes), classes, seed, &Device::Cpu)?)
}

/// A copy of every variable as it is now.
pub fn snapshot(parameters: &Parameters) -> candle_core::Result<BTreeMap<String, Tensor>> {
    parameters.all().into_iter().map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?))).collect()
}

/// The CPU, and CUDA if the crate is built for it and there is a device.
pub fn devices() -> Vec<Device> {
    #[cfg(feature = "cuda")]
    match takd_ops::cuda_device(0) {
        Ok(device) => return vec![Device::Cpu, device],
        Err(error) => println!("skipped on CUDA: {error}"),
    }
    vec![Device::Cpu]
}

pub fn norm(tensor: &Tensor) -> candle_core::Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

/// ‖ours − theirs‖ and ‖theirs‖.
pub fn distance(ours: &Tensor, theirs: &Tensor) -> candle_core::Result<(f64, f64)> {
    assert_eq!(ours.dims(), theirs.dims());
    let wide = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let theirs = wide(theirs)?;
    Ok((norm(&(wide(ours)? - &theirs)?)?, norm(&theirs)?))
}
