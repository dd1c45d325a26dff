//! CIFAR as its authors give it: `.tar.gz` archives and what they unpack to, with Python pickles or plain bytes.

use crate::{
    Error, Known, Result, Split, regular_file,
    source::pickle::{self, Value},
    stored::{Data, Planes, Stored},
};
use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A layout that CIFAR's authors give a data set in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    known: Known,
    /// The folder that the archive unpacks to.
    folder: &'static str,
    archive: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Bytes before the pixels, the last of which is the label; nothing if the files are pickles.
    before_pixels: Option<usize>,
    /// The labels' name in the pickles.
    labels: &'static str,
}

const FORMS: [Form; 4] = [
    Form {
        known: Known::Cifar10,
        folder: "cifar-10-batches-py",
        archive: "cifar-10-python.tar.gz",
        train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
        test: "test_batch",
        before_pixels: None,
        labels: "labels",
    },
    Form {
        known: Known::Cifar10,
        folder: "cifar-10-batches-bin",
        archive: "cifar-10-binary.tar.gz",
        train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        test: "test_batch.bin",
        before_pixels: Some(1),
        labels: "",
    },
    Form {
        known: Known::Cifar100,
        folder: "cifar-100-python",
        archive: "cifar-100-python.tar.gz",
        train: &["train"],
        test: "test",
        before_pixels: None,
        labels: "fine_labels",
    },
    Form {
        known: Known::Cifar100,
        folder: "cifar-100-binary",
        archive: "cifar-100-binary.tar.gz",
        train: &["train.bin"],
        test: "test.bin",
        before_pixels: Some(2),
        labels: "",
    },
];

/// The most bytes of one of the files. The largest, with the 50 000 images of CIFAR-100, has 155 million.
const MAX_FILE: u64 = 256 << 20;

/// The most bytes that an archive unpacks to.
const MAX_UNPACKED: u64 = 512 << 20;

const IMAGE: Planes = Planes { channels: 3, height: 32, width: 32 };

/// Where the files of a data set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CifarArchive {
    form: Form,
    /// The archive, or the folder that it was unpacked to.
    place: PathBuf,
    is_archive: bool,
}

/// Which data set has an archive or folder of this name.
pub(crate) fn known_by_name(name: &str) -> Option<Known> {
    FORMS.iter().find(|form| name == form.folder || name == form.archive).map(|form| form.known)
}

/// The files of `known` at `place` itself or directly below it, if they are there.
pub(crate) fn find(known: Known, place: &Path) -> Option<CifarArchive> {
    for form in FORMS.into_iter().filter(|form| form.known == known) {
        for place in [place.to_owned(), place.join(form.folder)] {
            let has = |file: &str| place.join(file).is_file();
            // A folder with some of them is a broken copy, and is named when the others are read.
            if place.is_dir() && form.train.iter().any(|file| has(file)) && has(form.test) {
                return Some(CifarArchive { form, place, is_archive: false });
            }
        }
        let named = place.file_name().is_some_and(|name| name == form.archive);
        for place in [named.then(|| place.to_owned()), Some(place.join(form.archive))].into_iter().flatten() {
            if place.is_file() {
                return Some(CifarArchive { form, place, is_archive: true });
            }
        }
    }
    None
}

