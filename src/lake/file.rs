//! One Parquet file: its footer, its embedding column, its rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::ChunkReader;

use super::Source;
use super::window::Windows;
use crate::column::{Embeddings, Flaw, Width};
use crate::{Error, Result};

/// Names that an embedding column has when nobody says otherwise, the first one found counts.
const USUAL_NAMES: [&str; 4] = ["embedding", "embeddings", "vector", "emb"];

/// Bytes of a batch, about: larger than any cache, smaller than any budget.
const BATCH_BYTES: usize = 4 << 20;
/// Rows of a batch at most.
const BATCH_ROWS: usize = 8192;

/// A Parquet file whose footer has been read.
#[derive(Debug, Clone)]
pub struct File {
    source: Source,
    metadata: ArrowReaderMetadata,
}

/// An embedding column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorColumn {
    /// Its place among the file's columns.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its width as far as the type says.
    pub width: Width,
}

impl File {
    /// Reads the footer, and with it where pages begin, as far as the file says.
    pub fn open(source: Source) -> Result<Self> {
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let loaded = Windows::footer(&source).and_then(|windows| ArrowReaderMetadata::load(&windows, options));
        match loaded {
            Ok(metadata) => Ok(Self { source, metadata }),
            Err(error) => Err(Error::file(source.shown(), no_footer(&source, &error))),
        }
    }

