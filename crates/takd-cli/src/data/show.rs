//! `takd data show` and `takd data get`.

use super::{Places, Which};
use crate::output;
use crate::progress::loading;
use crate::sheet::{self, Row};
use anyhow::{Result, ensure};
use indicatif::MultiProgress;
use std::path::PathBuf;
use takd_datasets::{Card, Dataset, DatasetRef, Fit};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Scale the images to so many rows and columns, as in 64; or, as in 224of256, all of an image, and take the middle of that
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    size: Option<Fit>,
    /// Leave out up to so many images that cannot be decoded, and list them
    #[arg(long, value_name = "IMAGES", default_value_t = 0, hide_default_value = true)]
    skip_bad: usize,
    /// Write a picture of some training images of each class into this PNG file
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct GetArgs {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    data: Vec<DatasetRef>,
    #[command(flatten)]
    places: Places,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let data = args.size.map_or_else(|| args.which.data.clone(), |size| args.which.data.scaled(size));
    let mut sources = args.which.places.sources().with(&data)?;
    sources.skip_bad = args.skip_bad;
    let catalog = args.which.places.catalog(sources);
    let card = loading(false, screen, |progress| catalog.card(&data.name, progress))?;
    if let Some(path) = &args.sheet {
        let loaded = loading(false, screen, |progress| catalog.load(&data.name, progress))?;
        takd_store::write_file(path, &some_of_each_class(&loaded)?)?;
        output::note(&format!("some images of each class: {}", path.display()));
    }
    if args.json { output::print_json(&card) } else { output::print(&text(&card)) }
}

/// The first training images of each class, a class a row.
fn some_of_each_class(data: &Dataset) -> Result<Vec<u8>> {
    let images = &data.train;
    let row = |(class, name): (usize, &String)| {
        let of_class = (0..images.len()).filter(|&index| images.labels()[index] as usize == class);
        let pixels = of_class.take(sheet::COLUMNS).map(|index| Ok(images.image(index)?.into_owned()));
        Ok(Row { words: name.clone(), images: pixels.collect::<Result<_>>()? })
    };
    let rows = data.card.class_names.iter().take(sheet::ROWS).enumerate().map(row).collect::<Result<Vec<_>>>()?;
    sheet::png(&rows, images.height())
}

pub(crate) fn get(args: &GetArgs, screen: &MultiProgress) -> Result<()> {
    for data in &args.data {
        ensure!(
            data.place.is_none(),
            "{data} is a folder of yours; known data sets can be downloaded: `takd data list`"
        );
        let catalog = args.places.catalog(args.places.sources());
        let card = loading(false, screen, |progress| catalog.card(&data.name, progress))?;
        output::print(&format!("{data}: {} training and {} test images, {}", card.train, card.test, card.origin))?;
    }
    Ok(())
}

/// What a person wants to know of it.
fn text(card: &Card) -> String {
    let numbers = |numbers: [f32; 3]| numbers.map(|number| format!("{number:.4}")).join(" ");
    let lines = [
        ("images", format!("{} to train on, {} to test on, {}x{}", card.train, card.test, card.width, card.height)),
        ("classes", format!("{}: {}", card.classes(), shortened(&card.class_names))),
        ("mean", numbers(card.normalization.mean)),
        ("deviation", numbers(card.normalization.std)),
        ("origin", card.origin.clone()),
        ("licence", card.licence.clone()),
        ("checksum", card.checksum.clone()),
    ];
    let mut text = card.name.to_string();
    for (name, value) in lines {
        text += &format!("\n  {name:<10} {value}");
    }
    for note in &card.notes {
        text += &format!("\n  note: {note}");
    }
    text
}

/// The first names, if there are many.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let first = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{first}, … (--json has all)") } else { first }
}
