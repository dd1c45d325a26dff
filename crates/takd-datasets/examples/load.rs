//! Loads a data set, says what it is, and times an epoch of its batches:
//! `cargo run --release -p takd-datasets --example load -- cifar10 DIR`.

use candle_core::Device;
use std::{path::PathBuf, time::Instant};
use takd_datasets::{Augmentation, BatchConfig, Card, Dataset, DatasetRef, Sources, batches, epoch_order, load};
use takd_rng::Streams;

const BATCH: usize = 128;

fn main() -> takd_datasets::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data: DatasetRef = arguments.next().as_deref().unwrap_or("shapes10").parse()?;
    let sources = Sources { folder: arguments.next().map(PathBuf::from), ..Sources::default() }.with(&data)?;
    let start = Instant::now();
    let data = match load(&data.name, &sources, &mut |_| {}) {
        Ok(data) => data,
        Err(error) => {
            // `?` would print the error's fields; a person reads its message.
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let loaded = start.elapsed();
    let Card { name, train, test, origin, licence, normalization, checksum, notes, .. } = &data.card;
    println!("{name}: {origin}");
    println!("{train} train, {test} test, {} classes; licence: {licence}", data.card.classes());
    for note in notes {
        println!("note: {note}");
    }
    println!("{normalization:?}");
    println!("checksum {checksum}, loaded in {loaded:.2?}");
    for augmentation in [Augmentation::NONE, Augmentation::CROP_FLIP] {
        println!("a batch of {BATCH}, {augmentation:?}: {:.0} µs", microseconds_a_batch(&data, augmentation)?);
    }
    Ok(())
}

/// The mean over an epoch.
fn microseconds_a_batch(data: &Dataset, augmentation: Augmentation) -> takd_datasets::Result<f64> {
    let config = BatchConfig { batch_size: BATCH, augmentation, normalization: data.card.normalization };
    let streams = Streams::new(0, "example");
    let order = epoch_order(data.train.len(), &streams, 0);
    let start = Instant::now();
    let mut made = 0;
    let images = data.train.placed_on(&Device::Cpu)?;
    for batch in batches(&images, &order, &config, &streams, 0) {
        made += batch?.indices.len();
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 * BATCH as f64 / made as f64)
}
