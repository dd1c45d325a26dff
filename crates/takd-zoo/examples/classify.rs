//! Classifies images with a model folder:
//!
//! ```text
//! cargo run --release -p takd-zoo --example classify -- FOLDER IMAGE...
//! ```

use candle_core::Device;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use takd_store::{printable, printable_path};
use takd_zoo::{Classifier, Model, Result};

/// How many classes are printed for each image.
const TOP: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, files @ ..] = arguments.as_slice() else {
        eprintln!("classify FOLDER IMAGE...");
        return ExitCode::from(2);
    };
    match classify(folder, files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn classify(folder: &Path, files: &[PathBuf]) -> Result<()> {
    let model = Model::open(folder)?;
    let config = model.config();
    println!("{}, {} classes, weights as {}", config.architecture, config.classes, config.weights);
    let classifier = Classifier::new(&model, &Device::Cpu)?;
    for (file, guesses) in files.iter().zip(classifier.classify_files(files, TOP)?) {
        println!("{}", printable_path(file));
        for guess in guesses {
            println!("  {:5.1} %  {}", 100.0 * guess.probability, printable(&guess.name));
        }
    }
    Ok(())
}
