//! How a run ended.

use crate::file::expect_kind;
use crate::names::{ENDING, JOURNAL, is_file_name, limits};
use crate::{Claim, Error, Extent, FileKind, Result, RunId, read_file, seal};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending<O> {
    /// It came to its end, with this outcome.
    Finished(O),
    /// It failed by itself, for this reason, and would again: its outcome is a function of its configuration.
    Failed(String),
    /// It was asked to stop, and goes on when it is started again.
    Stopped,
}

/// What `ending.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndingFile<O> {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub ending: Ending<O>,
    /// The journal then.
    pub journal: Extent,
    /// Files without which the ending does not count.
    pub files: Vec<Expected>,
}

/// A file that must be there, with its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The file's name in the run's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// What is written: as [`EndingFile`], borrowed.
#[derive(Serialize)]
struct Written<'a, O> {
    run: &'a RunId,
    ending: &'a Ending<O>,
    journal: &'a Extent,
    files: Vec<Expected>,
}

impl Claim {
    /// Keeps how the run ended. `journal` is the journal's extent now. The ending counts as long as the files called
    /// `files` are there with the lengths that they have now; they are not hashed.
    ///
    /// # Errors
    /// If one of the files is not there, the outcome could not be read again as it is written (a number that is not
    /// finite cannot), or as [`Claim::write`].
    pub fn end<O: Serialize + DeserializeOwned>(
        &self,
        ending: &Ending<O>,
        journal: &Extent,
        files: &[&str],
    ) -> Result<()> {
        let measured = files.iter().map(|&name| {
            let bytes = length(self.dir(), name)?.ok_or_else(|| Error::damaged(&self.path(name), "it is gone"))?;
            Ok(Expected { name: name.to_owned(), bytes })
        });
        let files = measured.collect::<Result<Vec<Expected>>>()?;
        let path = self.path(ENDING);
        let bytes = seal::to_json(&Written { run: self.id(), ending, journal, files })?;
        if bytes.len() as u64 > limits::ENDING {
            return Err(Error::TooLarge { path, limit: limits::ENDING });
        }
        if let Err(error) = seal::from_json::<EndingFile<O>>(&path, &bytes) {
            return Err(Error::unwritable(error));
        }
        self.write(ENDING, &bytes)
    }

    /// Deletes how the run ended, before it goes on or is begun anew.
    ///
    /// # Errors
    /// As [`Claim::remove`].
    pub fn clear_ending(&self) -> Result<()> {
        self.remove(ENDING)
    }
}

/// What the run's `ending.json` in `dir` holds; nothing if there is none.
pub(crate) fn read<O: DeserializeOwned>(dir: &Path, id: &RunId) -> Result<Option<EndingFile<O>>> {
    let path = dir.join(ENDING);
    let Some(bytes) = read_file(&path, limits::ENDING)? else { return Ok(None) };
    let file: EndingFile<O> = seal::from_json(&path, &bytes)?;
    if file.run != *id {
        return Err(Error::damaged(&path, format!("it belongs to run {}", file.run)));
    }
    match file.files.iter().find(|file| !is_file_name(&file.name)) {
        Some(Expected { name, .. }) => {
            Err(Error::damaged(&path, format!("it names `{name}`, which is no file's name")))
        }
        None => Ok(Some(file)),
    }
}

/// Fails unless the files that the ending needs are there with their lengths.
pub(crate) fn check_files<O>(dir: &Path, file: &EndingFile<O>) -> Result<()> {
    file.files.iter().try_for_each(|Expected { name, bytes }| check_length(dir, name, *bytes))
}

/// Fails unless the journal has the length that it had at the end.
pub(crate) fn check_journal_length<O>(dir: &Path, file: &EndingFile<O>) -> Result<()> {
    match length(dir, JOURNAL)? {
        // Whether there is an empty one makes no difference.
        None if file.journal.bytes == 0 => Ok(()),
        _ => check_length(dir, JOURNAL, file.journal.bytes),
    }
}

fn check_length(dir: &Path, name: &str, bytes: u64) -> Result<()> {
    let problem = match length(dir, name)? {
        Some(found) if found == bytes => return Ok(()),
        Some(found) => format!("it has {found} bytes, and had {bytes} when its run ended"),
        None => "it is gone".to_owned(),
    };
    Err(Error::damaged(&dir.join(name), problem))
}

/// The length of a regular file, which is not opened; nothing if it is not there.
fn length(dir: &Path, name: &str) -> Result<Option<u64>> {
    if !is_file_name(name) {
        return Err(Error::FileName(name.to_owned()));
    }
    Ok(expect_kind(&dir.join(name), FileKind::File)?.map(|metadata| metadata.len()))
}
