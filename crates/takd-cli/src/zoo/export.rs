//! `takd export`.

use super::accuracy::{Said, scaling};
use super::form::{Form, Wanted};
use super::provenance;
use crate::common::Place;
use crate::output;
use crate::progress::{counting, loading};
use anyhow::{Context, Result, bail};
use candle_core::Device;
use indicatif::MultiProgress;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use takd_datasets::{Card, Dataset, DatasetRef, Known};
use takd_distill::Runs;
use takd_models::Network;
use takd_store::RunId;
use takd_zoo::{Accuracy, Config, Data, Existing, Input, Model, WeightPrecision};

/// Make a folder to give away of a run's network: weights, configuration, model card, ONNX, PyTorch.
///
/// The folder has all that is needed to use the network elsewhere: model.safetensors with PyTorch's names, config.json (architecture,
/// input size, mean, deviation, class names, data, accuracy), README.md (a model card), model.onnx, and model.py and example.py in plain
/// PyTorch. What 16-bit and 8-bit weights would cost in accuracy is measured on the test images and stands on the card.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd export 3f2a my-model
      the run whose id begins so, of results/, into the folder my-model
  takd export 3f2a my-model --precision int8 --data my-photos --replace
      weights in a byte each; trained on your own images, which are read to measure what that costs

Exit status: 0 if the folder is written, 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The run: any beginning of its id that no other run's has
    #[arg(value_name = "RUN")]
    run: String,
    /// The folder to make
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    form: Form,
    /// The run's data, if they are your own images: their file or folder
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<DatasetRef>,
    /// Do not look at the test images: say nothing of what other precisions cost
    #[arg(long)]
    no_measuring: bool,
    /// Put it in the place of a model that is in the folder already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    place: Place,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// What was written.
#[derive(Serialize)]
pub(crate) struct Written {
    pub(crate) folder: String,
    pub(crate) files: Vec<File>,
    pub(crate) config: Config,
}

#[derive(Serialize)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    bytes: usize,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let runs = args.place.runs()?;
    let id = runs.find(&args.run)?;
    let config = runs.config(&id)?.with_context(|| format!("run {id} has no configuration"))?;
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };
    // Before anything is looked at.
    takd_zoo::check_place(&args.dir, existing).with_context(|| {
        let remedy = if args.replace { "name another folder" } else { "name another folder, or --replace a model" };
        format!("cannot write {}: {remedy}", args.dir.display())
    })?;
    let data = load(args, &config.data, screen)?;
    let wanted = args.form.wanted(!args.no_measuring, existing);
    let device = args.place.device.open()?.device;
    let written = export(&id, &runs, &data, &device, &wanted, &args.dir, args.quiet, screen)?;
    if args.json { output::print_json(&written) } else { output::print(&text(&written)) }
}

