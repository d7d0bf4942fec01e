//! Vectors from the pages of a Parquet column whose rows all have as many numbers.
//!
//! A reader of lists decodes a repetition and a definition level for every number, to find where lists begin and what is NULL.
//! Where every row is NULL or has exactly k numbers the levels say so in runs, which are compared with what such rows have and
//! never expanded; the numbers then are one piece of the page. Any other page is *irregular*, as is a page in an encoding that
//! is not known here or that ends too early: its rows are for a general reader, which gives the same rows or says what is wrong.
//! Which rows they are, its repetition levels tell.

use std::collections::VecDeque;

use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{Encoding, Repetition};
use parquet::column::page::Page;
use parquet::schema::types::SchemaDescriptor;

use super::buffers::Buffer;
use super::item::Item;

/// Vectors in the order of their rows.
#[derive(Debug, Default)]
pub struct Vectors {
    /// k numbers a row, zeros where it is NULL.
    pub values: Buffer<f32>,
    /// Which rows are NULL; `None` where no row is.
    pub nulls: Option<NullBuffer>,
    /// Rows.
    pub rows: usize,
}

/// Reads the pages of one column chunk, in their order.
#[derive(Debug)]
pub struct Pages {
    /// 0 until a row says it.
    width: usize,
    item: Item,
    /// The definition level of a number.
    full: u32,
    /// Whether level 0 is a NULL row.
    nullable: bool,
    dictionary: Vec<f32>,
    /// Numbers of the last row that the pages have so far: `width` where it is complete.
    open: usize,
    /// Rows that begin before the page, and those that begin in it; `None` where an irregular page does not tell.
    before: Option<u64>,
    begin: Option<u64>,
    /// What is left of the page.
    spans: VecDeque<Span>,
    values: Values,
    /// Rows being put together.
    batch: Buffer<f32>,
    valid: Vec<bool>,
}

/// Numbers, or NULL rows, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Span {
    Numbers(usize),
    Nulls(usize),
}

/// The page has rows that are neither NULL nor of k numbers, or cannot be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irregular;

impl Pages {
    /// For the pages of a leaf; `None` where it is not the numbers of a list of `f32` or `f16`, one list deep.
    /// Where no width is given, it is that of the first row that is not NULL.
    pub fn new(schema: &SchemaDescriptor, leaf: usize, width: Option<usize>) -> Option<Self> {
        let column = schema.column(leaf);
        let item = Item::of(&column)?;
        let list = column.max_rep_level() == 1 && width != Some(0);
        let width = width.unwrap_or_default();
        let root = schema.get_column_root(leaf).get_basic_info();
        list.then(|| Self {
            width,
            item,
            full: u32::from(column.max_def_level().unsigned_abs()),
            nullable: root.has_repetition() && root.repetition() == Repetition::OPTIONAL,
            dictionary: Vec::new(),
            open: width,
            before: Some(0),
            begin: Some(0),
            spans: VecDeque::new(),
            values: Values::default(),
            batch: Buffer::default(),
            valid: Vec::new(),
        })
    }

    /// Rows of the chunk that begin before the page taken last; `None` where an irregular page before it does not tell.
    pub fn rows_before(&self) -> Option<u64> {
        self.before
    }

