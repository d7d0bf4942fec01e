//! The columns that are not translated: their chunks are copied as they are, or their values record by record.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{ColumnOrder, Compression};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, ColumnWriterImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetColumnIndex};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::SerializedRowGroupWriter;

use super::Failure;
use crate::lake::file::{File, caught};
use crate::lake::window::{Cursor, Windows};
use crate::{Error, Result};

/// Bytes of the values that are copied at a time, about.
const RECORDS_BYTES: i64 = 1 << 20;
/// Records that are copied at a time at most.
const RECORDS: i64 = 1024;

/// Whether the job is to stop.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// What the pages of an input hold, where the output says it too.
pub enum PageIndex {
    /// The output does not say it.
    Absent,
    /// What the input says of the values, if it does; where the pages are is in its footer.
    Carried(Option<ParquetColumnIndex>),
}

/// The column chunks of a row group that are copied undecoded.
pub struct Chunks {
    group: usize,
    windows: Windows,
}

impl Chunks {
    /// Those of these leaves. Their pages are looked at and not decoded, and the first window is fetched: most often all there
    /// is to copy.
    pub fn new(file: &File, group: usize, leaves: &[usize]) -> Result<Self> {
        let ranges: Vec<_> = leaves.iter().map(|&leaf| range(file, group, leaf)).collect();
        let first = ranges.iter().map(|range| range.start).min().unwrap_or_default();
        let windows = file.windows(ranges, 1);
        let reader = Arc::new(windows.clone());
        let failed = |leaf: usize, error: ParquetError| {
            windows.refusal().unwrap_or_else(|| unreadable(file, group, leaf, &error))
        };
        for &leaf in leaves {
            let checked = caught(|| check(file, group, leaf, &reader));
            let checked = checked.unwrap_or_else(|reason| Err(ParquetError::General(reason)));
            checked.map_err(|error| failed(leaf, error))?;
        }
        if let Some(&leaf) = leaves.first() {
            windows.get_bytes(first, 1).map_err(|error| failed(leaf, error))?;
        }
        Ok(Self { group, windows })
    }

    /// Copies one as the next column of a row group.
    pub fn append<W: Write + Send>(
        &self,
        file: &File,
        leaf: usize,
        index: &PageIndex,
        output: &mut SerializedRowGroupWriter<'_, W>,
        stop: Stop<'_>,
    ) -> Result<(), Failure> {
        let chunk = chunk(file, self.group, leaf);
        // Without an order nobody may use bounds of values, and the output says that there is one.
        let order = file.metadata().file_metadata().column_order(leaf);
        let ordered = matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_));
        let mut metadata = chunk.clone().into_builder();
        if !ordered {
            metadata = metadata.clear_statistics();
        }
        let (column_index, offset_index) = match index {
            PageIndex::Absent => (None, None),
            PageIndex::Carried(values) => {
                let values = values.as_ref().filter(|_| ordered).and_then(|values| values.get(self.group)?.get(leaf));
                let values = values.filter(|values| !matches!(values, ColumnIndexMetaData::NONE));
                let pages = file.metadata().offset_index().and_then(|pages| pages.get(self.group)?.get(leaf));
                (values.cloned(), pages.cloned())
            }
        };
        let bloom_filter = caught(|| Sbbf::read_from_column_chunk(chunk, &self.windows));
        if let Some(refusal) = self.windows.refusal() {
            return Err(Failure::Input(refusal));
        }
        let rows = file.metadata().row_group(self.group).num_rows();
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or_default(),
            rows_written: u64::try_from(rows).unwrap_or_default(),
            metadata: metadata.build().map_err(Failure::output)?,
            // It only spares reading: a damaged one is none.
            bloom_filter: bloom_filter.ok().and_then(Result::ok).flatten(),
            column_index,
            offset_index,
        };
        let appended = output.append_column(&Watched { windows: &self.windows, stop }, close);
        match self.windows.refusal() {
            Some(refusal) => Err(Failure::Input(refusal)),
            None => appended.map_err(Failure::output),
        }
    }
}

