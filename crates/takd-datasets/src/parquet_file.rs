//! Reading one split from parquet files in the hub's layout: images as PNG or JPEG bytes, and their labels.

use crate::{
    DatasetName, Error, Images, Progress, Result, Split, Stage,
    encoded_image::{self, SIDE},
    layout::{IMAGE_COLUMN, label_column},
    lookup::MAX_PARQUET_BYTES,
    regular_file,
};
use parquet::{
    basic::Type as Physical,
    column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::ParquetError,
    file::reader::{FileReader, RowGroupReader, SerializedFileReader},
};
use rayon::prelude::*;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

const IMAGE_BYTES: usize = SIDE * SIDE * 3;
/// Rows decoded between two reports of progress.
const ROWS_AT_A_TIME: usize = 1024;

/// Reads the files one after another into one split.
pub(crate) fn read(
    name: DatasetName,
    split: Split,
    files: &[PathBuf],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Images> {
    let opened: Vec<ParquetFile<'_>> = files.iter().map(|path| ParquetFile::open(name, path)).collect::<Result<_>>()?;
    let total: u64 = opened.iter().map(ParquetFile::rows).sum();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut report = |done: usize| {
        progress(Progress { stage: Stage::Decode, what: split.as_str(), done: done as u64, total });
    };
    report(0);
    for file in &opened {
        file.read(&mut pixels, &mut labels, &mut report)?;
    }
    if labels.is_empty() {
        return Err(Error::Empty { name, split });
    }
    Images::new(pixels, labels, SIDE, SIDE)
}

/// One opened file, its columns found.
struct ParquetFile<'a> {
    name: DatasetName,
    path: &'a Path,
    reader: SerializedFileReader<File>,
    bytes_column: usize,
    label_column: usize,
}

impl<'a> ParquetFile<'a> {
    fn open(name: DatasetName, path: &'a Path) -> Result<Self> {
        let mut file = regular_file::open(path, MAX_PARQUET_BYTES)?;
        let length = check_ends(path, &mut file)?;
        let reader =
            guarded(|| SerializedFileReader::new(file)).map_err(|error| corrupt(path, "its footer", &error))?;
        let bytes_column = find_column(name, path, &reader, IMAGE_COLUMN, &[Physical::BYTE_ARRAY])?;
        let label_column = find_column(name, path, &reader, label_column(name), &[Physical::INT64, Physical::INT32])?;
        let opened = Self { name, path, reader, bytes_column, label_column };
        opened.check_column_places(length)?;
        Ok(opened)
    }

    /// Refuses a footer that puts a part of the two columns outside of the file; the parquet library does not check that.
    fn check_column_places(&self, length: u64) -> Result<()> {
        for (group, row_group) in self.reader.metadata().row_groups().iter().enumerate() {
            for column in [self.bytes_column, self.label_column] {
                let column = row_group.column(column);
                let wrong = || Error::Corrupt {
                    path: self.path.into(),
                    problem: format!(
                        "its footer puts column `{}` of row group {group} (from 0) at an impossible place",
                        column.column_path().string()
                    ),
                };
                let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
                let start = u64::try_from(start).map_err(|_| wrong())?;
                let bytes = u64::try_from(column.compressed_size()).map_err(|_| wrong())?;
                let end = start.checked_add(bytes).ok_or_else(wrong)?;
                if end > length {
                    return Err(Error::Truncated {
                        path: self.path.into(),
                        found: length,
                        expected: format!(
                            "but its footer says that column `{}` ends at byte {end}",
                            column.column_path().string()
                        ),
                    });
                }
            }
        }
        Ok(())
    }

    /// How many rows the file says it has.
    fn rows(&self) -> u64 {
        self.reader.metadata().file_metadata().num_rows().try_into().unwrap_or(0)
    }

