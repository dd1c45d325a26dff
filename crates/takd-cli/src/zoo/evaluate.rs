//! `takd evaluate`.

use super::accuracy::{Said, in_size_of};
use super::open;
use crate::common::Place;
use crate::found::Reach;
use crate::output::{self, percent};
use crate::progress::{counting, loading};
use crate::sheet::{self, Row};
use anyhow::Result;
use indicatif::MultiProgress;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use takd_datasets::{Dataset, DatasetName, DatasetRef};
use takd_report::Interval;
use takd_zoo::Guess;

/// Mistakes that are shown.
const SHOWN: usize = 30;

/// How many of the classes that a class is mistaken for are printed.
const TAKEN_FOR_SHOWN: usize = 3;

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
    /// How sure the test images make it.
    interval_95: Interval,
    /// Nothing if five classes are all that there are, so that it would always be 1.
    top5_accuracy: Option<f64>,
    classes: Vec<ClassResult<'a>>,
}

/// What is said of the images of a class.
#[derive(Serialize)]
struct ClassResult<'a> {
    name: &'a str,
    images: usize,
    /// None if the class has no test images.
    accuracy: Option<f64>,
    /// What else they were taken for, the most frequent first.
    taken_for: Vec<TakenFor<'a>>,
}

#[derive(Serialize)]
struct TakenFor<'a> {
    name: &'a str,
    images: usize,
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
    let accuracy = said.accuracy(1);
    let evaluated = Evaluated {
        model: args.model.display().to_string(),
        dataset: loaded.card.name.to_string(),
        images: said.images.len(),
        accuracy,
        interval_95: Interval::of_share(accuracy, said.images.len()),
        top5_accuracy: (config.class_names.len() > 5).then(|| said.accuracy(5)),
        classes: classes(&said, &config.class_names),
    };
    if args.json {
        return output::print_json(&evaluated);
    }
    output::print(&text(&evaluated))
}

fn text(Evaluated { model, dataset, images, accuracy, interval_95, top5_accuracy, classes }: &Evaluated<'_>) -> String {
    let Interval { low, high } = interval_95;
    let top5 = top5_accuracy.map_or(String::new(), |share| format!(", top-5 {} %", percent(share)));
    let mut text = format!(
        "{model} on {dataset}: test accuracy {} % ({} to {}, 95 %){top5} of {images} images",
        percent(*accuracy),
        percent(*low),
        percent(*high)
    );
    for ClassResult { name, images, accuracy, taken_for } in classes {
        let accuracy = accuracy.map_or("–".to_owned(), percent);
        text += &format!("\n  {accuracy:>6} %  {name} ({images}");
        let mut shown: Vec<_> = taken_for.iter().take(TAKEN_FOR_SHOWN).collect();
        // Single slips say nothing of a class, unless there are no others.
        if shown.first().is_some_and(|first| first.images > 1) {
            shown.retain(|taken_for| taken_for.images > 1);
        }
        let rest = if shown.len() < taken_for.len() { ", …" } else { "" };
        let shown: Vec<_> = shown.iter().map(|TakenFor { name, images }| format!("{images} {name}")).collect();
        text += &if shown.is_empty() { ")".to_owned() } else { format!("; taken for: {}{rest})", shown.join(", ")) };
    }
    text
}

/// Of each class how many images are taken for what.
fn classes<'a>(said: &Said, names: &'a [String]) -> Vec<ClassResult<'a>> {
    let mut counts = vec![BTreeMap::<usize, usize>::new(); names.len()];
    for (label, guesses) in &said.images {
        *counts[*label].entry(guesses[0].class).or_default() += 1;
    }
    let of_class = |(label, mut counts): (usize, BTreeMap<usize, usize>)| {
        let images = counts.values().sum();
        let right = counts.remove(&label).unwrap_or(0);
        let mut taken_for: Vec<_> =
            counts.into_iter().map(|(class, images)| TakenFor { name: &names[class], images }).collect();
        taken_for.sort_by_key(|taken_for| Reverse(taken_for.images));
        let accuracy = (images > 0).then(|| right as f64 / images as f64);
        ClassResult { name: &names[label], images, accuracy, taken_for }
    };
    counts.into_iter().enumerate().map(of_class).collect()
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