    /// Where the file is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// As a person reads it.
    pub fn shown(&self) -> &str {
        self.source.shown()
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The footer.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// How many rows the footer says there are.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The place of a column, or an error that lists the columns there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.schema().index_of(name).map_err(|_| {
            Error::file(self.shown(), format!("there is no column `{name}`; its columns are {}", self.column_names()))
        })
    }

    fn column_names(&self) -> String {
        let names: Vec<String> = self.schema().fields().iter().map(|field| format!("`{}`", field.name())).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// The embedding column: the one `named`; or else one of the usual names (`embedding`, `embeddings`, `vector`, `emb`);
    /// or else the only list of floats.
    pub fn vector_column(&self, named: Option<&str>) -> Result<VectorColumn> {
        let vector = |index: usize| {
            let field = self.schema().field(index);
            Width::of(field.data_type()).map(|width| VectorColumn { index, name: field.name().clone(), width })
        };
        if let Some(name) = named {
            let index = self.column(name)?;
            let data_type = self.schema().field(index).data_type().clone();
            return vector(index)
                .ok_or_else(|| Error::file(self.shown(), format!("column `{name}`: {}", Flaw::Type(data_type))));
        }
        if let Some(found) = USUAL_NAMES.iter().filter_map(|name| vector(self.schema().index_of(name).ok()?)).next() {
            return Ok(found);
        }
        let lists: Vec<VectorColumn> = self.embedding_columns();
        match lists.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Error::file(
                self.shown(),
                format!("has no embedding column (a list of floats); its columns are {}", self.column_names()),
            )),
            several => {
                let names: Vec<String> = several.iter().map(|column| format!("`{}`", column.name)).collect();
                Err(Error::file(
                    self.shown(),
                    format!("has several embedding columns, {}: name one of them (--column)", names.join(", ")),
                ))
            }
        }
    }

    /// All columns that are lists of floats.
    pub fn embedding_columns(&self) -> Vec<VectorColumn> {
        let fields = self.schema().fields().iter().enumerate();
        fields
            .filter(|(_, field)| !matches!(field.data_type(), DataType::FixedSizeBinary(_)))
            .filter_map(|(index, field)| {
                Some(VectorColumn { index, name: field.name().clone(), width: Width::of(field.data_type())? })
            })
            .collect()
    }

    /// How many numbers a row of this column has: as its type says, or else as the first row has that is not NULL. `None`
    /// where there is no such row.
    pub fn width(&self, column: &VectorColumn) -> Result<Option<usize>> {
        if let Some(width) = column.width.fixed() {
            return Ok(Some(width));
        }
        for batch in self.read(&[column.index], 64, None)? {
            let batch = batch.map_err(|error| self.unreadable(error))?;
            let view = Embeddings::of(batch.column(0)).map_err(|flaw| self.flaw(column, 0, &flaw))?;
            if let Some(width) = view.first_width() {
                return Ok(Some(width));
            }
        }
        Ok(None)
    }

    /// Rows that make a batch of a few MB, given what the columns take on disk before compression; never more than 8,192,
    /// a multiple of 256 where that many fit.
    pub fn batch_rows(&self, width: usize) -> usize {
        let bytes: i64 = self.metadata().row_groups().iter().map(|group| group.total_byte_size()).sum();
        let stored = usize::try_from(bytes).unwrap_or(0) / usize::try_from(self.rows()).unwrap_or(0).max(1);
        let rows = (BATCH_BYTES / stored.max(width * size_of::<f32>()).max(1)).clamp(1, BATCH_ROWS);
        if rows > 256 { rows / 256 * 256 } else { rows }
    }

    /// A reader of some columns (in the file's order), `batch_rows` at a time; of all rows, or of those of one row group
    /// that a selection takes.
    pub fn read(
        &self,
        columns: &[usize],
        batch_rows: usize,
        part: Option<(usize, RowSelection)>,
    ) -> Result<ParquetRecordBatchReader> {
        let parquet = self.metadata.parquet_schema();
        let mask = ProjectionMask::roots(parquet, columns.iter().copied());
        let leaves: Vec<usize> = (0..parquet.num_columns()).filter(|&leaf| mask.leaf_included(leaf)).collect();
        let groups = self.metadata().row_groups().iter().enumerate();
        let chunks = groups.filter(|(group, _)| part.as_ref().is_none_or(|(wanted, _)| wanted == group));
        let ranges = chunks.flat_map(|(_, group)| {
            leaves.iter().map(|&leaf| {
                let (start, length) = group.column(leaf).byte_range();
                start..start.saturating_add(length)
            })
        });
        let windows = Windows::new(&self.source, ranges.collect(), leaves.len());
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(windows, self.metadata.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows);
        if let Some((group, selection)) = part {
            builder = builder.with_row_groups(vec![group]).with_row_selection(selection);
        }
        builder.build().map_err(|error| Error::file(self.shown(), format!("cannot be read: {error}")))
    }

    /// All of a small file as one batch of some columns.
    pub fn read_all(&self, columns: &[usize]) -> Result<Vec<RecordBatch>> {
        self.read(columns, BATCH_ROWS, None)?
            .map(|batch| batch.map_err(|error| self.unreadable(error)))
            .collect::<Result<Vec<_>>>()
    }

    /// An error of reading on.
    pub fn unreadable(&self, error: ArrowError) -> Error {
        Error::file(self.shown(), format!("cannot be read: {error}"))
    }

    /// What is wrong with an embedding column, in a batch that begins at row `first` of the file.
    pub fn flaw(&self, column: &VectorColumn, first: u64, flaw: &Flaw) -> Error {
        match flaw.row() {
            Some(row) => self.row_error(&column.name, first + row as u64, flaw.to_string()),
            None => Error::file(self.shown(), format!("column `{}`: {flaw}", column.name)),
        }
    }

    /// An error of one row.
    pub fn row_error(&self, column: &str, row: u64, message: impl Into<String>) -> Error {
        Error::Row { path: self.shown().to_owned(), column: column.to_owned(), row, message: message.into() }
    }
}

/// Why a footer could not be read, said by what the file begins with.
fn no_footer(source: &Source, error: &ParquetError) -> String {
    if let ParquetError::External(inner) = error {
        return format!("cannot be read: {inner}");
    }
    if source.size() == 0 {
        return "is empty, not a Parquet file".to_owned();
    }
    let head = Windows::new(source, Vec::new(), 1).get_bytes(0, 4);
    if head.is_ok_and(|head| head.as_ref() == b"PAR1") {
        format!("begins as a Parquet file and has no usable footer: it is cut off or damaged ({error})")
    } else {
        "is not a Parquet file".to_owned()
    }
}
