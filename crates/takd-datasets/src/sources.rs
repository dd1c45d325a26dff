//! Where data sets are loaded from, and the loading of one.

use crate::{
    Dataset, DatasetName, Drawn, Error, Progress, Result, Split, drawn, folder,
    hub::Hub,
    lookup::{FileStamp, Files, Lookup},
    parquet_file,
};
use std::path::PathBuf;

/// Where [`load`] and [`Catalog`](crate::Catalog) take data sets from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A folder that holds data sets in the hub's layout. If one is named, it is the only place looked into; else the hub's
    /// cache and then the hub are.
    pub folder: Option<PathBuf>,
    /// Whether to stay off the network. The hub's cache is still read. `HF_HUB_OFFLINE=1` in the environment says the same.
    pub offline: bool,
    /// How many images the drawn data sets have, and from what seed.
    pub drawn: Drawn,
}

/// Loads a data set: a drawn one is drawn; another comes from the folder that [`Sources`] names, or, if it names none, from
/// the hub's cache or else the hub.
///
/// The cache is where `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME` put it, the hub is `HF_ENDPOINT`, as for the hub's own
/// tools. `progress` is called now and then from this thread.
///
/// Images that differ from what is known of their data set are loaded all the same; [`Card::notes`](crate::Card::notes) says
/// in what they differ.
///
/// # Errors
/// [`Error::NotFound`] at once, with every place that was looked into, if there is neither data nor network. A file that is
/// there but damaged is an error that names it; no other source is tried then.
pub fn load(name: DatasetName, sources: &Sources, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    let loaded = Source::of(name, sources, &Hub::from_env()).load(name, progress)?;
    Ok(loaded.data)
}

/// Where one data set comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Drawn by code.
    Drawn(Drawn),
    /// Files in a folder that the user named: an absolute path.
    Folder(PathBuf),
    /// Files of the hub, in its cache once they are downloaded.
    Hub(Hub),
}

/// A data set, and how the files that it was read from looked before.
pub(crate) struct Loaded {
    pub(crate) data: Dataset,
    pub(crate) files: Vec<FileStamp>,
}

/// What is at a source right now, found without a download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// These files; none for a drawn data set, which is always there.
    Files(Vec<FileStamp>),
    /// Nothing.
    Gone,
}

impl Source {
    pub(crate) fn of(name: DatasetName, sources: &Sources, hub: &Hub) -> Self {
        if name.is_drawn() {
            return Self::Drawn(sources.drawn);
        }
        match &sources.folder {
            // Only an empty path has no absolute form.
            Some(folder) => Self::Folder(std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
            None => Self::Hub(Hub { offline: hub.offline || sources.offline, ..hub.clone() }),
        }
    }

    /// What is there right now. Neither decodes nor downloads anything.
    pub(crate) fn present(&self, name: DatasetName) -> Result<Present> {
        let lookup = match self {
            Self::Drawn(_) => return Ok(Present::Files(Vec::new())),
            Self::Folder(folder) => folder::find(name, folder)?,
            Self::Hub(hub) => hub.find_in_cache(name)?,
        };
        let stamps = match lookup {
            Lookup::Found(files) => files.stamps()?,
            Lookup::Missing(_) => None,
        };
        Ok(stamps.map_or(Present::Gone, Present::Files))
    }

    /// Draws, or finds and decodes.
    pub(crate) fn load(&self, name: DatasetName, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Loaded> {
        let (folder, lookup) = match self {
            Self::Drawn(drawn) => {
                let data = drawn::draw(name, drawn, progress)?;
                return Ok(Loaded { data, files: Vec::new() });
            }
            Self::Folder(folder) => (Some(folder.clone()), folder::find(name, folder)?),
            Self::Hub(hub) => (None, hub.find(name, progress)?),
        };
        let files = match lookup {
            Lookup::Found(files) => files,
            Lookup::Missing(looked) => return Err(Error::NotFound { name, folder, looked }),
        };
        // Before they are read: what changes meanwhile is seen the next time.
        let stamps = files.stamps()?.unwrap_or_default();
        let train = parquet_file::read(name, Split::Train, &files.train, progress)?;
        let test = parquet_file::read(name, Split::Test, &files.test, progress)?;
        Ok(Loaded { data: Dataset::new(name, train, test, self.origin(name, &files))?, files: stamps })
    }

    /// Where the files are, and what they are if that is known.
    fn origin(&self, name: DatasetName, files: &Files) -> String {
        let folder = files.folder.display();
        match self {
            Self::Hub(hub) => format!("{folder}, downloaded from {}", hub.address(name)),
            _ => folder.to_string(),
        }
    }
}
