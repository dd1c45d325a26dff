//! Takes in a network that was trained elsewhere, or the logits of one, so that it teaches like any other.

use crate::config::RunConfig;
use crate::correct;
use crate::evaluation::Evaluation;
use crate::event::{Pass, Watch};
use crate::given_logits::{GivenLogits, LogitsAbout};
use crate::imported::Imported;
use crate::metrics::Metrics;
use crate::network_file::{self, MODEL};
use crate::result::RunResult;
use crate::runs::Runs;
use crate::train::{Session, check};
use crate::view::{PlacedData, View};
use crate::{Error, Result};
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::time::Instant;
use takd_datasets::Dataset;
use takd_models::{Checkpoint, ModelName, ModelSpec, Network, Parameters};
use takd_store::Ending;

/// The largest file that is taken in, in bytes.
const AT_MOST: u64 = 1 << 32;

/// A file with a network that was trained elsewhere, or with the logits of one that is not known otherwise.
#[derive(Clone, Debug)]
pub struct NetworkFromElsewhere {
    path: PathBuf,
    model: ModelSpec,
    /// Logits for each image.
    outputs: usize,
    /// BLAKE3, in hexadecimal digits.
    hash: String,
    origin: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Network(Parameters),
    Logits(LogitsAbout, GivenLogits),
}

impl NetworkFromElsewhere {
    /// Reads a file with a network, whichever it holds; see [`Checkpoint::recognise`]. A safetensors file whose tensors are `train` and,
    /// if it has that too, `test`, each `[images, classes]`, holds a teacher's logits for a data set's images, in their order. Its
    /// metadata have `checksum`, the data's own ([`Card::checksum`](takd_datasets::Card::checksum)), and may have `class_names`, a JSON
    /// list of the columns' classes, and `dataset`, its name.
    ///
    /// # Errors
    /// If it cannot be read or holds no known network and no logits.
    pub fn read(path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Import { path: path.to_owned(), reason };
        let bytes = takd_store::read_file(path, AT_MOST)?.ok_or_else(|| refused("there is no such file".into()))?;
        let hash = blake3::hash(&bytes).to_string();
        if let Some((about, logits)) = GivenLogits::recognise(path, &bytes)? {
            let (outputs, origin) = (logits.outputs(), logits.described());
            let model = ModelName::LOGITS.spec(outputs);
            let (path, content) = (path.to_owned(), Content::Logits(about, logits));
            return Ok(Self { path, model, outputs, hash, origin, content });
        }
        let found = Checkpoint { path, bytes: &bytes }.recognise()?;
        let (_, parameters) = found.network(&Device::Cpu)?;
        let (model, outputs, origin) = (found.spec, found.classes, found.origin.to_string());
        let (path, content) = (path.to_owned(), Content::Network(parameters));
        Ok(Self { path, model, outputs, hash, origin, content })
    }

    /// Which network it is; [`ModelName::LOGITS`] if it holds logits.
    pub fn model(&self) -> ModelSpec {
        self.model
    }

    /// Its number of logits for each image.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What the file was, and what was done on the way, in words.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The hash of the file, as in [`Imported::file`](crate::Imported::file).
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it says of itself, if it holds logits.
    pub fn logits(&self) -> Option<&LogitsAbout> {
        match &self.content {
            Content::Network(_) => None,
            Content::Logits(about, _) => Some(about),
        }
    }
}

/// Takes in the network or the logits of `file` as the run of `config` and tests it on `data`, or reads the result if that was done before.
///
/// # Errors
/// If the configuration is not for this network, data and device, or logits are not those of these data; [`Error::NotFinite`] if its
/// logits are no numbers; [`Error::Stopped`] if `watch` breaks off, and nothing is left of the run then; if another process is at work on
/// the run, or a file cannot be written.
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
    if let Content::Logits(about, _) = &file.content {
        about.check(&file.path, &data.card)?;
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
    let (content, test, logits) = match take_in(file, imported, config, data, session, watch) {
        Ok(taken) => taken,
        // Nothing is written yet, and nothing is left.
        Err(error) => return Err(claim.give_up_folder().err().map_or(error, Error::from)),
    };
    claim.write_config(config)?;
    claim.add_start(start)?;
    claim.clear_ending()?;
    match content {
        TakenIn::Network(network, parameters) => network_file::save(&claim, config, 0, &network, &parameters)?,
        TakenIn::Logits(given) => given.save(&claim, config)?,
    }
    if let Some(logits) = logits {
        correct::save(&claim, &correct::of(&logits, classes, data.test.labels()))?;
    }
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

/// What a run of a file keeps.
enum TakenIn {
    Network(Network, Parameters),
    Logits(GivenLogits),
}

/// What a file holds, for the classes of the data, with its result on the test images and their logits, if it can tell.
fn take_in(
    file: &NetworkFromElsewhere,
    imported: &Imported,
    config: &RunConfig,
    data: &Dataset,
    session: &Session,
    watch: &mut Watch<'_>,
) -> Result<(TakenIn, Option<Evaluation>, Option<Vec<f32>>)> {
    let compute = &session.compute;
    match &file.content {
        Content::Network(parameters) => {
            let all: Vec<usize> = (0..file.outputs).collect();
            let outputs = if imported.outputs.is_empty() { &all } else { &imported.outputs };
            let (network, parameters) = Network::with_outputs(file.model, parameters, outputs, &compute.device)?;
            let network = network.with_precision(compute.precision);
            let placed = PlacedData::new(data, compute)?;
            let view = View { images: &placed.test, normalization: config.normalization(&data.card) };
            let all: Vec<u32> = (0..data.test.len() as u32).collect();
            let (test, logits) = view.evaluate(&network.frozen(), &all, Pass::Test, watch)?;
            Ok((TakenIn::Network(network, parameters), Some(test), Some(logits)))
        }
        Content::Logits(_, given) => {
            let given = given.with_outputs(&imported.outputs)?;
            let logits = given.of_test()?;
            let labels = || data.test.labels().iter().map(|&label| label as usize);
            let test =
                logits.as_ref().map(|logits| Evaluation::of(logits, data.card.classes(), labels())).transpose()?;
            Ok((TakenIn::Logits(given), test, logits))
        }
    }
}
