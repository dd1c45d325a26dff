//! Images as they stand in their source, before they are decoded.

use crate::{
    Error, Result,
    picture::Picture,
    regular_file::{self, Stamp},
};
use parquet::data_type::ByteArray;
use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The most bytes of a file with one image.
pub(crate) const MAX_IMAGE_FILE: u64 = 256 << 20;

/// One image of a split.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) data: Data,
    pub(crate) label: u32,
}

/// Where an image is, and its bytes if they are in memory. Small, since there are as many as images.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// All of the file: PNG, JPEG, …
    File { path: Box<Path>, stamp: Option<Stamp> },
    /// So many bytes of a file, from an offset, which are the member of this name: PNG, JPEG, …
    Part { file: Arc<Whole>, member: Box<str>, offset: u64, bytes: u64 },
    /// PNG, JPEG, … in a row of a file; its bytes, if they have just been read.
    Row { file: Arc<dyn Rows>, row: usize, bytes: Option<ByteArray> },
    /// Pixels in memory, planes of a channel each, from an offset: those of this row of a file.
    Planes { file: Arc<PathBuf>, row: usize, bytes: Arc<Vec<u8>>, offset: usize, form: Planes },
}

/// A file with many images, and how it looked when they were listed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Option<Stamp>,
}

/// A file whose rows hold images, to be read in any order.
pub(crate) trait Rows: fmt::Debug + Send + Sync {
    /// The file.
    fn path(&self) -> &Path;
    /// The encoded image in a row.
    fn image(&self, row: usize) -> Result<ByteArray>;
}

impl PartialEq for Data {
    /// Whether both are at the same place.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path: a, stamp }, Self::File { path: b, stamp: other }) => a == b && stamp == other,
            (Self::Part { file: a, offset, .. }, Self::Part { file: b, offset: other, .. }) => {
                a == b && offset == other
            }
            (Self::Row { file: a, row, .. }, Self::Row { file: b, row: other, .. }) => {
                a.path() == b.path() && row == other
            }
            (Self::Planes { file: a, row, .. }, Self::Planes { file: b, row: other, .. }) => a == b && row == other,
            _ => false,
        }
    }
}

/// The form of an image that is not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planes {
    /// 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Planes {
    /// Bytes of an image.
    pub(crate) fn bytes(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// The images of a split, some at a time in their order.
pub(crate) struct Reader {
    /// How many there are.
    pub(crate) total: u64,
    pub(crate) pieces: Box<dyn Iterator<Item = Result<Vec<Stored>>>>,
}

/// How many images a piece has, at most.
const PIECE: usize = 1024;

impl Reader {
    /// Of images whose places are all known.
    pub(crate) fn of(images: Vec<Stored>) -> Self {
        let total = images.len() as u64;
        let mut images = images.into_iter();
        let pieces = std::iter::from_fn(move || {
            let piece: Vec<Stored> = images.by_ref().take(PIECE).collect();
            (!piece.is_empty()).then_some(Ok(piece))
        });
        Self { total, pieces: Box::new(pieces) }
    }

    /// The images named by `chosen`, which rise, in their order.
    pub(crate) fn only(self, chosen: Vec<usize>) -> Self {
        let total = chosen.len() as u64;
        let mut chosen = chosen.into_iter().peekable();
        let mut first = 0;
        let pieces = self.pieces.map(move |piece| {
            let piece = piece?;
            let end = first + piece.len();
            let places = std::iter::from_fn(|| chosen.next_if(|&index| index < end)).map(|index| index - first);
            let some = places.map(|place| piece[place].clone()).collect();
            first = end;
            Ok(some)
        });
        Self { total, pieces: Box::new(pieces) }
    }
}

impl Data {
    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Part { file, member, .. } => file.path.join(&**member).display().to_string(),
            Self::Row { file, row, .. } => row_of(file.path(), *row),
            Self::Planes { file, row, .. } => row_of(file, *row),
        }
    }

    /// The error that this image has a problem.
    pub(crate) fn error(&self, problem: String) -> Error {
        match self {
            Self::File { path, .. } => Error::Picture { path: path.to_path_buf(), problem },
            Self::Part { file, member, .. } => Error::Picture { path: file.path.join(&**member), problem },
            Self::Row { file, row, .. } => Error::Row { path: file.path().to_path_buf(), row: *row, problem },
            Self::Planes { file, row, .. } => Error::Row { path: file.to_path_buf(), row: *row, problem },
        }
    }

    /// Whether it stays where it is until it is asked for.
    pub(crate) fn is_in_file(&self) -> bool {
        !matches!(self, Self::Planes { .. })
    }

    /// The same, without the bytes of a file that have just been read.
    pub(crate) fn unread(&self) -> Self {
        match self {
            Self::Row { file, row, .. } => Self::Row { file: Arc::clone(file), row: *row, bytes: None },
            other => other.clone(),
        }
    }

    /// The image, if its pixels are here.
    pub(crate) fn planes(&self) -> Option<Picture> {
        let Self::Planes { bytes, offset, form, .. } = self else { return None };
        let plane = form.height * form.width;
        let bytes = &bytes[*offset..][..form.bytes()];
        let mut pixels = Vec::with_capacity(3 * plane);
        for place in 0..plane {
            pixels.extend([0, 1, 2].map(|channel| bytes[place + if form.channels == 3 { channel * plane } else { 0 }]));
        }
        Some(Picture::new(pixels, form.height, form.width))
    }

    /// The bytes of an encoded image, or nothing if its pixels are here.
    pub(crate) fn encoded(&self) -> Result<Option<Cow<'_, [u8]>>> {
        match self {
            Self::File { path, stamp } => {
                Ok(Some(Cow::Owned(regular_file::read_unchanged(path, MAX_IMAGE_FILE, *stamp)?)))
            }
            Self::Part { file, offset, bytes, .. } => {
                Ok(Some(Cow::Owned(regular_file::read_part(&file.path, file.stamp, *offset, *bytes)?)))
            }
            Self::Row { bytes: Some(bytes), .. } => Ok(Some(Cow::Borrowed(bytes.data()))),
            Self::Row { file, row, bytes: None } => Ok(Some(Cow::Owned(file.image(*row)?.data().to_vec()))),
            Self::Planes { .. } => Ok(None),
        }
    }
}

fn row_of(file: &Path, row: usize) -> String {
    format!("{}, row {row} (from 0)", file.display())
}

impl Stored {
    /// The same, without bytes that have just been read.
    pub(crate) fn unread(&self) -> Self {
        Self { data: self.data.unread(), label: self.label }
    }

    /// The file that holds it alone.
    pub(crate) fn into_file(self) -> Option<PathBuf> {
        match self.data {
            Data::File { path, .. } => Some(path.into_path_buf()),
            _ => None,
        }
    }
}
