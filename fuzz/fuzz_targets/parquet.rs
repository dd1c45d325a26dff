//! Parquet files of a data set, loaded as a user's folder is.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use takd_datasets::{Known, Sources, load};
use takd_fuzz::{Edit, allow_caught_panics, edited, parquet::File, scratch};

#[derive(Debug, Arbitrary)]
struct Input {
    file: File,
    edits: Vec<Edit>,
}

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = scratch().join("cifar10/plain_text");
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join("test-00000-of-00001.parquet"), File::honest(2).bytes()).expect("a file can be written");
    folder
});

fuzz_target!(
    // The Parquet library panics at some damage; takd makes an error of it.
    init: allow_caught_panics(),
    |input: Input| {
        let bytes = edited(input.file.bytes(), &input.edits);
        fs::write(FOLDER.join("train-00000-of-00001.parquet"), bytes).expect("a file can be written");
        let sources = Sources { folder: Some(scratch().to_owned()), offline: true, ..Sources::default() };
        let loaded = load(&Known::Cifar10.into(), &sources, &mut |_| {});
        if let (Ok(data), true) = (&loaded, input.edits.is_empty()) {
            assert_eq!(data.train.len() as i64, input.file.told_rows());
        }
        if let Err(error) = loaded {
            assert!(!error.to_string().is_empty());
        }
    }
);
