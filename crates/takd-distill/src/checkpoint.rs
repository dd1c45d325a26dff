//! `last.safetensors`: everything a run needs to go on, bit for bit, after any step, also for more epochs than it has; and the
//! one before it.

use crate::network_file::AT_MOST;
use crate::optimizer::{Optimizer, restore};
use crate::records::{EpochRecord, Losses};
use crate::steps::KlWeight;
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use takd_models::Parameters;
use takd_store::{Claim, Extent, RunId, seal};

/// The file's name.
pub(crate) const LAST: &str = "last.safetensors";

/// The name of the checkpoint before, which is kept in case the last one gets damaged.
pub(crate) const PREVIOUS: &str = "previous.safetensors";

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
    pub cross_entropy: f64,
    pub correct: usize,
    pub images: usize,
}

impl Sums {
    pub(crate) fn add(&mut self, loss: &Losses, correct: usize, images: usize) {
        self.loss += loss.loss * images as f64;
        self.cross_entropy += loss.cross_entropy * images as f64;
        self.correct += correct;
        self.images += images;
    }

    /// Means over the images; `weight` says how the loss is made of its terms.
    pub(crate) fn means(&self, weight: Option<KlWeight>) -> Losses {
        let images = self.images as f64;
        let (loss, cross_entropy) = (self.loss / images, self.cross_entropy / images);
        weight.map_or(Losses { loss, cross_entropy, kl: None }, |weight| weight.losses(loss, cross_entropy))
    }

    pub(crate) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }
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

pub(crate) fn save(claim: &Claim, header: &Header, parameters: &Parameters, optimizer: &Optimizer) -> Result<()> {
    let tensors = variables(parameters, optimizer).into_iter().map(|(name, var)| (name, var.into_inner()));
    let bytes = seal::to_safetensors(tensors, header)?;
    // The old one stays until the new one is whole, and then as the one before it.
    claim.write_before(LAST, &bytes, || match fs::rename(claim.path(LAST), claim.path(PREVIOUS)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })?;
    Ok(())
}

/// The checkpoint of `run` in the file at `path`, if there is one.
pub(crate) fn read(
    path: &Path,
    run: &RunId,
    parameters: &Parameters,
    optimizer: &Optimizer,
) -> Result<Option<Checkpoint>> {
    let Some(bytes) = takd_store::read_file(path, AT_MOST)? else { return Ok(None) };
    let header = header(path, &bytes, run)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    let mut tensors = tensors.map_err(|error| Error::damaged(path, error))?;
    let mut values = Vec::new();
    for (name, var) in variables(parameters, optimizer) {
        match tensors.remove(&name).filter(|tensor| (tensor.shape(), tensor.dtype()) == (var.shape(), var.dtype())) {
            Some(tensor) => values.push((var, tensor)),
            None => return Err(Error::damaged(path, format!("it has no tensor `{name}` of this network"))),
        }
    }
    Ok(Some(Checkpoint { header, values }))
}

/// The header of the checkpoint of `run` in a file, every bit of which is as it was written; nothing if there is no file.
pub(crate) fn read_header(path: &Path, run: &RunId) -> Result<Option<Header>> {
    let bytes = takd_store::read_file(path, AT_MOST)?;
    bytes.map(|bytes| header(path, &bytes, run)).transpose()
}

fn header(path: &Path, bytes: &[u8], run: &RunId) -> Result<Header> {
    let (header, _) = seal::from_safetensors::<Header>(path, bytes)?;
    if header.run == *run { Ok(header) } else { Err(Error::damaged(path, format!("it belongs to run {}", header.run))) }
}

/// Fails unless the position in the checkpoint at `path` is one that these records lead to.
pub(crate) fn check_position(path: &Path, position: Position, epochs: &[EpochRecord]) -> Result<()> {
    if epochs.len() == position.epoch {
        Ok(())
    } else {
        let Position { epoch, .. } = position;
        Err(Error::damaged(path, format!("it is of epoch {epoch}, and metrics.jsonl has {} epochs", epochs.len())))
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