fn chunk(file: &File, group: usize, leaf: usize) -> &ColumnChunkMetaData {
    file.metadata().row_group(group).column(leaf)
}

fn range(file: &File, group: usize, leaf: usize) -> Range<u64> {
    let (start, length) = chunk(file, group, leaf).byte_range();
    start..start.saturating_add(length)
}

/// Whether the footer and the pages of a chunk agree on where it ends: what is copied is all of it.
fn check(file: &File, group: usize, leaf: usize, reader: &Arc<Windows>) -> Result<(), ParquetError> {
    let damaged = |what: &str| Err(ParquetError::General(format!("{what}: it is damaged")));
    let (chunk, range) = (chunk(file, group, leaf), range(file, group, leaf));
    if range.end > file.source().size() {
        return damaged("its place is beyond the file's end");
    }
    if let Some(pages) = file.metadata().offset_index().and_then(|pages| pages.get(group)?.get(leaf)) {
        // Before the first page there may be a dictionary.
        let mut end = None;
        for page in pages.page_locations() {
            let (begin, length) = (u64::try_from(page.offset)?, u64::try_from(page.compressed_page_size)?);
            if begin < range.start || end.is_some_and(|end| end != begin) {
                return damaged("its pages are not where its footer says");
            }
            end = begin.checked_add(length);
        }
        return if end == Some(range.end) { Ok(()) } else { damaged("its pages do not end where its footer says") };
    }
    // No page is decompressed: the codec may be one that cannot be read.
    let as_it_is = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    let mut pages = SerializedPageReader::new(Arc::clone(reader), &as_it_is, 0, None)?;
    let mut values = 0;
    while let Some(page) = pages.peek_next_page()? {
        values += page.num_levels.filter(|_| !page.is_dict).unwrap_or_default();
        pages.skip_next_page()?;
    }
    if i64::try_from(values) == Ok(chunk.num_values()) {
        Ok(())
    } else {
        damaged("its pages have other rows than its footer says")
    }
}

fn unreadable(file: &File, group: usize, leaf: usize, error: &dyn std::fmt::Display) -> Error {
    let path = chunk(file, group, leaf).column_path().string();
    Error::file(file.shown(), format!("column `{path}` cannot be read: {error}"))
}

/// A file being read until the job is to stop: a chunk may have gigabytes.
struct Watched<'a> {
    windows: &'a Windows,
    stop: Stop<'a>,
}

impl Length for Watched<'_> {
    fn len(&self) -> u64 {
        self.windows.len()
    }
}

impl<'a> ChunkReader for Watched<'a> {
    type T = WatchedCursor<'a>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(WatchedCursor { cursor: self.windows.get_read(start)?, stop: self.stop })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.windows.get_bytes(start, length)
    }
}

struct WatchedCursor<'a> {
    cursor: Cursor,
    stop: Stop<'a>,
}

impl Read for WatchedCursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if (self.stop)() { Err(std::io::Error::other("stopped")) } else { self.cursor.read(buffer) }
    }
}

/// The columns of a row group that is split: their values are read in order, part by part.
pub struct Records {
    group: usize,
    windows: Windows,
    columns: Vec<(usize, ColumnReader)>,
}

impl Records {
    /// Those of these leaves, from the row group's first row on.
    pub fn new(file: &File, group: usize, leaves: &[usize]) -> Result<Self> {
        let ranges = leaves.iter().map(|&leaf| range(file, group, leaf)).collect();
        let windows = file.windows(ranges, leaves.len());
        let reader = Arc::new(windows.clone());
        let columns = leaves.iter().map(|&leaf| {
            let chunk = chunk(file, group, leaf);
            let pages = SerializedPageReader::new(Arc::clone(&reader), chunk, 0, None)
                .map_err(|error| unreadable(file, group, leaf, &error))?;
            Ok((leaf, get_column_reader(chunk.column_descr_ptr(), Box::new(pages))))
        });
        Ok(Self { group, windows, columns: columns.collect::<Result<_>>()? })
    }

