//! Reading a Parquet file through windows of bounded size.
//!
//! The synchronous Parquet readers ask for one page after the other, column by column. Each request that no window holds
//! fetches a new window, so that few requests go to the store and memory never holds a column chunk, however large row
//! groups are.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::Source;
use crate::Error;

/// Bytes that all windows of one file hold together, about.
const BUDGET: u64 = 16 << 20;
/// The largest window: beyond that, larger requests are no faster.
const LARGEST: u64 = 4 << 20;
/// The smallest window: many columns share the budget.
const SMALLEST: u64 = 64 << 10;
/// Wanted ranges nearer than this are fetched together.
const GAP: u64 = 64 << 10;

/// Bytes, and where they begin.
pub type Held = (u64, Bytes);

/// A file as the Parquet readers want it.
#[derive(Debug, Clone)]
pub struct Windows(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    /// What will be read, ascending; a window does not go beyond the range that it begins in.
    wanted: Vec<Range<u64>>,
    window: u64,
    keep: usize,
    held: Mutex<VecDeque<Held>>,
    /// What the store said when it refused bytes: the readers make text of it.
    refusal: Mutex<Option<Error>>,
}

impl Windows {
    /// A reader that will read the `wanted` ranges (column chunks, in any order) of as many `streams` at a time.
    pub fn new(source: &Source, mut wanted: Vec<Range<u64>>, streams: usize) -> Self {
        wanted.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match merged.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        let keep = streams.max(1) + 1;
        let window = (BUDGET / keep as u64).clamp(SMALLEST, LARGEST);
        Self(Arc::new(Inner {
            source: source.clone(),
            wanted: merged,
            window,
            keep,
            held: Mutex::default(),
            refusal: Mutex::default(),
        }))
    }

    /// A reader for the footer: its first window is the end of the file.
    pub fn footer(source: &Source) -> Self {
        let tail = source.size().saturating_sub(SMALLEST);
        let windows = Self::new(source, Vec::new(), 1);
        if source.size() > 0
            && let Ok(bytes) = windows.0.fetch(tail..source.size())
        {
            windows.0.hold(tail, bytes);
        }
        windows
    }

    /// What is held, for [`Windows::with`].
    pub fn held(&self) -> Option<Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// With a window that was fetched before: a small file is read by one request, its footer's.
    pub fn with(self, held: Option<&Held>) -> Self {
        if let Some((start, bytes)) = held {
            self.0.hold(*start, bytes.clone());
        }
        self
    }

    /// What the store said when it refused bytes, if it did.
    pub fn refusal(&self) -> Option<Error> {
        self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Inner {
    fn fetch(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let length = range.end - range.start;
        match self.source.range(range) {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(bytes) => Err(ParquetError::EOF(format!("{length} bytes were asked for and {} came", bytes.len()))),
            Err(error) => {
                let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
                refusal.get_or_insert(self.source.refused(&error));
                Err(ParquetError::External(Box::new(error)))
            }
        }
    }

    fn hold(&self, start: u64, bytes: Bytes) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() >= self.keep {
            held.pop_front();
        }
        held.push_back((start, bytes));
    }

    /// The bytes from `start` that a window holds, at least `length` of them; fetched where no window does.
    fn at(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let size = self.source.size();
        let end = start.checked_add(length).filter(|end| *end <= size).ok_or_else(|| {
            ParquetError::EOF(format!("bytes {start} to {} are wanted of {size}", start.saturating_add(length)))
        })?;
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let found = held.iter().position(|(first, bytes)| *first <= start && end <= first + bytes.len() as u64);
            // The one used last goes to the back: the front is dropped first.
            if let Some(window) = found.and_then(|index| held.remove(index)) {
                let rest = window.1.slice(usize::try_from(start - window.0).unwrap_or(0)..);
                held.push_back(window);
                return Ok(rest);
            }
        }
        let beyond = self.wanted.partition_point(|range| range.end <= start);
        let limit = match self.wanted.get(beyond) {
            Some(range) if range.start <= start => range.end,
            _ => end,
        };
        let until = (start + self.window).min(limit).max(end).min(size);
        let bytes = self.fetch(start..until)?;
        self.hold(start, bytes.clone());
        Ok(bytes)
    }
}

impl Length for Windows {
    fn len(&self) -> u64 {
        self.0.source.size()
    }
}

impl ChunkReader for Windows {
    type T = Cursor;

    fn get_read(&self, start: u64) -> Result<Cursor, ParquetError> {
        Ok(Cursor { inner: Arc::clone(&self.0), position: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.0.at(start, length as u64)?.slice(..length))
    }
}

/// Reads on from a position.
#[derive(Debug)]
pub struct Cursor {
    inner: Arc<Inner>,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || self.position >= self.inner.source.size() {
            return Ok(0);
        }
        let bytes = self.inner.at(self.position, 1).map_err(std::io::Error::other)?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}
