//! CIFAR's files, IDX files and WebDataset shards, loaded as a user's folder is.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use takd_datasets::{DatasetRef, Sources, load};
use takd_fuzz::{Edit, edited, scratch};

#[derive(Debug, Arbitrary)]
enum Form {
    Python,
    Python100,
    PythonArchive,
    Binary,
    Idx,
    Shards,
}

#[derive(Debug, Arbitrary)]
struct Input {
    form: Form,
    edits: Vec<Edit>,
}

/// What Python's own libraries wrote.
fn written(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/takd-datasets/tests/written").join(name)
}

fuzz_target!(|input: Input| {
    let (folder, damaged) = match input.form {
        Form::Python => ("cifar-10-batches-py", "data_batch_3"),
        Form::Python100 => ("cifar-100-python", "train"),
        Form::PythonArchive => ("", "cifar-10-python.tar.gz"),
        Form::Binary => ("cifar-100-binary", "test.bin"),
        Form::Idx => ("idx", "t10k-images-idx3-ubyte"),
        Form::Shards => ("shards", "train-000001.tar"),
    };
    let place = scratch().join(if folder.is_empty() { "cifar10" } else { folder });
    fs::create_dir_all(&place).expect("a folder can be made");
    if !folder.is_empty() {
        for entry in fs::read_dir(written(folder)).expect("the folder is there").flatten() {
            let to = place.join(entry.file_name());
            if !to.exists() {
                fs::copy(entry.path(), to).expect("a file can be copied");
            }
        }
    }
    let honest = fs::read(written(folder).join(damaged)).expect("the file is there");
    fs::write(place.join(damaged), edited(honest, &input.edits)).expect("a file can be written");
    let data: DatasetRef = place.to_str().expect("a path in Unicode").parse().expect("the folder is there");
    let sources = Sources::default().with(&data).expect("one place");
    match load(&data.name, &sources, &mut |_| {}) {
        Ok(data) => assert!(!data.train.is_empty()),
        Err(error) => {
            assert!(!input.edits.is_empty(), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
});
