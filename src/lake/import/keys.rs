//! A key for every row: its number, or what a file beside says.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder, UInt64Array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};

use super::input::{self, Input};
use super::matrix::Item;
use super::{ID, Progress, npy};
use crate::lake::Place;
use crate::lake::file::{Batches, File};
use crate::{Error, Result};

/// Names that a column of keys has when nobody says otherwise, the first one found counts.
const USUAL_NAMES: [&str; 4] = ["id", "_id", "uid", "doc_id"];
/// Rows read at a time.
const ROWS: usize = 8192;
/// A longer key is none.
const MAX_KEY: u64 = 1 << 20;

/// Where keys come from, and what their column is called.
#[derive(Debug, Clone)]
pub enum Keys {
    /// The rows' numbers, from 0.
    Numbers(FieldRef),
    /// A column of a Parquet file.
    Column(Box<File>, usize, FieldRef),
    /// An array of integers.
    Array(Input, u64, Item, FieldRef),
    /// The lines of a text.
    Lines(Input, FieldRef),
}

/// Keys being read.
pub enum Reader {
    /// Row numbers.
    Numbers,
    /// A column, and what has been read of it and not taken.
    Column(String, Batches, Option<ArrayRef>),
    /// Integers.
    Array(Input, BufReader<input::Reader>, Item),
    /// Lines.
    Lines(Input, BufReader<input::Reader>),
}

impl Keys {
    /// Keys of so many rows: from a file and its column, or numbers. A file that has another number of them is an error, here already
    /// where it tells how many it has.
    pub fn open(beside: Option<&(Place, Option<String>)>, name: Option<&str>, rows: u64) -> Result<Self> {
        let field = |found: &str, data_type: DataType, nullable: bool| {
            Arc::new(Field::new(name.unwrap_or(found), data_type, nullable))
        };
        let Some((place, column)) = beside else { return Ok(Self::Numbers(field(ID, DataType::Int64, false))) };
        // Its bytes are few beside those of the vectors.
        let input = Input::open(place, &Progress::default())?;
        let head = input.bytes(0..6)?;
        let is_table = head.starts_with(b"PAR1");
        if let Some(column) = column.as_ref().filter(|_| !is_table) {
            return Err(input.wrong(format!("is no Parquet file, and has no column `{column}`")));
        }
        let (keys, found) = if is_table {
            let file = File::open(place.file()?)?;
            let index = match column {
                Some(column) => file.column(column)?,
                None => key_column(&file)?,
            };
            let found = file.schema().field(index);
            if found.data_type().is_nested() {
                return Err(input.wrong(format!("column `{}` is {}: no key", found.name(), found.data_type())));
            }
            let field = field(found.name(), found.data_type().clone(), true);
            let rows = file.rows();
            (Self::Column(Box::new(file), index, field), Some(rows))
        } else if head.starts_with(npy::MAGIC) {
            let array = npy::keys(&input)?;
            let integers = if array.item == Item::U64 { DataType::UInt64 } else { DataType::Int64 };
            (Self::Array(input.clone(), array.begin, array.item, field(ID, integers, false)), Some(array.rows))
        } else {
            (Self::Lines(input.clone(), field(ID, DataType::Utf8, false)), None)
        };
        match found {
            Some(found) if found != rows => Err(other_number(&input, found, rows)),
            _ => Ok(keys),
        }
    }

    /// Their column.
    pub fn field(&self) -> FieldRef {
        let (Self::Numbers(field) | Self::Column(.., field) | Self::Array(.., field) | Self::Lines(_, field)) = self;
        Arc::clone(field)
    }

    /// Reads them from the first one on.
    pub fn reader(&self) -> Result<Reader> {
        Ok(match self {
            Self::Numbers(_) => Reader::Numbers,
            Self::Column(file, index, _) => {
                Reader::Column(file.shown().to_owned(), file.read(&[*index], ROWS, None)?, None)
            }
            Self::Array(input, begin, item, _) => {
                Reader::Array(input.clone(), BufReader::new(input.reader(*begin..input.size())?), *item)
            }
            Self::Lines(input, _) => Reader::Lines(input.clone(), BufReader::new(input.reader(0..input.size())?)),
        })
    }
}

