//! Vectors to the pages of a Parquet column of lists.
//!
//! A writer of lists makes two levels for every number. Those of rows that are NULL or have k numbers are a few runs a row, and
//! the numbers go to the page in one piece.

use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Repetition, Type as Physical};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

/// Bytes of a page, about.
const PAGE_BYTES: usize = 1 << 20;

/// One column chunk on its way.
pub struct PageWriter {
    column: ColumnDescPtr,
    width: usize,
    /// Whether rows may be NULL.
    nullable: bool,
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    sink: TrackedWrite<Vec<u8>>,
    offsets: Option<OffsetIndexBuilder>,
    rows: u64,
    levels: i64,
    pages: i32,
    compressed: i64,
    uncompressed: i64,
}

/// A column chunk, complete.
pub struct Chunk {
    /// Its pages.
    pub bytes: Bytes,
    /// What goes into the footer; offsets are those within the bytes.
    pub close: ColumnCloseResult,
}

impl PageWriter {
    /// For a leaf of the output; `indexed` where the file says where its pages are. `None` where it is not the numbers of a list
    /// of `FLOAT`s, one list deep, or is compressed by another codec than zstd.
    pub fn new(
        schema: &SchemaDescriptor,
        leaf: usize,
        width: usize,
        compression: Compression,
        indexed: bool,
    ) -> Result<Option<Self>> {
        let column = schema.column(leaf);
        let zstd = match compression {
            Compression::UNCOMPRESSED => None,
            Compression::ZSTD(level) => Some(zstd::bulk::Compressor::new(level.compression_level())?),
            _ => return Ok(None),
        };
        if column.max_rep_level() != 1 || column.physical_type() != Physical::FLOAT || width == 0 {
            return Ok(None);
        }
        let root = schema.get_column_root(leaf).get_basic_info();
        Ok(Some(Self {
            nullable: root.has_repetition() && root.repetition() == Repetition::OPTIONAL,
            column,
            width,
            compression,
            zstd,
            sink: TrackedWrite::new(Vec::new()),
            offsets: indexed.then(OffsetIndexBuilder::new),
            rows: 0,
            levels: 0,
            pages: 0,
            compressed: 0,
            uncompressed: 0,
        }))
    }

    /// Adds rows, k numbers each, also those that are NULL, whose numbers are not written. They become pages of their own.
    pub fn write(&mut self, values: &[f32], nulls: Option<&NullBuffer>) -> Result<()> {
        let rows = values.len() / self.width;
        let at_a_time = (PAGE_BYTES / (self.width * size_of::<f32>())).max(1);
        for first in (0..rows).step_by(at_a_time) {
            let count = at_a_time.min(rows - first);
            let nulls = nulls.map(|nulls| nulls.slice(first, count)).filter(|nulls| nulls.null_count() > 0);
            self.page(&values[first * self.width..(first + count) * self.width], count, nulls.as_ref())?;
        }
        Ok(())
    }

    fn page(&mut self, values: &[f32], rows: usize, nulls: Option<&NullBuffer>) -> Result<()> {
        let width = self.width;
        let (mut repetition, mut definition) = (Vec::new(), Vec::new());
        let full = u8::try_from(self.column.max_def_level()).unwrap_or_default();
        let mut page = Vec::with_capacity(size_of_val(values) + 16 * rows + 64);
        // (whether they are NULL, how many) rows one after the other.
        let mut spans: Vec<(bool, usize)> = Vec::new();
        for row in 0..rows {
            let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
            match spans.last_mut() {
                Some((null, count)) if *null == is_null => *count += 1,
                _ => spans.push((is_null, 1)),
            }
        }
        if spans.iter().any(|(is_null, _)| *is_null) && !self.nullable {
            return Err(ParquetError::General("a row of a column without NULL is NULL".to_owned()));
        }
        let mut levels = 0;
        for &(is_null, count) in &spans {
            if is_null || width == 1 {
                run(&mut repetition, 0, count);
            } else {
                for _ in 0..count {
                    run(&mut repetition, 0, 1);
                    run(&mut repetition, 1, width - 1);
                }
            }
            let of_span = if is_null { count } else { count * width };
            run(&mut definition, if is_null { 0 } else { full }, of_span);
            levels += of_span;
        }
        let mut add = |levels: &[u8]| -> Result<()> {
            let length = u32::try_from(levels.len()).map_err(|error| ParquetError::General(error.to_string()))?;
            page.extend_from_slice(&length.to_le_bytes());
            page.extend_from_slice(levels);
            Ok(())
        };
        add(&repetition)?;
        if full > 0 {
            add(&definition)?;
        }
        let mut row = 0;
        for (is_null, count) in spans {
            if !is_null {
                let numbers = &values[row * width..(row + count) * width];
                if cfg!(target_endian = "little") {
                    page.extend_from_slice(bytemuck::cast_slice(numbers));
                } else {
                    page.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
                }
            }
            row += count;
        }
        let uncompressed = page.len();
        let buf = match &mut self.zstd {
            Some(zstd) => zstd.compress(&page)?,
            None => page,
        };
        let page = Page::DataPage {
            buf: buf.into(),
            num_values: u32::try_from(levels).map_err(|error| ParquetError::General(error.to_string()))?,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, uncompressed))?;
        if let Some(offsets) = &mut self.offsets {
            let bytes = i32::try_from(written.compressed_size)?;
            offsets.append_offset_and_size(i64::try_from(written.offset)?, bytes);
            offsets.append_row_count(rows as i64);
        }
        self.rows += rows as u64;
        self.levels += levels as i64;
        self.pages += 1;
        self.compressed += written.compressed_size as i64;
        self.uncompressed += written.uncompressed_size as i64;
        Ok(())
    }

    /// The chunk of all rows.
    pub fn close(self) -> Result<Chunk> {
        let stats = PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::PLAIN, count: self.pages };
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.compression)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_page_encoding_stats(vec![stats])
            .set_total_compressed_size(self.compressed)
            .set_total_uncompressed_size(self.uncompressed)
            .set_num_values(self.levels)
            .set_data_page_offset(0)
            .build()?;
        let bytes = Bytes::from(self.sink.into_inner()?);
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: self.offsets.map(OffsetIndexBuilder::build),
        };
        Ok(Chunk { bytes, close })
    }
}

