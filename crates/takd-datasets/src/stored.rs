//! Images as they stand in their source, before they are decoded.

use crate::{Error, Result, regular_file};
use parquet::data_type::ByteArray;
use std::{borrow::Cow, fmt, path::PathBuf, sync::Arc};

/// The most bytes of a file with one image.
pub(crate) const MAX_IMAGE_FILE: u64 = 256 << 20;

/// One image of a split.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) at: At,
    pub(crate) data: Data,
    pub(crate) label: u32,
}

/// Where an image stands, for messages.
#[derive(Debug, Clone)]
pub(crate) enum At {
    /// In a file of its own.
    File(PathBuf),
    /// In the row of this number, from 0, of a file.
    Row(Arc<PathBuf>, usize),
    /// In the member of this name of an archive.
    Member(Arc<PathBuf>, String),
}

/// The bytes of an image, or where they are.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// All of the file: PNG, JPEG, …
    File(PathBuf),
    /// So many bytes of a file, from an offset: PNG, JPEG, …
    Part { file: Arc<PathBuf>, offset: u64, bytes: u64 },
    /// PNG, JPEG, … in memory.
    Encoded(ByteArray),
    /// Bytes of pixels: planes of a channel each, from an offset.
    Planes { bytes: Arc<Vec<u8>>, offset: usize, form: Planes },
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
pub(crate) const PIECE: usize = 1024;

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
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Member(path, member) => path.join(member).display().fmt(f),
            Self::Row(path, row) => write!(f, "{}, row {row} (from 0)", path.display()),
        }
    }
}

impl At {
    /// The error that this image has a problem.
    pub(crate) fn error(&self, problem: String) -> Error {
        match self {
            Self::File(path) => Error::Picture { path: path.clone(), problem },
            Self::Member(path, member) => Error::Picture { path: path.join(member), problem },
            Self::Row(path, row) => Error::Row { path: path.to_path_buf(), row: *row, problem },
        }
    }
}

impl Data {
    /// The bytes of an encoded image, or nothing if its pixels are here.
    pub(crate) fn encoded(&self) -> Result<Option<Cow<'_, [u8]>>> {
        match self {
            Self::File(path) => {
                let missing = || Error::Picture { path: path.clone(), problem: "it is gone".into() };
                Ok(Some(Cow::Owned(regular_file::read(path, MAX_IMAGE_FILE)?.ok_or_else(missing)?)))
            }
            Self::Part { file, offset, bytes } => Ok(Some(Cow::Owned(regular_file::read_part(file, *offset, *bytes)?))),
            Self::Encoded(bytes) => Ok(Some(Cow::Borrowed(bytes.data()))),
            Self::Planes { .. } => Ok(None),
        }
    }
}

impl Stored {
    /// The file that holds it alone.
    pub(crate) fn into_file(self) -> Option<PathBuf> {
        match self.data {
            Data::File(path) => Some(path),
            _ => None,
        }
    }
}
