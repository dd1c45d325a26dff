//! `takd logits`.

use super::{accuracy, open};
use crate::common::Place;
use crate::found::Reach;
use crate::output;
use crate::progress::{counting, loading};
use anyhow::{Context, Result};
use candle_core::Tensor;
use indicatif::MultiProgress;
use std::collections::HashMap;
use std::path::PathBuf;
use takd_datasets::{DatasetRef, Images, Split};
use takd_zoo::Classifier;

/// Images that are looked at at once.
const AT_ONCE: usize = 64;

/// Write what an exported model says of every image of a data set, as logits in a safetensors file.
///
/// The file has the tensors `train` and `test`, a row an image in the data set's order and a column a class. Its metadata have the data
/// set's name and checksum and the classes' names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd logits --model my-model --data my-photos logits.safetensors
  takd logits --model plane2-cifar10-takd --data cifar10 --split test logits.safetensors

Exit status: 0 if the file is written, 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of a model that `takd export` made, its name in `models`, or such a model of the hub
    #[arg(long, value_name = "DIR|NAME|USER/NAME")]
    model: PathBuf,
    /// The images: a known name, or the file or folder of your own
    #[arg(long, value_name = "NAME|PATH")]
    data: DatasetRef,
    /// Of these images alone
    #[arg(long, value_name = "train|test", value_parser = split)]
    split: Option<Split>,
    #[command(flatten)]
    place: Place,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

fn split(text: &str) -> Result<Split, String> {
    let found = [Split::Train, Split::Test].into_iter().find(|split| split.as_str() == text);
    found.ok_or_else(|| "it is train or test".to_owned())
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let model = open::model(&args.model, &Reach { offline: args.place.offline, quiet: args.quiet, screen })?;
    let data = accuracy::in_size_of(&model, &args.data);
    let catalog = args.place.catalog_of(&data)?;
    let loaded = loading(args.quiet, screen, |progress| catalog.load(&data.name, progress))?;
    accuracy::check(&model, &loaded)?;
    let classifier = Classifier::new(&model, &args.place.device.open()?.device)?;
    let mut tensors = Vec::new();
    for split in [Split::Train, Split::Test] {
        if args.split.is_some_and(|wanted| wanted != split) {
            continue;
        }
        let images = match split {
            Split::Train => &loaded.train,
            Split::Test => &loaded.test,
        };
        let what = format!("the {split} images");
        let logits = counting(args.quiet, screen, &what, |count| logits(&classifier, images, count))?;
        tensors.push((split.to_string(), logits));
    }
    let card = &loaded.card;
    let metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("dataset".to_owned(), card.name.to_string()),
        ("checksum".to_owned(), card.checksum.clone()),
        ("class_names".to_owned(), serde_json::to_string(&card.class_names)?),
    ]);
    let shapes =
        tensors.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.dims())).collect::<Vec<_>>().join(", ");
    let bytes = safetensors::serialize(tensors, Some(metadata)).context("the logits make no safetensors file")?;
    takd_store::write_file(&args.file, &bytes)?;
    output::print(&format!("{}: {shapes}", args.file.display()))
}

fn logits(classifier: &Classifier, images: &Images, count: &mut dyn FnMut(usize, usize)) -> Result<Tensor> {
    let mut parts = Vec::new();
    for first in (0..images.len()).step_by(AT_ONCE) {
        let batch = first..(first + AT_ONCE).min(images.len());
        let done = batch.end;
        let pixels = batch.map(|index| Ok(images.image(index)?)).collect::<Result<Vec<_>>>()?;
        parts.push(classifier.logits(&pixels)?);
        count(done, images.len());
    }
    Ok(Tensor::cat(&parts, 0)?)
}
