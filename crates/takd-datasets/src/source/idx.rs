//! IDX files, as MNIST and Fashion-MNIST have them: images and labels apart, as they are or under gzip.

use crate::{
    Error, Result, regular_file,
    stored::{Data, Planes, Stored},
};
use flate2::read::GzDecoder;
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The most bytes of a file as it is and unpacked. MNIST's training images have 47 million.
const MAX_FILE: u64 = 1 << 30;

/// The files of both splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idx {
    train: Pair,
    test: Pair,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// The files in a folder, if they are there: `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte.gz`, …; or in `raw/` below it, where
/// torchvision puts them.
pub(crate) fn find(folder: &Path) -> Option<Idx> {
    find_in(folder).or_else(|| find_in(&folder.join("raw")))
}

fn find_in(folder: &Path) -> Option<Idx> {
    let file = |stem: &str, kind: &str| {
        let names =
            ["-", "."].into_iter().flat_map(|dash| ["", ".gz"].map(|end| format!("{stem}{dash}{kind}-ubyte{end}")));
        names.map(|name| folder.join(name)).find(|path| path.is_file())
    };
    let pair = |split: &str| {
        Some(Pair {
            images: file(&format!("{split}-images"), "idx3")?,
            labels: file(&format!("{split}-labels"), "idx1")?,
        })
    };
    Some(Idx { train: pair("train")?, test: pair("t10k").or_else(|| pair("test"))? })
}

impl Idx {
    /// The files that are read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        [&self.train, &self.test].into_iter().flat_map(|pair| [pair.images.clone(), pair.labels.clone()]).collect()
    }

    /// The images of both splits.
    pub(crate) fn read(&self) -> Result<(Vec<Stored>, Vec<Stored>)> {
        Ok((self.train.read()?, self.test.read()?))
    }
}

impl Pair {
    fn read(&self) -> Result<Vec<Stored>> {
        let labels = unpacked(&self.labels)?;
        let (sizes, labels) = parse::<1>(&self.labels, &labels)?;
        let mut images = unpacked(&self.images)?;
        let ([count, height, width], pixels) = parse::<3>(&self.images, &images)?;
        let header = images.len() - pixels.len();
        if sizes != [count] {
            return Err(Error::Corrupt {
                path: self.images.clone(),
                problem: format!("it has {count} images, and {} has {} labels", self.labels.display(), sizes[0]),
            });
        }
        images.drain(..header);
        let (path, bytes) = (Arc::new(self.images.clone()), Arc::new(images));
        let form = Planes { channels: 1, height, width };
        let image = |(row, &label): (usize, &u8)| {
            let (file, bytes) = (Arc::clone(&path), Arc::clone(&bytes));
            Stored { data: Data::Planes { file, row, bytes, offset: row * form.bytes(), form }, label: label.into() }
        };
        Ok(labels.iter().enumerate().map(image).collect())
    }
}

/// The bytes of a file, taken from under gzip if it has that.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let gone = || Error::Io { path: path.into(), source: std::io::ErrorKind::NotFound.into() };
    let bytes = regular_file::read(path, MAX_FILE)?.ok_or_else(gone)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(&bytes[..]).take(MAX_FILE + 1).read_to_end(&mut unpacked);
    read.map_err(|error| Error::Corrupt { path: path.into(), problem: format!("its gzip: {error}") })?;
    if unpacked.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge { path: path.into(), found: unpacked.len() as u64, limit: MAX_FILE });
    }
    Ok(unpacked)
}

/// The sizes that the header tells, and the bytes that follow it.
fn parse<'a, const N: usize>(path: &Path, bytes: &'a [u8]) -> Result<([usize; N], &'a [u8])> {
    let corrupt = |problem: String| Error::Corrupt { path: path.into(), problem };
    // Zero, zero, unsigned bytes, the number of sizes.
    let mark = [0, 0, 8, N as u8];
    if !bytes.starts_with(&mark) {
        let found = &bytes[..bytes.len().min(4)];
        return Err(corrupt(format!(
            "it begins with bytes {found:02x?}, and an IDX file of {N} sizes with {mark:02x?}"
        )));
    }
    let (words, rest) = bytes[4..]
        .as_chunks::<4>()
        .0
        .split_at_checked(N)
        .map_or((&[][..], &[][..]), |(words, _)| (words, &bytes[4 + 4 * N..]));
    if words.len() != N {
        return Err(corrupt("it ends within its header".into()));
    }
    let mut sizes = [0; N];
    for (size, word) in sizes.iter_mut().zip(words) {
        *size = u32::from_be_bytes(*word) as usize;
    }
    let expected = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if expected != Some(rest.len()) || sizes.contains(&0) {
        return Err(corrupt(format!("its header tells of sizes {sizes:?}, and {} bytes follow it", rest.len())));
    }
    Ok((sizes, rest))
}
