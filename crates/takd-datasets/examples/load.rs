//! Loads a data set and says what it is: `cargo run --release -p takd-datasets --example load -- cifar10 DIR`.

use std::{path::PathBuf, time::Instant};
use takd_datasets::{DatasetName, Sources, load};

fn main() -> takd_datasets::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name: DatasetName = arguments.next().as_deref().unwrap_or("shapes10").parse()?;
    let sources = Sources { data_dir: arguments.next().map(PathBuf::from), ..Sources::default() };
    let start = Instant::now();
    let data = match load(name, &sources, &mut |_| {}) {
        Ok(data) => data,
        Err(error) => {
            // `?` would print the error's fields; a person reads its message.
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    println!("{}: {}", data.name, data.origin);
    println!("{} train, {} test, {} classes", data.train.len(), data.test.len(), data.class_names.len());
    println!("{:?}", data.normalization);
    println!("checksum {}, {:.2?}", data.checksum, start.elapsed());
    Ok(())
}
