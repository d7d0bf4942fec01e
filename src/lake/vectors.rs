//! The vectors of a row group, batch by batch: from the pages themselves as long as their rows are as they should be, the
//! rest by the general reader.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedPageReader;

use super::file::{Batches, File, VectorColumn, caught};
use super::window::Windows;
use crate::column::pages::{Pages, Vectors};
use crate::{Error, Result};

/// The vectors of a row group.
pub struct VectorBatches {
    file: File,
    column: usize,
    group: usize,
    batch_rows: usize,
    reader: Reader,
}

enum Reader {
    Pages(Box<Direct>),
    General(Batches),
    Done,
}

struct Direct {
    windows: Windows,
    reader: SerializedPageReader<Windows>,
    pages: Pages,
    item: Arc<Field>,
    width: usize,
    /// Whether a page was irregular.
    irregular: bool,
}

impl VectorBatches {
    /// Of the rows of `group`, `batch_rows` at a time, expected to have `width` numbers.
    pub fn new(file: &File, column: &VectorColumn, width: usize, batch_rows: usize, group: usize) -> Result<Self> {
        let reader = match Direct::new(file, column, width, group)? {
            Some(direct) => Reader::Pages(Box::new(direct)),
            None => Reader::General(file.read(&[column.index], batch_rows, Some((group, None)))?),
        };
        Ok(Self { file: file.clone(), column: column.index, group, batch_rows, reader })
    }

    fn next_batch(&mut self) -> Result<Option<ArrayRef>> {
        if let Reader::Pages(direct) = &mut self.reader {
            let batch = direct.next(&self.file, self.batch_rows)?;
            if batch.is_some() || !direct.irregular {
                return Ok(batch);
            }
            let done = usize::try_from(direct.pages.done()).unwrap_or(usize::MAX);
            let rows = usize::try_from(self.file.metadata().row_group(self.group).num_rows()).unwrap_or(usize::MAX);
            let rest = vec![RowSelector::skip(done), RowSelector::select(rows.saturating_sub(done))];
            let part = Some((self.group, Some(RowSelection::from(rest))));
            self.reader = Reader::General(self.file.read(&[self.column], self.batch_rows, part)?);
        }
        match &mut self.reader {
            Reader::General(batches) => Ok(batches.next().transpose()?.map(|batch| Arc::clone(batch.column(0)))),
            Reader::Pages(_) | Reader::Done => Ok(None),
        }
    }
}

impl Iterator for VectorBatches {
    type Item = Result<ArrayRef>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.reader = Reader::Done;
        }
        next.transpose()
    }
}

impl Direct {
    /// `None` where the column is no list of `f32`, or has not one leaf.
    fn new(file: &File, column: &VectorColumn, width: usize, group: usize) -> Result<Option<Self>> {
        let data_type = file.schema().field(column.index).data_type();
        let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) = data_type else {
            return Ok(None);
        };
        let schema = file.metadata().file_metadata().schema_descr();
        let mut leaves = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column.index);
        let (Some(leaf), None) = (leaves.next(), leaves.next()) else { return Ok(None) };
        let fixed = column.width.fixed().is_none_or(|fixed| fixed == width);
        let Some(pages) = Pages::new(schema, leaf, width).filter(|_| fixed && *item.data_type() == DataType::Float32)
        else {
            return Ok(None);
        };
        let chunk = file.metadata().row_group(group).column(leaf);
        let (start, length) = chunk.byte_range();
        let all = start..start.saturating_add(length);
        let windows = file.windows(Vec::from([all]), 1);
        let opened = caught(|| SerializedPageReader::new(Arc::new(windows.clone()), chunk, 0, None));
        let reader = opened
            .unwrap_or_else(|reason| Err(ParquetError::General(reason)))
            .map_err(|error| Error::file(file.shown(), format!("cannot be read: {error}")))?;
        Ok(Some(Self { windows, reader, pages, item: Arc::clone(item), width, irregular: false }))
    }

    /// The next rows, fewer than `rows` at the end alone; `None` where there are none, or where a page is irregular.
    fn next(&mut self, file: &File, rows: usize) -> Result<Option<ArrayRef>> {
        while !self.irregular {
            match self.pages.fill(rows) {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => {
                    self.irregular = true;
                    break;
                }
            }
            // Some damage makes a decoder panic.
            let read = caught(|| self.reader.get_next_page());
            match read.unwrap_or_else(|reason| Err(ParquetError::General(reason))) {
                Ok(Some(page)) => self.irregular = self.pages.take(page).is_err(),
                Ok(None) => {
                    // The general reader says what is wrong with a row that does not end.
                    self.irregular = !self.pages.is_complete();
                    break;
                }
                Err(error) => {
                    let damaged = || Error::file(file.shown(), format!("cannot be read: {error}"));
                    return Err(self.windows.refusal().unwrap_or_else(damaged));
                }
            }
        }
        if self.irregular {
            // What is not handed over is read again: all batches but the last have as many rows as are asked for.
            return Ok(None);
        }
        let Vectors { values, nulls, rows } = self.pages.batch();
        if rows == 0 {
            return Ok(None);
        }
        let width = i32::try_from(self.width).unwrap_or(i32::MAX);
        let numbers = Arc::new(Float32Array::from(values));
        let list = FixedSizeListArray::try_new_with_length(Arc::clone(&self.item), width, numbers, nulls, rows)?;
        Ok(Some(Arc::new(list)))
    }
}
