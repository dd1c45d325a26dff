//! What lies at a place: which of the forms that data sets come in, and the images in it.
//!
//! ```text
//! parquet      {train,test}-*.parquet; train/0000.parquet, test/0000.parquet
//! CIFAR        cifar-10-python.tar.gz, cifar-10-batches-bin/, …, as its authors give it
//! IDX          train-images-idx3-ubyte, …, as MNIST has it
//! shards       {train,test}*.tar, WebDataset
//! folders      train/<class>/*.jpg and val/<class>/*.jpg, or val/*.jpg and a list; <class>/*.jpg alone
//! ```

mod cifar_archive;
mod class_folders;
mod class_list;
mod idx;
mod parquet_claims;
mod parquet_file;
mod pickle;
mod shard_names;
mod shared_file;
mod stamps;
mod web_dataset;

pub(crate) use cifar_archive::known_by_name;
pub(crate) use parquet_file::Bytes;
pub(crate) use stamps::Stamps;

use crate::{
    Error, Known, Looked, Result, Split, layout, regular_file,
    stored::{Reader, Stored},
};
use cifar_archive::CifarArchive;
use class_folders::ClassFolders;
use idx::Idx;
use std::{
    fs,
    path::{Path, PathBuf},
};
use takd_hub::Lookup;

/// A data set that is there, not yet opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The folder or file that it is in.
    pub(crate) place: PathBuf,
    form: Form,
}

/// The form that it comes in.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Parquet(Files),
    Cifar(CifarArchive),
    Idx(Idx),
    Shards(Files),
    Folders(ClassFolders),
}

/// Files of each split, each in their order; no test files if those images are yet to be set aside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
}

/// A data set whose images are listed.
pub(crate) struct Opened {
    /// The classes' names, if they are told.
    pub(crate) class_names: Option<Vec<String>>,
    pub(crate) train: Reader,
    /// Nothing if the test images are yet to be set aside.
    pub(crate) test: Option<Reader>,
    /// What is odd about it, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// How many of a folder's other names a message lists.
const MAX_NAMES_LISTED: usize = 5;

/// Looks for a known data set below a folder that the user named: where the hub's layout and its authors' archives put it, from the
/// innermost place outwards.
pub(crate) fn find_known(known: Known, folder: &Path) -> Result<Lookup<Found>> {
    let (own, config) = (folder.join(known.as_str()), folder.join(layout::folder(known)));
    let mut places = vec![own.join(layout::folder(known)), own, config, folder.to_path_buf()];
    places.dedup();
    let mut looked = Vec::new();
    for place in places {
        if let Some(cifar) = cifar_archive::find(known, &place) {
            return Ok(Lookup::Found(Found { place: cifar.place().to_owned(), form: Form::Cifar(cifar) }));
        }
        if matches!(known, Known::Mnist | Known::FashionMnist)
            && let Some(idx) = idx::find(&place)
        {
            return Ok(Lookup::Found(Found { place, form: Form::Idx(idx) }));
        }
        match in_folder(&place)? {
            Lookup::Missing(found) => looked.extend(found),
            // Images of one split alone are not all of a known data set.
            Lookup::Found(found) if found.has_test() => return Ok(Lookup::Found(found)),
            Lookup::Found(_) => looked.push(missing(&place, "train files, but none for test".into())),
        }
    }
    Ok(Lookup::Missing(looked))
}

/// Looks at the file or folder in which a data set of the user's own is.
pub(crate) fn find_own(place: &Path) -> Result<Lookup<Found>> {
    let found = |form| Ok(Lookup::Found(Found { place: place.to_owned(), form }));
    if place.is_file() {
        let alone = Files { train: vec![place.to_owned()], test: Vec::new() };
        return match place.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => found(Form::Parquet(alone)),
            Some("tar") => found(Form::Shards(alone)),
            _ => Ok(Lookup::Missing(vec![Looked {
                place: place.display().to_string(),
                found: "a file, and of these .parquet and .tar are read".into(),
            }])),
        };
    }
    let mut looked = Vec::new();
    // As the hub's repositories have their files.
    for folder in [place.to_owned(), place.join("data")] {
        match in_folder(&folder)? {
            Lookup::Missing(missing) => looked.extend(missing),
            there => return Ok(there),
        }
        if !place.join("data").is_dir() {
            break;
        }
    }
    if !place.is_dir() {
        return Ok(Lookup::Missing(looked));
    }
    if let Some(idx) = idx::find(place) {
        return found(Form::Idx(idx));
    }
    let names = names(place).map_err(|source| Error::Io { path: place.into(), source })?;
    let shards = |split| {
        let of = |stem: &str| {
            let named = |name: &&String| name.starts_with(stem) && name.ends_with(".tar");
            names.iter().filter(named).map(|name| place.join(name)).collect::<Vec<_>>()
        };
        shard_names::stems(split).iter().map(|stem| of(stem)).find(|files| !files.is_empty()).unwrap_or_default()
    };
    let (train, test) = (shards(Split::Train), shards(Split::Test));
    if !train.is_empty() {
        return found(Form::Shards(Files { train, test }));
    }
    match class_folders::find(place)? {
        Some(folders) => found(Form::Folders(folders)),
        None => Ok(Lookup::Missing(looked)),
    }
}

