//! Vectors to the pages of a Parquet column of lists.
//!
//! A writer of lists makes two levels for every number. Those of rows that are NULL or have k numbers are a few runs a row, and
//! the numbers go to the page in one piece. Pages are made apart from the chunk they go to: several threads make those of one.

use std::collections::VecDeque;
use std::io::{Read, Write};

use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Repetition};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use super::buffers::{Buffer, Buffers};
use super::item::Item;

/// Bytes of a page, about.
const PAGE_BYTES: usize = 1 << 20;

/// Makes the pages of one column.
pub struct PageEncoder {
    width: usize,
    item: Item,
    /// Whether rows may be NULL, and numbers of theirs.
    nullable: (bool, bool),
    /// The definition level of a number.
    full: u8,
    /// `None` where pages are not compressed.
    codec: Option<Codec>,
    /// A page before it is compressed.
    page: Buffer<u8>,
    buffers: Buffers<u8>,
}

/// How pages are compressed.
enum Codec {
    Zstd(i32, zstd::bulk::Compressor<'static>),
    Snappy(Box<snap::raw::Encoder>),
}

/// A page, compressed.
pub struct EncodedPage {
    bytes: Bytes,
    uncompressed: usize,
    levels: usize,
    rows: usize,
}

impl Codec {
    fn of(compression: Compression) -> Result<Option<Self>> {
        Ok(Some(match compression {
            Compression::ZSTD(level) => Self::zstd(level.compression_level())?,
            Compression::SNAPPY => Self::Snappy(Box::new(snap::raw::Encoder::new())),
            _ => return Ok(None),
        }))
    }

    fn zstd(level: i32) -> Result<Self> {
        Ok(Self::Zstd(level, zstd::bulk::Compressor::new(level)?))
    }

    /// Bytes that so many become at most.
    fn most(&self, bytes: usize) -> usize {
        match self {
            Self::Zstd(..) => zstd::zstd_safe::compress_bound(bytes),
            Self::Snappy(_) => snap::raw::max_compress_len(bytes),
        }
    }

    /// Adds a page, compressed.
    fn compress(&mut self, page: &[u8], out: &mut Buffer<u8>) -> Result<()> {
        let (begin, most) = (out.len(), self.most(page.len()));
        let length = match self {
            Self::Zstd(_, zstd) => zstd.compress_to_buffer(page, out.more(most))?,
            Self::Snappy(snappy) => {
                snappy.compress(page, out.more(most)).map_err(|error| ParquetError::External(Box::new(error)))?
            }
        };
        out.truncate(begin + length);
        Ok(())
    }

    fn another(&self) -> Result<Self> {
        match self {
            Self::Zstd(level, _) => Self::zstd(*level),
            Self::Snappy(_) => Ok(Self::Snappy(Box::new(snap::raw::Encoder::new()))),
        }
    }
}

impl PageEncoder {
    /// For a leaf of the output. `None` where it is not the numbers of a list of `f32` or `f16`, one list deep, or is compressed
    /// by another codec than zstd or Snappy.
    pub fn new(
        schema: &SchemaDescriptor,
        leaf: usize,
        width: usize,
        compression: Compression,
        buffers: &Buffers<u8>,
    ) -> Result<Option<Self>> {
        let column = schema.column(leaf);
        let item = Item::of(&column).filter(|_| column.max_rep_level() == 1 && width > 0);
        let Some(item) = item else { return Ok(None) };
        let codec = Codec::of(compression)?;
        if codec.is_none() && compression != Compression::UNCOMPRESSED {
            return Ok(None);
        }
        let root = schema.get_column_root(leaf).get_basic_info();
        let optional = root.has_repetition() && root.repetition() == Repetition::OPTIONAL;
        let full = u8::try_from(column.max_def_level()).unwrap_or_default();
        let nullable = (optional, column.self_type().is_optional());
        Ok(Some(Self { width, item, nullable, full, codec, page: Buffer::default(), buffers: buffers.clone() }))
    }

    /// Another one for the same column, for another thread.
    pub fn another(&self) -> Result<Self> {
        let codec = self.codec.as_ref().map(Codec::another).transpose()?;
        Ok(Self { codec, page: Buffer::default(), buffers: self.buffers.clone(), ..*self })
    }

