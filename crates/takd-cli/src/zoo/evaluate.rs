//! `takd evaluate`.

use super::accuracy::{Said, in_size_of};
use super::open;
use crate::common::Place;
use crate::found::Reach;
use crate::output;
use crate::progress::{counting, loading};
use crate::sheet::{self, Row};
use anyhow::Result;
use indicatif::MultiProgress;
use serde::Serialize;
use std::path::PathBuf;
use takd_datasets::{Dataset, DatasetName, DatasetRef};
use takd_zoo::Guess;

/// Mistakes that are shown.
const SHOWN: usize = 30;

/// Test a model that was exported on a data set's test images.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd evaluate --model my-model --data my-photos --mistakes mistakes.png
      and a picture of what it is most sure of and wrong about
  takd evaluate --model plane2-cifar10-takd --data cifar10 --json

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The folder of a model that `takd export` made, its name in `models`, or such a model of the hub
    #[arg(long, value_name = "DIR|NAME|USER/NAME")]
    model: PathBuf,
    /// What it is tested on: a known name, or the file or folder of your own images [default: what it was trained on]
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<DatasetRef>,
    #[command(flatten)]
    place: Place,
    /// Write a picture of the most confident mistakes into this PNG file
    #[arg(long, value_name = "FILE")]
    mistakes: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Evaluated<'a> {
    model: String,
    dataset: String,
    images: usize,
    accuracy: f64,
    /// Nothing if five classes are all that there are, so that it would always be 1.
    top5_accuracy: Option<f64>,
    classes: Vec<ClassAccuracy<'a>>,
}

#[derive(Serialize)]
struct ClassAccuracy<'a> {
    name: &'a str,
    images: usize,
    accuracy: f64,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let model = open::model(&args.model, &Reach { offline: args.place.offline, quiet: args.quiet, screen })?;
    let config = model.config();
    let data = match (&args.data, &config.data) {
        (Some(data), _) => data.clone(),
        (None, Some(data)) => DatasetRef { name: data.name.parse::<DatasetName>()?, place: None },
        (None, None) => anyhow::bail!("the model does not say what it was trained on; give --data"),
    };
    let data = in_size_of(&model, &data);
    let catalog = args.place.catalog_of(&data)?;
    let loaded = loading(args.quiet, screen, |progress| catalog.load(&data.name, progress))?;
    let device = args.place.device.open()?.device;
    let said = counting(args.quiet, screen, "the test images", |count| Said::of(&model, &loaded, &device, count))?;
    if let Some(path) = &args.mistakes {
        takd_store::write_file(path, &mistakes(&said, &loaded)?)?;
        output::note(&format!("the most confident mistakes: {}", path.display()));
    }
    let class = |(label, name)| {
        let of: Vec<_> = said.images.iter().filter(|(of, _)| *of == label).collect();
        let right = of.iter().filter(|(_, guesses)| guesses[0].class == label).count();
        ClassAccuracy { name, images: of.len(), accuracy: right as f64 / of.len().max(1) as f64 }
    };
    let evaluated = Evaluated {
        model: args.model.display().to_string(),
        dataset: loaded.card.name.to_string(),
        images: said.images.len(),
        accuracy: said.accuracy(1),
        top5_accuracy: (config.class_names.len() > 5).then(|| said.accuracy(5)),
        classes: config.class_names.iter().map(String::as_str).enumerate().map(class).collect(),
    };
    if args.json {
        return output::print_json(&evaluated);
    }
    let Evaluated { model, dataset, images, accuracy, top5_accuracy, classes } = &evaluated;
    let top5 = top5_accuracy.map_or(String::new(), |share| format!(", top-5 {:.2} %", 100.0 * share));
    let mut text = format!("{model} on {dataset}: test accuracy {:.2} %{top5} of {images} images", 100.0 * accuracy);
    for ClassAccuracy { name, images, accuracy } in classes {
        let accuracy = if *images == 0 { "–".to_owned() } else { format!("{:.2}", 100.0 * accuracy) };
        text += &format!("\n  {accuracy:>6} %  {name} ({images})");
    }
    output::print(&text)
}

/// The images of which the model is most sure and wrong, the surest first, each with what it says and what is right.
fn mistakes(said: &Said, data: &Dataset) -> Result<Vec<u8>> {
    let mut wrong: Vec<(usize, usize, &Guess)> = Vec::new();
    for (index, (label, guesses)) in said.images.iter().enumerate() {
        wrong.extend(guesses.first().filter(|guess| guess.class != *label).map(|guess| (index, *label, guess)));
    }
    wrong.sort_by(|a, b| b.2.probability.total_cmp(&a.2.probability));
    let row = |&(index, label, guess): &(usize, usize, &Guess)| {
        let words = format!("{}, said {} {:.0} %", data.card.class_names[label], guess.name, 100.0 * guess.probability);
        Ok(Row { words, images: vec![data.test.image(index)?.into_owned()] })
    };
    let rows = wrong.iter().take(SHOWN).map(row).collect::<Result<Vec<_>>>()?;
    sheet::png(&rows, data.test.height())
}
