//! The file that is imported: its bytes, counted as they are read.

use std::io::{self, Read, Take};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::file::reader::ChunkReader;

use super::Progress;
use crate::lake::window::{Cursor, Windows};
use crate::lake::{Place, Source};
use crate::{Error, Result};

/// A file that is there and not empty.
#[derive(Debug, Clone)]
pub struct Input {
    source: Source,
    read: Arc<AtomicU64>,
}

impl Input {
    /// Looks it up.
    pub fn open(place: &Place, progress: &Progress) -> Result<Self> {
        let input = Self { source: place.file()?, read: Arc::clone(&progress.bytes) };
        if input.size() == 0 { Err(input.wrong("is empty")) } else { Ok(input) }
    }

    /// As a person reads it.
    pub fn shown(&self) -> &str {
        self.source.shown()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// What is wrong with it.
    pub fn wrong(&self, message: impl Into<String>) -> Error {
        Error::file(self.shown(), message)
    }

    /// Some of its bytes; fewer where it ends before.
    pub fn bytes(&self, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(self.size());
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let bytes = self.source.range(range.start..end).map_err(|error| self.source.refused(&error))?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Reads some of its bytes one after the other.
    pub fn reader(&self, range: Range<u64>) -> Result<Reader> {
        let windows = Windows::new(&self.source, vec![range.clone()], 1);
        let cursor = windows.get_read(range.start)?.take(range.end - range.start);
        Ok(Reader { input: self.clone(), windows, cursor })
    }

    /// What a reader of its bytes said.
    pub fn failed(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.wrong("is cut off"),
            Err(error) => self.wrong(format!("cannot be read: {error}")),
        }
    }
}

/// Reads on, through a window.
#[derive(Debug)]
pub struct Reader {
    input: Input,
    windows: Windows,
    cursor: Take<Cursor>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.cursor.read(buffer);
        let count = read.map_err(|error| self.windows.refusal().map_or(error, io::Error::other))?;
        self.input.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
