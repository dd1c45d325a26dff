//! What is wrong with a run's files.

use crate::names::{ANNOTATION, CLAIM, CONFIG, WRITING, is_of_the_store};
use crate::{Configuration, Error, Result, RunId, Store, ending, printable};
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::path::{Path, PathBuf};

/// Something wrong with a file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, or the run's folder.
    pub file: PathBuf,
    /// What is wrong with it, safe to print.
    pub problem: String,
}

/// What is wrong so far, at most one finding a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    findings: Vec<Finding>,
}

impl Findings {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was checked, if it is whole. If a file is damaged, foreign, too large or of the wrong kind, that is noted.
    ///
    /// # Errors
    /// Any other error.
    pub fn note<T>(&mut self, checked: Result<T>) -> Result<Option<T>> {
        let (file, problem) = match checked {
            Ok(whole) => return Ok(Some(whole)),
            Err(Error::Damaged { path, problem }) => (path, problem),
            Err(Error::Foreign { path, reason }) => (path, format!("made by another version of the program: {reason}")),
            Err(Error::WrongKind { path, expected, found }) => {
                (path, format!("it is {found} in the place of {expected}"))
            }
            Err(Error::TooLarge { path, limit }) => (path, format!("it is larger than {limit} bytes")),
            Err(error) => return Err(error),
        };
        self.add(&file, &problem);
        Ok(None)
    }

    /// Notes that something is wrong with a file, if nothing is noted of it yet.
    pub fn add(&mut self, file: &Path, problem: &str) {
        if !self.findings.iter().any(|finding| finding.file == file) {
            self.findings.push(Finding { file: file.to_owned(), problem: printable(problem).into_owned() });
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// All of them, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Finding> {
        self.findings
    }
}

impl<C: Configuration, O: Serialize + DeserializeOwned> Store<C, O> {
    /// What is wrong with the files of a run that the store knows: its configuration, how it ended, the files that
    /// its end left (by their lengths), the journal then (by its hash) and what a person says of it. The user of this
    /// crate adds what it knows of its own.
    ///
    /// A folder in which nothing was begun is no finding, nor that a run has not ended.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn verify(&self, id: &RunId) -> Result<Findings> {
        let mut findings = Findings::new();
        let dir = match self.existing_dir(id) {
            Err(error) => {
                findings.note(Err::<(), _>(error))?;
                return Ok(findings);
            }
            Ok(dir) => dir,
        };
        let config = self.config(id).and_then(|config| match (config, &dir) {
            (Some(_), _) => Ok(()),
            (None, Some(dir)) if !self.is_begun(dir)? => Ok(()),
            (None, _) => Err(Error::damaged(&self.dir(id).join(CONFIG), "it is gone")),
        });
        findings.note(config)?;
        findings.note(self.annotation(id))?;
        if let (Some(dir), Some(Some(ending))) = (dir, findings.note(self.ending_file(id))?) {
            findings.note(self.check_journal(id, &ending.journal))?;
            findings.note(ending::check_files(&dir, &ending))?;
        }
        Ok(findings)
    }

    /// Whether there is a file of the run's in its folder, other than its claim, what a kill left half written and what a person
    /// says of it.
    pub(crate) fn is_begun(&self, dir: &Path) -> Result<bool> {
        let entries = fs::read_dir(dir).map_err(Error::io("read the folder", dir))?.flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|found| found.is_file()));
        let mut names = files.filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.any(|name| {
            ![CLAIM, ANNOTATION].contains(&name.as_str())
                && !name.starts_with(WRITING)
                && (is_of_the_store(&name) || self.is_own(&name))
        }))
    }
}