impl CifarArchive {
    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The files that are read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        if self.is_archive {
            return vec![self.place.clone()];
        }
        self.names().map(|name| self.place.join(name)).collect()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.form.train.iter().copied().chain([self.form.test])
    }

    /// The images of both splits.
    pub(crate) fn read(&self) -> Result<(Vec<Stored>, Vec<Stored>)> {
        let mut files = if self.is_archive { self.unpack()? } else { BTreeMap::new() };
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for name in self.names() {
            let path = self.place.join(name);
            let bytes = if self.is_archive {
                files.remove(name).ok_or_else(|| Error::Corrupt {
                    path: self.place.clone(),
                    problem: format!("it has no `{name}`"),
                })?
            } else {
                regular_file::read(&path, MAX_FILE)?.ok_or_else(|| {
                    let split = if name == self.form.test { Split::Test } else { Split::Train };
                    let (folder, missing, of) = (self.place.clone(), name.to_owned(), self.form.train.len());
                    Error::MissingShard { folder, split, missing, of }
                })?
            };
            let images = if name == self.form.test { &mut test } else { &mut train };
            self.images(&path, bytes, images)?;
        }
        Ok((train, test))
    }

    /// The files of the archive that hold images, by their names.
    fn unpack(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let path = &self.place;
        let damaged = |error: std::io::Error| Error::Corrupt { path: path.clone(), problem: error.to_string() };
        let file = regular_file::open(path, MAX_FILE)?;
        let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_UNPACKED));
        let mut files = BTreeMap::new();
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let name = entry.path().map_err(damaged)?.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(name) = name.filter(|name| self.names().any(|known| known == name)) else { continue };
            let size = entry.size();
            if !entry.header().entry_type().is_file() || size > MAX_FILE {
                let problem = format!("its `{name}` is no file of at most {MAX_FILE} bytes");
                return Err(Error::Corrupt { path: path.clone(), problem });
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 != size {
                let problem = format!("its `{name}` ends after {} of {size} bytes", bytes.len());
                return Err(Error::Corrupt { path: path.clone(), problem });
            }
            files.insert(name, bytes);
        }
        Ok(files)
    }

    /// Appends the images of one file.
    fn images(&self, path: &Path, bytes: Vec<u8>, images: &mut Vec<Stored>) -> Result<()> {
        let corrupt = |problem: String| Error::Corrupt { path: path.to_owned(), problem };
        let (bytes, labels, first, step): (Vec<u8>, Vec<i64>, usize, usize) = match self.form.before_pixels {
            Some(before) => {
                let step = before + IMAGE.bytes();
                if bytes.is_empty() || !bytes.len().is_multiple_of(step) {
                    let problem =
                        format!("it has {} bytes, which is no multiple of the {step} of an image", bytes.len());
                    return Err(corrupt(problem));
                }
                let labels = bytes.chunks_exact(step).map(|image| image[before - 1].into()).collect();
                (bytes, labels, before, step)
            }
            None => {
                let (pixels, labels) = self.unpickle(&bytes).map_err(corrupt)?;
                (pixels, labels, 0, IMAGE.bytes())
            }
        };
        let (path, bytes) = (Arc::new(path.to_owned()), Arc::new(bytes));
        for (row, label) in labels.into_iter().enumerate() {
            let (file, bytes) = (Arc::clone(&path), Arc::clone(&bytes));
            let data = Data::Planes { file, row, bytes, offset: first + row * step, form: IMAGE };
            let label = label_of(label, self.form.known.classes()).map_err(|problem| data.error(problem))?;
            images.push(Stored { data, label });
        }
        Ok(())
    }

    /// Pixels and labels of a pickle.
    fn unpickle(&self, bytes: &[u8]) -> Result<(Vec<u8>, Vec<i64>), String> {
        let pickle = pickle::read(bytes)?;
        let missing = |what: &str| format!("it has no `{what}` of the form that CIFAR's files have");
        let pixels = pickle.get("data").and_then(Value::array).ok_or_else(|| missing("data"))?;
        let Some(Value::List(labels)) = pickle.get(self.form.labels) else { return Err(missing(self.form.labels)) };
        let labels: Option<Vec<i64>> =
            labels.iter().map(|label| if let Value::Int(label) = label { Some(*label) } else { None }).collect();
        let labels = labels.ok_or_else(|| missing(self.form.labels))?;
        if labels.is_empty() || labels.len() * IMAGE.bytes() != pixels.len() {
            return Err(format!("it has {} labels and {} bytes of pixels", labels.len(), pixels.len()));
        }
        Ok((pixels.to_vec(), labels))
    }
}

/// A label that must be one of the classes.
pub(crate) fn label_of(label: i64, classes: usize) -> Result<u32, String> {
    match u32::try_from(label) {
        Ok(class) if (class as usize) < classes => Ok(class),
        _ => Err(format!("its label is {label}, but there are classes 0 to {}", classes - 1)),
    }
}
