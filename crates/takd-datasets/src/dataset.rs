//! A whole data set, and from where it is loaded.

use crate::{
    DatasetName, Drawn, Error, Images, Normalization, Result, drawn,
    hub::Hub,
    local::{self, Found},
    shards,
};
use std::{fmt, path::PathBuf};

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Which one.
    pub name: DatasetName,
    /// The images to train on.
    pub train: Images,
    /// The images to test on.
    pub test: Images,
    /// The classes' names, in the order of the labels.
    pub class_names: Vec<String>,
    /// Mean and standard deviation of the training images' own pixels.
    pub normalization: Normalization,
    /// Where it came from, one line for a person to read.
    pub origin: String,
    /// BLAKE3 of the decoded pixels and labels of both splits, 64 hexadecimal digits: equal exactly where the data are.
    pub checksum: String,
}

/// Where [`load`] may take a data set from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A folder that holds data sets in the hub's layout; looked into before the hub.
    pub data_dir: Option<PathBuf>,
    /// Whether to stay off the network. The hub's cache is still read. `HF_HUB_OFFLINE=1` in the environment says the same.
    pub offline: bool,
    /// How many images the built-in data sets have.
    pub drawn: Drawn,
}

/// One half of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// To train on.
    Train,
    /// To test on.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a [`load`] has come. Each file or split begins with `done` 0 and ends with `done == total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub stage: Stage,
    /// To what: the file that is downloaded, or the split.
    pub what: &'a str,
    /// Bytes or images so far.
    pub done: u64,
    /// Bytes or images in all.
    pub total: u64,
}

/// What a [`load`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Downloading a file; counted in bytes.
    Download,
    /// Decoding a split's images; counted in images.
    Decode,
    /// Drawing a split's images; counted in images.
    Draw,
}

/// Loads a data set: a built-in one is drawn; another comes from `data_dir`, else from the hub's cache, else from the hub.
///
/// The cache is where `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME` put it, the hub is `HF_ENDPOINT`, as for the hub's own
/// tools. `progress` is called now and then from this thread.
///
/// # Errors
/// [`Error::NotFound`] at once, with every place that was looked into, if there is neither data nor network. A file that is
/// there but damaged is an error that names it; no other source is tried then.
pub fn load(name: DatasetName, sources: &Sources, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    if name.is_builtin() {
        let (train, test) = drawn::draw(name, &sources.drawn, progress)?;
        return Ok(finish(name, train, test, sources.drawn.origin(name)));
    }
    let mut hub = Hub::from_env();
    hub.offline |= sources.offline;
    let found = find(name, sources, &hub, progress)?;
    let train = shards::read(name, Split::Train, &found.train, progress)?;
    let test = shards::read(name, Split::Test, &found.test, progress)?;
    Ok(finish(name, train, test, found.folder.display().to_string()))
}

fn find(name: DatasetName, sources: &Sources, hub: &Hub, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Found> {
    let mut looked = Vec::new();
    if let Some(dir) = &sources.data_dir {
        match local::find(name, dir)? {
            Ok(found) => return Ok(found),
            Err(places) => looked.extend(places),
        }
    }
    match hub.find(name, progress)? {
        Ok(found) => Ok(found),
        Err(places) => {
            looked.extend(places);
            Err(Error::NotFound { name, looked })
        }
    }
}

fn finish(name: DatasetName, train: Images, test: Images, origin: String) -> Dataset {
    let mut hasher = blake3::Hasher::new();
    for images in [&train, &test] {
        for n in [images.len(), images.height(), images.width()] {
            hasher.update(&(n as u64).to_le_bytes());
        }
        hasher.update(images.pixels());
        for label in images.labels() {
            hasher.update(&label.to_le_bytes());
        }
    }
    Dataset {
        name,
        class_names: name.class_names(),
        normalization: Normalization::measure(&train),
        origin,
        checksum: hasher.finalize().to_hex().to_string(),
        train,
        test,
    }
}
