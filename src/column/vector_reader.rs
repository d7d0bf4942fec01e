//! The vectors of a column chunk: from its pages as long as their rows are as they should be, other rows by the general reader.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float32Array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::buffers::Buffers;
use super::pages::{Irregular, Pages, Vectors};

/// Ranges of irregular rows that are read one by one; after that, the general reader reads what is left of the chunk: it begins
/// every range at the beginning of the chunk.
const MOST_RANGES: usize = 8;

/// Reads the vectors of one row group.
pub struct VectorReader<R: ChunkReader> {
    source: Arc<R>,
    metadata: ArrowReaderMetadata,
    column: usize,
    group: usize,
    item: FieldRef,
    pages: SerializedPageReader<R>,
    /// Levels that the pages to come have, as the footer says.
    levels: i64,
    decoded: Pages,
    buffers: Buffers<f32>,
    /// Rows handed over.
    done: usize,
    /// All rows, as the footer says.
    rows: usize,
    /// Whether the page that comes next in `decoded` was irregular.
    irregular: bool,
    /// Irregular rows that are read now.
    general: Option<General>,
    ranges: usize,
}

/// Irregular rows.
struct General {
    reader: ParquetRecordBatchReader,
    /// The row after them.
    end: usize,
    /// What is left of a batch.
    rest: Option<ArrayRef>,
}

impl<R: ChunkReader + 'static> VectorReader<R> {
    /// Of the rows of row group `group` of a file, expected to have `width` numbers, or as many as the first one. `None` where the
    /// column, by its number in the file's schema, is not a list of `f32` or `f16`, or a fixed-size one of another width.
    pub fn new(
        source: Arc<R>,
        metadata: &ArrowReaderMetadata,
        (column, width): (usize, Option<usize>),
        group: usize,
        buffers: &Buffers<f32>,
    ) -> Result<Option<Self>> {
        let item = match metadata.schema().field(column).data_type() {
            DataType::List(item) | DataType::LargeList(item) => item,
            DataType::FixedSizeList(item, fixed) if usize::try_from(*fixed).ok() == width => item,
            _ => return Ok(None),
        };
        let schema = metadata.parquet_schema();
        let mut leaves = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column);
        let (Some(leaf), None) = (leaves.next(), leaves.next()) else { return Ok(None) };
        if !matches!(item.data_type(), DataType::Float32 | DataType::Float16) {
            return Ok(None);
        }
        let Some(decoded) = Pages::new(schema, leaf, width) else { return Ok(None) };
        let chunk = metadata.metadata().row_group(group).column(leaf);
        let pages = SerializedPageReader::new(Arc::clone(&source), chunk, 0, None)?;
        Ok(Some(Self {
            source,
            metadata: metadata.clone(),
            column,
            group,
            item: Arc::new(item.as_ref().clone().with_data_type(DataType::Float32)),
            pages,
            levels: chunk.num_values(),
            decoded,
            buffers: buffers.clone(),
            done: 0,
            rows: usize::try_from(metadata.metadata().row_group(group).num_rows()).unwrap_or_default(),
            irregular: false,
            general: None,
            ranges: 0,
        }))
    }

    /// The next rows, at most so many and more than none; `None` where there are no more. Regular rows are a fixed-size list of
    /// `f32`, others are as the general reader has them. Some damage makes it panic.
    pub fn next(&mut self, most: usize) -> Result<Option<ArrayRef>> {
        let rows = match self.next_general(most)? {
            Some(rows) => Some(rows),
            None => self.next_regular(most)?,
        };
        let Some(rows) = rows else { return if self.irregular { self.next(most) } else { Ok(None) } };
        self.done += rows.len();
        Ok(Some(rows))
    }

    fn next_general(&mut self, most: usize) -> Result<Option<ArrayRef>> {
        if std::mem::take(&mut self.irregular) {
            self.general = Some(self.irregular_rows(most)?);
        }
        let Some(general) = &mut self.general else { return Ok(None) };
        let rows = match general.rest.take() {
            Some(rest) => Some(rest),
            None => general.reader.next().transpose()?.map(|batch| Arc::clone(batch.column(0))),
        };
        match rows {
            Some(rows) if rows.len() > most => {
                general.rest = Some(rows.slice(most, rows.len() - most));
                Ok(Some(rows.slice(0, most)))
            }
            Some(rows) => Ok(Some(rows)),
            // Of a chunk that has fewer rows than the footer says the caller finds out.
            None if general.end == self.rows => Ok(None),
            None if general.end == self.done => {
                self.general = None;
                Ok(None)
            }
            None => Err(ParquetError::General("a page has not the rows that its levels say".to_owned())),
        }
    }

    fn next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page @ (Page::DataPage { .. } | Page::DataPageV2 { .. })) = &page {
            self.levels -= i64::from(page.num_values());
            // The general reader, asked for as many rows as there are, would not notice.
            if self.levels < 0 {
                let message = "a page has more values than the footer says: the file is damaged".to_owned();
                return Err(ParquetError::General(message));
            }
        }
        Ok(page)
    }

    /// The rows from here on up to where a regular page begins with a row of its own.
    fn irregular_rows(&mut self, batch_rows: usize) -> Result<General> {
        self.ranges += 1;
        let mut end = None;
        while end.is_none() && self.ranges <= MOST_RANGES {
            let Some(page) = self.next_page()? else { break };
            let is_data = !matches!(page, Page::DictionaryPage { .. });
            match self.decoded.take(page) {
                Ok(()) if is_data => end = self.decoded.rows_before().and_then(|rows| usize::try_from(rows).ok()),
                Ok(()) => {}
                Err(Irregular) => self.decoded.give_up(),
            }
        }
        let end = end.unwrap_or(self.rows);
        let rows = vec![RowSelector::skip(self.done), RowSelector::select(end.saturating_sub(self.done))];
        let source = Whole(Arc::clone(&self.source));
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, self.metadata.clone())
            .with_projection(ProjectionMask::roots(self.metadata.parquet_schema(), [self.column]))
            .with_row_groups(vec![self.group])
            .with_row_selection(RowSelection::from(rows))
            .with_batch_size(batch_rows)
            .build()?;
        Ok(General { reader, end, rest: None })
    }

    /// `None` also where a page is irregular, which is noted, and no row is complete before it.
    fn next_regular(&mut self, most: usize) -> Result<Option<ArrayRef>> {
        if self.general.is_some() {
            return Ok(None);
        }
        loop {
            let filled = self.decoded.fill(most);
            if filled == Ok(true) {
                break;
            }
            let taken = match filled {
                Err(Irregular) => Err(Irregular),
                Ok(_) => match self.next_page()? {
                    Some(page) => self.decoded.take(page),
                    None if self.decoded.is_complete() => break,
                    // The general reader says what is wrong with a row that does not end.
                    None => Err(Irregular),
                },
            };
            if taken.is_err() {
                self.decoded.give_up();
                self.irregular = true;
                break;
            }
        }
        if self.decoded.ready() == 0 {
            return Ok(None);
        }
        let width = self.decoded.width();
        let next = self.buffers.take(most.min(self.rows.saturating_sub(self.done)) * width);
        let Vectors { values, nulls, rows } = self.decoded.batch(next);
        let width = i32::try_from(width).unwrap_or(i32::MAX);
        let count = values.len();
        let numbers = ScalarBuffer::new(Buffer::from(self.buffers.lend(values)), 0, count);
        let numbers = Arc::new(Float32Array::new(numbers, None));
        let list = FixedSizeListArray::try_new_with_length(Arc::clone(&self.item), width, numbers, nulls, rows)?;
        Ok(Some(Arc::new(list)))
    }
}

