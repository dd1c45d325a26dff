//! Creating and continuing an event file.

use crate::event::{self, Event, Summary, Value};
use crate::{Error, Result, record};
use prost::Message;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A scalar's tag has at most this many bytes.
///
/// A record is then smaller than the write buffer and enters it whole. So a full disk takes an event or refuses it, and
/// whatever is written later follows a whole event.
pub const MAX_TAG_BYTES: usize = 1024;

/// Writes scalars to an event file. A file must have one writer only; nothing prevents a second one.
///
/// Scalars are buffered. Dropping the writer writes them too, but only [`flush`](Self::flush) says whether that succeeded.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts a new file, which must not exist yet, with the version event. Its folder must exist.
    ///
    /// TensorBoard orders runs by `wall_time_s`, the seconds since the start of 1970.
    pub fn create(path: &Path, wall_time_s: f64) -> Result<Self> {
        check_name(path)?;
        let create = || {
            let mut file = File::create_new(path)?;
            file.write_all(&event::version_record(wall_time_s))?;
            // A file that has lost its beginning is not an event file any more, so this must survive a power failure.
            file.sync_all()?;
            Ok(file)
        };
        create().map(|file| Self::new(path, file)).map_err(Error::io("create", path))
    }

    /// Continues a file after `last_step`: later events are removed, because the training will repeat those steps;
    /// `i64::MAX` keeps all events. If there is no file yet, it is created; only then is `wall_time_s` used.
    ///
    /// Everything from the first torn or damaged record on is cut off; TensorBoard would not read it either. What is kept,
    /// events of other kinds included, stays the same byte for byte. The file is cut in one step, or replaced as a whole if
    /// removed events lie between kept ones: if the program is killed, the file is as it was or as it should become.
    pub fn resume(path: &Path, last_step: i64, wall_time_s: f64) -> Result<Self> {
        check_name(path)?;
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::create(path, wall_time_s),
            read => read.map_err(Error::io("read", path))?,
        };
        let mut kept = Vec::new();
        for (index, (record, event)) in event::events(path, &bytes)?.enumerate() {
            // The version stays, whatever the step.
            if index == 0 || event.step <= last_step {
                kept.extend_from_slice(record);
            }
        }
        if kept.is_empty() {
            kept = event::version_record(wall_time_s);
        }
        let file = if bytes.starts_with(&kept) { cut(path, kept.len() as u64) } else { replace(path, &kept) };
        file.map(|file| Self::new(path, file)).map_err(Error::io("resume", path))
    }

    /// Adds a point to the curve called `tag`, measured `wall_time_s` seconds after the start of 1970.
    pub fn scalar(&mut self, tag: &str, value: f32, step: i64, wall_time_s: f64) -> Result<()> {
        if !(1..=MAX_TAG_BYTES).contains(&tag.len()) {
            return Err(Error::Tag { path: self.path.clone(), bytes: tag.len() });
        }
        let summary = Summary { value: vec![Value { tag: tag.to_owned(), simple_value: Some(value) }] };
        let event = Event { wall_time: wall_time_s, step, summary: Some(summary), ..Event::default() };
        self.file.write_all(&record::to_record(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }

    /// Hands all scalars to the operating system: a running TensorBoard sees them, and they survive if the program is killed.
    ///
    /// Call it before each checkpoint: scalars of steps before the checkpoint that are lost are never written again.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }

    fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), file: BufWriter::new(file) }
    }
}

/// TensorBoard finds files by their name (`tensorboard/backend/event_processing/io_wrapper.py`).
fn check_name(path: &Path) -> Result<()> {
    let fits = path.file_name().is_some_and(|name| name.to_string_lossy().contains("tfevents"));
    if fits { Ok(()) } else { Err(Error::Name { path: path.to_owned() }) }
}

/// The file, cut to its first `length` bytes. It is cut in place because a TensorBoard that has it open reads on at its
/// position, which is between two records again once the same scalars have been written again.
fn cut(path: &Path, length: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// A file of `bytes` that takes the place of the one at `path`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    file.as_file().set_permissions(fs::metadata(path)?.permissions())?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file.persist(path)?)
}
