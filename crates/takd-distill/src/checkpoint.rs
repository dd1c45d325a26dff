//! `last.safetensors`: everything a run needs to go on, bit for bit, after any step; and the one before it.

use crate::claim::Claimed;
use crate::metrics::Extent;
use crate::optimizer::{Optimizer, restore};
use crate::seal;
use crate::store::{LAST, PREVIOUS};
use crate::{Error, Result, RunId};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use takd_models::Parameters;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Epochs that are over.
    pub epoch: usize,
    /// Steps of the next one that are over.
    pub step: usize,
    /// What those steps add to the epoch's means.
    pub sums: Sums,
    /// What all of it took.
    pub seconds: f64,
}

/// Sums over the images of an epoch so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub loss: f64,
    pub correct: usize,
    pub images: usize,
}

/// What stands in the file's header.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub run: RunId,
    pub position: Position,
    pub metrics: Extent,
}

/// A checkpoint that has been read and found whole, but not put into the run yet.
pub(crate) struct Checkpoint {
    pub header: Header,
    values: Vec<(Var, Tensor)>,
}

/// What is kept of a run, by the names in the file.
fn variables(parameters: &Parameters, optimizer: &Optimizer) -> Vec<(String, Var)> {
    let momentum = optimizer.momentum_buffers().into_iter();
    let momentum = momentum.map(|(name, var)| (format!("momentum.{name}"), var.clone()));
    parameters.all().into_iter().chain(momentum).collect()
}

pub(crate) fn save(folder: &Claimed, header: &Header, parameters: &Parameters, optimizer: &Optimizer) -> Result<()> {
    let tensors = variables(parameters, optimizer).into_iter().map(|(name, var)| (name, var.into_inner()));
    folder.write_before(LAST, &seal::to_safetensors(tensors, header)?, || {
        // The old one stays until the new one is whole, and then as the one before it.
        match fs::rename(folder.path(LAST), folder.path(PREVIOUS)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    })
}

/// The checkpoint in the file called `name`; nothing where there is none.
pub(crate) fn read(
    folder: &Claimed,
    name: &str,
    run: &RunId,
    parameters: &Parameters,
    optimizer: &Optimizer,
) -> Result<Option<Checkpoint>> {
    let Some(bytes) = folder.read(name)? else { return Ok(None) };
    let path = folder.path(name);
    let header = header(&path, &bytes, run)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    let mut tensors = tensors.map_err(|error| Error::damaged(&path, &error))?;
    let mut values = Vec::new();
    for (name, var) in variables(parameters, optimizer) {
        match tensors.remove(&name).filter(|tensor| (tensor.shape(), tensor.dtype()) == (var.shape(), var.dtype())) {
            Some(tensor) => values.push((var, tensor)),
            None => return Err(Error::damaged(&path, &format!("it has no tensor `{name}` of this network's"))),
        }
    }
    Ok(Some(Checkpoint { header, values }))
}

/// The header of a checkpoint of `run`, whose every bit is as it was written.
pub(crate) fn header(path: &Path, bytes: &[u8], run: &RunId) -> Result<Header> {
    let (header, _) = seal::from_safetensors::<Header>(path, bytes)?;
    match header.run == *run {
        true => Ok(header),
        false => Err(Error::damaged(path, &format!("it belongs to run {}", header.run))),
    }
}

impl Checkpoint {
    /// Puts the run back to where the checkpoint left it.
    pub(crate) fn restore(&self) -> Result<()> {
        for (var, tensor) in &self.values {
            restore(var, tensor)?;
        }
        Ok(())
    }
}
