//! A file that several threads read at once: the parquet library's own reading of a `File` moves one place for all of them.

use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

/// A file that several threads read at their own places.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    file: Arc<Mutex<File>>,
    bytes: u64,
}

/// A place in it.
pub(super) struct Place {
    file: Shared,
    at: u64,
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let count = file.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Place {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.bytes.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Shared {
    /// Of so many bytes.
    pub(super) fn new(file: File, bytes: u64) -> Self {
        Self { file: Arc::new(Mutex::new(file)), bytes }
    }

    pub(super) fn at(&self, at: u64) -> Place {
        Place { file: self.clone(), at }
    }
}

impl Length for Shared {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Shared {
    type T = BufReader<Place>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(self.at(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        let mut part = vec![0; length];
        self.at(start).read_exact(&mut part)?;
        Ok(part.into())
    }
}