/// A reader by value, which a builder wants.
struct Whole<R>(Arc<R>);

impl<R: ChunkReader> Length for Whole<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Whole<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ListArray, RecordBatch};
    use arrow::datatypes::{Field, Float32Type, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ArrowReaderOptions;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;

    use super::super::pages::tests::{Case, Row, case, general, listed};
    use super::*;

    /// The batches of a file.
    fn read(file: &Bytes, width: usize, batch: usize) -> Result<Vec<ArrayRef>> {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
        let (source, buffers) = (Arc::new(file.clone()), Buffers::new(4));
        let mut batches = Vec::new();
        for group in 0..metadata.metadata().num_row_groups() {
            let reader = VectorReader::new(Arc::clone(&source), &metadata, (0, Some(width)), group, &buffers)?;
            let mut reader = reader.expect("lists of f32");
            while let Some(rows) = reader.next(batch)? {
                assert!((1..=batch).contains(&rows.len()));
                batches.push(rows);
            }
        }
        Ok(batches)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn all_rows_are_those_of_the_general_reader(case in case()) {
            let file = Case::file(&case, &case.rows());
            let found: Vec<Row> = read(&file, case.width, case.batch).unwrap().iter().flat_map(listed).collect();
            prop_assert_eq!(found, general(&file));
        }
    }

    /// A file of lists of 4, in pages of 10 rows, of which those named are of other lengths.
    fn with_odd_rows(odd: &[usize]) -> Bytes {
        let width = |row: usize| if odd.contains(&row) { row % 4 } else { 4 };
        let row = |row: usize| Some((0..width(row)).map(|i| Some((4 * row + i) as f32)).collect::<Vec<_>>());
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>((0..1000).map(row));
        let schema = Schema::new(vec![Field::new("v", lists.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(lists)]).unwrap();
        let properties = WriterProperties::builder().set_data_page_row_count_limit(10).set_write_batch_size(1);
        let properties = properties.set_dictionary_enabled(false).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap().into()
    }

    #[test]
    fn only_the_rows_of_irregular_pages_are_read_by_the_general_reader() {
        let many: Vec<usize> = (0..20).map(|i| 50 * i).collect();
        // After eight ranges, whose last is row 350's page, what is left.
        for (odd, most) in [(&[][..], 0), (&[123], 10), (&[0], 10), (&[999], 10), (&[123, 131, 555], 30), (&many, 730)]
        {
            let file = with_odd_rows(odd);
            let batches = read(&file, 4, 64).unwrap();
            assert_eq!(batches.iter().flat_map(listed).collect::<Vec<_>>(), general(&file), "{odd:?}");
            let by_general = batches.iter().filter(|batch| matches!(batch.data_type(), DataType::List(_)));
            let rows: usize = by_general.map(|batch| batch.len()).sum();
            assert!((odd.len()..=most).contains(&rows), "{odd:?}: {rows}");
        }
    }

    #[test]
    fn a_page_that_is_cut_off_is_an_error() {
        let whole = with_odd_rows(&[]);
        let metadata = ArrowReaderMetadata::load(&whole, ArrowReaderOptions::new()).unwrap();
        let (_, length) = metadata.metadata().row_group(0).column(0).byte_range();
        let cut = Arc::new(whole.slice(..length as usize / 2));
        let mut reader = VectorReader::new(cut, &metadata, (0, Some(4)), 0, &Buffers::new(4)).unwrap().unwrap();
        let mut rows = 0;
        let end = loop {
            match reader.next(64) {
                Ok(Some(batch)) => rows += batch.len(),
                end => break end,
            }
        };
        assert!(end.is_err() && rows < 1000);
    }
}