    /// The pages of rows: k numbers each, also of those that are NULL, whose numbers are not written. A number is NULL where
    /// `null_items` says so. No page has rows of two calls.
    pub fn encode(
        &mut self,
        values: &[f32],
        nulls: Option<&NullBuffer>,
        null_items: Option<&NullBuffer>,
    ) -> Result<Vec<EncodedPage>> {
        let (rows, width) = (values.len() / self.width, self.width);
        let at_a_time = (PAGE_BYTES / (width * self.item.size())).max(1);
        let some = |nulls: Option<&NullBuffer>, first, count| {
            nulls.map(|nulls| nulls.slice(first, count)).filter(|nulls| nulls.null_count() > 0)
        };
        // All pages in one buffer. A row has its numbers, two runs of levels at most, and some for NULL.
        let most = |rows: usize| {
            let page = rows * (self.item.size() * width + 32) + 64;
            self.codec.as_ref().map_or(page, |codec| codec.most(page))
        };
        let most = rows / at_a_time * most(at_a_time) + most(rows % at_a_time);
        let (mut all, mut pages) = (self.buffers.take(most), Vec::new());
        let mut page = std::mem::take(&mut self.page);
        for first in (0..rows).step_by(at_a_time) {
            let count = at_a_time.min(rows - first);
            let (nulls, null_items) = (some(nulls, first, count), some(null_items, first * width, count * width));
            // What is in a NULL row is nothing.
            let null_items = null_items.filter(|items| {
                let mut valid = (0..count).filter(|&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
                valid.any(|row| items.slice(row * width, width).null_count() > 0)
            });
            let values = &values[first * width..][..count * width];
            let begin = all.len();
            page.truncate(0);
            let plain = if self.codec.is_none() { &mut all } else { &mut page };
            let levels = self.page(values, nulls.as_ref(), null_items.as_ref(), plain)?;
            let uncompressed = match &mut self.codec {
                None => all.len() - begin,
                Some(codec) => {
                    codec.compress(&page, &mut all)?;
                    page.len()
                }
            };
            pages.push((begin..all.len(), uncompressed, levels, count));
        }
        self.page = page;
        // A chunk that is held keeps its pages: not the memory that they did not need.
        let all = if 2 * all.len() < all.capacity() {
            let exact = Bytes::copy_from_slice(&all);
            self.buffers.give(all);
            exact
        } else {
            self.buffers.lend(all)
        };
        let page =
            |(range, uncompressed, levels, rows)| EncodedPage { bytes: all.slice(range), uncompressed, levels, rows };
        Ok(pages.into_iter().map(page).collect())
    }

    /// Adds a page that is not compressed, and says how many levels it has.
    fn page(
        &self,
        values: &[f32],
        nulls: Option<&NullBuffer>,
        null_items: Option<&NullBuffer>,
        page: &mut Buffer<u8>,
    ) -> Result<usize> {
        let (width, rows) = (self.width, values.len() / self.width);
        let (mut repetition, mut definition) = (Runs::default(), Runs::default());
        let is_null = |nulls: Option<&NullBuffer>, i: usize| nulls.is_some_and(|nulls| nulls.is_null(i));
        let mut levels = 0;
        for row in 0..rows {
            repetition.add(0, 1);
            if is_null(nulls, row) {
                definition.add(0, 1);
                levels += 1;
                continue;
            }
            repetition.add(1, width - 1);
            levels += width;
            if null_items.is_none() {
                definition.add(self.full, width);
            } else {
                let items = row * width..(row + 1) * width;
                items.for_each(|i| definition.add(self.full - u8::from(is_null(null_items, i)), 1));
            }
        }
        if nulls.is_some() && !self.nullable.0 || null_items.is_some() && !self.nullable.1 {
            return Err(ParquetError::General("a column without NULL has one".to_owned()));
        }
        let mut add = |levels: Runs| -> Result<()> {
            let levels = levels.finish();
            let length = u32::try_from(levels.len()).map_err(|error| ParquetError::General(error.to_string()))?;
            page.extend_from_slice(&length.to_le_bytes());
            page.extend_from_slice(&levels);
            Ok(())
        };
        add(repetition)?;
        if self.full > 0 {
            add(definition)?;
        }
        if nulls.is_none() && null_items.is_none() {
            self.item.put(values, page);
        } else {
            for (row, numbers) in values.chunks_exact(width).enumerate().filter(|(row, _)| !is_null(nulls, *row)) {
                match null_items {
                    None => self.item.put(numbers, page),
                    Some(_) => {
                        let items = numbers.iter().enumerate();
                        let there = items.filter(|(i, _)| !is_null(null_items, row * width + i));
                        there.for_each(|(_, number)| self.item.put(std::slice::from_ref(number), page));
                    }
                }
            }
        }
        Ok(levels)
    }
}

/// Levels of less than eight bits as Parquet's hybrid has them, in run lengths alone.
#[derive(Default)]
struct Runs {
    bytes: Vec<u8>,
    level: u8,
    count: usize,
}

impl Runs {
    /// `count` times a level.
    fn add(&mut self, level: u8, count: usize) {
        if level != self.level {
            self.end();
            self.level = level;
        }
        self.count += count;
    }