/// Makes a model of a finished run and writes its folder.
#[expect(clippy::too_many_arguments, reason = "each is another part of the workplace")]
pub(crate) fn export(
    id: &RunId,
    runs: &Runs,
    data: &Dataset,
    device: &Device,
    wanted: &Wanted<'_>,
    dir: &Path,
    quiet: bool,
    screen: &MultiProgress,
) -> Result<Written> {
    let config = runs.config(id)?.with_context(|| format!("run {id} has no configuration"))?;
    let file = runs.model(id)?;
    let result = runs.outcome(id)?.with_context(|| format!("run {id} is not finished"))?;
    let test = result.test.with_context(|| format!("run {id} was not tested"))?;
    let card = &data.card;
    let (_, parameters) = Network::load(config.model, card.classes(), &file, &Device::Cpu)?;

    // Whose images they are is known of known data sets alone.
    let is_known = config.imported.is_none() && card.name.known().is_some();
    let usual = if is_known { "mit" } else { "other" };
    let input = Input::new(scaling(data)?, config.normalization(card));
    let mut about = Config::new(config.model, card.class_names.clone(), input, wanted.licence.unwrap_or(usual));
    // What was left out is told with its place here.
    let notes = card.notes.iter().filter(|note| !note.starts_with("left out")).chain(wanted.notes).cloned().collect();
    about.data = Some(Data { notes, train: config.data.train_images, ..about_data(card) });
    about.accuracy = Some(Accuracy {
        top1: test.accuracy,
        top5: (card.classes() > 5).then_some(test.top5_accuracy),
        images: test.images,
        seed: config.imported.is_none().then_some(config.seed),
        seeds: provenance::seeds(&config, runs)?,
    });
    about.training = Some(provenance::training(id, &config, runs)?);
    let model = Model::new(about.clone(), &parameters)?;
    for precision in WeightPrecision::ALL {
        let stored = model.stored_as(precision)?;
        let accuracy = match precision {
            WeightPrecision::F32 => Some(test.accuracy),
            _ if !wanted.measured => None,
            _ => {
                let what = format!("the test images with {precision} weights");
                let said = counting(quiet, screen, &what, |count| Said::of(&stored, data, device, count))?;
                Some(said.accuracy(1))
            }
        };
        if precision == wanted.precision && precision != WeightPrecision::F32 {
            // Of the weights that are in the folder; nothing if that was not measured.
            about.accuracy =
                accuracy.zip(about.accuracy).map(|(top1, known)| Accuracy { top1, top5: None, seeds: None, ..known });
        }
        about.precisions.push(stored.cost(accuracy)?);
    }
    about.weights = wanted.precision;
    let model = model.stored_as(wanted.precision)?.with_config(about)?;
    model.write(dir, wanted.extras, wanted.existing)?;
    let files = model.files(wanted.extras)?.into_iter().map(|(name, bytes)| File { name, bytes: bytes.len() });
    Ok(Written { folder: dir.display().to_string(), files: files.collect(), config: model.config().clone() })
}

/// The run's data, which are what it was trained on to the last bit.
fn load(args: &Args, wanted: &takd_distill::DataConfig, screen: &MultiProgress) -> Result<Arc<Dataset>> {
    let data = match &args.data {
        // The size is the run's.
        Some(data) if data.name.as_unscaled() != wanted.dataset.as_unscaled() => {
            bail!("the run was trained on {}, not on {}", wanted.dataset, data.name)
        }
        Some(data) => DatasetRef { name: wanted.dataset.clone(), ..data.clone() },
        None => DatasetRef { name: wanted.dataset.clone(), place: None },
    };
    let catalog = args.place.catalog_of(&data)?;
    let loaded = loading(args.quiet, screen, |progress| catalog.load(&data.name, progress)).with_context(|| {
        format!("the run was trained on {}; give its place with --data if it is a folder of yours", wanted.dataset)
    })?;
    if loaded.card.checksum != wanted.checksum {
        bail!("these images of {} are others than those that the run was trained on", wanted.dataset);
    }
    Ok(loaded)
}

/// What is told of the data: not where on this machine they lie.
fn about_data(card: &Card) -> Data {
    let hub_id = card.name.known().and_then(Known::hub_id);
    let origin = match (&hub_id, card.name.is_drawn()) {
        (Some(id), _) => format!("{id} on the Hugging Face hub, or a copy of it"),
        (None, true) => card.origin.clone(),
        (None, false) => "images of whoever trained it".to_owned(),
    };
    Data { hub_id, origin, ..Data::from(card) }
}

fn text(Written { folder, files, config }: &Written) -> String {
    let mut text =
        format!("{folder}: {} with {} classes, {} weights", config.architecture, config.classes, config.weights);
    if let Some(accuracy) = &config.accuracy {
        text += &format!(", test accuracy {:.2} %", 100.0 * accuracy.top1);
    }
    for File { name, bytes } in files {
        text += &format!("\n  {name:<18} {bytes:>10} bytes");
    }
    for cost in &config.precisions {
        let accuracy = cost.top1.map_or("not measured".to_owned(), |top1| format!("{:.2} %", 100.0 * top1));
        text += &format!(
            "\n  weights in {:<4}    {:>10} bytes, test accuracy {accuracy}",
            cost.precision.to_string(),
            cost.bytes
        );
    }
    text
}