/// Adds `count` times a level of less than eight bits.
fn run(levels: &mut Vec<u8>, level: u8, count: usize) {
    let mut header = count << 1;
    while header >= 0x80 {
        levels.push((header & 0x7f) as u8 | 0x80);
        header >>= 7;
    }
    levels.push(header as u8);
    levels.push(level);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, Field, Float32Type, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::basic::ZstdLevel;
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::golden::Random;

    /// A row's numbers, `None` where it is NULL.
    type Row = Option<Vec<f32>>;

    fn schema(width: usize, nullable: (bool, bool), fixed: bool) -> Schema {
        let item = Arc::new(Field::new("element", DataType::Float32, nullable.1));
        let list = if fixed { DataType::FixedSizeList(item, width as i32) } else { DataType::List(item) };
        Schema::new(vec![Field::new("v", list, nullable.0)])
    }

    fn file(rows: &[Vec<Row>], width: usize, schema: &Schema, codec: Compression, indexed: bool) -> Bytes {
        let schema = ArrowSchemaConverter::new().convert(schema).unwrap();
        let properties = WriterProperties::builder().set_offset_index_disabled(!indexed).build();
        let mut writer = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), Arc::new(properties)).unwrap();
        let mut pages = PageWriter::new(&schema, 0, width, codec, indexed).unwrap().unwrap();
        for rows in rows {
            let zeros = vec![7.0; width];
            let values: Vec<f32> = rows.iter().flat_map(|row| row.as_ref().unwrap_or(&zeros)).copied().collect();
            let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
            pages.write(&values, Some(&nulls)).unwrap();
        }
        let chunk = pages.close().unwrap();
        let mut group = writer.next_row_group().unwrap();
        group.append_column(&chunk.bytes, chunk.close).unwrap();
        group.close().unwrap();
        writer.into_inner().unwrap().into()
    }

    fn read(file: &Bytes, skip: usize) -> Vec<Row> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
        let rows = reader.metadata().file_metadata().num_rows() as usize;
        let selection = RowSelection::from(vec![RowSelector::skip(skip), RowSelector::select(rows - skip)]);
        let batches = reader.with_row_selection(selection).with_batch_size(100).build().unwrap();
        let rows = |batch: arrow::array::RecordBatch| -> Vec<Row> {
            let lists = batch.column(0);
            let numbers = |row: usize| {
                let list = match lists.data_type() {
                    DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
                    _ => lists.as_list::<i32>().value(row),
                };
                list.as_primitive::<Float32Type>().values().to_vec()
            };
            (0..lists.len()).map(|row| lists.is_valid(row).then(|| numbers(row))).collect()
        };
        batches.flat_map(|batch| rows(batch.unwrap())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// The general reader reads what is written, from any row on.
        #[test]
        fn what_is_written_is_read_again(
            seed: u64, width in prop_oneof![1usize..10, 200usize..300], counts in prop::collection::vec(0usize..40, 1..4),
            many in prop_oneof![4 => Just(0usize), 1 => Just(1200)], nulls in prop_oneof![Just(0usize), 1usize..100],
            optional: (bool, bool), fixed: bool, zstd: bool, indexed: bool,
        ) {
            let mut random = Random(seed);
            let batch = |count: usize| -> Vec<Row> {
                let row = |_| {
                    let numbers = (0..width).map(|_| random.normal() as f32).collect();
                    (!optional.0 || random.below(100) >= nulls).then_some(numbers)
                };
                (0..count).map(row).collect()
            };
            let batches: Vec<Vec<Row>> = counts.into_iter().chain([many]).map(batch).collect();
            let rows = batches.concat();
            prop_assume!(!rows.is_empty());
            let codec = if zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
            let schema = schema(width, optional, fixed);
            let file = file(&batches, width, &schema, codec, indexed);
            prop_assert_eq!(&read(&file, 0), &rows);
            let skip = Random(seed).below(rows.len());
            prop_assert_eq!(&read(&file, skip)[..], &rows[skip..]);
        }
    }

    #[test]
    fn a_null_row_of_a_column_without_is_an_error() {
        let schema = ArrowSchemaConverter::new().convert(&schema(2, (false, true), true)).unwrap();
        let codec = Compression::UNCOMPRESSED;
        let mut pages = PageWriter::new(&schema, 0, 2, codec, false).unwrap().unwrap();
        assert!(pages.write(&[1.0; 4], Some(&NullBuffer::from(vec![true, false]))).is_err());
        assert!(PageWriter::new(&schema, 0, 2, Compression::SNAPPY, false).unwrap().is_none());
    }
}
