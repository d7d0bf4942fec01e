//! Rows of equally many numbers of one type, as they lie in a file.

use std::io::Read;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, FieldRef};
use half::{bf16, f16};

use super::input::Input;
use super::keys::{self, Keys};
use super::{COLUMN, Out, vectors};
use crate::lake::file::batch_rows;
use crate::{Error, Result};

/// Bytes of rows that are put together where they lie column by column.
const COLUMNS_BYTES: usize = 64 << 20;
/// Numbers of a row at most: more are none, but a file of another format.
const MAX_WIDTH: u64 = 1 << 20;

/// How a number is stored, least byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Half precision: the one that is kept.
    F16,
    /// The upper half of `f32`.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// An integer.
    I8,
    /// An integer.
    U8,
    /// An integer.
    I16,
    /// An integer.
    U16,
    /// An integer.
    I32,
    /// An integer.
    U32,
    /// An integer.
    I64,
    /// An integer.
    U64,
}

impl Item {
    /// Its bytes.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Whether it is a whole number by its type.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// The type that it has in a table.
    fn data_type(self) -> DataType {
        if self == Self::F16 { DataType::Float16 } else { DataType::Float32 }
    }

    fn halves(bytes: &[u8]) -> Vec<f16> {
        bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect()
    }

    /// The numbers that bytes are.
    pub fn numbers(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
        }
        match self {
            Self::F16 => each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::BF16 => each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::I8 => each(bytes, |bytes| i8::from_le_bytes(bytes).into()),
            Self::U8 => each(bytes, |bytes| u8::from_le_bytes(bytes).into()),
            Self::I16 => each(bytes, |bytes| i16::from_le_bytes(bytes).into()),
            Self::U16 => each(bytes, |bytes| u16::from_le_bytes(bytes).into()),
            Self::I32 => each(bytes, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::U32 => each(bytes, |bytes| u32::from_le_bytes(bytes) as f32),
            Self::I64 => each(bytes, |bytes| i64::from_le_bytes(bytes) as f32),
            Self::U64 => each(bytes, |bytes| u64::from_le_bytes(bytes) as f32),
        }
    }
}

/// In which order the numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Row by row.
    Rows,
    /// Row by row, each after its width, an `i32`.
    RowsWithWidths,
    /// Column by column.
    Columns,
}

/// Rows in a file.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Where they begin.
    pub begin: u64,
    /// How many.
    pub rows: u64,
    /// Numbers in each.
    pub width: usize,
    /// What each is.
    pub item: Item,
    /// In which order.
    pub order: Order,
}

impl Matrix {
    /// Checks that these rows can be a table.
    pub fn checked(self, input: &Input) -> Result<Self> {
        if self.width == 0 || self.width as u64 > MAX_WIDTH {
            return Err(input.wrong(format!("its rows would have {} numbers: 1 to {MAX_WIDTH} are read", self.width)));
        }
        if self.rows == 0 {
            return Err(input.wrong("has no rows"));
        }
        Ok(self)
    }

    /// [`Matrix::checked`], all of it in the file.
    pub fn within(self, input: &Input) -> Result<Self> {
        let matrix = self.checked(input)?;
        let there = input.size().saturating_sub(matrix.begin);
        match matrix.rows.checked_mul(matrix.row_bytes()) {
            Some(bytes) if bytes <= there => Ok(matrix),
            _ => Err(input.wrong(format!(
                "is cut off: {} rows of {} numbers are {} bytes each, and {there} bytes are there",
                matrix.rows,
                matrix.width,
                matrix.row_bytes()
            ))),
        }
    }

    /// The column that they become.
    pub fn field(&self) -> FieldRef {
        vectors(self.item.data_type(), self.width)
    }

    /// All their bytes.
    pub fn bytes(&self) -> u64 {
        self.rows.saturating_mul(self.row_bytes())
    }

    fn row_bytes(&self) -> u64 {
        (self.width * self.item.size() + self.prefix()) as u64
    }

    /// Bytes before a row's numbers.
    fn prefix(&self) -> usize {
        if self.order == Order::RowsWithWidths { size_of::<i32>() } else { 0 }
    }

    /// Reads all rows where they lie.
    pub fn read(&self, input: &Input, keys: &Keys, out: &Out<'_>) -> Result<()> {
        if self.order == Order::Columns {
            return self.read_columns(input, keys, out);
        }
        let reader = input.reader(self.begin..self.begin + self.bytes())?;
        self.read_rows(input, reader, keys, out)
    }

