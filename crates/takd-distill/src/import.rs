//! Takes in a network that was trained elsewhere, so that it teaches like any other.

use crate::config::RunConfig;
use crate::correct;
use crate::event::{Pass, Watch};
use crate::metrics::Metrics;
use crate::network_file::{self, MODEL};
use crate::result::RunResult;
use crate::runs::Runs;
use crate::train::{Session, check};
use crate::view::{PlacedData, View};
use crate::{Error, Result};
use candle_core::Device;
use std::path::Path;
use std::time::Instant;
use takd_datasets::Dataset;
use takd_models::{Checkpoint, ModelSpec, Network, Origin, Parameters};
use takd_store::Ending;

/// The largest file that is taken in, in bytes.
const AT_MOST: u64 = 1 << 32;

/// A file with a network that was trained elsewhere.
#[derive(Clone, Debug)]
pub struct NetworkFromElsewhere {
    model: ModelSpec,
    /// Logits for each image.
    outputs: usize,
    /// BLAKE3, in hexadecimal digits.
    hash: String,
    origin: Origin,
    parameters: Parameters,
}

impl NetworkFromElsewhere {
    /// Reads a file with a network, whichever it holds; see [`Checkpoint::recognise`].
    ///
    /// # Errors
    /// If it cannot be read or holds no known network.
    pub fn read(path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Import { path: path.to_owned(), reason };
        let bytes = takd_store::read_file(path, AT_MOST)?.ok_or_else(|| refused("there is no such file".into()))?;
        let found = Checkpoint { path, bytes: &bytes }.recognise()?;
        let (_, parameters) = found.network(&Device::Cpu)?;
        let (model, outputs, origin) = (found.spec, found.classes, found.origin.clone());
        Ok(Self { model, outputs, hash: blake3::hash(&bytes).to_string(), origin, parameters })
    }

    /// Which network it is.
    pub fn model(&self) -> ModelSpec {
        self.model
    }

    /// Its number of logits for each image.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What the file was, and what was done on the way.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The hash of the file, as in [`Imported::file`](crate::Imported::file).
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The network and its parameters, with the outputs that are asked for as its classes; all if none is named.
    fn network(&self, outputs: &[usize], device: &Device) -> Result<(Network, Parameters)> {
        let all: Vec<usize> = (0..self.outputs).collect();
        let outputs = if outputs.is_empty() { &all } else { outputs };
        Ok(Network::with_outputs(self.model, &self.parameters, outputs, device)?)
    }
}

/// Takes in the network of `file` as the run of `config` and tests it on `data`, or reads the result if that was done before.
///
/// # Errors
/// If the configuration is not for this network, data and device; [`Error::NotFinite`] if its logits are no numbers;
/// [`Error::Stopped`] if `watch` breaks off, and nothing is left of the run then; if another process is at work on the run, or a file cannot be written.
pub fn import(
    file: &NetworkFromElsewhere,
    config: &RunConfig,
    data: &Dataset,
    runs: &Runs,
    session: &Session,
    watch: &mut Watch<'_>,
) -> Result<RunResult> {
    let Session { compute, start, retry } = session;
    check(config, data, compute)?;
    let Some(imported) = config.imported.as_ref().filter(|imported| imported.file == file.hash) else {
        return Err(Error::Config(format!("it is not the network of the file with the hash {}", file.hash)));
    };
    if let Some(result) = runs.settled(config, *retry)? {
        return Ok(result);
    }
    let (classes, name) = (data.card.classes(), &data.card.name);
    let found = if imported.outputs.is_empty() { file.outputs } else { imported.outputs.len() };
    if found != classes || imported.outputs.iter().any(|output| *output >= file.outputs) || config.model != file.model {
        return Err(Error::Config(format!(
            "the file holds {} with {} outputs, and {name} has {classes} classes: each of them is to be given one output",
            file.model, file.outputs
        )));
    }
    let id = config.id();
    let Some(claim) = runs.claim(&id)? else { return Err(takd_store::Error::Claimed(id).into()) };
    // Between our look and our claim another process may have ended it.
    if let Some(result) = runs.settled(config, *retry)? {
        return Ok(result);
    }
    let started = Instant::now();
    let placed = PlacedData::new(data, compute)?;
    let (network, parameters) = file.network(&imported.outputs, &compute.device)?;
    let network = network.with_precision(compute.precision);
    let view = View { images: &placed.test, normalization: config.normalization(&data.card) };
    let all: Vec<u32> = (0..data.test.len() as u32).collect();
    let (test, logits) = match view.evaluate(&network.frozen(), &all, Pass::Test, watch) {
        Ok(tested) => tested,
        // Nothing is written yet, and nothing is left.
        Err(error) => return Err(claim.give_up_folder().err().map_or(error, Error::from)),
    };
    claim.write_config(config)?;
    claim.add_start(start)?;
    claim.clear_ending()?;
    network_file::save(&claim, config, 0, &network, &parameters)?;
    correct::save(&claim, &correct::of(&logits, classes, data.test.labels()))?;
    let result = RunResult {
        epoch: 0,
        test,
        held_out: None,
        teachers: None,
        parameters: config.model.parameter_count(classes),
        seconds: started.elapsed().as_secs_f64(),
    };
    claim.end(&Ending::Finished(result.clone()), &Metrics::begin(&claim)?.extent()?, &[MODEL])?;
    Ok(result)
}
