//! One Parquet file: its footer, its embedding column, its rows.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetColumnIndex, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::reader::ChunkReader;

use super::Source;
use super::window::{Held, Windows};
use crate::column::{Embeddings, Flaw, Width};
use crate::kernel::block::BLOCK_ROWS;
use crate::{Error, Result};

/// Names that an embedding column has when nobody says otherwise, the first one found counts.
pub const USUAL_NAMES: [&str; 4] = ["embedding", "embeddings", "vector", "emb"];

/// Bytes of a batch, about: larger than any cache, smaller than any budget.
const BATCH_BYTES: usize = 4 << 20;
/// Rows of a batch at most.
const BATCH_ROWS: usize = 8192;

/// Rows of so many bytes that make a batch of a few MB: whole blocks of the kernel.
pub fn batch_rows(row_bytes: usize) -> usize {
    rows_in(BATCH_BYTES, row_bytes).min(BATCH_ROWS)
}

/// As many rows of `row_bytes` as there are whole blocks of the kernel in `bytes`; one block at least.
pub fn rows_in(bytes: usize, row_bytes: usize) -> usize {
    (bytes / row_bytes.max(1) / BLOCK_ROWS).max(1) * BLOCK_ROWS
}

/// A Parquet file whose footer has been read.
#[derive(Debug, Clone)]
pub struct File {
    source: Source,
    metadata: ArrowReaderMetadata,
    /// The end of the file, which is all of it where it is small.
    end: Option<Held>,
}

/// An embedding column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorColumn {
    /// Its place among the table's columns.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its width as far as the type says.
    pub width: Width,
}

/// The place of a column of the table at `shown`, or an error that lists the columns there are.
fn column(schema: &Schema, shown: &str, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        Error::file(shown, format!("there is no column `{name}`; its columns are {}", column_names(schema)))
    })
}

fn column_names(schema: &Schema) -> String {
    let names: Vec<String> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The embedding column of the table at `shown`: the one `named`; or else one of the usual names (`embedding`, `embeddings`,
/// `vector`, `emb`); or else the only list of floats.
pub fn vector_column(schema: &Schema, shown: &str, named: Option<&str>) -> Result<VectorColumn> {
    let vector = |index: usize| {
        let field = schema.field(index);
        Width::of(field.data_type()).map(|width| VectorColumn { index, name: field.name().clone(), width })
    };
    if let Some(name) = named {
        let index = column(schema, shown, name)?;
        let data_type = schema.field(index).data_type().clone();
        return vector(index).ok_or_else(|| Error::file(shown, format!("column `{name}`: {}", Flaw::Type(data_type))));
    }
    if let Some(found) = USUAL_NAMES.iter().filter_map(|name| vector(schema.index_of(name).ok()?)).next() {
        return Ok(found);
    }
    match embedding_columns(schema).as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let codes = schema.fields().iter().find(|field| has_codes(field.data_type()));
            let codes = codes.map_or_else(String::new, |field| {
                format!(
                    "; `{}` has codes or signs (--items int8, binary): take the vectors that they were made of, or \
                     arrow_cast(..., 'List(Float32)') in SQL",
                    field.name()
                )
            });
            let columns = column_names(schema);
            Err(Error::file(
                shown,
                format!("has no embedding column (a list of floats); its columns are {columns}{codes}"),
            ))
        }
        several => {
            let names: Vec<String> = several.iter().map(|column| format!("`{}`", column.name)).collect();
            let names = names.join(", ");
            Err(Error::file(shown, format!("has several embedding columns, {names}: name one of them (--column)")))
        }
    }
}

fn has_codes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(item, _) if matches!(item.data_type(), DataType::Int8 | DataType::UInt8))
}

fn embedding_columns(schema: &Schema) -> Vec<VectorColumn> {
    let fields = schema.fields().iter().enumerate();
    let lists = fields.filter(|(_, field)| !matches!(field.data_type(), DataType::FixedSizeBinary(_)));
    let column = |(index, width, name)| VectorColumn { index, name, width };
    lists
        .filter_map(|(index, field)| Some((index, Width::of(field.data_type())?, field.name().clone())))
        .map(column)
        .collect()
}