    /// Takes the next page of the chunk; the one before must be used up, see [`Pages::fill`], or given up.
    pub fn take(&mut self, page: Page) -> Result<(), Irregular> {
        if let Page::DictionaryPage { buf, num_values, encoding, .. } = page {
            let plain = matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY);
            let bytes = buf.get(..num_values as usize * self.item.size()).filter(|_| plain).unwrap_or_default();
            // Pages that refer to what is not there are irregular.
            self.dictionary = vec![0.0; bytes.len() / self.item.size()];
            self.item.widen(bytes, &mut self.dictionary);
            return Ok(());
        }
        self.before = self.before.zip(self.begin).map(|(before, begin)| before + begin);
        self.begin = None;
        let (repetition, definition, values, count, encoding) = parts(page, self.full > 0)?;
        if self.width == 0 {
            self.width = self.first_width(repetition.clone(), definition.clone(), count).unwrap_or_default();
            self.open = self.width;
        }
        let spans = match self.spans(repetition.clone(), definition, count) {
            Ok((spans, begin)) => {
                self.begin = Some(begin);
                spans
            }
            Err(Irregular) => {
                self.begin = Some(begin(repetition, count)?);
                return Err(Irregular);
            }
        };
        let numbers = spans.iter().map(|span| if let Span::Numbers(count) = span { *count } else { 0 }).sum();
        self.values = Values::new(values, encoding, (self.item, numbers), self.dictionary.len())?;
        self.spans = spans.into();
        Ok(())
    }

    /// Puts rows together until there are `rows` of them: `false` where the page is used up before, and another is to be
    /// [taken](Pages::take).
    pub fn fill(&mut self, rows: usize) -> Result<bool, Irregular> {
        loop {
            let (complete, part) = (self.valid.len(), self.batch.len() - self.valid.len() * self.width);
            let Some(span) = self.spans.front_mut() else { return Ok(complete >= rows) };
            if complete >= rows {
                return Ok(true);
            }
            self.batch.reserve(rows * self.width);
            let left = match span {
                Span::Numbers(left) => {
                    let count = (*left).min((rows - complete) * self.width - part);
                    self.values.read(count, &self.dictionary, &mut self.batch)?;
                    self.valid.resize(self.batch.len() / self.width, true);
                    *left -= count;
                    *left
                }
                Span::Nulls(left) => {
                    let count = (*left).min(rows - complete);
                    self.batch.more(count * self.width).fill(0.0);
                    self.valid.resize(complete + count, false);
                    *left -= count;
                    *left
                }
            };
            if left == 0 {
                self.spans.pop_front();
            }
        }
    }

    /// The rows put together so far. A row that its page did not end stays for the next, which is put together in `next`.
    pub fn batch(&mut self, mut next: Buffer<f32>) -> Vectors {
        let rows = self.valid.len();
        next.truncate(0);
        next.extend_from_slice(&self.batch[rows * self.width..]);
        self.batch.truncate(rows * self.width);
        let values = std::mem::replace(&mut self.batch, next);
        let valid = std::mem::take(&mut self.valid);
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        Vectors { values, nulls, rows }
    }

    /// Leaves out what is left of the page, and the row that was not complete. Rows that are complete stay.
    pub fn give_up(&mut self) {
        self.open = self.width;
        self.spans.clear();
        self.values = Values::None;
        self.batch.truncate(self.valid.len() * self.width);
    }

    /// Numbers of a row; 0 where no page has said it yet.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows put together so far.
    pub fn ready(&self) -> usize {
        self.valid.len()
    }

    /// Whether the last row is complete.
    pub fn is_complete(&self) -> bool {
        self.open == self.width
    }

    /// How many numbers the first row has that is not NULL, as far as the page says.
    fn first_width(&self, repetition: Bytes, definition: Option<Bytes>, count: usize) -> Result<usize, Irregular> {
        let (mut levels, mut width) = (Levels::new(repetition, definition, self.full, count), 0);
        while let Some((repetition, definition, run)) = levels.run()? {
            match (repetition, width) {
                (0, 0) if definition != self.full => {}
                (0, 0) if run > 1 => return Ok(1),
                (0, 0) => width = 1,
                (0, _) => break,
                _ => width += run,
            }
        }
        Ok(width)
    }

    /// What the levels of a page say, where all of its rows are NULL or of k numbers; and how many rows begin in it.
    fn spans(
        &mut self,
        repetition: Bytes,
        definition: Option<Bytes>,
        count: usize,
    ) -> Result<(Vec<Span>, u64), Irregular> {
        if self.width == 0 {
            return Err(Irregular);
        }
        let (mut levels, mut open) = (Levels::new(repetition, definition, self.full, count), self.open);
        let (mut spans, mut begin): (Vec<Span>, u64) = (Vec::new(), 0);
        while let Some((repetition, definition, run)) = levels.run()? {
            if definition == self.full {
                open = match repetition {
                    // Each of them begins a row, after one that is complete.
                    0 if open == self.width && (run == 1 || self.width == 1) => 1,
                    1 if open + run <= self.width => open + run,
                    _ => return Err(Irregular),
                };
                match spans.last_mut() {
                    Some(Span::Numbers(count)) => *count += run,
                    _ => spans.push(Span::Numbers(run)),
                }
            } else if definition == 0 && self.nullable && repetition == 0 && open == self.width {
                spans.push(Span::Nulls(run));
            } else {
                return Err(Irregular);
            }
            begin += if repetition == 0 { run as u64 } else { 0 };
        }
        self.open = open;
        Ok((spans, begin))
    }
}

