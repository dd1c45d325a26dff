//! Classifies images with a model folder:
//!
//! ```text
//! cargo run --release -p takd-zoo --example classify -- FOLDER IMAGE...
//! ```

use candle_core::Device;
use std::path::PathBuf;
use takd_store::printable;
use takd_zoo::{Classifier, Model, Result};

/// How many classes are printed for each image.
const TOP: usize = 5;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(folder) = arguments.next() else {
        eprintln!("classify FOLDER IMAGE...");
        std::process::exit(2);
    };
    let model = Model::open(&folder)?;
    println!(
        "{}, {} classes, weights as {}",
        model.config().architecture,
        model.config().classes,
        model.config().weights
    );
    let classifier = Classifier::new(&model, &Device::Cpu)?;
    let files: Vec<_> = arguments.collect();
    for (file, guesses) in files.iter().zip(classifier.classify_files(&files, TOP)?) {
        println!("{}", takd_store::printable_path(file));
        for guess in guesses {
            println!("  {:5.1} %  {}", 100.0 * guess.probability, printable(&guess.name));
        }
    }
    Ok(())
}
