//! The journal: a file of JSON lines that only grows, and that can be taken back to an earlier moment.

use crate::names::{JOURNAL, limits};
use crate::{Claim, Error, Extent, Result, file};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A run's journal, open at its end: one line of JSON a record.
///
/// Lines are not synced one by one. A checkpoint keeps the journal's [`Extent`], and a run that goes on from it takes
/// the journal back to that. A run whose journal is open has not ended: an ending that is there is deleted first.
#[derive(Debug)]
pub struct Journal<'a> {
    claim: &'a Claim,
    path: PathBuf,
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl<'a> Journal<'a> {
    /// An empty one, in the place of any that is there.
    ///
    /// # Errors
    /// If the claim is lost, something else than a regular file is in its place, or it cannot be written.
    pub fn begin(claim: &'a Claim) -> Result<Self> {
        Self::with(claim, b"")
    }

    /// The journal as it was at `extent`, without what came later; and its records.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is gone or does not begin with what `extent` has seen, [`Error::Foreign`] if its
    /// records are not `R`s; otherwise as [`begin`](Self::begin).
    pub fn resume<R: DeserializeOwned>(claim: &'a Claim, extent: &Extent) -> Result<(Self, Vec<R>)> {
        let path = claim.path(JOURNAL);
        let lines = read(&path)?.ok_or_else(|| Error::damaged(&path, "it is gone"))?;
        let seen = seen(&path, &lines, extent)?;
        let records = parse_seen(&path, seen)?;
        Ok((Self::with(claim, seen)?, records))
    }

    /// One of these lines. It is a new file, for the old one may have a second name elsewhere (a hard link), as in a
    /// copy made by `cp -al`.
    fn with(claim: &'a Claim, lines: &[u8]) -> Result<Self> {
        claim.clear_ending()?;
        claim.write(JOURNAL, lines)?;
        let path = claim.path(JOURNAL);
        let file = file::open(&path, OpenOptions::new().append(true), "write")?;
        let file = file.ok_or_else(|| Error::damaged(&path, "it was deleted as soon as it was written"))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(lines);
        Ok(Self { claim, path, file, bytes: lines.len() as u64, hasher })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If the claim is lost, the record cannot be written as JSON, or the line not to the file.
    pub fn add(&mut self, record: &impl Serialize) -> Result<()> {
        // Otherwise it might be written into what another process has begun to write.
        self.claim.check()?;
        let mut line = serde_json::to_vec(record).map_err(Error::unwritable)?;
        line.push(b'\n');
        let bytes = self.bytes + line.len() as u64;
        if bytes > limits::JOURNAL {
            return Err(Error::TooLarge { path: self.path.clone(), limit: limits::JOURNAL });
        }
        if let Err(error) = self.file.write_all(&line) {
            // Without the part of the line that was written, should the caller go on.
            let _ = self.file.set_len(self.bytes);
            return Err(Error::io("write", &self.path)(error));
        }
        self.hasher.update(&line);
        self.bytes = bytes;
        Ok(())
    }

    /// All of it so far, safe on the disk.
    ///
    /// # Errors
    /// If it cannot be synced.
    pub fn extent(&self) -> Result<Extent> {
        self.file.sync_data().map_err(Error::io("write", &self.path))?;
        Ok(Extent { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }
}

/// The journal's bytes; nothing if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    file::read_file(path, limits::JOURNAL)
}

/// The part of the journal's `lines` that `extent` has seen, which they must begin with.
pub(crate) fn seen<'a>(path: &Path, lines: &'a [u8], extent: &Extent) -> Result<&'a [u8]> {
    let seen = usize::try_from(extent.bytes).ok().and_then(|bytes| lines.get(..bytes));
    seen.filter(|seen| Extent::of(seen) == *extent)
        .ok_or_else(|| Error::damaged(path, "it does not begin as it did when its length and hash were noted"))
}

/// The records of lines whose hash has been checked.
pub(crate) fn parse_seen<R: DeserializeOwned>(path: &Path, lines: &[u8]) -> Result<Vec<R>> {
    parse(lines).map_err(|error| Error::foreign(path, error))
}

/// The records of a journal that a process may be writing into.
pub(crate) fn parse_growing<R: DeserializeOwned>(path: &Path, lines: &[u8]) -> Result<Vec<R>> {
    let whole = lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    parse(&lines[..whole]).map_err(|error| Error::damaged(path, error))
}

fn parse<R: DeserializeOwned>(lines: &[u8]) -> serde_json::Result<Vec<R>> {
    lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice).collect()
}