/// The levels of a page, run by run.
struct Levels {
    repetition: Hybrid,
    definition: Option<Hybrid>,
    /// A level, and how many of its run are left.
    begins: (u32, usize),
    defined: (u32, usize),
    left: usize,
}

impl Levels {
    /// `count` of them. Where there are no definition levels, all are `full`.
    fn new(repetition: Bytes, definition: Option<Bytes>, full: u32, count: usize) -> Self {
        let definition = definition.map(|bytes| Hybrid::new(bytes, 32 - full.leading_zeros()));
        let defined = (full, if definition.is_none() { count } else { 0 });
        Self { repetition: Hybrid::new(repetition, 1), definition, begins: (0, 0), defined, left: count }
    }

    /// A repetition and a definition level, and how many times they come in a row at least; `None` after the last.
    fn run(&mut self) -> Result<Option<(u32, u32, usize)>, Irregular> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.begins.1 == 0 {
            self.begins = self.repetition.run()?;
        }
        if let (0, Some(definition)) = (self.defined.1, &mut self.definition) {
            self.defined = definition.run()?;
        }
        let run = self.begins.1.min(self.defined.1).min(self.left);
        self.begins.1 -= run;
        self.defined.1 -= run;
        self.left -= run;
        Ok(Some((self.begins.0, self.defined.0, run)))
    }
}

/// Repetition levels, definition levels where there are any, values, how many levels there are, and how values are encoded.
type Parts = (Bytes, Option<Bytes>, Bytes, usize, Encoding);

fn parts(page: Page, has_definition: bool) -> Result<Parts, Irregular> {
    // `slice` panics beyond the end.
    let cut = |bytes: &mut Bytes, length: usize| {
        if length > bytes.len() { Err(Irregular) } else { Ok(bytes.split_to(length)) }
    };
    match page {
        Page::DataPage { mut buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
            if rep_level_encoding != Encoding::RLE || has_definition && def_level_encoding != Encoding::RLE {
                return Err(Irregular);
            }
            let levels = |buf: &mut Bytes| {
                let length = cut(buf, 4)?;
                let length = <[u8; 4]>::try_from(&length[..]).map(u32::from_le_bytes).map_err(|_| Irregular)?;
                cut(buf, length as usize)
            };
            let repetition = levels(&mut buf)?;
            let definition = if has_definition { Some(levels(&mut buf)?) } else { None };
            Ok((repetition, definition, buf, num_values as usize, encoding))
        }
        Page::DataPageV2 { mut buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let repetition = cut(&mut buf, rep_levels_byte_len as usize)?;
            let definition = cut(&mut buf, def_levels_byte_len as usize)?;
            Ok((repetition, has_definition.then_some(definition), buf, num_values as usize, encoding))
        }
        Page::DictionaryPage { .. } => Err(Irregular),
    }
}

/// Rows that begin in a page with such levels.
fn begin(repetition: Bytes, count: usize) -> Result<u64, Irregular> {
    let mut repetition = Hybrid::new(repetition, 1);
    let (mut left, mut rows) = (count, 0);
    while left > 0 {
        let (level, run) = repetition.run()?;
        let run = run.min(left);
        rows += if level == 0 { run as u64 } else { 0 };
        left -= run;
    }
    Ok(rows)
}

/// The numbers of a page.
#[derive(Debug, Default)]
enum Values {
    #[default]
    None,
    Plain(Item, Bytes),
    /// The first bytes of all numbers, then their second ones, ...: so many numbers, and how many were read.
    Split(Item, Bytes, usize, usize),
    Dictionary(Hybrid),
}

