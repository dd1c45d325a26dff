//! Cards in a folder: one JSON file for each data set and source; and the pixels of images that took long to decode and scale.
//!
//! ```text
//! cifar10-3f5a….json            { checksum, source, code, stamps, card }
//! photos@64-90c1….train.pixels  [n, height, width, 3], bytes; then BLAKE3 of the card's checksum and of them
//! photos@64-90c1….test.pixels
//! ```
//!
//! The file's name holds a hash of the source. A card is valid if the source's files look as they did when it was made, or if
//! there are none any more: then it is all that is left to know.

use crate::{
    Card, Dataset, DatasetName, Images, Result, Split,
    decode::LeftOut,
    drawn,
    source::Stamps,
    sources::{Kept, Present, Source},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use takd_store::seal;

/// The layout of a kept card. Part of a file's name, so that two versions of the program leave each other's alone.
const FORMAT: u32 = 2;

/// The version of the code that makes pixels of files. It rises if that code, or a library that it calls, makes other pixels
/// of the same file.
const DECODER: u32 = 2;

/// The most bytes of a kept card. That of CIFAR-100 has 3 thousand.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// A card and what it was made of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct KeptCard {
    /// The source, for a person to read.
    source: String,
    /// The version of the code that drew or decoded the images.
    code: u32,
    /// How the source's files looked before they were read.
    stamps: Stamps,
    /// Which images could not be decoded.
    #[serde(default)]
    left_out: LeftOut,
    card: Card,
}

/// What is kept of the data sets of a source in a folder.
pub(crate) struct KeptIn<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) source: &'a Source,
}

impl Kept for KeptIn<'_> {
    fn pixels(&self, card: &Card, split: Split, bytes: u64) -> Option<Vec<u8>> {
        let path = pixels_path(self.folder, &card.name, self.source, split);
        let mut pixels = takd_store::read_file(&path, bytes + blake3::OUT_LEN as u64).ok()??;
        let hash = pixels.split_off(pixels.len().checked_sub(blake3::OUT_LEN)?);
        (pixels.len() as u64 == bytes && hash == hash_of(card, &pixels).as_bytes()).then_some(pixels)
    }

    fn left_out(&self, card: &Card) -> LeftOut {
        let kept = read(&path(self.folder, &card.name, self.source));
        kept.filter(|kept| kept.card == *card).map_or_else(LeftOut::default, |kept| kept.left_out)
    }
}

/// The kept card of this data set from this source, if there is a valid one. What cannot be read as a card counts as none.
pub(crate) fn find(folder: &Path, name: &DatasetName, source: &Source) -> Result<Option<Card>> {
    let Some(kept) = read(&path(folder, name, source)) else { return Ok(None) };
    let valid = match source.present(name)? {
        Present::Files(stamps) => kept.stamps == stamps && kept.code == code(source),
        Present::Gone => true,
    };
    Ok((valid && is_plausible(&kept.card, name)).then_some(kept.card))
}

/// The kept card of this data set, whatever source it is of, if there is one alone.
pub(crate) fn only(folder: &Path, name: &DatasetName) -> Result<Option<Card>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(takd_store::Error::io("read the folder", folder)(error).into()),
    };
    let prefix = format!("{name}-");
    let mut cards: Vec<Card> = Vec::new();
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        match read(&entry.path()).map(|kept| kept.card) {
            Some(card) if is_plausible(&card, name) && !cards.contains(&card) => cards.push(card),
            _ => {}
        }
    }
    Ok(<[Card; 1]>::try_from(cards).ok().map(|[card]| card))
}

fn is_plausible(card: &Card, name: &DatasetName) -> bool {
    let Card { class_names, height, width, train, test, .. } = card;
    let known = name.known().is_none_or(|known| *class_names == known.class_names());
    card.name == *name && known && !class_names.is_empty() && [height, width, train, test].iter().all(|&&n| n > 0)
}

/// Keeps the card of a data set, unless it is kept already.
pub(crate) fn keep(folder: &Path, source: &Source, stamps: &Stamps, left_out: LeftOut, card: &Card) -> Result<()> {
    let path = path(folder, &card.name, source);
    let kept =
        KeptCard { source: describe(source), code: code(source), stamps: stamps.clone(), left_out, card: card.clone() };
    if read(&path).is_some_and(|there| there == kept) {
        return Ok(());
    }
    takd_store::make_folder(folder)?;
    Ok(takd_store::write_file(&path, &seal::to_json(&kept)?)?)
}

/// Keeps the pixels of images that were decoded and scaled down: what would take more room than their files is decoded again.
pub(crate) fn keep_pixels(folder: &Path, source: &Source, stamps: &Stamps, data: &Dataset) -> Result<()> {
    let bytes = |images: &Images| images.pixels().map_or(0, <[u8]>::len) as u64;
    if bytes(&data.train) + bytes(&data.test) > stamps.bytes() {
        return Ok(());
    }
    for (split, images) in [(Split::Train, &data.train), (Split::Test, &data.test)] {
        if let (Some(pixels), true) = (images.pixels(), images.are_stored()) {
            let kept = [pixels, hash_of(&data.card, pixels).as_bytes()].concat();
            takd_store::write_file(&pixels_path(folder, &data.card.name, source, split), &kept)?;
        }
    }
    Ok(())
}

/// Of the pixels and of whose they are: those of another state of the same files have another.
fn hash_of(card: &Card, pixels: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("takd-datasets kept pixels of a card");
    hasher.update(card.checksum.as_bytes()).update(pixels).finalize()
}

fn pixels_path(folder: &Path, name: &DatasetName, source: &Source, split: Split) -> PathBuf {
    path(folder, name, source).with_extension(format!("{split}.pixels"))
}

fn read(path: &Path) -> Option<KeptCard> {
    let bytes = takd_store::read_file(path, MAX_CARD_BYTES).ok()??;
    seal::from_json(path, &bytes).ok()
}

fn path(folder: &Path, name: &DatasetName, source: &Source) -> PathBuf {
    let mut hasher = blake3::Hasher::new_derive_key("takd-datasets kept card of a source");
    hasher.update(&FORMAT.to_le_bytes());
    match source {
        // Two folders whose names are not Unicode may look the same to a person.
        Source::Folder { folder, reading } | Source::Own { place: folder, reading } => hasher
            .update(b"folder ")
            .update(&reading.skip_bad.to_le_bytes())
            .update(folder.as_os_str().as_encoded_bytes()),
        source => hasher.update(describe(source).as_bytes()),
    };
    folder.join(format!("{name}-{}.json", &hasher.finalize().to_hex()[..16]))
}

fn describe(source: &Source) -> String {
    match source {
        Source::Drawn(drawn) => format!("drawn: {} train, {} test, seed {}", drawn.train, drawn.test, drawn.seed),
        Source::Folder { folder, .. } => format!("folder {}", folder.display()),
        Source::Own { place, .. } => place.display().to_string(),
        Source::Nowhere => "nowhere".into(),
        Source::Hub(hub) => format!("hub {}", hub.shown_endpoint()),
    }
}

fn code(source: &Source) -> u32 {
    match source {
        Source::Drawn(_) => drawn::VERSION,
        _ => DECODER,
    }
}