    /// The row group.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Copies the next `rows` records of a leaf; `ends` where they are the last of the row group.
    pub fn copy(
        &mut self,
        file: &File,
        leaf: usize,
        (rows, ends): (u64, bool),
        output: &mut ColumnWriter<'_>,
        stop: Stop<'_>,
    ) -> Result<(), Failure> {
        let chunk = chunk(file, self.group, leaf);
        let total = file.metadata().row_group(self.group).num_rows().max(1);
        let at_a_time = (RECORDS_BYTES
            / (chunk.uncompressed_size().max(chunk.num_values().saturating_mul(8)) / total).max(1))
        .clamp(1, RECORDS);
        let Some((_, reader)) = self.columns.iter_mut().find(|(read, _)| *read == leaf) else { return Ok(()) };
        let mut copy = Copy { rows, at_a_time: at_a_time as u64, ends, stop };
        let copied = match (reader, output) {
            (ColumnReader::BoolColumnReader(from), ColumnWriter::BoolColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::Int32ColumnReader(from), ColumnWriter::Int32ColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::Int64ColumnReader(from), ColumnWriter::Int64ColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::Int96ColumnReader(from), ColumnWriter::Int96ColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::FloatColumnReader(from), ColumnWriter::FloatColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::DoubleColumnReader(from), ColumnWriter::DoubleColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::ByteArrayColumnReader(from), ColumnWriter::ByteArrayColumnWriter(to)) => copy.run(from, to),
            (ColumnReader::FixedLenByteArrayColumnReader(from), ColumnWriter::FixedLenByteArrayColumnWriter(to)) => {
                copy.run(from, to)
            }
            _ => Err(Copied::Unreadable("its type is not the one of the schema".into())),
        };
        copied.map_err(|failed| match failed {
            Copied::Unwritable(error) => Failure::output(error),
            Copied::Unreadable(error) => {
                let damaged = || unreadable(file, self.group, leaf, &error);
                Failure::Input(self.windows.refusal().unwrap_or_else(damaged))
            }
        })
    }
}

/// Why values could not be copied.
enum Copied {
    Unreadable(String),
    Unwritable(ParquetError),
}

/// Values on their way, with the levels that say where rows and lists begin and what is NULL.
struct Copy<'a> {
    rows: u64,
    at_a_time: u64,
    ends: bool,
    stop: Stop<'a>,
}

impl Copy<'_> {
    fn run<T: DataType>(
        &mut self,
        from: &mut ColumnReaderImpl<T>,
        to: &mut ColumnWriterImpl<'_, T>,
    ) -> Result<(), Copied> {
        let descr = to.get_descriptor();
        let (defined, repeated) = (descr.max_def_level() > 0, descr.max_rep_level() > 0);
        let (mut values, mut defs, mut reps) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = |count: u64, values: &mut Vec<T::T>, defs: &mut Vec<i16>, reps: &mut Vec<i16>| {
            values.clear();
            defs.clear();
            reps.clear();
            let count = usize::try_from(count).unwrap_or(1);
            // Some damage makes a decoder panic.
            let (defs, reps) = (defined.then_some(defs), repeated.then_some(reps));
            let read = caught(|| from.read_records(count, defs, reps, values));
            let read = read.map_err(|reason| Copied::Unreadable(format!("it is damaged: {reason}")))?;
            read.map(|(records, ..)| records as u64).map_err(|error| Copied::Unreadable(error.to_string()))
        };
        while self.rows > 0 && !(self.stop)() {
            let records = read(self.rows.min(self.at_a_time), &mut values, &mut defs, &mut reps)?;
            if records == 0 {
                return Err(Copied::Unreadable(format!("{} rows are missing: it is damaged", self.rows)));
            }
            to.write_batch(&values, defined.then_some(&defs), repeated.then_some(&reps)).map_err(Copied::Unwritable)?;
            self.rows -= records;
        }
        if self.ends && !(self.stop)() && read(1, &mut values, &mut defs, &mut reps)? > 0 {
            return Err(Copied::Unreadable("it has more rows than the footer says: it is damaged".into()));
        }
        Ok(())
    }
}
