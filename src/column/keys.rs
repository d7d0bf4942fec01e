//! Keys: what says that a row here and a row there are the same thing. `Int64` or `Utf8`; all integer and all string
//! types are brought to these.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};

use crate::Error;
use crate::kernel::keyed::{self, Draw};

/// The two kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Integers of any size that fits into 64 signed bits.
    Int,
    /// Strings.
    Text,
}

impl KeyKind {
    /// The kind of a column of this type, or `None` where it cannot be a key.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            integer if integer.is_integer() => Some(Self::Int),
            _ => None,
        }
    }

    /// The type a key of this kind is stored in.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Text => DataType::Utf8,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "integer",
            Self::Text => "string",
        })
    }
}

/// Why a column cannot be read as keys.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFlaw {
    /// Not an integer or string type.
    #[error("{0} cannot be a key: integers and strings can (CAST it)")]
    Type(DataType),
    /// An integer beyond 64 signed bits.
    #[error("has a key beyond 64 signed bits: CAST the key to a string on both sides")]
    TooLarge {
        /// The row, from 0.
        row: usize,
    },
}

/// Keys of one kind; none is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Integers.
    Int(Vec<i64>),
    /// Strings.
    Text(Vec<String>),
}

impl Keys {
    /// No keys, of a kind.
    pub fn new(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Int => Self::Int(Vec::new()),
            KeyKind::Text => Self::Text(Vec::new()),
        }
    }

    /// Brings a column to `Int64` or `Utf8`.
    pub fn normalize(array: &dyn Array) -> Result<ArrayRef, KeyFlaw> {
        let wrong_type = || KeyFlaw::Type(array.data_type().clone());
        let kind = KeyKind::of(array.data_type()).ok_or_else(wrong_type)?;
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let normal = cast_with_options(array, &kind.data_type(), &options).map_err(|_| wrong_type())?;
        if normal.null_count() > array.logical_null_count() {
            let row = (0..array.len()).find(|&row| normal.is_null(row) && !is_null(array, row));
            return Err(KeyFlaw::TooLarge { row: row.unwrap_or_default() });
        }
        Ok(normal)
    }

    /// The kind.
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Int(_) => KeyKind::Int,
            Self::Text(_) => KeyKind::Text,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(keys) => keys.len(),
            Self::Text(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends row `row` of an array that [`Keys::normalize`] made and that is not NULL there.
    pub fn push(&mut self, normal: &dyn Array, row: usize) {
        match self {
            Self::Int(keys) => keys.push(normal.as_primitive::<Int64Type>().value(row)),
            Self::Text(keys) => keys.push(normal.as_string::<i32>().value(row).to_owned()),
        }
    }

    /// Puts row `row` of such an array in the place of key `i`.
    pub fn replace(&mut self, i: usize, normal: &dyn Array, row: usize) {
        self.push(normal, row);
        match self {
            Self::Int(keys) => drop(keys.swap_remove(i)),
            Self::Text(keys) => drop(keys.swap_remove(i)),
        }
    }

    /// Appends keys of the same kind; those of another are not.
    pub fn append(&mut self, more: &Self) {
        match (self, more) {
            (Self::Int(keys), Self::Int(more)) => keys.extend_from_slice(more),
            (Self::Text(keys), Self::Text(more)) => keys.extend_from_slice(more),
            _ => {}
        }
    }

    /// The keys as a column.
    pub fn to_array(&self) -> ArrayRef {
        match self {
            Self::Int(keys) => Arc::new(Int64Array::from(keys.clone())),
            Self::Text(keys) => Arc::new(StringArray::from_iter_values(keys)),
        }
    }

    /// The keys of a column without NULLs.
    pub fn from_array(array: &dyn Array) -> Result<Self, KeyFlaw> {
        let normal = Self::normalize(array)?;
        let mut keys = Self::new(KeyKind::of(array.data_type()).unwrap_or(KeyKind::Text));
        for row in (0..normal.len()).filter(|&row| normal.is_valid(row)) {
            keys.push(&normal, row);
        }
        Ok(keys)
    }

    /// The keys at `indexes`, in that order.
    pub fn select(&self, indexes: &[usize]) -> Self {
        match self {
            Self::Int(keys) => Self::Int(indexes.iter().map(|&i| keys[i]).collect()),
            Self::Text(keys) => Self::Text(indexes.iter().map(|&i| keys[i].clone()).collect()),
        }
    }

    /// Compares key `i` with key `j` of `other`: integers by value, strings by their bytes. Kinds never compare equal.
    pub fn compare(&self, i: usize, other: &Self, j: usize) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a[i].cmp(&b[j]),
            (Self::Text(a), Self::Text(b)) => a[i].cmp(&b[j]),
            (Self::Int(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Int(_)) => Ordering::Greater,
        }
    }

    /// The indexes in the order of the keys.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&i, &j| self.compare(i, self, j));
        order
    }

    /// The indexes in the order of the keys, which all differ. The error names one that occurs twice, and says `advice`.
    pub fn unique_order(&self, advice: &str) -> Result<Vec<usize>, Error> {
        let order = self.order();
        match order.windows(2).find(|pair| self.compare(pair[0], self, pair[1]).is_eq()) {
            Some(pair) => {
                let key = self.display(pair[0]);
                Err(Error::Invalid(format!("key {key} occurs more than once: {advice}")))
            }
            None => Ok(order),
        }
    }

    /// The canonical bytes of key `i`, for digests and draws: a byte for the kind, then the integer in little-endian order
    /// or the string.
    pub fn canonical(&self, i: usize) -> Vec<u8> {
        match self {
            Self::Int(keys) => [&b"i"[..], &keys[i].to_le_bytes()].concat(),
            Self::Text(keys) => [&b"s"[..], keys[i].as_bytes()].concat(),
        }
    }

    /// The place of key `i` in the order drawn for `purpose` and `seed`.
    pub fn draw(&self, purpose: &str, seed: u64, i: usize) -> Draw {
        keyed::draw(purpose, seed, &self.canonical(i))
    }

    /// The indexes of all keys in the order drawn for `purpose` and `seed`.
    pub fn drawn(&self, purpose: &str, seed: u64) -> Vec<usize> {
        let mut order: Vec<(Draw, usize)> = (0..self.len()).map(|i| (self.draw(purpose, seed, i), i)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, i)| i).collect()
    }

    /// Key `i` as a person reads it.
    pub fn display(&self, i: usize) -> String {
        match self {
            Self::Int(keys) => keys[i].to_string(),
            Self::Text(keys) => format!("'{}'", keys[i]),
        }
    }

    /// Key i as plain text.
    pub fn text(&self, i: usize) -> String {
        match self {
            Self::Int(keys) => keys[i].to_string(),
            Self::Text(keys) => keys[i].clone(),
        }
    }

    /// Blake3 of all keys in their order.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"babelake keys 1");
        for i in 0..self.len() {
            let key = self.canonical(i);
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(&key);
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Indexes into two sorted, duplicate-free lists of keys where both have the same key.
pub fn matches(a: &Keys, b: &Keys) -> Vec<(usize, usize)> {
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        match a.compare(i, b, j) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                found.push((i, j));
                i += 1;
                j += 1;
            }
        }
    }
    found
}