impl File {
    /// Reads the footer, and with it where pages begin, as far as the file says.
    pub fn open(source: Source) -> Result<Self> {
        // A copied column chunk takes its encoding statistics along.
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_encoding_stats_as_mask(false);
        let windows = Windows::footer(&source);
        let loaded = match windows.refusal() {
            None => caught(|| ArrowReaderMetadata::load(&windows, options))
                .unwrap_or_else(|reason| Err(ParquetError::General(reason))),
            Some(refusal) => return Err(refusal),
        };
        let file = match loaded {
            Ok(metadata) => Self { source, metadata, end: windows.held() },
            Err(error) => {
                let damaged = || Error::file(source.shown(), no_footer(&source, &error));
                return Err(windows.refusal().unwrap_or_else(damaged));
            }
        };
        // The readers take these for granted and panic.
        let groups = file.metadata().row_groups();
        let chunks = groups.iter().flat_map(|group| group.columns());
        let sane = |chunk: &ColumnChunkMetaData| {
            chunk.data_page_offset() >= 0
                && chunk.dictionary_page_offset().is_none_or(|offset| offset >= 0)
                && chunk.compressed_size() >= 0
        };
        if !groups.iter().all(|group| group.num_rows() >= 0) || !chunks.clone().all(sane) {
            return Err(Error::file(file.shown(), "is damaged: its footer has a negative size or offset"));
        }
        if let Some(other) = chunks.filter_map(|chunk| chunk.file_path()).find(|path| !path.is_empty()) {
            return Err(Error::file(
                file.shown(),
                format!("only names files that hold its columns ({other}): name those"),
            ));
        }
        Ok(file)
    }

    /// Where the file is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// As a person reads it.
    pub fn shown(&self) -> &str {
        self.source.shown()
    }

    /// Windows on these ranges, see [`Windows::new`]. What is known of the file from its footer on is not fetched again.
    pub fn windows(&self, ranges: Vec<Range<u64>>, streams: usize) -> Windows {
        Windows::new(&self.source, ranges, streams).with(self.end.as_ref())
    }

    /// Blake3 of all bytes, read once more where the file is not small; `None` where `stop` says so.
    pub fn digest(&self, stop: &dyn Fn() -> bool) -> Result<Option<String>> {
        match &self.end {
            Some((0, all)) => Ok(Some(blake3::hash(all).to_hex().to_string())),
            _ => self.source.digest(stop),
        }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The footer.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// What values the pages of every column chunk have, where the file says it and where its pages are; read now.
    pub fn column_index(&self) -> Result<Option<ParquetColumnIndex>> {
        if self.metadata().offset_index().is_none() {
            return Ok(None);
        }
        let windows = self.windows(Vec::new(), 1);
        let mut reader = ParquetMetaDataReader::new_with_metadata(self.metadata().as_ref().clone())
            .with_column_index_policy(PageIndexPolicy::Optional);
        let read = caught(|| reader.read_page_indexes(&windows).and_then(|()| reader.finish()));
        match windows.refusal() {
            Some(refusal) => Err(refusal),
            // It only spares reading: a damaged one is none.
            None => Ok(read.ok().and_then(Result::ok).and_then(|metadata| metadata.into_builder().take_column_index())),
        }
    }

    /// The footer, and what Arrow makes of it.
    pub fn arrow(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// How many rows the footer says there are.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The place of a column, or an error that lists the columns there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        column(self.schema(), self.shown(), name)
    }

    /// The embedding column, see [`vector_column`].
    pub fn vector_column(&self, named: Option<&str>) -> Result<VectorColumn> {
        vector_column(self.schema(), self.shown(), named)
    }

    /// All columns that are lists of floats.
    pub fn embedding_columns(&self) -> Vec<VectorColumn> {
        embedding_columns(self.schema())
    }

    /// How many numbers a row of this column has: as its type says, or else as the first row has that is not NULL. `None`
    /// where there is no such row.
    pub fn width(&self, column: &VectorColumn) -> Result<Option<usize>> {
        if let Some(width) = column.width.fixed() {
            return Ok(Some(width));
        }
        for batch in self.read(&[column.index], 64, None)? {
            let batch = batch?;
            let view = Embeddings::of(batch.column(0)).map_err(|flaw| self.flaw(column, 0, &flaw))?;
            if let Some(width) = view.first_width() {
                return Ok(Some(width));
            }
        }
        Ok(None)
    }

    /// What to object to where vectors of `width` numbers are expected: how many the first row has, where none of the first
    /// rows is as expected. One that is not is for those to say who read the rows.
    pub fn other_width(&self, column: &VectorColumn, width: usize) -> Result<Option<usize>> {
        if let Some(fixed) = column.width.fixed() {
            return Ok(Some(fixed).filter(|fixed| *fixed != width));
        }
        for batch in self.read(&[column.index], 64, None)? {
            let widths = Embeddings::widths(batch?.column(0)).map_err(|flaw| self.flaw(column, 0, &flaw))?;
            if let Some(first) = widths.first() {
                return Ok(Some(*first).filter(|_| !widths.contains(&width)));
            }
        }
        Ok(None)
    }

    /// Rows that make a batch of a few MB of some columns, of which `vector` is a column of `width` numbers; see
    /// [`batch_rows`]. Of columns whose rows have no fixed size (texts, say) nothing is known beforehand: the size in the file
    /// is the dictionary's where there is one. They are read by the smallest batch.
    pub fn batch_rows(&self, columns: &[usize], vector: Option<(&VectorColumn, usize)>) -> usize {
        let bytes = columns.iter().map(|&index| match vector {
            Some((vector, width)) if vector.index == index => Some(width * size_of::<f32>()),
            _ => row_bytes(self.schema().field(index).data_type()),
        });
        match bytes.sum::<Option<usize>>() {
            Some(bytes) => batch_rows(bytes),
            None => BLOCK_ROWS,
        }
    }

    /// A reader of some columns (in the file's order), `batch_rows` at a time; of all rows, or of those of one row group, or
    /// of those of it that a selection takes.
    pub fn read(
        &self,
        columns: &[usize],
        batch_rows: usize,
        part: Option<(usize, Option<RowSelection>)>,
    ) -> Result<Batches> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        self.read_leaves(mask, batch_rows, part)
    }

