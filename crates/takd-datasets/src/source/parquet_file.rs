//! Parquet files: images as PNG, JPEG, … in one column and their labels in another, as the hub has them.

use super::{
    cifar_archive::label_of,
    parquet_claims::{self, Chunk},
    shared_file::Shared,
};
use crate::{
    Error, Known, Result, guard, regular_file,
    stored::{Data, Reader, Rows, Stored},
};
use parquet::{
    basic::{Compression, Type as Physical},
    column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
};
use serde_json::Value as Json;
use std::{
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The most bytes of a parquet file. CIFAR's have 120 million.
pub(crate) const MAX_FILE: u64 = 4 << 30;

/// What the column of the images may be called, the likeliest first.
const IMAGES: [&str; 4] = ["img.bytes", "image.bytes", "img", "image"];

/// What the column of the labels may be called, the likeliest first.
fn labels(known: Option<Known>) -> &'static [&'static str] {
    match known {
        // It has a `coarse_label` too.
        Some(Known::Cifar100) => &["fine_label"],
        Some(_) => &["label"],
        None => &["label", "fine_label", "labels", "target"],
    }
}

/// The most classes of labels whose names are not told.
const MAX_CLASSES: usize = 1 << 20;

/// Files of one split, opened.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    /// The classes' names, if the files have them.
    pub(crate) class_names: Option<Vec<String>>,
}

/// Whether images are read with their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// They are about to be decoded.
    Read,
    /// It is enough to know where they are.
    Left,
}

/// Opens the files of one split, one after another. `known` says which data set it is, if that is known.
pub(crate) fn open(files: &[PathBuf], known: Option<Known>, bytes: Bytes) -> Result<Opened> {
    let opened: Vec<ParquetFile> = files.iter().map(|path| ParquetFile::open(path, known)).collect::<Result<_>>()?;
    let names: Vec<_> = opened.iter().map(ParquetFile::class_names).collect();
    let class_names = known.map(Known::class_names).or_else(|| names.into_iter().flatten().next());
    let classes = class_names.as_ref().map_or(MAX_CLASSES, Vec::len);
    let total = opened.iter().map(|file| file.rows).sum();
    let pieces = opened.into_iter().flat_map(move |file| {
        let groups = file.firsts.len();
        let mut listed = Listed { file: Arc::new(file), classes, bytes, groups: 0..groups, row: 0, open: None };
        std::iter::from_fn(move || listed.next_piece().transpose())
    });
    Ok(Opened { reader: Reader { total, pieces: Box::new(pieces) }, class_names })
}

/// One opened file, its columns found.
struct ParquetFile {
    path: PathBuf,
    file: Shared,
    reader: SerializedFileReader<Shared>,
    rows: u64,
    /// The first row of each row group.
    firsts: Vec<usize>,
    images: Column,
    labels: Column,
}

impl fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Rows for ParquetFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn image(&self, row: usize) -> Result<ByteArray> {
        let group = self.firsts.partition_point(|&first| first <= row) - 1;
        let part = format!("row {row} (from 0)");
        let image = guarded(|| {
            let mut images = self.image_column(group)?;
            images.skip_records(row - self.firsts[group])?;
            read_column(&mut images, 1)
        });
        let image = image.map_err(|error| corrupt(&self.path, &part, &error))?.pop().flatten();
        image.ok_or_else(|| Error::Row { path: self.path.clone(), row, problem: self.no_image() })
    }
}

/// A column that is read.
struct Column {
    place: usize,
    name: String,
}

/// The labels of a row group.
enum Labels {
    Int32(ColumnReaderImpl<Int32Type>),
    Int64(ColumnReaderImpl<Int64Type>),
}

impl Labels {
    fn read(&mut self, count: usize) -> Result<Vec<Option<i64>>, ParquetError> {
        match self {
            Self::Int32(labels) => {
                Ok(read_column(labels, count)?.into_iter().map(|label| label.map(i64::from)).collect())
            }
            Self::Int64(labels) => read_column(labels, count),
        }
    }
}

/// The columns of a row group, and how many rows of it are yet to be read.
struct Group {
    /// For messages.
    part: String,
    images: Option<ColumnReaderImpl<ByteArrayType>>,
    labels: Labels,
    left: usize,
}

/// The images of a file, a piece after another: memory holds one piece.
struct Listed {
    file: Arc<ParquetFile>,
    classes: usize,
    bytes: Bytes,
    groups: Range<usize>,
    /// The next row.
    row: usize,
    open: Option<Group>,
}

/// Images of a piece: those that are read are all in memory.
const PIECE: usize = 256;