impl Reader {
    /// The keys of the next rows, of which `first` is the number of the first.
    pub fn take(&mut self, first: u64, count: usize) -> Result<ArrayRef> {
        match self {
            Self::Numbers => Ok(Arc::new(Int64Array::from_iter_values((first as i64)..(first as i64 + count as i64)))),
            Self::Column(shown, batches, rest) => {
                let mut parts: Vec<ArrayRef> = Vec::new();
                let mut left = count;
                while left > 0 {
                    let part = match rest.take() {
                        Some(rest) => rest,
                        None => column(batches.next().transpose()?, shown)?,
                    };
                    let taken = left.min(part.len());
                    parts.push(part.slice(0, taken));
                    *rest = Some(part.slice(taken, part.len() - taken)).filter(|rest| !rest.is_empty());
                    left -= taken;
                }
                Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
            }
            Self::Array(input, reader, item) => {
                let mut bytes = vec![0; count * item.size()];
                reader.read_exact(&mut bytes).map_err(|error| input.failed(error))?;
                Ok(integers(*item, &bytes))
            }
            Self::Lines(input, reader) => {
                let (mut keys, mut line) = (StringBuilder::new(), Vec::new());
                for row in first..first + count as u64 {
                    let key = next_line(input, reader, &mut line, row)?;
                    keys.append_value(
                        key.ok_or_else(|| input.wrong(format!("has {row} lines, fewer than there are rows")))?,
                    );
                }
                Ok(Arc::new(keys.finish()))
            }
        }
    }

    /// An error where there are more than one for each of the rows.
    pub fn end(self, rows: u64) -> Result<()> {
        let Self::Lines(input, mut reader) = self else { return Ok(()) };
        match next_line(&input, &mut reader, &mut Vec::new(), rows)? {
            Some(_) => Err(input.wrong(format!("has more lines than there are rows, {rows}"))),
            None => Ok(()),
        }
    }
}

fn other_number(keys: &Input, found: u64, rows: u64) -> Error {
    keys.wrong(format!("has {found} keys for {rows} rows"))
}

/// The column that is most likely the key.
fn key_column(file: &File) -> Result<usize> {
    let schema = file.schema();
    if let Some(index) = USUAL_NAMES.iter().find_map(|name| schema.index_of(name).ok()) {
        return Ok(index);
    }
    let mut flat = schema.fields().iter().enumerate().filter(|(_, field)| !field.data_type().is_nested());
    match (flat.next(), flat.next()) {
        (Some((index, _)), None) => Ok(index),
        _ => {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let message =
                format!("does not tell which column is the key: name one of {} (FILE:COLUMN)", names.join(", "));
            Err(Error::file(file.shown(), message))
        }
    }
}

fn column(batch: Option<RecordBatch>, shown: &str) -> Result<ArrayRef> {
    let column = batch.and_then(|batch| batch.columns().first().cloned());
    column.ok_or_else(|| Error::file(shown, "has fewer rows than its footer says: it is damaged"))
}

fn integers(item: Item, bytes: &[u8]) -> ArrayRef {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> i64) -> ArrayRef {
        Arc::new(bytes.as_chunks().0.iter().map(|bytes| Some(number(*bytes))).collect::<Int64Array>())
    }
    match item {
        Item::I8 => each(bytes, |bytes| i8::from_le_bytes(bytes).into()),
        Item::U8 => each(bytes, |bytes| u8::from_le_bytes(bytes).into()),
        Item::I16 => each(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        Item::U16 => each(bytes, |bytes| u16::from_le_bytes(bytes).into()),
        Item::I32 => each(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        Item::U32 => each(bytes, |bytes| u32::from_le_bytes(bytes).into()),
        Item::U64 => {
            let numbers = bytes.as_chunks().0.iter().map(|bytes| Some(u64::from_le_bytes(*bytes)));
            Arc::new(numbers.collect::<UInt64Array>())
        }
        Item::I64 | Item::F16 | Item::BF16 | Item::F32 | Item::F64 => each(bytes, i64::from_le_bytes),
    }
}

/// The next line without its end; none where there is no more.
fn next_line<'a>(input: &Input, reader: &mut impl BufRead, line: &'a mut Vec<u8>, row: u64) -> Result<Option<&'a str>> {
    line.clear();
    let read = reader.take(MAX_KEY).read_until(b'\n', line).map_err(|error| input.failed(error))?;
    let wrong = |message: &str| input.wrong(format!("line {}: {message}", row + 1));
    if read as u64 == MAX_KEY {
        return Err(wrong("is too long for a key"));
    }
    let text = std::str::from_utf8(line).map_err(|_| wrong("is no UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok((read > 0).then(|| text.strip_suffix('\r').unwrap_or(text)))
}
