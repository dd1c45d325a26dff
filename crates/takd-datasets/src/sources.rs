//! Where data sets are loaded from, and the loading of one.

use crate::{
    Card, Dataset, DatasetName, DatasetRef, Drawn, Error, Fit, Images, Known, Progress, Result, Split,
    decode::{Bad, Decoded, LeftOut, USUAL_MEMORY, USUAL_SIDE, decode},
    decode_one::{Seen, Size},
    drawn, hub,
    images::{StoredImages, holdout},
    near,
    source::{self, Bytes, Found, Opened, Stamps},
    stored::{Reader, Stored},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use takd_hub::{Hub, Lookup};

/// Where [`load`] and [`Catalog`](crate::Catalog) take data sets from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A folder that holds known data sets: in the hub's layout, or as CIFAR's authors give them. If one is named, it is the only
    /// place looked into; else the hub's cache and then the hub are.
    pub folder: Option<PathBuf>,
    /// The file or folder of each data set that was named by it, by its name without a size: see [`Sources::with`].
    pub places: BTreeMap<DatasetName, PathBuf>,
    /// Whether to stay off the network. The hub's cache is still read. `HF_HUB_OFFLINE=1` in the environment says the same.
    pub offline: bool,
    /// How many images the drawn data sets have, and from what seed.
    pub drawn: Drawn,
    /// The most bytes of a split's pixels that are held in memory; 4 GiB if it is not said. The images of a larger split stay in
    /// their files and are decoded each time they are asked for, which gives the same. Those of parquet files cannot.
    pub memory: Option<u64>,
    /// How many images that cannot be decoded may be left out, each of them named in [`Card::notes`](crate::Card::notes).
    pub skip_bad: usize,
}

impl Sources {
    /// The same, and where this data set is, if it says so.
    ///
    /// # Errors
    /// If another place has the same name already.
    pub fn with(mut self, data: &DatasetRef) -> Result<Self> {
        let Some(place) = &data.place else { return Ok(self) };
        let name = data.name.unscaled();
        match self.places.insert(name.clone(), place.clone()) {
            Some(other) if other != *place => Err(Error::TwoPlaces { name, places: [other, place.clone()] }),
            _ => Ok(self),
        }
    }
}

/// Loads a data set: a drawn one is drawn; another comes from the place that [`Sources`] names for it. A known data set without a
/// place comes from the hub's cache or else the hub.
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
pub fn load(name: &DatasetName, sources: &Sources, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    let loaded = Source::of(name, sources, &hub::from_env()).load(name, None, &Nothing, progress)?;
    Ok(loaded.data)
}

/// Whether a data set can be loaded without a download. Nothing is decoded.
///
/// # Errors
/// If a place that is there cannot be read.
pub fn is_here(name: &DatasetName, sources: &Sources) -> Result<bool> {
    let source = Source::of(name, sources, &hub::from_env());
    Ok(source.present(name)? != Present::Gone)
}

/// The folder in which downloads from the hub are kept: where `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME` put it. Nothing if there
/// is no home folder for it.
pub fn hub_cache() -> Option<PathBuf> {
    hub::from_env().cache
}

/// Where one data set comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Drawn by code.
    Drawn(Drawn),
    /// Files in a folder that the user named: an absolute path.
    Folder { folder: PathBuf, reading: Reading },
    /// A file or folder that the user named for this data set: an absolute path.
    Own { place: PathBuf, reading: Reading },
    /// Files of the hub, in its cache once they are downloaded.
    Hub(Hub),
    /// Nobody said where.
    Nowhere,
}

/// How the images of files are read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub(crate) skip_bad: usize,
    pub(crate) memory: Option<u64>,
}

/// What is kept of a data set beside its card.
pub(crate) trait Kept {
    /// So many bytes of a split's pixels.
    fn pixels(&self, card: &Card, split: Split, bytes: u64) -> Option<Vec<u8>>;
    /// Which images the card is without.
    fn left_out(&self, card: &Card) -> LeftOut;
}

/// Nothing is.
struct Nothing;

impl Kept for Nothing {
    fn pixels(&self, _: &Card, _: Split, _: u64) -> Option<Vec<u8>> {
        None
    }

    fn left_out(&self, _: &Card) -> LeftOut {
        LeftOut::default()
    }
}

/// A data set, and how the files that it was read from looked before.
pub(crate) struct Loaded {
    pub(crate) data: Dataset,
    pub(crate) stamps: Stamps,
    /// What was left out of it, if images were decoded for it.
    pub(crate) new: Option<LeftOut>,
}