/// Looks for parquet files in this folder alone.
pub(crate) fn in_folder(folder: &Path) -> Result<Lookup<Found>> {
    let missing = |found: String| Ok(Lookup::Missing(vec![missing(folder, found)]));
    let names = match names(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return missing("not a folder".into()),
        Err(error) if regular_file::is_missing(&error) => return missing("no such folder".into()),
        Err(error) => return missing(format!("the folder cannot be read ({error})")),
    };
    let mut train = shard_names::files_of(Split::Train, folder, &names)?;
    let mut test = shard_names::files_of(Split::Test, folder, &names)?;
    if train.is_empty() && test.is_empty() {
        // As the hub's own conversion to parquet has them.
        train = numbered(Split::Train, folder, &names)?;
        test = numbered(Split::Test, folder, &names)?;
    }
    match (train.is_empty(), test.is_empty()) {
        (false, _) => {
            let form = Form::Parquet(Files { train, test });
            Ok(Lookup::Found(Found { place: folder.to_owned(), form }))
        }
        (true, true) => missing(format!("no such files{}", listed(&names))),
        (true, false) => missing("test files, but none for train".into()),
    }
}

/// `train/0000.parquet`, `train/0001.parquet`, …
fn numbered(split: Split, folder: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    for stem in shard_names::stems(split).iter().filter(|stem| names.iter().any(|name| name == **stem)) {
        let folder = folder.join(stem);
        let Ok(names) = self::names(&folder) else { continue };
        let is_number = |name: &&String| {
            name.strip_suffix(".parquet")
                .is_some_and(|number| number.len() == 4 && number.bytes().all(|c| c.is_ascii_digit()))
        };
        let files: Vec<&String> = names.iter().filter(is_number).collect();
        for (number, name) in files.iter().enumerate() {
            let expected = format!("{number:04}.parquet");
            if **name != expected {
                return Err(Error::MissingShard { folder, split, missing: expected, of: files.len() + 1 });
            }
        }
        if !files.is_empty() {
            return Ok(files.into_iter().map(|name| folder.join(name)).collect());
        }
    }
    Ok(Vec::new())
}

fn missing(folder: &Path, found: String) -> Looked {
    Looked { place: folder.join("{train,test}-*.parquet").display().to_string(), found }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// What a folder holds instead.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return " (the folder is empty)".into();
    }
    let first = names[..names.len().min(MAX_NAMES_LISTED)].join(", ");
    let more = names.len().saturating_sub(MAX_NAMES_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(" (the folder holds {first}{more})")
}

impl Found {
    /// Whether it has test images of its own.
    pub(crate) fn has_test(&self) -> bool {
        match &self.form {
            Form::Parquet(files) | Form::Shards(files) => !files.test.is_empty(),
            Form::Cifar(_) | Form::Idx(_) => true,
            Form::Folders(folders) => folders.test.is_some(),
        }
    }

    /// Its files, those of the training images first.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        Ok(match &self.form {
            Form::Parquet(files) | Form::Shards(files) => files.train.iter().chain(&files.test).cloned().collect(),
            Form::Cifar(cifar) => cifar.files(),
            Form::Idx(idx) => idx.files(),
            Form::Folders(folders) => {
                let contents = class_folders::list(folders)?;
                contents
                    .train
                    .into_iter()
                    .chain(contents.test.into_iter().flatten())
                    .filter_map(Stored::into_file)
                    .chain(folders.list.clone())
                    .collect()
            }
        })
    }

    /// How all its files look from outside; `None` if one is gone. Opens none.
    pub(crate) fn stamps(&self) -> Result<Option<Stamps>> {
        Stamps::of(&self.files()?)
    }

    /// Lists its images. `known` says which data set it is, if that is known; `bytes`, whether they are about to be decoded.
    pub(crate) fn open(&self, known: Option<Known>, bytes: Bytes) -> Result<Opened> {
        let names = || known.map(Known::class_names);
        match &self.form {
            Form::Parquet(files) => {
                let train = parquet_file::open(&files.train, known, bytes)?;
                let has_test = !files.test.is_empty();
                let test = has_test.then(|| parquet_file::open(&files.test, known, bytes)).transpose()?;
                let class_names = train.class_names;
                Ok(Opened { class_names, train: train.reader, test: test.map(|test| test.reader), notes: Vec::new() })
            }
            Form::Cifar(cifar) => {
                let (train, test) = cifar.read()?;
                Ok(Opened {
                    class_names: names(),
                    train: Reader::of(train),
                    test: Some(Reader::of(test)),
                    notes: Vec::new(),
                })
            }
            Form::Idx(idx) => {
                let (train, test) = idx.read()?;
                Ok(Opened {
                    class_names: names(),
                    train: Reader::of(train),
                    test: Some(Reader::of(test)),
                    notes: Vec::new(),
                })
            }
            Form::Shards(files) => {
                let list = |files: &[PathBuf]| {
                    let shards = files.iter().map(|file| web_dataset::list(file)).collect::<Result<Vec<_>>>()?;
                    Ok::<_, Error>(Reader::of(shards.into_iter().flatten().collect()))
                };
                let test = if files.test.is_empty() { None } else { Some(list(&files.test)?) };
                Ok(Opened { class_names: names(), train: list(&files.train)?, test, notes: Vec::new() })
            }
            Form::Folders(folders) => {
                let class_folders::Contents { class_names, train, test, notes } = class_folders::list(folders)?;
                let (train, test) = (Reader::of(train), test.map(Reader::of));
                Ok(Opened { class_names: Some(class_names), train, test, notes })
            }
        }
    }
}