    /// [`File::read`] of some leaves of the columns.
    pub fn read_leaves(
        &self,
        mask: ProjectionMask,
        batch_rows: usize,
        part: Option<(usize, Option<RowSelection>)>,
    ) -> Result<Batches> {
        let parquet = self.metadata.parquet_schema();
        let leaves: Vec<usize> = (0..parquet.num_columns()).filter(|&leaf| mask.leaf_included(leaf)).collect();
        let groups = self.metadata().row_groups().iter().enumerate();
        let chunks = groups.filter(|(group, _)| part.as_ref().is_none_or(|(wanted, _)| wanted == group));
        let ranges = chunks.flat_map(|(_, group)| {
            leaves.iter().map(|&leaf| {
                let (start, length) = group.column(leaf).byte_range();
                start..start.saturating_add(length)
            })
        });
        let windows = self.windows(ranges.collect(), leaves.len());
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(windows.clone(), self.metadata.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows);
        if let Some((group, selection)) = part {
            builder = builder.with_row_groups(vec![group]);
            if let Some(selection) = selection {
                builder = builder.with_row_selection(selection);
            }
        }
        match builder.build() {
            Ok(reader) => Ok(Batches { shown: self.shown().to_owned(), windows, reader: Some(reader) }),
            Err(error) => Err(Error::file(self.shown(), format!("cannot be read: {error}"))),
        }
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

/// The batches of a file. Errors name it.
pub struct Batches {
    shown: String,
    windows: Windows,
    /// `None` after a panic.
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        // Some damage makes a decoder panic.
        match caught(|| reader.next()) {
            Ok(batch) => Some(batch?.map_err(|error| {
                let damaged = || Error::file(&self.shown, format!("cannot be read: {error}"));
                self.windows.refusal().unwrap_or_else(damaged)
            })),
            Err(reason) => {
                self.reader = None;
                Some(Err(Error::file(&self.shown, format!("cannot be read, it is damaged: {reason}"))))
            }
        }
    }
}

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`; what a panic said is its error.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
    })
}

/// Whether a panic of this thread becomes an error, and need not be printed as well.
pub fn is_caught() -> bool {
    CAUGHT.get()
}

/// Bytes of a row in memory, where all rows have the same.
fn row_bytes(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Null | DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).ok(),
        DataType::FixedSizeList(item, width) => Some(row_bytes(item.data_type())? * usize::try_from(*width).ok()?),
        DataType::Struct(fields) => fields.iter().map(|field| row_bytes(field.data_type())).sum(),
        other => other.primitive_width(),
    }
}

/// Why a footer could not be read, said by what the file begins with.
fn no_footer(source: &Source, error: &ParquetError) -> String {
    if source.size() == 0 {
        return "is empty, not a Parquet file".to_owned();
    }
    let head = Windows::new(source, Vec::new(), 1).get_bytes(0, 4);
    if head.is_ok_and(|head| head.as_ref() == b"PAR1") {
        format!("begins as a Parquet file and has no usable footer: it is cut off or damaged ({error})")
    } else {
        "is not a Parquet file: `babelake import` makes one of npy, fbin, JSON lines and more".to_owned()
    }
}