impl Values {
    /// `count` numbers.
    fn new(
        mut bytes: Bytes,
        encoding: Encoding,
        (item, count): (Item, usize),
        dictionary: usize,
    ) -> Result<Self, Irregular> {
        let length = item.size().checked_mul(count).ok_or(Irregular)?;
        match encoding {
            // A page of NULL rows, whatever its indexes would be.
            _ if count == 0 => Ok(Self::None),
            Encoding::PLAIN if bytes.len() >= length => Ok(Self::Plain(item, bytes)),
            // The page has nothing else: its numbers are as many as its bytes say.
            Encoding::BYTE_STREAM_SPLIT if bytes.len() == length => Ok(Self::Split(item, bytes, count, 0)),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if dictionary > 0 && !bytes.is_empty() => {
                let width = u32::from(bytes.split_to(1)[0]);
                // Indexes of no bits say nothing where there is a choice.
                let is_sane = if dictionary > 1 { (1..=32).contains(&width) } else { width <= 32 };
                if is_sane { Ok(Self::Dictionary(Hybrid::new(bytes, width))) } else { Err(Irregular) }
            }
            _ => Err(Irregular),
        }
    }

    fn read(&mut self, count: usize, dictionary: &[f32], out: &mut Buffer<f32>) -> Result<(), Irregular> {
        match self {
            Self::None if count == 0 => {}
            Self::None => return Err(Irregular),
            Self::Plain(item, bytes) => item.widen(&bytes.split_to(item.size() * count), out.more(count)),
            Self::Split(item, bytes, all, read) => {
                let stream = |i: usize| &bytes[i * *all + *read..][..count];
                let out = out.more(count);
                match item {
                    Item::F32 => {
                        let [a, b, c, d] = [0, 1, 2, 3].map(stream);
                        let bytes = a.iter().zip(b).zip(c.iter().zip(d));
                        let numbers = bytes.map(|((&a, &b), (&c, &d))| f32::from_le_bytes([a, b, c, d]));
                        out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number);
                    }
                    Item::F16 => {
                        let joined: Vec<u8> = stream(0).iter().zip(stream(1)).flat_map(|(&a, &b)| [a, b]).collect();
                        item.widen(&joined, out);
                    }
                }
                *read += count;
            }
            Self::Dictionary(indexes) => {
                let mut left = count;
                while left > 0 {
                    left -= indexes.look_up(left, dictionary, out)?;
                }
            }
        }
        Ok(())
    }
}

/// Small integers as Parquet's hybrid of run lengths and bit packing has them.
#[derive(Debug)]
struct Hybrid {
    bytes: Bytes,
    /// Bits of an integer.
    width: u32,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    /// One value so many times.
    Same(u32, usize),
    /// So many values from this bit on, packed.
    Packed(usize, usize),
}

impl Hybrid {
    fn new(bytes: Bytes, width: u32) -> Self {
        Self { bytes, width, run: Run::Same(0, 0) }
    }

    /// The run that comes next, which is not empty.
    fn next(&mut self) -> Result<&mut Run, Irregular> {
        while let Run::Same(_, 0) | Run::Packed(_, 0) = self.run {
            if let Run::Packed(bit, 0) = self.run {
                let _ = self.bytes.split_to((bit / 8).min(self.bytes.len()));
            }
            let (mut header, mut shift) = (0u64, 0);
            loop {
                let byte = self.byte()?;
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
                if shift > 35 {
                    return Err(Irregular);
                }
            }
            let count = usize::try_from(header >> 1).map_err(|_| Irregular)?;
            self.run = if header & 1 == 1 {
                // Groups of eight; the last one may be cut off behind the last value.
                let packed = count.checked_mul(8).ok_or(Irregular)?;
                let there = self.bytes.len().saturating_mul(8).checked_div(self.width as usize).unwrap_or(packed);
                if packed.min(there) == 0 && packed > 0 {
                    return Err(Irregular);
                }
                Run::Packed(0, packed.min(there))
            } else {
                let mut value = 0;
                for place in 0..self.width.div_ceil(8) {
                    value |= u32::from(self.byte()?) << (8 * place);
                }
                Run::Same(value, count)
            };
        }
        Ok(&mut self.run)
    }