/// What is at a source right now, found without a download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// Files that look like this; none for a drawn data set, which is always there.
    Files(Stamps),
    /// Nothing.
    Gone,
}

/// Which images are set aside must not change with the seed of a training.
const SPLIT_SEED: u64 = 0;

/// Of how many images one is set aside for the test, if the data set has no test images.
const SET_ASIDE: usize = 5;

impl Source {
    pub(crate) fn of(name: &DatasetName, sources: &Sources, hub: &Hub) -> Self {
        // Only an empty path has no absolute form.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let reading = Reading { skip_bad: sources.skip_bad, memory: sources.memory };
        if let Some(place) = sources.places.get(&name.unscaled()) {
            return Self::Own { place: absolute(place), reading };
        }
        let Some(known) = name.known() else { return Self::Nowhere };
        if known.is_drawn() {
            return Self::Drawn(sources.drawn);
        }
        match &sources.folder {
            Some(folder) => Self::Folder { folder: absolute(folder), reading },
            None => Self::Hub(Hub { offline: hub.offline || sources.offline, ..hub.clone() }),
        }
    }

    /// What is there right now. Neither decodes nor downloads anything.
    pub(crate) fn present(&self, name: &DatasetName) -> Result<Present> {
        let lookup = match (self, name.known()) {
            (Self::Drawn(_), _) => return Ok(Present::Files(Stamps::default())),
            (Self::Hub(hub), Some(known)) => hub::find_in_cache(hub, known)?,
            _ => self.find(name)?,
        };
        let stamps = match lookup {
            Lookup::Found(found) => found.stamps()?,
            Lookup::Missing(_) => None,
        };
        Ok(stamps.map_or(Present::Gone, Present::Files))
    }

    /// Looks into the place that was named.
    fn find(&self, name: &DatasetName) -> Result<Lookup<Found>> {
        match (self, name.known()) {
            (Self::Folder { folder, .. }, Some(known)) => source::find_known(known, folder),
            (Self::Own { place, .. }, Some(known)) => match source::find_known(known, place)? {
                Lookup::Missing(looked) => Ok(match source::find_own(place)? {
                    Lookup::Missing(_) => Lookup::Missing(looked),
                    found => found,
                }),
                found => Ok(found),
            },
            (Self::Own { place, .. }, None) => source::find_own(place),
            _ => Ok(Lookup::Missing(Vec::new())),
        }
    }

