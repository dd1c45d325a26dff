//! The examples for people, run on a model of the zoo.

use crate::common::write_bmp;
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_zoo::{Classifier, Model};

/// What an example prints.
fn printed(example: &str, arguments: &[&Path]) -> String {
    let test = std::env::current_exe().expect("this test is a program");
    let built = test.ancestors().nth(2).expect("it lies in deps").join("examples").join(example);
    // `cargo test` builds it; `cargo test --test zoo` does not.
    assert!(
        built.with_extension(std::env::consts::EXE_EXTENSION).is_file(),
        "{} is not built: `cargo build -p takd-zoo --examples` does that",
        built.display()
    );
    let output = Command::new(built).args(arguments).output().expect("the example starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn plane2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/plane2-cifar10-takd")
}

/// A grey image as a file, and its pixels.
fn grey(folder: &Path) -> (PathBuf, Vec<u8>) {
    let (path, pixels) = (folder.join("grey.bmp"), vec![128; 3 * 32 * 32]);
    write_bmp(&path, 32, 32, &pixels).expect("the image is written");
    (path, pixels)
}

#[test]
fn images_are_classified_by_a_model_of_the_zoo() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, _) = grey(folder.path());
    let printed = printed("classify", &[&plane2(), &file]);
    let classifier = Classifier::new(&Model::open(&plane2()).unwrap(), &Device::Cpu).unwrap();
    let best = &classifier.classify_files(&[&file], 1).unwrap()[0][0];
    assert!(printed.starts_with("plane2, 10 classes, weights as f32\n"), "{printed}");
    assert_eq!(printed.lines().count(), 2 + 5, "{printed}");
    let line = format!("  {:5.1} %  {}", 100.0 * best.probability, best.name);
    assert_eq!(printed.lines().nth(2), Some(line.as_str()));
}

#[test]
fn candle_alone_gives_the_same_logits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let printed = printed("candle_alone", &[&plane2()]);
    let classifier = Classifier::new(&Model::open(&plane2()).unwrap(), &Device::Cpu).unwrap();
    let (_, pixels) = grey(folder.path());
    let expected = classifier.logits(&[pixels]).unwrap().squeeze(0).unwrap().to_vec1::<f32>().unwrap();
    let found: Vec<f32> = printed.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(found.len(), expected.len());
    assert!(
        found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-4),
        "{found:?} {expected:?}"
    );
}
