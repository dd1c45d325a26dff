//! `takd logits`.

use super::{accuracy, open};
use crate::common::Place;
use crate::found::Reach;
use crate::output;
use crate::progress::{counting, loading};
use anyhow::Result;
use indicatif::MultiProgress;
use std::collections::BTreeMap;
use std::path::PathBuf;
use takd_datasets::{DatasetRef, Images, Split};
use takd_zoo::Classifier;

/// Images that are looked at at once.
const AT_ONCE: usize = 64;

/// Write what an exported model says of every image of a data set, as logits in a safetensors file.
///
/// The file has the tensors `train` and `test`, a row an image in the data set's order and a column a class. Its metadata have the data
/// set's name and checksum, the classes' names and the model's architecture. `takd distill` takes it as a teacher.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd logits --model my-model --data my-photos logits.safetensors
  takd logits --model plane2-cifar10-takd --data cifar10 --split test logits.safetensors
  takd distill logits.safetensors resnet8 --data my-photos --augmentation none
      have them teach

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
    let splits = [(Split::Train, &loaded.train), (Split::Test, &loaded.test)];
    let wanted = || splits.into_iter().filter(|(split, _)| args.split.is_none_or(|wanted| wanted == *split));
    let card = &loaded.card;
    let shape = |images: &Images| [images.len(), card.classes()];
    let about = BTreeMap::from([
        ("format", "pt".to_owned()),
        ("dataset", card.name.to_string()),
        ("checksum", card.checksum.clone()),
        ("class_names", serde_json::to_string(&card.class_names)?),
        ("architecture", model.config().architecture.to_string()),
    ]);
    let tensors = wanted().map(|(split, images)| (split.as_str(), shape(images)));
    let mut bytes = header(&about, tensors)?;
    for (split, images) in wanted() {
        let what = format!("the {split} images");
        counting(args.quiet, screen, &what, |count| add(&classifier, images, &mut bytes, count))?;
    }
    takd_store::write_file(&args.file, &bytes)?;
    let shapes = wanted().map(|(split, images)| format!("{split} {:?}", shape(images)));
    output::print(&format!("{}: {}", args.file.display(), shapes.collect::<Vec<_>>().join(", ")))
}

/// What a safetensors file of these f32 tensors begins with: the length of a JSON text, and the text. It is written here so that the logits
/// go straight behind it, and the same logits are the same bytes, which the library's metadata, in no fixed order, are not.
fn header(
    about: &BTreeMap<&str, String>,
    tensors: impl Iterator<Item = (&'static str, [usize; 2])>,
) -> Result<Vec<u8>> {
    let mut header = serde_json::Map::from_iter([("__metadata__".to_owned(), serde_json::to_value(about)?)]);
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape[0] * shape[1];
        let tensor = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
        header.insert(name.to_owned(), tensor);
    }
    let mut text = serde_json::to_string(&header)?;
    // Tensors begin at a multiple of eight bytes.
    text += &" ".repeat(text.len().next_multiple_of(8) - text.len());
    let mut bytes = Vec::with_capacity(8 + text.len() + end);
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.bytes());
    Ok(bytes)
}

/// Adds the logits of all images, row by row.
fn add(
    classifier: &Classifier,
    images: &Images,
    bytes: &mut Vec<u8>,
    count: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    for first in (0..images.len()).step_by(AT_ONCE) {
        let batch = first..(first + AT_ONCE).min(images.len());
        let done = batch.end;
        let pixels = batch.map(|index| Ok(images.image(index)?)).collect::<Result<Vec<_>>>()?;
        let logits = classifier.logits(&pixels)?.flatten_all()?.to_vec1::<f32>()?;
        bytes.extend(logits.into_iter().flat_map(f32::to_le_bytes));
        count(done, images.len());
    }
    Ok(())
}