    /// Reads all rows from a reader that is at their beginning.
    pub fn read_rows(&self, input: &Input, mut reader: impl Read, keys: &Keys, out: &Out<'_>) -> Result<()> {
        let mut send = Outgoing { matrix: self, input, keys: keys.reader()?, out };
        let (row, numbers, prefix) = (self.row_bytes() as usize, self.width * self.item.size(), self.prefix());
        let at_a_time = batch_rows(self.width * size_of::<f32>());
        let mut bytes = Vec::new();
        let mut first = 0;
        while first < self.rows {
            let count = (at_a_time as u64).min(self.rows - first) as usize;
            bytes.clear();
            let read = reader.by_ref().take((count * row) as u64).read_to_end(&mut bytes);
            read.map_err(|error| input.failed(error))?;
            if prefix > 0 {
                // Where rows have other widths, the last one looks cut off.
                for (i, bytes) in bytes.chunks(row).enumerate() {
                    self.check_width(bytes, first + i as u64, input)?;
                }
            }
            if bytes.len() < count * row {
                let whole = first + (bytes.len() / row) as u64;
                return Err(input.wrong(format!("is cut off: {whole} rows are there of {}", self.rows)));
            }
            if prefix > 0 {
                (0..count).for_each(|i| bytes.copy_within(i * row + prefix..(i + 1) * row, i * numbers));
            }
            send.rows(first, &bytes[..count * numbers])?;
            first += count as u64;
        }
        send.keys.end(self.rows)
    }

    fn check_width(&self, bytes: &[u8], row: u64, input: &Input) -> Result<()> {
        match bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) {
            Some(width) if usize::try_from(width) == Ok(self.width) => Ok(()),
            Some(width) => Err(Error::Row {
                path: input.shown().to_owned(),
                column: COLUMN.to_owned(),
                row,
                message: format!("has {width} numbers, and the first row {}", self.width),
            }),
            None => Err(input.wrong(format!("is cut off in row {row}"))),
        }
    }

    /// Puts rows together whose numbers lie apart: as many at a time as the memory for it takes.
    fn read_columns(&self, input: &Input, keys: &Keys, out: &Out<'_>) -> Result<()> {
        let mut send = Outgoing { matrix: self, input, keys: keys.reader()?, out };
        let (size, row) = (self.item.size(), self.width * self.item.size());
        let at_a_time = batch_rows(self.width * size_of::<f32>());
        let together = (COLUMNS_BYTES / row / at_a_time).max(1) * at_a_time;
        let mut bytes = Vec::new();
        let mut first = 0;
        while first < self.rows {
            let count = (together as u64).min(self.rows - first) as usize;
            bytes.resize(count * row, 0);
            for column in 0..self.width {
                let begin = self.begin + (column as u64 * self.rows + first) * size as u64;
                let numbers = input.bytes(begin..begin + (count * size) as u64)?;
                for (number, row) in numbers.chunks_exact(size).zip(bytes.chunks_exact_mut(row)) {
                    row[column * size..][..size].copy_from_slice(number);
                }
            }
            for begin in (0..count).step_by(at_a_time) {
                let end = count.min(begin + at_a_time);
                send.rows(first + begin as u64, &bytes[begin * row..end * row])?;
            }
            first += count as u64;
        }
        send.keys.end(self.rows)
    }
}

/// Rows on their way, with their keys.
struct Outgoing<'a> {
    matrix: &'a Matrix,
    input: &'a Input,
    keys: keys::Reader,
    out: &'a Out<'a>,
}

impl Outgoing<'_> {
    /// The rows from `first` on.
    fn rows(&mut self, first: u64, bytes: &[u8]) -> Result<()> {
        let Matrix { width, item, .. } = *self.matrix;
        let count = bytes.len() / item.size() / width;
        let (numbers, bad): (ArrayRef, Vec<usize>) = if item == Item::F16 {
            let halves = Item::halves(bytes);
            let bad = bad(&halves, width, |half| half.is_finite());
            (Arc::new(Float16Array::from(halves)), bad)
        } else {
            let numbers = item.numbers(bytes);
            let bad = bad(&numbers, width, |number| number.is_finite());
            (Arc::new(Float32Array::from(numbers)), bad)
        };
        let field = self.matrix.field();
        let DataType::FixedSizeList(items, size) = field.data_type() else { return Ok(()) };
        let vectors = FixedSizeListArray::try_new(Arc::clone(items), *size, numbers, None)?;
        let mut columns: Vec<ArrayRef> = vec![self.keys.take(first, count)?, Arc::new(vectors)];
        for row in &bad {
            self.out.bad(Error::Row {
                path: self.input.shown().to_owned(),
                column: COLUMN.to_owned(),
                row: first + *row as u64,
                message: "has a number that is NaN, infinite or beyond single precision".to_owned(),
            })?;
        }
        if !bad.is_empty() {
            let good: BooleanArray = (0..count).map(|row| Some(bad.binary_search(&row).is_err())).collect();
            columns = columns.iter().map(|column| filter(column, &good)).collect::<Result<_, _>>()?;
        }
        self.out.send(columns)
    }
}

/// The rows with a number that is no good.
fn bad<T>(numbers: &[T], width: usize, is_good: impl Fn(&T) -> bool) -> Vec<usize> {
    // Nearly always there is none, which is told fastest without looking at rows.
    if numbers.iter().all(&is_good) {
        return Vec::new();
    }
    let rows = numbers.chunks_exact(width).enumerate();
    rows.filter(|(_, row)| !row.iter().all(&is_good)).map(|(row, _)| row).collect()
}
