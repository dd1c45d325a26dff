//! `last.safetensors`: everything a run needs to go on, bit for bit, after any step.

use crate::optimizer::{Optimizer, restore};
use crate::store::{Claimed, LAST};
use crate::{Error, Result, RunId};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Display;
use takd_models::Parameters;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub loss: f64,
    pub correct: usize,
    pub images: usize,
}

/// The position as it stands in the file's header: floating-point numbers by their bits.
#[derive(Serialize, Deserialize)]
struct Header {
    run: RunId,
    epoch: usize,
    step: usize,
    loss_bits: u64,
    correct: usize,
    images: usize,
    seconds: f64,
}

const HEADER: &str = "takd";
const MOMENTUM: &str = "momentum.";

pub(crate) fn save(
    folder: &Claimed,
    run: &RunId,
    position: Position,
    parameters: &Parameters,
    optimizer: &Optimizer,
) -> Result<()> {
    let Position { epoch, step, sums, seconds } = position;
    let header = Header {
        run: run.clone(),
        epoch,
        step,
        loss_bits: sums.loss.to_bits(),
        correct: sums.correct,
        images: sums.images,
        seconds,
    };
    let momentum =
        optimizer.momentum_buffers().into_iter().map(|(name, var)| (format!("{MOMENTUM}{name}"), var.clone()));
    let tensors = parameters.all().into_iter().chain(momentum).map(|(name, var)| (name, var.into_inner()));
    folder.write(LAST, &to_safetensors(tensors, &header)?)
}

/// Puts a run back to where its checkpoint left it; nothing where there is none.
pub(crate) fn load(
    folder: &Claimed,
    run: &RunId,
    parameters: &Parameters,
    optimizer: &Optimizer,
) -> Result<Option<Position>> {
    let Some(bytes) = folder.read(LAST)? else { return Ok(None) };
    let path = folder.path(LAST);
    let damaged = |problem: &dyn Display| Error::damaged(&path, problem);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
    let header: Header =
        serde_json::from_str(header.ok_or_else(|| damaged(&"no header"))?).map_err(|error| damaged(&error))?;
    if header.run != *run {
        return Err(damaged(&format!("it belongs to run {}", header.run)));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| damaged(&error))?;
    let momentum =
        optimizer.momentum_buffers().into_iter().map(|(name, var)| (format!("{MOMENTUM}{name}"), var.clone()));
    for (name, var) in parameters.all().into_iter().chain(momentum) {
        let tensor = tensors.get(&name).ok_or_else(|| damaged(&format!("no tensor `{name}`")))?;
        restore(&var, tensor).map_err(|error| damaged(&format!("tensor `{name}`: {error}")))?;
    }
    let sums = Sums { loss: f64::from_bits(header.loss_bits), correct: header.correct, images: header.images };
    Ok(Some(Position { epoch: header.epoch, step: header.step, sums, seconds: header.seconds }))
}

/// Tensors as the bytes of a safetensors file with one entry of metadata.
pub(crate) fn to_safetensors(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    header: &impl Serialize,
) -> Result<Vec<u8>> {
    let config = |error: &dyn Display| Error::Config(error.to_string());
    let header = serde_json::to_string(header).map_err(|error| config(&error))?;
    // One entry only: the order of several is not fixed, and equal runs must end in equal bytes.
    let metadata = HashMap::from([(HEADER.to_owned(), header)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|error| config(&error))
}
