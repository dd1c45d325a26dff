//! Cards without decoding, and each data set decoded once.

use crate::{
    Card, Dataset, DatasetName, Error, Progress, Result, Sources, hub,
    kept_cards::{self, KeptIn},
    sources::{Loaded, Source},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use takd_hub::Hub;

/// Cards and data of the data sets of some [`Sources`].
///
/// A card is kept in a folder as JSON once its data set was loaded, and given from there as long as the source's files have the
/// same names, sizes and times of writing; also if the source is gone. So plans and tables of what is finished need no images,
/// nor the time to decode them. The pixels of images that were scaled are kept beside it where they take less room than their files,
/// so that they are decoded once. Data are loaded when they are first asked for, once, and shared.
///
/// Any number of threads may ask at the same time; those that ask for a data set that another one loads wait for it. They must
/// not be tasks of one rayon pool: a task that waits within its own loop might be given another that waits for it.
///
/// ```
/// use takd_datasets::{Catalog, DatasetName, Drawn, Known, Sources};
///
/// # fn main() -> takd_datasets::Result<()> {
/// # let results = tempfile::tempdir().unwrap();
/// # let cards = results.path().join("cards");
/// let sources = Sources { drawn: Drawn { train: 200, test: 100, seed: 0 }, ..Sources::default() };
/// let catalog = Catalog::new(sources.clone(), cards.clone());
/// let shapes = DatasetName::from(Known::Shapes10);
/// let data = catalog.load(&shapes, &mut |_| {})?; // draws 300 images
/// assert_eq!(data.card.train, 200);
///
/// // Later, in another process:
/// let catalog = Catalog::new(sources, cards);
/// let card = catalog.card(&shapes, &mut |_| panic!("draws nothing"))?;
/// assert_eq!(card, data.card);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Catalog {
    sources: Sources,
    hub: Hub,
    kept: PathBuf,
    entries: Mutex<BTreeMap<DatasetName, Arc<Mutex<Entry>>>>,
}

/// What is known of one data set so far.
#[derive(Debug, Default)]
struct Entry {
    card: Option<Card>,
    data: Option<Arc<Dataset>>,
    /// By their limit.
    limited: BTreeMap<usize, Arc<Dataset>>,
}

impl Catalog {
    /// The data sets of these sources, their cards kept in the folder `kept`, which is made when the first one is.
    pub fn new(sources: Sources, kept: PathBuf) -> Self {
        Self { sources, hub: hub::from_env(), kept, entries: Mutex::default() }
    }

    /// The data set's card: the kept one if it is valid, else that of the data, which are loaded for it. The same one each time.
    ///
    /// # Errors
    /// Those of [`load`](crate::load) if there is no valid card.
    pub fn card(&self, name: &DatasetName, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Card> {
        let entry = self.entry(name);
        let mut entry = lock(&entry);
        if let Some(card) = &entry.card {
            return Ok(card.clone());
        }
        let source = self.source(name);
        if let Some(card) = kept_cards::find(&self.kept, name, &source)? {
            entry.card = Some(card.clone());
            return Ok(card);
        }
        Ok(self.data(name, &mut entry, progress)?.card.clone())
    }

    /// The card that is kept of the data set from these sources, or else the only one that is kept of it from any: for reports of
    /// runs that were trained elsewhere. Nothing is loaded.
    ///
    /// # Errors
    /// If the folder of kept cards, or the source's, cannot be read.
    pub fn kept_card(&self, name: &DatasetName) -> Result<Option<Card>> {
        match kept_cards::find(&self.kept, name, &self.source(name))? {
            None => kept_cards::only(&self.kept, name),
            card => Ok(card),
        }
    }

    /// The data set, loaded now if it was not before.
    ///
    /// # Errors
    /// Those of [`load`](crate::load); and [`Error::Changed`] if the images are not those of the card that was given before.
    pub fn load(&self, name: &DatasetName, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Arc<Dataset>> {
        self.data(name, &mut lock(&self.entry(name)), progress)
    }

    /// [`Dataset::limited`] of the data set, made once for each limit and shared.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn load_limited(
        &self,
        name: &DatasetName,
        train: usize,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Arc<Dataset>> {
        let entry = self.entry(name);
        let mut entry = lock(&entry);
        if let Some(data) = entry.limited.get(&train) {
            return Ok(Arc::clone(data));
        }
        let data = self.data(name, &mut entry, progress)?;
        if train >= data.train.len() {
            return Ok(data);
        }
        let limited = Arc::new(data.limited(train));
        entry.limited.insert(train, Arc::clone(&limited));
        Ok(limited)
    }

    fn data(
        &self,
        name: &DatasetName,
        entry: &mut Entry,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Arc<Dataset>> {
        if let Some(data) = &entry.data {
            return Ok(Arc::clone(data));
        }
        let source = self.source(name);
        let kept = match &entry.card {
            Some(card) => Some(card.clone()),
            None => kept_cards::find(&self.kept, name, &source)?,
        };
        let kept_in = KeptIn { folder: &self.kept, source: &source };
        let Loaded { mut data, stamps, new } = source.load(name, kept.as_ref(), &kept_in, progress)?;
        if let Some(left_out) = new {
            // If they cannot be, the data are whole; only the next start is slower.
            let card = kept_cards::keep(&self.kept, &source, &stamps, left_out, &data.card);
            let pixels = kept_cards::keep_pixels(&self.kept, &source, &stamps, &data);
            for (what, kept) in [("its card", card), ("its scaled images", pixels)] {
                data.card.notes.extend(kept.err().map(|error| format!("{what} could not be kept: {error}")));
            }
        }
        if let Some(card) = &entry.card
            && card.checksum != data.card.checksum
        {
            let (expected, found) = (card.checksum.clone(), data.card.checksum);
            return Err(Error::Changed { name: name.clone(), expected, found });
        }
        let data = Arc::new(data);
        entry.card.get_or_insert_with(|| data.card.clone());
        entry.data = Some(Arc::clone(&data));
        Ok(data)
    }

    fn source(&self, name: &DatasetName) -> Source {
        Source::of(name, &self.sources, &self.hub)
    }

    fn entry(&self, name: &DatasetName) -> Arc<Mutex<Entry>> {
        Arc::clone(lock(&self.entries).entry(name.clone()).or_default())
    }
}

/// A panic of the thread that held the lock leaves nothing half done: each field is set in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