impl Listed {
    fn next_piece(&mut self) -> Result<Option<Vec<Stored>>> {
        let file = Arc::clone(&self.file);
        let mut group = loop {
            match self.open.take() {
                Some(group) if group.left > 0 => break group,
                _ => match self.groups.next() {
                    Some(group) => self.open = Some(file.open_group(group, self.bytes)?),
                    None => return Ok(None),
                },
            }
        };
        let count = group.left.min(PIECE);
        let read = guarded(|| {
            let images = group.images.as_mut().map(|images| read_column(images, count)).transpose()?;
            Ok((images, group.labels.read(count)?))
        });
        let (images, labels) = read.map_err(|error| corrupt(&file.path, &group.part, &error))?;
        let images_read = images.as_ref().map_or(count, Vec::len);
        if (images_read, labels.len()) != (count, count) {
            return Err(file.corrupt(format!(
                "{}: {images_read} images and {} labels where {count} more rows are told",
                group.part,
                labels.len()
            )));
        }
        let mut images = images.into_iter().flatten();
        let first = self.row;
        let stored = labels.into_iter().enumerate().map(|(offset, label)| {
            let row = first + offset;
            let wrong = |problem| Error::Row { path: file.path.clone(), row, problem };
            let label = label.ok_or_else(|| wrong(format!("{} is null", file.labels.name)))?;
            let label = label_of(label, self.classes).map_err(wrong)?;
            let bytes = match self.bytes {
                Bytes::Read => Some(images.next().flatten().ok_or_else(|| wrong(file.no_image()))?),
                Bytes::Left => None,
            };
            Ok(Stored { data: Data::Row { file: Arc::clone(&file) as Arc<dyn Rows>, row, bytes }, label })
        });
        let piece = stored.collect::<Result<Vec<_>>>()?;
        self.row += count;
        group.left -= count;
        self.open = Some(group);
        Ok(Some(piece))
    }
}

impl ParquetFile {
    fn open(path: &Path, known: Option<Known>) -> Result<Self> {
        let mut file = regular_file::open(path, MAX_FILE)?;
        let length = check_ends(path, &mut file)?;
        let claims = parquet_claims::check_footer(&mut file, length);
        claims.map_err(|problem| Error::Corrupt { path: path.into(), problem })?;
        let file = Shared::new(file, length);
        let reader =
            guarded(|| SerializedFileReader::new(file.clone())).map_err(|error| corrupt(path, "its footer", &error))?;
        let images = find_column(path, &reader, &IMAGES, &[Physical::BYTE_ARRAY], "its images")?;
        let labels = find_column(path, &reader, labels(known), &[Physical::INT64, Physical::INT32], "their labels")?;
        let mut opened = Self { path: path.into(), file, reader, rows: 0, firsts: Vec::new(), images, labels };
        opened.rows = opened.check_rows()?;
        let mut first = 0;
        for group in opened.reader.metadata().row_groups() {
            opened.firsts.push(first);
            // The numbers have been checked above.
            first += group.num_rows() as usize;
        }
        opened.check_column_places(length)?;
        Ok(opened)
    }

    fn corrupt(&self, problem: String) -> Error {
        Error::Corrupt { path: self.path.clone(), problem }
    }

    /// How many rows the file has, if its parts agree on that.
    fn check_rows(&self) -> Result<u64> {
        let metadata = self.reader.metadata();
        let told = metadata.file_metadata().num_rows();
        let groups = metadata.row_groups();
        let sum = groups.iter().try_fold(0i64, |sum, group| {
            let rows = group.num_rows();
            if rows < 0 { None } else { sum.checked_add(rows) }
        });
        match u64::try_from(told) {
            Ok(rows) if sum == Some(told) => Ok(rows),
            _ => Err(self.corrupt(format!(
                "its footer tells of {told} rows, and its {} row groups of {}",
                groups.len(),
                sum.map_or("an impossible number".into(), |sum| sum.to_string())
            ))),
        }
    }