    fn end(&mut self) {
        if self.count > 0 {
            let mut header = std::mem::take(&mut self.count) << 1;
            while header >= 0x80 {
                self.bytes.push((header & 0x7f) as u8 | 0x80);
                header >>= 7;
            }
            self.bytes.extend([header as u8, self.level]);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes
    }
}

/// One column chunk on its way.
pub struct PageWriter {
    column: ColumnDescPtr,
    compression: Compression,
    sink: TrackedWrite<Rope>,
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
    pub bytes: Rope,
    /// What goes into the footer; offsets are those within the bytes.
    pub close: ColumnCloseResult,
}

impl PageWriter {
    /// Of the pages of a [`PageEncoder`] for the same leaf; `indexed` where the file says where its pages are.
    pub fn new(schema: &SchemaDescriptor, leaf: usize, compression: Compression, indexed: bool) -> Self {
        Self {
            column: schema.column(leaf),
            compression,
            sink: TrackedWrite::new(Rope::default()),
            offsets: indexed.then(OffsetIndexBuilder::new),
            rows: 0,
            levels: 0,
            pages: 0,
            compressed: 0,
            uncompressed: 0,
        }
    }

    /// Bytes of the pages so far.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.compressed).unwrap_or_default()
    }

    /// Adds a page.
    pub fn write(&mut self, page: EncodedPage) -> Result<()> {
        let EncodedPage { bytes, uncompressed, levels, rows } = page;
        self.sink.inner_mut().next = bytes.clone();
        let page = Page::DataPage {
            buf: bytes,
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
        let bytes = self.sink.into_inner()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.length,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: self.offsets.map(OffsetIndexBuilder::build),
        };
        Ok(Chunk { bytes, close })
    }
}

/// Bytes in pieces. Pages become pieces as they are; what is between them is copied.
#[derive(Debug, Default)]
pub struct Rope {
    pieces: Vec<Bytes>,
    length: u64,
    /// The page that is about to be written.
    next: Bytes,
}

impl Write for Rope {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let is_next = std::ptr::eq(bytes, self.next.as_ref());
        let piece = if is_next { std::mem::take(&mut self.next) } else { Bytes::copy_from_slice(bytes) };
        self.pieces.push(piece);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Length for Rope {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Rope {
    type T = RopeRead;

    fn get_read(&self, start: u64) -> Result<RopeRead> {
        let mut pieces: VecDeque<_> = self.pieces.iter().cloned().collect();
        let mut left = usize::try_from(start)?;
        while let Some(first) = pieces.pop_front() {
            if left < first.len() {
                pieces.push_front(first.slice(left..));
                break;
            }
            left -= first.len();
        }
        Ok(RopeRead(pieces))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What is left of a rope.
#[derive(Debug)]
pub struct RopeRead(VecDeque<Bytes>);

impl Read for RopeRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(first) = self.0.front_mut() else { return Ok(0) };
        let count = buffer.len().min(first.len());
        buffer[..count].copy_from_slice(&first.split_to(count));
        if first.is_empty() {
            self.0.pop_front();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use half::f16;
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::basic::ZstdLevel;
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use proptest::prelude::*;

    use super::super::pages::tests::{Row, listed};
    use super::*;
    use crate::kernel::golden::Random;

    fn schema(width: usize, nullable: (bool, bool), (fixed, half): (bool, bool)) -> Schema {
        let numbers = if half { DataType::Float16 } else { DataType::Float32 };
        let item = Arc::new(Field::new("element", numbers, nullable.1));
        let list = if fixed { DataType::FixedSizeList(item, width as i32) } else { DataType::List(item) };
        Schema::new(vec![Field::new("v", list, nullable.0)])
    }

    fn file(rows: &[Vec<Row>], width: usize, schema: &Schema, codec: Compression, indexed: bool) -> Bytes {
        let schema = ArrowSchemaConverter::new().convert(schema).unwrap();
        let properties = WriterProperties::builder().set_offset_index_disabled(!indexed).build();
        let mut writer = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), Arc::new(properties)).unwrap();
        let mut first = PageEncoder::new(&schema, 0, width, codec, &Buffers::new(2)).unwrap().unwrap();
        let mut encoders = [first.another().unwrap(), first.another().unwrap()];
        let mut pages = PageWriter::new(&schema, 0, codec, indexed);
        for (i, rows) in rows.iter().enumerate() {
            // What is in a NULL row is not looked at.
            let hidden = vec![if i % 2 == 0 { Some(7.0) } else { None }; width];
            let values: Vec<_> = rows.iter().flat_map(|row| row.as_ref().unwrap_or(&hidden)).copied().collect();
            let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
            let null_items = NullBuffer::from_iter(values.iter().map(Option::is_some));
            let values: Vec<f32> = values.into_iter().map(|x| x.unwrap_or(7.0)).collect();
            let made = encoders[i % 2].encode(&values, Some(&nulls), Some(&null_items)).unwrap();
            made.into_iter().for_each(|page| pages.write(page).unwrap());
        }
        assert!(first.encode(&[], None, None).unwrap().is_empty());
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
        batches.flat_map(|batch| listed(batch.unwrap().column(0))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// The general reader reads what is written, from any row on.
        #[test]
        fn what_is_written_is_read_again(
            seed: u64, width in prop_oneof![1usize..10, 200usize..300], counts in prop::collection::vec(0usize..40, 1..4),
            many in prop_oneof![4 => Just(0usize), 1 => Just(1200)], nulls in prop_oneof![Just(0usize), 1usize..100],
            optional: (bool, bool), null_items in prop_oneof![Just(0usize), Just(10)], lists: (bool, bool), codec in 0usize..3, indexed: bool,
        ) {
            let mut random = Random(seed);
            let batch = |count: usize| -> Vec<Row> {
                let row = |_| {
                    let odd = optional.1 && random.below(100) < null_items;
                    let number = |random: &mut Random| {
                        let number = random.normal() as f32;
                        if lists.1 { f16::from_f32(number).to_f32() } else { number }
                    };
                    let numbers = (0..width)
                        .map(|_| (!odd || random.below(3) > 0).then(|| number(&mut random)))
                        .collect();
                    (!optional.0 || random.below(100) >= nulls).then_some(numbers)
                };
                (0..count).map(row).collect()
            };
            let batches: Vec<Vec<Row>> = counts.into_iter().chain([many]).map(batch).collect();
            let rows = batches.concat();
            prop_assume!(!rows.is_empty());
            let codecs = [Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default()), Compression::SNAPPY];
            let codec = codecs[codec];
            let schema = schema(width, optional, lists);
            let file = file(&batches, width, &schema, codec, indexed);
            prop_assert_eq!(&read(&file, 0), &rows);
            let skip = Random(seed).below(rows.len());
            prop_assert_eq!(&read(&file, skip)[..], &rows[skip..]);
        }
    }

    #[test]
    fn a_null_row_of_a_column_without_is_an_error() {
        let schema = ArrowSchemaConverter::new().convert(&schema(2, (false, true), (true, false))).unwrap();
        let encoder = |codec| PageEncoder::new(&schema, 0, 2, codec, &Buffers::new(2)).unwrap();
        let mut pages = encoder(Compression::UNCOMPRESSED).unwrap();
        assert!(pages.encode(&[1.0; 4], Some(&NullBuffer::from(vec![true, false])), None).is_err());
        assert!(encoder(Compression::LZ4_RAW).is_none());
    }
}
