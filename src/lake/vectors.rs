//! The vectors of a row group of a file, batch by batch.

use std::sync::Arc;

use arrow::array::ArrayRef;
use parquet::errors::ParquetError;

use super::file::{Batches, File, VectorColumn, caught};
use super::window::Windows;
use crate::column::buffers::Buffers;
use crate::column::vector_reader::VectorReader;
use crate::{Error, Result};

/// The vectors of a row group.
pub struct VectorBatches {
    shown: String,
    windows: Windows,
    reader: Reader,
}

enum Reader {
    Vectors(Box<VectorReader<Windows>>),
    General(Batches),
    Done,
}

impl VectorBatches {
    /// Of the rows of `group`, expected to have `width` numbers. Columns that are no lists of `f32` are read `batch_rows` at a time.
    pub fn new(
        file: &File,
        column: &VectorColumn,
        width: usize,
        batch_rows: usize,
        group: usize,
        buffers: &Buffers<f32>,
    ) -> Result<Self> {
        let schema = file.metadata().file_metadata().schema_descr();
        let leaves = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column.index);
        let ranges = leaves.map(|leaf| {
            let (start, length) = file.metadata().row_group(group).column(leaf).byte_range();
            start..start.saturating_add(length)
        });
        let windows = file.windows(ranges.collect(), 1);
        let source = Arc::new(windows.clone());
        let opened = caught(|| VectorReader::new(source, file.arrow(), (column.index, Some(width)), group, buffers));
        let mut batches = Self { shown: file.shown().to_owned(), windows, reader: Reader::Done };
        batches.reader = match batches.checked(opened)? {
            Some(reader) => Reader::Vectors(Box::new(reader)),
            None => Reader::General(file.read(&[column.index], batch_rows, Some((group, None)))?),
        };
        Ok(batches)
    }

    /// The next rows, at most so many; `None` where there are no more.
    pub fn next(&mut self, most: usize) -> Result<Option<ArrayRef>> {
        let next = match &mut self.reader {
            Reader::Vectors(reader) => {
                // Some damage makes a decoder panic.
                let next = caught(|| reader.next(most));
                self.checked(next)
            }
            Reader::General(batches) => batches.next().transpose().map(|batch| Some(Arc::clone(batch?.column(0)))),
            Reader::Done => Ok(None),
        };
        if next.is_err() {
            self.reader = Reader::Done;
        }
        next
    }

    fn checked<T>(&self, read: Result<Result<T, ParquetError>, String>) -> Result<T> {
        let damaged = |reason: String| self.windows.refusal().unwrap_or_else(|| Error::file(&self.shown, reason));
        match read {
            Ok(read) => read.map_err(|error| damaged(format!("cannot be read: {error}"))),
            Err(reason) => Err(damaged(format!("cannot be read, it is damaged: {reason}"))),
        }
    }
}
