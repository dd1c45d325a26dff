//! Images of every format, in a folder of classes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use takd_datasets::{DatasetRef, Sources, load};
use takd_fuzz::{Edit, allow_caught_panics, edited, scratch};

const FORMS: [&str; 16] = [
    "rgb.png", "grey.png", "palette.png", "alpha.png", "bits.png", "baseline.jpg", "subsampled.jpg", "progressive.jpg", "grey.jpg",
    "cmyk.jpg", "turned6.jpg", "lossless.webp", "lossy.webp", "first.gif", "first.tiff", "rgb.bmp",
];

#[derive(Debug, Arbitrary)]
struct Input {
    form: u8,
    edits: Vec<Edit>,
}

static PICTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/takd-datasets/tests/written/pictures");
    FORMS.iter().map(|name| fs::read(folder.join(name)).expect("the file is there")).collect()
});

static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = scratch().join("pictures");
    for class in ["a", "b"] {
        fs::create_dir_all(place.join(class)).expect("a folder can be made");
        fs::write(place.join(class).join("0.png"), &PICTURES[0]).expect("a file can be written");
    }
    place
});

fuzz_target!(
    // Some libraries panic at some damage; takd makes an error of it.
    init: allow_caught_panics(),
    |input: Input| {
        let picture = edited(PICTURES[usize::from(input.form) % FORMS.len()].clone(), &input.edits);
        fs::write(PLACE.join("a/1.png"), picture).expect("a file can be written");
        let data: DatasetRef = PLACE.to_str().expect("a path in Unicode").parse().expect("the folder is there");
        let data = data.scaled(if input.form < 128 { "16" } else { "14of16" }.parse().expect("a size"));
        match load(&data.name, &Sources::default().with(&data).expect("one place"), &mut |_| {}) {
            Ok(data) => assert_eq!(data.train.len() + data.test.len(), 3),
            Err(error) => assert!(error.to_string().contains("a/1.png"), "{error}"),
        }
    }
);