    /// Finds the files, downloads them if they are the hub's.
    pub(crate) fn locate(&self, name: &DatasetName, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Found> {
        let lookup = match (self, name.known()) {
            (Self::Hub(hub), Some(known)) => hub::find(hub, known, progress)?,
            (Self::Drawn(_), _) => return Err(Error::Drawn(name.clone())),
            _ => self.find(name)?,
        };
        match lookup {
            Lookup::Found(found) => Ok(found),
            Lookup::Missing(looked) => {
                let folder = match self {
                    // A place that may not be looked into may be there.
                    Self::Own { place, .. } if matches!(place.try_exists(), Ok(false)) => {
                        let known = name.known().map(|_| name.to_string());
                        let near = known.or_else(|| near::nearest(place, &[]));
                        return Err(Error::NoSuchPlace { place: place.clone(), near });
                    }
                    Self::Folder { folder, .. } | Self::Own { place: folder, .. } => Some(folder.clone()),
                    _ => None,
                };
                Err(Error::NotFound { name: name.clone(), folder, looked })
            }
        }
    }

    /// Draws, or finds and decodes. With a card that is valid, images that stay in their files are not looked at again, and pixels
    /// that are kept are taken.
    pub(crate) fn load(
        &self,
        name: &DatasetName,
        card: Option<&Card>,
        kept: &dyn Kept,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Loaded> {
        if let (Self::Drawn(drawn), Some(known)) = (self, name.known()) {
            let data = drawn::draw(known, drawn, progress)?;
            let data = match name.fit() {
                Some(fit) => data.scaled(fit)?,
                None => data,
            };
            return Ok(Loaded { data, stamps: Stamps::default(), new: Some(LeftOut::default()) });
        }
        let found = self.locate(name, progress)?;
        // Before they are read: what changes meanwhile is seen the next time.
        let stamps = found.stamps()?.unwrap_or_default();
        if let Some(card) = card
            && let Some(data) = self.unread(name, card, &found, kept)?
        {
            return Ok(Loaded { data, stamps, new: None });
        }
        let (data, left_out) = self.decode(name, &found, progress)?;
        Ok(Loaded { data, stamps, new: Some(left_out) })
    }

    fn reading(&self) -> Reading {
        match self {
            Self::Folder { reading, .. } | Self::Own { reading, .. } => *reading,
            _ => Reading::default(),
        }
    }

    /// The data set that the card describes, without decoding what is in its files, if it can be had so: images that would fill
    /// the memory stay there, and the pixels of others may be kept.
    fn unread(&self, name: &DatasetName, card: &Card, found: &Found, kept: &dyn Kept) -> Result<Option<Dataset>> {
        let size = 3 * card.height as u64 * card.width as u64;
        let memory = self.reading().memory.unwrap_or(USUAL_MEMORY);
        let is_held = |len: usize| len as u64 * size <= memory;
        let held = |split, len: usize| {
            if is_held(len) { kept.pixels(card, split, len as u64 * size).map(Some) } else { Some(None) }
        };
        let (Some(train_pixels), Some(test_pixels)) = (held(Split::Train, card.train), held(Split::Test, card.test))
        else {
            return Ok(None);
        };
        let Parts { train, test, .. } = split(found, name.known(), Bytes::Left)?;
        let list = |reader: Reader| reader.pieces.collect::<Result<Vec<_>>>().map(|pieces| pieces.concat());
        let left_out = kept.left_out(card);
        let train = LeftOut::without(&left_out.train, list(train)?);
        let test = LeftOut::without(&left_out.test, list(test)?);
        let is_whole = (train.len(), test.len()) == (card.train, card.test);
        if !is_whole || !train.iter().chain(&test).all(|image| image.data.is_in_file()) {
            return Ok(None);
        }
        let fit = name.fit().unwrap_or(Fit::own(card.height));
        let images = |pixels: Option<Vec<u8>>, stored: Vec<Stored>| {
            let labels = stored.iter().map(|image| image.label).collect();
            let stored = StoredImages::new(stored, fit, None);
            match pixels {
                Some(pixels) => {
                    Ok::<_, Error>(Images::new(pixels, labels, card.height, card.width)?.with_originals(stored))
                }
                None => Ok(Images::stored(stored, labels)),
            }
        };
        let (train, test) = (images(train_pixels, train)?, images(test_pixels, test)?);
        Ok(Some(Dataset { card: card.clone(), train, test }))
    }

    fn decode(
        &self,
        name: &DatasetName,
        found: &Found,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Dataset, LeftOut)> {
        let known = name.known();
        let size = match (name.fit(), known) {
            (Some(fit), _) => Size::Scaled(fit),
            (None, Some(known)) => Size::Exactly(known.side()),
            (None, None) => Size::Own,
        };
        let parts = match self.read(found, known, size, progress)? {
            Some(parts) => parts,
            None => match self.read(found, known, Size::Scaled(Fit::own(USUAL_SIDE)), progress)? {
                Some(parts) => parts,
                None => unreachable!("scaled images have one size"),
            },
        };
        let Decoding { class_names, train, test, notes, left_out } = parts;
        let class_names = class_names.unwrap_or_else(|| numbers(&train, &test));
        let mut data = Dataset::new(name.clone(), class_names, train, test, self.origin(known, found))?;
        data.card.notes.extend(notes);
        Ok((data, left_out))
    }

    /// Reads and decodes both splits; nothing if the images have several sizes and none was asked for.
    fn read(
        &self,
        found: &Found,
        known: Option<Known>,
        size: Size,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Decoding>> {
        let Parts { class_names, train, test, mut notes } = split(found, known, Bytes::Read)?;
        let Reading { skip_bad, memory } = self.reading();
        let memory = memory.unwrap_or(USUAL_MEMORY);
        let mut bad = Bad { allowed: skip_bad, ..Bad::default() };
        let train = decode(train, Split::Train, size, memory, &mut bad, &|| Ok(blake3::Hasher::new()), progress)?;
        let Decoded::Images(train, seen) = train else { return Ok(None) };
        let before = || train.hashed(blake3::Hasher::new());
        let Decoded::Images(test, seen_test) = decode(test, Split::Test, size, memory, &mut bad, &before, progress)?
        else {
            return Ok(None);
        };
        // Those of one size must all have it.
        if size == Size::Own && test.height() != train.height() {
            return Ok(None);
        }
        let seen = seen.and(seen_test);
        notes.extend(scaled_note(size, &seen));
        if seen.turned > 0 {
            notes.push(format!("{} images were turned upright, as their EXIF data say", seen.turned));
        }
        if train.pixels().is_none() {
            notes.push("its images stay in their files, and are decoded in every epoch".into());
        }
        notes.extend(bad.problems.into_iter().map(|problem| format!("left out: {problem}")));
        Ok(Some(Decoding { class_names, train, test, notes, left_out: bad.left_out }))
    }

    /// Where the files are, and what they are if that is known.
    fn origin(&self, known: Option<Known>, found: &Found) -> String {
        let folder = found.place.display();
        match (self, known) {
            (Self::Hub(hub), Some(known)) => format!("{folder}, downloaded from {}", hub::address(hub, known)),
            _ => folder.to_string(),
        }
    }
}

/// Both splits of a data set, listed.
struct Parts {
    class_names: Option<Vec<String>>,
    train: Reader,
    test: Reader,
    notes: Vec<String>,
}

/// Both splits of a data set, decoded.
struct Decoding {
    class_names: Option<Vec<String>>,
    train: Images,
    test: Images,
    notes: Vec<String>,
    left_out: LeftOut,
}

/// Lists both splits; sets the test images aside, if there are none.
fn split(found: &Found, known: Option<Known>, bytes: Bytes) -> Result<Parts> {
    let Opened { class_names, train, test, mut notes } = found.open(known, bytes)?;
    if let Some(test) = test {
        return Ok(Parts { class_names, train, test, notes });
    }
    // By the labels alone: all the images may not fit into memory.
    let mut labels = Vec::new();
    for piece in found.open(known, Bytes::Left)?.train.pieces {
        labels.extend(piece?.iter().map(|image| image.label));
    }
    let (kept, aside) = holdout(&labels, labels.len().div_ceil(SET_ASIDE), SPLIT_SEED);
    notes.push(format!(
        "it has no test images: {} of its {} images were set aside as such, the classes in their proportions",
        aside.len(),
        labels.len()
    ));
    notes.extend(empty_classes(&labels, &aside, "set aside", class_names.as_deref()));
    notes.extend(empty_classes(&labels, &kept, "left to train on", class_names.as_deref()));
    let test = found.open(known, bytes)?.train.only(aside);
    Ok(Parts { class_names, train: train.only(kept), test, notes })
}

/// Says which classes have no image in a part of the images, if there are such: they have too few.
fn empty_classes(labels: &[u32], part: &[usize], what: &str, names: Option<&[String]>) -> Option<String> {
    /// More are counted.
    const NAMED: usize = 5;

    let there: BTreeSet<u32> = part.iter().map(|&index| labels[index]).collect();
    let all: BTreeSet<u32> = labels.iter().copied().collect();
    let name = |label: &u32| match names.and_then(|names| names.get(*label as usize)) {
        Some(name) => name.clone(),
        None => label.to_string(),
    };
    let missing: Vec<String> = all.difference(&there).map(name).collect();
    let (named, others) = missing.split_at(missing.len().min(NAMED));
    let others = if others.is_empty() { String::new() } else { format!(" and {} more classes", others.len()) };
    let named = named.join(", ");
    (!missing.is_empty()).then(|| format!("no image of {named}{others} was {what}: give each class more images"))
}

/// Says how images were scaled, if they were.
fn scaled_note(size: Size, Seen { smallest, largest, .. }: &Seen) -> Option<String> {
    let Size::Scaled(fit) = size else { return None };
    let side = fit.side();
    let of = |(height, width): (usize, usize)| format!("{width}x{height}");
    let from = if smallest == largest { of(*smallest) } else { format!("{} to {}", of(*smallest), of(*largest)) };
    match fit.shorter() {
        Some(shorter) => Some(format!(
            "images of {from} were scaled to {shorter} on their shorter side and cut to the {side}x{side} in their middle"
        )),
        None => (from != of((side, side)))
            .then(|| format!("images of {from} were cut to the square in their middle and scaled to {side}x{side}")),
    }
}

/// The names of classes that have none: their numbers.
fn numbers(train: &Images, test: &Images) -> Vec<String> {
    let last = train.labels().iter().chain(test.labels()).max().copied().unwrap_or(0);
    (0..=last).map(|class| class.to_string()).collect()
}
