//! Loads a data set, says what it is, and makes batches of it: `cargo run --release -p takd-datasets --example load -- my-photos 64`.
//!
//! The data set is a known one, or the file or folder of your own images, such as `my-photos/cats/*.jpg`, `my-photos/dogs/*.jpg`; the number
//! is the size that its images are scaled to. Without arguments the example makes such a folder and loads that.

use candle_core::Device;
use std::path::Path;
use std::time::Instant;
use takd_datasets::{Augmentation, BatchConfig, Card, Dataset, DatasetRef, Fit, Sources, batches, epoch_order, load};
use takd_rng::Streams;

const BATCH: usize = 128;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let made = tempfile::tempdir()?;
    let data: DatasetRef = match arguments.next() {
        Some(data) => data.parse()?,
        None => {
            draw_photos(made.path())?;
            made.path().to_string_lossy().parse()?
        }
    };
    let data = match arguments.next() {
        Some(size) => data.scaled(size.parse::<Fit>()?),
        None => data,
    };
    let start = Instant::now();
    // Where a known data set lies is found; that of your own is said by `with`.
    let data = load(&data.name, &Sources::default().with(&data)?, &mut |_| {})?;
    let loaded = start.elapsed();
    let Card { name, train, test, class_names, height, width, normalization, checksum, notes, .. } = &data.card;
    println!("{name}: {train} training and {test} test images of {height}x{width}, loaded in {loaded:.2?}");
    println!("classes: {}", class_names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", "));
    notes.iter().for_each(|note| println!("note: {note}"));
    println!("mean {:?}, deviation {:?}, checksum {checksum}", normalization.mean, normalization.std);
    for augmentation in [Augmentation::NONE, Augmentation::CROP_FLIP] {
        println!("a batch of {BATCH}, {augmentation:?}: {:.0} µs", microseconds_a_batch(&data, augmentation)?);
    }
    Ok(())
}

/// The mean over an epoch.
fn microseconds_a_batch(data: &Dataset, augmentation: Augmentation) -> takd_datasets::Result<f64> {
    let config = BatchConfig { batch_size: BATCH, augmentation, normalization: data.card.normalization };
    // The order and the augmentation are pure functions of the seed, the names and the epoch.
    let streams = Streams::new(0, "example");
    let order = epoch_order(data.train.len(), &streams, 0);
    let start = Instant::now();
    let mut made = 0;
    let images = data.train.placed_on(&Device::Cpu)?;
    for batch in batches(&images, &order, &config, &streams, 0) {
        made += batch?.indices.len(); // its images are [batch, 3, height, width], its labels [batch]
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 * BATCH as f64 / made as f64)
}

/// Small pictures of two classes, of several sizes, in a folder for each class.
fn draw_photos(folder: &Path) -> anyhow::Result<()> {
    for (class, hue) in [("blue", 2), ("red", 0)] {
        std::fs::create_dir(folder.join(class))?;
        for number in 0..20_u8 {
            let pixel = |x: u32, y: u32| {
                let mut pixel = [(x * 6) as u8, (y * 6) as u8, 10 * number];
                pixel[hue] = 255;
                image::Rgb(pixel)
            };
            let picture = image::RgbImage::from_fn(36 + u32::from(number % 3), 40, pixel);
            picture.save(folder.join(class).join(format!("{number}.png")))?;
        }
    }
    Ok(())
}