    fn byte(&mut self) -> Result<u8, Irregular> {
        if self.bytes.is_empty() { Err(Irregular) } else { Ok(self.bytes.split_to(1)[0]) }
    }

    /// A value, and how many times it comes in a row at least.
    fn run(&mut self) -> Result<(u32, usize), Irregular> {
        let width = self.width;
        match *self.next()? {
            Run::Same(value, count) => {
                self.run = Run::Same(value, 0);
                Ok((value, count))
            }
            Run::Packed(bit, left) => {
                let (first, mut count) = if width == 1 {
                    let bits = word(&self.bytes, bit);
                    let first = bits & 1;
                    let same = if first == 1 { bits.trailing_ones() } else { bits.trailing_zeros() };
                    (first as u32, (same as usize).min(64 - bit % 8).min(left))
                } else {
                    (packed(&self.bytes, bit, width), 1)
                };
                while width > 1 && count < left && packed(&self.bytes, bit + count * width as usize, width) == first {
                    count += 1;
                }
                self.run = Run::Packed(bit + count * width as usize, left - count);
                Ok((first, count))
            }
        }
    }

    /// Values that the next `most` integers, or fewer, stand for.
    fn look_up(&mut self, most: usize, values: &[f32], out: &mut Buffer<f32>) -> Result<usize, Irregular> {
        let width = self.width;
        let (count, rest) = match *self.next()? {
            Run::Same(index, left) => {
                let (count, value) = (left.min(most), *values.get(index as usize).ok_or(Irregular)?);
                out.more(count).fill(value);
                (count, Run::Same(index, left - count))
            }
            Run::Packed(bit, left) => {
                let count = left.min(most);
                for (i, out) in out.more(count).iter_mut().enumerate() {
                    let index = packed(&self.bytes, bit + i * width as usize, width);
                    *out = *values.get(index as usize).ok_or(Irregular)?;
                }
                (count, Run::Packed(bit + count * width as usize, left - count))
            }
        };
        self.run = rest;
        Ok(count)
    }
}

/// The bits from a bit on, `64 - bit % 8` of them; zeros beyond the end.
fn word(bytes: &[u8], bit: usize) -> u64 {
    let mut eight = [0; 8];
    let from = bytes.get(bit / 8..).unwrap_or_default();
    let count = from.len().min(8);
    eight[..count].copy_from_slice(&from[..count]);
    u64::from_le_bytes(eight) >> (bit % 8)
}

