//! `takd predict`.

use super::{images, open};
use crate::found::Reach;
use crate::output;
use crate::progress::counting;
use crate::values;
use anyhow::{Result, bail};
use candle_core::Device;
use indicatif::MultiProgress;
use serde::Serialize;
use std::path::{Path, PathBuf};
use takd_zoo::{Classifier, Guess};

/// Images that are in memory at once.
const AT_ONCE: usize = 64;

/// Say what is on images, by a model that was exported.
///
/// Each image is turned upright, scaled and normalised as those that the model was tested on. A file that is no image is named, and the
/// others are still answered.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd predict --model my-model cat.png
  takd predict --model plane2-cifar10-takd holiday/ --top 1 --format csv > holiday.csv
      every image in a folder, by a model of the folder `models`, a row an image
  takd predict --model me/my-model cat.png
      by a model of the hub

Exit status: 0 if every image has an answer, 1 if not or on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// Images, and folders of images
    #[arg(required = true, value_name = "IMAGE|FOLDER")]
    images: Vec<PathBuf>,
    /// The folder of a model that `takd export` made, its name in `models`, or such a model of the hub
    #[arg(long, value_name = "DIR|NAME|USER/NAME")]
    model: PathBuf,
    /// So many classes for each image, the likeliest first
    #[arg(long, value_parser = values::count, value_name = "CLASSES", default_value = "3", allow_negative_numbers = true)]
    top: usize,
    /// How answers are printed; `csv` has a row a class
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "text|csv|json", hide_possible_values = true)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Stay off the network; what the hub's cache holds is used
    #[arg(long)]
    offline: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Csv,
    Json,
}

/// What a model says of an image.
#[derive(Serialize)]
struct Answer {
    file: String,
    classes: Vec<Guess>,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let model = open::model(&args.model, &Reach { offline: args.offline, quiet: args.quiet, screen })?;
    let classifier = Classifier::new(&model, &Device::Cpu)?;
    let files = images::found(&args.images)?;
    let (mut answers, mut bad) = (Vec::new(), 0);
    counting(args.quiet || files.len() < 2 * AT_ONCE, screen, "images", |count| -> Result<()> {
        for (at, batch) in files.chunks(AT_ONCE).enumerate() {
            let (mut read, mut pixels) = (Vec::new(), Vec::new());
            for file in batch {
                match classifier.read(file) {
                    Ok(image) => {
                        read.push(file);
                        pixels.push(image);
                    }
                    Err(error) => {
                        output::note(&error.to_string());
                        bad += 1;
                    }
                }
            }
            let guesses = classifier.classify(&pixels, args.top)?;
            answers.extend(read.into_iter().zip(guesses).map(|(file, classes)| Answer { file: name(file), classes }));
            count(at * AT_ONCE + batch.len(), files.len());
        }
        Ok(())
    })?;
    match if args.json { Format::Json } else { args.format } {
        Format::Json => output::print_json(&answers)?,
        Format::Csv => output::print(csv(&answers)?.trim_end())?,
        Format::Text if answers.is_empty() => {}
        Format::Text => output::print(&text(&answers))?,
    }
    if bad > 0 {
        bail!("{bad} of {} files are no images that can be read", files.len());
    }
    Ok(())
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

fn text(answers: &[Answer]) -> String {
    let line = |Answer { file, classes }: &Answer| {
        let guesses = classes.iter().map(|guess| format!("{} {:.1} %", guess.name, 100.0 * guess.probability));
        format!("{file}: {}", guesses.collect::<Vec<_>>().join(", "))
    };
    answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn csv(answers: &[Answer]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["file", "rank", "class", "name", "probability"])?;
    for Answer { file, classes } in answers {
        for (place, Guess { class, name, probability }) in classes.iter().enumerate() {
            let row = [file, &(place + 1).to_string(), &class.to_string(), name, &probability.to_string()];
            writer.write_record(row)?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