    fn read(&self, pixels: &mut Vec<u8>, labels: &mut Vec<u32>, report: &mut dyn FnMut(usize)) -> Result<()> {
        let mut first_row = 0;
        for group in 0..self.reader.num_row_groups() {
            let wrong = |error: &ParquetError| corrupt(self.path, &format!("row group {group} (from 0)"), error);
            let (images, classes) = guarded(|| {
                let group = self.reader.get_row_group(group)?;
                Ok((self.images(&*group)?, self.labels(&*group)?))
            })
            .map_err(|error| wrong(&error))?;
            if images.len() != classes.len() {
                return Err(wrong(&ParquetError::General(format!(
                    "{} images but {} labels",
                    images.len(),
                    classes.len()
                ))));
            }
            for (images, classes) in images.chunks(ROWS_AT_A_TIME).zip(classes.chunks(ROWS_AT_A_TIME)) {
                self.decode(first_row, images, classes, pixels, labels)?;
                first_row += images.len();
                report(labels.len());
            }
        }
        Ok(())
    }

    fn images(&self, group: &dyn RowGroupReader) -> Result<Vec<Option<ByteArray>>, ParquetError> {
        let column = group.get_column_reader(self.bytes_column)?;
        read_column::<ByteArrayType>(get_typed_column_reader(column))
    }

    fn labels(&self, group: &dyn RowGroupReader) -> Result<Vec<Option<i64>>, ParquetError> {
        match group.get_column_reader(self.label_column)? {
            ColumnReader::Int32ColumnReader(column) => {
                Ok(read_column::<Int32Type>(column)?.into_iter().map(|label| label.map(i64::from)).collect())
            }
            column => read_column::<Int64Type>(get_typed_column_reader(column)),
        }
    }

    /// Appends some rows, decoded on all cores.
    fn decode(
        &self,
        first_row: usize,
        images: &[Option<ByteArray>],
        classes: &[Option<i64>],
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<()> {
        let at =
            |offset: usize, problem: String| Error::Row { path: self.path.into(), row: first_row + offset, problem };
        for (offset, class) in classes.iter().enumerate() {
            let column = label_column(self.name);
            let classes = self.name.classes();
            match *class {
                Some(class) if (0..classes as i64).contains(&class) => labels.push(class as u32),
                Some(class) => {
                    let problem = format!("{column} is {class}, but {} has 0 to {}", self.name, classes - 1);
                    return Err(at(offset, problem));
                }
                None => return Err(at(offset, format!("{column} is null"))),
            }
        }
        let start = pixels.len();
        pixels.resize(start + images.len() * IMAGE_BYTES, 0);
        pixels[start..].par_chunks_exact_mut(IMAGE_BYTES).zip(images).enumerate().try_for_each(
            |(offset, (pixels, bytes))| match bytes {
                Some(bytes) => encoded_image::decode(bytes.data(), pixels).map_err(|problem| at(offset, problem)),
                None => Err(at(offset, format!("{IMAGE_COLUMN} is null"))),
            },
        )
    }
}

/// All values of a column without lists, its nulls as `None`.
fn read_column<T: DataType>(mut column: ColumnReaderImpl<T>) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut rows = Vec::new();
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let (records, found, read) = column.read_records(ROWS_AT_A_TIME, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(rows);
        }
        let mut values = values.drain(..);
        if found == records {
            rows.extend(values.map(Some));
        } else {
            let present = levels.iter().copied().max().unwrap_or(0);
            rows.extend(levels[..read].iter().map(|&level| if level == present { values.next() } else { None }));
        }
    }
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
    file.rewind().map_err(io)?;
    Ok(length)
}

fn find_column(
    name: DatasetName,
    path: &Path,
    reader: &SerializedFileReader<File>,
    wanted: &str,
    types: &[Physical],
) -> Result<usize> {
    let schema = reader.metadata().file_metadata().schema_descr();
    schema
        .columns()
        .iter()
        .position(|column| {
            column.path().string() == wanted && column.max_rep_level() == 0 && types.contains(&column.physical_type())
        })
        .ok_or_else(|| Error::Column {
            path: path.into(),
            name,
            wanted: format!("`{wanted}` ({})", types[0]),
            found: schema
                .columns()
                .iter()
                .map(|column| format!("`{}` ({})", column.path().string(), column.physical_type()))
                .collect(),
        })
}

/// Runs the parquet library on bytes that may be anything. It answers some damage with a panic instead of an error; a panic
/// becomes an error here.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("the reader gave up");
        Err(ParquetError::General(message.to_string()))
    })
}

fn corrupt(path: &Path, part: &str, error: &ParquetError) -> Error {
    Error::Corrupt { path: path.into(), problem: format!("{part}: {error}") }
}