fn packed(bytes: &[u8], bit: usize, width: u32) -> u32 {
    (word(bytes, bit) & ((1 << width) - 1)) as u32
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListArray, RecordBatch};
    use arrow::buffer::OffsetBuffer;
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Field, Float32Type, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::golden::Random;

    /// A row's numbers, `None` where it is NULL.
    pub type Row = Option<Vec<Option<f32>>>;

    /// What there is to write, and how.
    #[derive(Debug, Clone)]
    pub struct Case {
        seed: u64,
        pub width: usize,
        rows: usize,
        /// In 100 rows, about.
        nulls: usize,
        odd: usize,
        fixed: bool,
        half: bool,
        nullable: (bool, bool),
        dictionary: bool,
        split: bool,
        second: bool,
        zstd: bool,
        page_rows: usize,
        page_bytes: usize,
        pub batch: usize,
    }

    pub fn case() -> impl Strategy<Value = Case> {
        let shape =
            (any::<u64>(), prop_oneof![1usize..20, 60usize..140], 0usize..300, prop_oneof![Just(0), 1usize..60]);
        let odd = prop_oneof![3 => Just(0usize), 1 => 1usize..5];
        let lists = (any::<bool>(), any::<bool>());
        let types = (lists, (any::<bool>(), any::<bool>()), any::<bool>(), any::<bool>(), any::<bool>());
        (shape, odd, types, any::<bool>(), (1usize..200, 100usize..20_000, 1usize..100)).prop_map(
            |((seed, width, rows, nulls), odd, ((fixed, half), nullable, dictionary, split, second), zstd, pages)| {
                let (page_rows, page_bytes, batch) = pages;
                let (nulls, odd) = (if nullable.0 { nulls } else { 0 }, if fixed { 0 } else { odd });
                let nullable = (nullable.0, nullable.1);
                Case {
                    seed,
                    width,
                    rows,
                    nulls,
                    odd,
                    fixed,
                    half,
                    nullable,
                    dictionary,
                    split,
                    second,
                    zstd,
                    page_rows,
                    page_bytes,
                    batch,
                }
            },
        )
    }

    impl Case {
        pub fn rows(&self) -> Vec<Row> {
            let mut random = Random(self.seed);
            let number = |random: &mut Random| match self.dictionary {
                // Few different numbers, in runs sometimes.
                true => (random.below(5) as f32).max(2.0),
                false => random.normal() as f32,
            };
            let row = |_| {
                if random.below(100) < self.nulls {
                    return None;
                }
                let mut row: Vec<_> = (0..self.width).map(|_| Some(number(&mut random))).collect();
                if random.below(100) < self.odd {
                    match random.below(3) {
                        0 => row.push(Some(1.0)),
                        1 if self.nullable.1 => row[0] = None,
                        _ => row.clear(),
                    }
                }
                Some(row)
            };
            (0..self.rows).map(row).collect()
        }

        pub fn file(&self, rows: &[Row]) -> Bytes {
            let item = Arc::new(Field::new("element", DataType::Float32, self.nullable.1));
            let zeros = vec![Some(0.0); self.width];
            let nulls = Some(NullBuffer::from_iter(rows.iter().map(Option::is_some))).filter(|_| self.nullable.0);
            let column: ArrayRef = if self.fixed {
                let numbers: Float32Array =
                    rows.iter().flat_map(|row| row.as_ref().unwrap_or(&zeros)).copied().collect();
                let (width, numbers) = (self.width as i32, Arc::new(numbers));
                Arc::new(FixedSizeListArray::try_new_with_length(item, width, numbers, nulls, rows.len()).unwrap())
            } else {
                let numbers: Float32Array = rows.iter().flatten().flatten().copied().collect();
                let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)));
                Arc::new(ListArray::try_new(item, offsets, Arc::new(numbers), nulls).unwrap())
            };
            let column = if self.half {
                cast(&column, &with_items(column.data_type(), DataType::Float16)).unwrap()
            } else {
                column
            };
            let field = Field::new("v", column.data_type().clone(), self.nullable.0);
            let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
            let version = if self.second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
            let codec = if self.zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
            let mut properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(codec)
                .set_dictionary_enabled(self.dictionary)
                .set_dictionary_page_size_limit(if self.split { 12 } else { 1 << 20 })
                .set_data_page_row_count_limit(self.page_rows)
                .set_data_page_size_limit(self.page_bytes)
                .set_write_batch_size(self.page_rows.min(64));
            // This writer's own choice of pages of the second version is for bytes that have much in common.
            let encoding = if self.split { Encoding::BYTE_STREAM_SPLIT } else { Encoding::PLAIN };
            properties = properties.set_encoding(encoding);
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
            writer.write(&batch).unwrap();
            writer.into_inner().unwrap().into()
        }
    }

    fn with_items(lists: &DataType, numbers: DataType) -> DataType {
        let item = |item: &Field| Arc::new(item.clone().with_data_type(numbers));
        match lists {
            DataType::FixedSizeList(field, width) => DataType::FixedSizeList(item(field), *width),
            DataType::List(field) => DataType::List(item(field)),
            other => panic!("{other}"),
        }
    }

    /// What the general reader gives.
    pub fn general(file: &Bytes) -> Vec<Row> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap().build().unwrap();
        reader.flat_map(|batch| listed(batch.unwrap().column(0))).collect()
    }

    pub fn listed(lists: &ArrayRef) -> Vec<Row> {
        let lists = &cast(lists, &with_items(lists.data_type(), DataType::Float32)).unwrap();
        let numbers = |list: ArrayRef| list.as_primitive::<Float32Type>().iter().collect::<Vec<_>>();
        let list = |row: usize| match lists.data_type() {
            DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
            _ => lists.as_list::<i32>().value(row),
        };
        (0..lists.len()).map(|row| lists.is_valid(row).then(|| numbers(list(row)))).collect()
    }

    fn rows_of(vectors: &Vectors, width: usize) -> Vec<Row> {
        let is_null = |row: usize| vectors.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let row = |row: usize| vectors.values[row * width..][..width].iter().copied().map(Some).collect();
        (0..vectors.rows).map(|i| (!is_null(i)).then(|| row(i))).collect()
    }

    /// The rows of pages, `batch` at a time, and whether all pages were regular.
    fn read(pages: &mut Pages, mut next: impl FnMut() -> Option<Page>, batch: usize) -> (Vec<Row>, bool) {
        let mut rows = Vec::new();
        loop {
            let filled = match pages.fill(batch) {
                Ok(true) => true,
                Ok(false) => match next() {
                    Some(page) => match pages.take(page) {
                        Ok(()) => continue,
                        Err(Irregular) => return (rows, false),
                    },
                    None => false,
                },
                Err(Irregular) => return (rows, false),
            };
            let vectors = pages.batch(Buffer::default());
            assert!(!filled || vectors.rows == batch);
            rows.extend(rows_of(&vectors, pages.width));
            if !filled {
                return (rows, pages.is_complete());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// The rows of a file are those of the general reader, up to the page that has an odd one.
        #[test]
        fn rows_are_those_of_the_general_reader(case in case()) {
            let rows = case.rows();
            let file = case.file(&rows);
            let want = general(&file);
            let reader = SerializedFileReader::new(file).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr();
            // The first row that is not NULL says how wide the rows are, if it is not an odd one itself.
            let first = rows.iter().flatten().next().map_or(0, Vec::len);
            let width = Some(case.width).filter(|width| *width != first || case.seed % 2 == 0);
            let mut pages = Pages::new(schema, 0, width).unwrap();
            let mut found = Vec::new();
            let mut regular = true;
            for group in 0..reader.num_row_groups() {
                let group = reader.get_row_group(group).unwrap();
                let mut source = group.get_column_page_reader(0).unwrap();
                let (rows, all) = read(&mut pages, || source.get_next_page().unwrap(), case.batch);
                found.extend(rows);
                regular &= all;
            }
            prop_assert_eq!(&found[..], &want[..found.len()]);
            let odd = rows.iter().flatten().any(|row| row.len() != case.width || row.contains(&None));
            // A page of NULL rows alone does not say how wide the others are. A first page of one number again and again, where the
            // dictionary has more in the end, has indexes of no bits.
            let one = rows.iter().flatten().next().is_none_or(|row| row.iter().all(|number| *number == row[0]));
            let told = width.is_some() && !(case.dictionary && one);
            let expected = if told { regular != odd } else { !regular || !odd };
            prop_assert!(expected, "regular: {}, odd: {}", regular, odd);
            prop_assert!(!regular || found.len() == rows.len());
        }

        /// Pages that are cut anywhere, also within a row, and whose levels mix run lengths and packed bits as they like.
        #[test]
        fn rows_may_cross_pages(
            seed: u64, width in 1usize..40, count in 1usize..60, nulls in 0usize..50, second: bool, batch in 1usize..20,
        ) {
            let mut random = Random(seed);
            let rows: Vec<Row> = (0..count)
                .map(|_| {
                    let numbers: Vec<_> = (0..width).map(|_| Some(random.normal() as f32)).collect();
                    (random.below(100) >= nulls).then_some(numbers)
                })
                .collect();
            // (repetition, definition, number) of every level.
            let levels: Vec<(u32, u32, Option<f32>)> = rows
                .iter()
                .flat_map(|row| match row {
                    None => vec![(0, 0, None)],
                    Some(row) => row.iter().enumerate().map(|(i, x)| (u32::from(i > 0), 3, *x)).collect(),
                })
                .collect();
            let mut left = &levels[..];
            let mut pages = Vec::new();
            while !left.is_empty() {
                let (page, rest) = left.split_at((1 + random.below(3 * width + 5)).min(left.len()));
                left = rest;
                let repetition = hybrid(&page.iter().map(|level| level.0).collect::<Vec<_>>(), 1, &mut random);
                let definition = hybrid(&page.iter().map(|level| level.1).collect::<Vec<_>>(), 2, &mut random);
                let values: Vec<u8> = page.iter().filter_map(|level| level.2).flat_map(f32::to_le_bytes).collect();
                let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes().to_vec();
                let num_values = page.len() as u32;
                pages.push(match second {
                    false => Page::DataPage {
                        buf: [length(&repetition), repetition, length(&definition), definition, values].concat().into(),
                        num_values,
                        encoding: Encoding::PLAIN,
                        def_level_encoding: Encoding::RLE,
                        rep_level_encoding: Encoding::RLE,
                        statistics: None,
                    },
                    true => Page::DataPageV2 {
                        def_levels_byte_len: definition.len() as u32,
                        rep_levels_byte_len: repetition.len() as u32,
                        buf: [repetition, definition, values].concat().into(),
                        num_values,
                        encoding: Encoding::PLAIN,
                        num_nulls: 0,
                        num_rows: 0,
                        is_compressed: false,
                        statistics: None,
                    },
                });
            }
            let mut reader = Pages {
                item: Item::F32,
                width, full: 3, nullable: true, open: width, dictionary: Vec::new(), spans: VecDeque::new(),
                values: Values::default(), batch: Buffer::default(), valid: Vec::new(), before: Some(0), begin: Some(0),
            };
            let mut next = pages.clone().into_iter();
            let (found, regular) = read(&mut reader, || next.next(), batch);
            prop_assert!(regular);
            prop_assert_eq!(found, rows);

            // Damage is irregular or other rows, and no panic.
            if let Some(page) = pages.first_mut()
                && let Page::DataPage { buf, .. } | Page::DataPageV2 { buf, .. } = page
                && !buf.is_empty()
            {
                let mut bytes = buf.to_vec();
                let place = random.below(bytes.len());
                bytes[place] ^= 1 << random.below(8);
                bytes.truncate(bytes.len() - random.below(2));
                *buf = bytes.into();
            }
            let mut next = pages.into_iter();
            reader = Pages { open: width, spans: VecDeque::new(), batch: Buffer::default(), valid: Vec::new(), ..reader };
            read(&mut reader, || next.next(), batch);
        }
    }

    /// In runs and packed groups of eight, as it comes.
    fn hybrid(values: &[u32], width: u32, random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        let varint = |out: &mut Vec<u8>, mut x: usize| {
            while x >= 0x80 {
                out.push(x as u8 | 0x80);
                x >>= 7;
            }
            out.push(x as u8);
        };
        let mut left = values;
        while let Some(&first) = left.first() {
            let same = left.iter().take_while(|x| **x == first).count();
            if random.below(2) == 0 {
                let count = 1 + random.below(same);
                varint(&mut out, count << 1);
                out.push(first as u8);
                left = &left[count..];
                continue;
            }
            let groups = (1 + random.below(4)).min(left.len() / 8);
            let (taken, groups) = if groups == 0 { (left.len(), 1) } else { (8 * groups, groups) };
            varint(&mut out, groups << 1 | 1);
            let mut bits = vec![0u8; groups * width as usize];
            for (i, x) in left[..taken].iter().enumerate() {
                let bit = i * width as usize;
                bits[bit / 8] |= (x << (bit % 8)) as u8;
            }
            out.extend(bits);
            left = &left[taken..];
        }
        out
    }

    #[test]
    fn other_columns_are_for_the_general_reader() {
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let field = Field::new("v", DataType::FixedSizeList(item, 2), true);
        let schema = parquet::arrow::ArrowSchemaConverter::new()
            .convert(&Schema::new(vec![field, Field::new("x", DataType::Float32, true)]));
        let schema = schema.unwrap();
        assert!(Pages::new(&schema, 0, Some(2)).is_none() && Pages::new(&schema, 1, Some(1)).is_none());
    }
}