/// Whether a row is NULL, dictionaries with NULL values included.
fn is_null(array: &dyn Array, row: usize) -> bool {
    array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int16Array, LargeStringArray, StringViewArray, UInt64Array};
    use arrow::datatypes::Int8Type;

    use super::*;

    #[test]
    fn integers_and_strings_of_all_types_are_the_same_keys() {
        let ints: [ArrayRef; 3] = [
            Arc::new(Int16Array::from(vec![2, -1])),
            Arc::new(Int64Array::from(vec![2, -1])),
            Arc::new(Int64Array::from(vec![9, 2, -1]).slice(1, 2)),
        ];
        for array in &ints {
            assert_eq!(Keys::from_array(array).unwrap(), Keys::Int(vec![2, -1]));
        }
        let dictionary: DictionaryArray<Int8Type> = vec!["b", "a"].into_iter().collect();
        let texts: [ArrayRef; 4] = [
            Arc::new(StringArray::from(vec!["b", "a"])),
            Arc::new(LargeStringArray::from(vec!["b", "a"])),
            Arc::new(StringViewArray::from(vec!["b", "a"])),
            Arc::new(dictionary),
        ];
        for array in &texts {
            assert_eq!(Keys::from_array(array).unwrap(), Keys::Text(vec!["b".into(), "a".into()]));
        }
    }

    #[test]
    fn what_is_no_key_is_named() {
        let large = UInt64Array::from(vec![1, u64::MAX]);
        assert_eq!(Keys::from_array(&large), Err(KeyFlaw::TooLarge { row: 1 }));
        let float = arrow::array::Float64Array::from(vec![1.0]);
        assert_eq!(Keys::from_array(&float), Err(KeyFlaw::Type(DataType::Float64)));
    }

    #[test]
    fn a_key_is_replaced_in_its_place() {
        let others: [(Keys, ArrayRef, Keys); 2] = [
            (Keys::Int(vec![1, 2, 3]), Arc::new(Int64Array::from(vec![8, 9])), Keys::Int(vec![1, 9, 3])),
            (
                Keys::Text(vec!["a".into(), "b".into()]),
                Arc::new(StringArray::from(vec!["x", "y"])),
                Keys::Text(vec!["a".into(), "y".into()]),
            ),
        ];
        for (mut keys, array, want) in others {
            keys.replace(1, &array, 1);
            assert_eq!(keys, want);
        }
    }

    #[test]
    fn sorted_keys_meet() {
        let (a, b) = (Keys::Int(vec![-3, 1, 4, 9]), Keys::Int(vec![1, 2, 9]));
        assert_eq!(matches(&a, &b), [(1, 0), (3, 2)]);
        assert_eq!(Keys::Text(vec!["b".into(), "B".into(), "a".into()]).order(), [1, 2, 0]);
        assert_eq!(matches(&a, &Keys::Text(vec!["1".into()])), []);
    }
}