    /// Refuses a footer that puts a part of the two columns outside of the file; the parquet library does not check that.
    fn check_column_places(&self, length: u64) -> Result<()> {
        for group in 0..self.reader.num_row_groups() {
            for column in [&self.images, &self.labels] {
                let chunk = self.chunk(group, column)?;
                if chunk.end > length {
                    return Err(Error::Truncated {
                        path: self.path.clone(),
                        found: length,
                        expected: format!(
                            "but its footer says that column `{}` ends at byte {}",
                            column.name, chunk.end
                        ),
                    });
                }
                if !matches!(
                    chunk.codec,
                    Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_)
                ) {
                    return Err(Error::Codec { path: self.path.clone(), codec: chunk.codec.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Where a column of a row group is.
    fn chunk(&self, group: usize, column: &Column) -> Result<Chunk> {
        let row_group = self.reader.metadata().row_group(group);
        let meta = row_group.column(column.place);
        let wrong = || {
            self.corrupt(format!(
                "its footer puts column `{}` of row group {group} (from 0) at an impossible place",
                column.name
            ))
        };
        let start = meta.dictionary_page_offset().unwrap_or(meta.data_page_offset());
        let start = u64::try_from(start).map_err(|_| wrong())?;
        let bytes = u64::try_from(meta.compressed_size()).map_err(|_| wrong())?;
        let end = start.checked_add(bytes).ok_or_else(wrong)?;
        let rows = u64::try_from(row_group.num_rows()).map_err(|_| wrong())?;
        Ok(Chunk { start, end, codec: meta.compression(), rows })
    }

    /// The columns of a row group.
    fn open_group(&self, group: usize, bytes: Bytes) -> Result<Group> {
        let part = format!("row group {group} (from 0)");
        for column in [&self.images, &self.labels] {
            let chunk = self.chunk(group, column)?;
            let pages = parquet_claims::check_pages(&mut self.file.at(0), chunk);
            pages.map_err(|problem| self.corrupt(format!("column `{}` of {part}: {problem}", column.name)))?;
        }
        let columns = guarded(|| {
            let images = (bytes == Bytes::Read).then(|| self.image_column(group)).transpose()?;
            let labels = match self.reader.get_row_group(group)?.get_column_reader(self.labels.place)? {
                ColumnReader::Int32ColumnReader(labels) => Labels::Int32(labels),
                labels => Labels::Int64(get_typed_column_reader(labels)),
            };
            Ok((images, labels))
        });
        let (images, labels) = columns.map_err(|error| corrupt(&self.path, &part, &error))?;
        let left = self.reader.metadata().row_group(group).num_rows() as usize;
        Ok(Group { part, images, labels, left })
    }

    fn image_column(&self, group: usize) -> Result<ColumnReaderImpl<ByteArrayType>, ParquetError> {
        Ok(get_typed_column_reader(self.reader.get_row_group(group)?.get_column_reader(self.images.place)?))
    }

    /// What is wrong where an image is null.
    fn no_image(&self) -> String {
        let path = self.images.name.replace(".bytes", ".path");
        let schema = self.reader.metadata().file_metadata().schema_descr();
        if path != self.images.name && schema.columns().iter().any(|column| column.path().string() == path) {
            return format!(
                "{} is null: the file may have paths of images (`{path}`) in place of them; write it again with the images \
                 inside, as `push_to_hub` and `table.embed_table_storage` of Python's `datasets` do",
                self.images.name
            );
        }
        format!("{} is null", self.images.name)
    }

    /// The classes' names, as Python's `datasets` keeps them in the file.
    fn class_names(&self) -> Option<Vec<String>> {
        let pairs = self.reader.metadata().file_metadata().key_value_metadata()?;
        let json = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()?;
        let json: Json = serde_json::from_str(json).ok()?;
        let names = json["info"]["features"][&self.labels.name]["names"].as_array()?;
        let names: Option<Vec<String>> = names.iter().map(|name| Some(name.as_str()?.to_owned())).collect();
        names.filter(|names| !names.is_empty())
    }
}

/// The next `count` values of a column without lists, its nulls as `None`; fewer if it ends before.
fn read_column<T: DataType>(column: &mut ColumnReaderImpl<T>, count: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut rows = Vec::new();
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    while rows.len() < count {
        levels.clear();
        values.clear();
        let (records, found, read) = column.read_records(count - rows.len(), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.drain(..);
        if found == records {
            rows.extend(values.map(Some));
        } else {
            let present = levels.iter().copied().max().unwrap_or(0);
            rows.extend(levels[..read].iter().map(|&level| if level == present { values.next() } else { None }));
        }
    }
    Ok(rows)
}

/// Whether the file begins and ends as a parquet file does: the end is what a broken-off copy lacks. Its length in bytes.
fn check_ends(path: &Path, file: &mut File) -> Result<u64> {
    const MARK: [u8; 4] = *b"PAR1";
    let io = |source| Error::Io { path: path.into(), source };
    let length = file.metadata().map_err(io)?.len();
    let mut mark = [0; 4];
    if length >= 4 {
        file.read_exact(&mut mark).map_err(io)?;
        if mark != MARK {
            return Err(Error::Corrupt {
                path: path.into(),
                problem: format!("it begins with bytes {mark:02x?}, not with parquet's PAR1"),
            });
        }
    }
    let ended = length >= 12 && {
        file.seek(SeekFrom::End(-4)).map_err(io)?;
        file.read_exact(&mut mark).map_err(io)?;
        mark == MARK
    };
    if !ended {
        return Err(Error::Truncated {
            path: path.into(),
            found: length,
            expected: "the last four of which are not the closing mark PAR1".into(),
        });
    }
    Ok(length)
}

/// The first of these columns that is there in one of these types.
fn find_column(
    path: &Path,
    reader: &SerializedFileReader<Shared>,
    names: &[&str],
    types: &[Physical],
    what: &'static str,
) -> Result<Column> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let column = |name: &&str| {
        let place = schema.columns().iter().position(|column| {
            column.path().string() == **name && column.max_rep_level() == 0 && types.contains(&column.physical_type())
        })?;
        Some(Column { place, name: (*name).to_owned() })
    };
    names.iter().find_map(column).ok_or_else(|| Error::Column {
        path: path.into(),
        what,
        wanted: names.iter().map(|name| format!("`{name}` ({})", types[0])).collect(),
        found: schema
            .columns()
            .iter()
            .map(|column| format!("`{}` ({})", column.path().string().escape_debug(), column.physical_type()))
            .collect(),
    })
}

/// Runs the parquet library, which panics at some damage.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    guard::guarded(read, ParquetError::General)
}

fn corrupt(path: &Path, part: &str, error: &ParquetError) -> Error {
    Error::Corrupt { path: path.into(), problem: format!("{part}: {error}") }
}
