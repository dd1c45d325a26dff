//! `model.safetensors`: the network of the epoch that counts; of a teacher that is known by its logits alone, these.

use crate::config::RunConfig;
use crate::records::{EpochRecord, picked_epoch};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;
use takd_models::{Checkpoint, ModelSpec, Network, Parameters};
use takd_ops::Compute;
use takd_store::{Claim, RunId, seal};

/// The file's name.
pub(crate) const MODEL: &str = "model.safetensors";

/// The most bytes that a network or a checkpoint may have.
pub(crate) const AT_MOST: u64 = 1 << 32;

/// What the file holds beside the tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    run: RunId,
    model: String,
    classes: usize,
    epoch: usize,
}

/// Keeps the network of an epoch, counted from 1.
pub(crate) fn save(claim: &Claim, config: &RunConfig, epoch: usize, network: &Network, of: &Parameters) -> Result<()> {
    let tensors = of.all().into_iter().map(|(name, var)| (name, var.into_inner()));
    save_tensors(claim, config, epoch, network.classes(), tensors)
}

/// The same of tensors that need not be a network's.
pub(crate) fn save_tensors(
    claim: &Claim,
    config: &RunConfig,
    epoch: usize,
    classes: usize,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
) -> Result<()> {
    let header = Header { run: config.id(), model: config.model.to_string(), classes, epoch };
    Ok(claim.write(MODEL, &seal::to_safetensors(tensors, &header)?)?)
}

/// The bytes of the file, which holds the network of run `id` and of an epoch that fits.
pub(crate) fn read(path: &Path, id: &RunId, fits: impl FnOnce(usize) -> bool) -> Result<Vec<u8>> {
    let bytes = takd_store::read_file(path, AT_MOST)?.ok_or_else(|| Error::gone(path))?;
    let (Header { run, epoch, .. }, _) = seal::from_safetensors::<Header>(path, &bytes)?;
    if run == *id && fits(epoch) {
        Ok(bytes)
    } else {
        Err(Error::damaged(path, format!("it is the network of run {run}, epoch {epoch}")))
    }
}

/// Fails unless the file holds what a run of `config` needs of it that goes on after `over` epochs, whose records are
/// `epochs`.
pub(crate) fn check_so_far(path: &Path, config: &RunConfig, epochs: &[EpochRecord], over: usize) -> Result<()> {
    let picked = picked_epoch(&config.training, epochs);
    if (1..=over).contains(&picked) {
        // The network of that epoch, or of one that the checkpoint does not know of and that will come again.
        read(path, &config.id(), |epoch| epoch == picked || epoch > over)?;
    }
    Ok(())
}

/// Keeps the network in the file of another run, that of the same epoch.
pub(crate) fn take_over(claim: &Claim, config: &RunConfig, from: &NetworkFile<'_>) -> Result<()> {
    let (network, parameters) = from.read(&Device::Cpu)?;
    save(claim, config, from.epoch, &network, &parameters)
}

/// Which network a file holds.
pub(crate) struct NetworkFile<'a> {
    pub path: &'a Path,
    pub run: &'a RunId,
    pub epoch: usize,
    pub model: ModelSpec,
    pub classes: usize,
}

impl NetworkFile<'_> {
    /// The network, for evaluation only.
    pub(crate) fn load(&self, compute: &Compute) -> Result<Network> {
        let (network, _) = self.read(&compute.device)?;
        Ok(network.frozen().with_precision(compute.precision))
    }

    /// The network with its parameters, as they are trained.
    pub(crate) fn read(&self, device: &Device) -> Result<(Network, Parameters)> {
        let Self { path, run, epoch, model, classes } = *self;
        let bytes = read(path, run, |found| found == epoch)?;
        let loaded = Network::from_checkpoint(model, classes, Checkpoint { path, bytes: &bytes }, device);
        loaded.map_err(|error| Error::damaged(path, error))
    }
}
