//! How fitted values are laid out as structs: written by one builder, read by name.
//!
//! Fields are found by name, unknown ones are ignored, optional ones may be missing. A value of a newer format is refused.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, ListViewArray, StringArray,
    StructArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type, Int32Type};

use super::embedding::{self, Width};
use super::keys::{KeyKind, Keys};
use crate::kernel::fingerprint::Traits;
use crate::{Error, Result};

/// The version that writes.
pub const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The kinds of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One encoder's anchors made ready.
    Space,
    /// A target space's inverse.
    Decoder,
    /// A map from one space to another.
    Translator,
    /// Vectors to search with.
    Queries,
    /// A classification head.
    Head,
}

impl Kind {
    /// As a person reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Decoder => "decoder",
            Self::Translator => "translator",
            Self::Queries => "set of queries",
            Self::Head => "head",
        }
    }

    /// The newest format of this kind that this version reads, and the one it writes.
    pub fn format(self) -> i32 {
        match self {
            Self::Space | Self::Decoder | Self::Translator | Self::Queries | Self::Head => 1,
        }
    }

    /// What kind of stored value a type is, judged by the fields that only that kind has.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let DataType::Struct(fields) = data_type else { return None };
        let has = |name| fields.iter().any(|field| field.name() == name);
        if !has("format") {
            None
        } else if has("source_mean") && has("matrix") {
            Some(Self::Translator)
        } else if has("layers") && has("labels") {
            Some(Self::Head)
        } else if has("queries") && has("keys") {
            Some(Self::Queries)
        } else if has("anchors") && has("keys") {
            Some(Self::Space)
        } else if has("matrix") && has("mean") {
            Some(Self::Decoder)
        } else {
            None
        }
    }
}

/// The type of a block of vectors of one width: `ListView<FixedSizeList<Float32, d>>`.
pub fn vectors_type(width: usize) -> DataType {
    list_view_of(Width::Fixed(width).data_type())
}

/// The type of a list of numbers: `ListView<Float64>`.
pub fn numbers_type() -> DataType {
    list_view_of(DataType::Float64)
}

/// The type of a list of keys: `ListView<Int64>` or `ListView<Utf8>`.
pub fn keys_type(kind: KeyKind) -> DataType {
    list_view_of(kind.data_type())
}

fn list_view_of(item: DataType) -> DataType {
    DataType::ListView(Arc::new(Field::new_list_field(item, false)))
}

/// Builds a struct of one row, field by field.
#[derive(Debug, Default)]
pub struct Builder {
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
}

impl Builder {
    fn push(mut self, name: &str, nullable: bool, column: ArrayRef) -> Self {
        self.fields.push(Arc::new(Field::new(name, column.data_type().clone(), nullable)));
        self.columns.push(column);
        self
    }

    /// A string.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.push(name, false, Arc::new(StringArray::from(vec![value])))
    }

    /// An integer.
    pub fn integer(self, name: &str, value: i32) -> Self {
        self.push(name, false, Arc::new(Int32Array::from(vec![value])))
    }

    /// A number.
    pub fn number(self, name: &str, value: f64) -> Self {
        self.push(name, false, Arc::new(Float64Array::from(vec![value])))
    }

    /// Yes or no.
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.push(name, false, Arc::new(BooleanArray::from(vec![value])))
    }

    /// Vectors of one width, row-major.
    pub fn vectors(self, name: &str, width: usize, values: &ScalarBuffer<f32>) -> Result<Self> {
        let column = one_list(Arc::new(vectors_array(values, width)?))?;
        Ok(self.push(name, false, column))
    }

    /// Vectors of one width that may be absent.
    pub fn optional_vectors(self, name: &str, width: usize, values: Option<&ScalarBuffer<f32>>) -> Result<Self> {
        let column: ArrayRef = match values {
            Some(values) => one_list(Arc::new(vectors_array(values, width)?))?,
            None => {
                let item = Field::new_list_field(Width::Fixed(width).data_type(), false);
                Arc::new(ListViewArray::new_null(Arc::new(item), 1))
            }
        };
        Ok(self.push(name, true, column))
    }

    /// Numbers.
    pub fn numbers(self, name: &str, values: &[f64]) -> Result<Self> {
        let column = one_list(Arc::new(Float64Array::from(values.to_vec())))?;
        Ok(self.push(name, false, column))
    }

    /// Numbers that may be absent.
    pub fn optional_numbers(self, name: &str, values: Option<Vec<f64>>) -> Result<Self> {
        let column: ArrayRef = match values {
            Some(values) => one_list(Arc::new(Float64Array::from(values)))?,
            None => Arc::new(ListViewArray::new_null(Arc::new(Field::new_list_field(DataType::Float64, false)), 1)),
        };
        Ok(self.push(name, true, column))
    }

    /// Keys.
    pub fn keys(self, name: &str, keys: &Keys) -> Result<Self> {
        let column = one_list(keys.to_array())?;
        Ok(self.push(name, false, column))
    }

    /// All of `items`.
    pub fn list(self, name: &str, items: ArrayRef) -> Result<Self> {
        let column = one_list(items)?;
        Ok(self.push(name, false, column))
    }

    /// The struct.
    pub fn build(self) -> Result<StructArray> {
        Ok(StructArray::try_new(self.fields.into(), self.columns, None)?)
    }
}

fn vectors_array(values: &ScalarBuffer<f32>, width: usize) -> Result<arrow::array::FixedSizeListArray> {
    Ok(embedding::fixed(values.clone(), width, None, values.len() / width.max(1))?)
}

/// One row that holds all of `items`.
fn one_list(items: ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), false));
    let size = i32::try_from(items.len())
        .map_err(|_| Error::Invalid(format!("{} items are too many for a stored value", items.len())))?;
    Ok(Arc::new(ListViewArray::try_new(field, vec![0].into(), vec![size].into(), items, None)?))
}

/// A field that stored values of a kind have.
pub fn field(name: &str, data_type: DataType, nullable: bool) -> Field {
    Field::new(name, data_type, nullable)
}

/// The fields that every kind begins with.
pub fn head_fields() -> Vec<Field> {
    vec![field("format", DataType::Int32, false), field("tool_version", DataType::Utf8, false)]
}

/// A struct type of these fields.
pub fn struct_type(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

/// The width of the vectors in field `name` of a stored value's type; the error says what is wrong with the type.
pub fn vectors_width(kind: Kind, data_type: &DataType, name: &str) -> Result<usize, String> {
    let found = match data_type {
        DataType::Struct(fields) => fields.iter().find(|field| field.name() == name),
        _ => None,
    };
    let Some(found) = found else {
        return Err(format!("a {} has a field `{name}`, and this struct has none", kind.name()));
    };
    let width = list_item(found.data_type()).and_then(|item| Width::of(item.data_type())?.fixed());
    width.ok_or_else(|| {
        format!(
            "field `{name}` of the {} is {}, not a list of FixedSizeList<Float32>: the file was rewritten by a tool that \
             dropped its Arrow schema; make it again with babelake",
            kind.name(),
            found.data_type()
        )
    })
}

/// Kind of the keys in field `keys`, and width of the vectors in field `name`; `None` where the type is not of this kind.
pub fn keyed_shape(
    kind: Kind,
    data_type: &DataType,
    (keys, name): (&str, &str),
) -> Option<Result<(KeyKind, usize), String>> {
    let DataType::Struct(fields) = data_type else { return None };
    if Kind::of(data_type) != Some(kind) {
        return None;
    }
    let found = fields.iter().find(|field| field.name() == keys);
    let found = found.and_then(|found| KeyKind::of(list_item(found.data_type())?.data_type()));
    Some(vectors_width(kind, data_type, name).and_then(|width| {
        let found = found.ok_or_else(|| format!("a {} whose {keys} are integers or strings", kind.name()))?;
        Ok((found, width))
    }))
}

/// The item of any list type.
pub fn list_item(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            Some(item)
        }
        _ => None,
    }
}

/// One stored value inside a struct array.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    kind: Kind,
    array: &'a StructArray,
    row: usize,
}

impl<'a> Stored<'a> {
    /// Row `row` of `array` as a value of `kind`, its format checked. `None` where the row is NULL.
    pub fn new(kind: Kind, array: &'a StructArray, row: usize) -> Result<Option<Self>> {
        if array.is_null(row) {
            return Ok(None);
        }
        let stored = Self { kind, array, row };
        let found = stored.integer("format")?;
        if found > kind.format() {
            return Err(Error::Format { what: kind.name(), found, supported: kind.format() });
        }
        Ok(Some(stored))
    }

    /// Whether the field is there and not NULL: fields that came later are missing in values of earlier versions.
    pub fn has(&self, name: &str) -> bool {
        self.cell(name).is_some()
    }

    fn missing(&self, name: &str) -> Error {
        Error::Invalid(format!("the {} has no usable field `{name}`: make it again with babelake", self.kind.name()))
    }

    /// The field as a column of one row, `None` where it is missing or NULL.
    fn cell(&self, name: &str) -> Option<ArrayRef> {
        let column = self.array.column_by_name(name)?;
        column.is_valid(self.row).then(|| column.slice(self.row, 1))
    }

    fn cast(&self, name: &str, to: &DataType) -> Result<ArrayRef> {
        self.cell(name).and_then(|cell| cast(&cell, to).ok()).ok_or_else(|| self.missing(name))
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<String> {
        Ok(self.cast(name, &DataType::Utf8)?.as_string::<i32>().value(0).to_owned())
    }

    /// An integer.
    pub fn integer(&self, name: &str) -> Result<i32> {
        Ok(self.cast(name, &DataType::Int32)?.as_primitive::<Int32Type>().value(0))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<f64> {
        Ok(self.cast(name, &DataType::Float64)?.as_primitive::<Float64Type>().value(0))
    }

    /// Yes or no.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.cast(name, &DataType::Boolean)?.as_boolean().value(0))
    }

    /// The items of a list, without a copy.
    fn items(&self, name: &str) -> Option<ArrayRef> {
        let cell = self.cell(name)?;
        Some(match cell.data_type() {
            DataType::List(_) => cell.as_list::<i32>().value(0),
            DataType::LargeList(_) => cell.as_list::<i64>().value(0),
            DataType::ListView(_) => cell.as_list_view::<i32>().value(0),
            DataType::LargeListView(_) => cell.as_list_view::<i64>().value(0),
            _ => return None,
        })
    }

    /// The field `fingerprint`: of values that have none, and of another babelake's, `None`.
    pub fn fingerprint(&self) -> Result<Option<Traits>> {
        Ok(if self.has("fingerprint") { Traits::from_numbers(&self.numbers("fingerprint")?) } else { None })
    }

    /// Vectors of one width: the width and the numbers, row-major.
    pub fn vectors(&self, name: &str) -> Result<(usize, ScalarBuffer<f32>)> {
        self.optional_vectors(name)?.ok_or_else(|| self.missing(name))
    }

    /// Vectors that may be absent.
    pub fn optional_vectors(&self, name: &str) -> Result<Option<(usize, ScalarBuffer<f32>)>> {
        let Some(items) = self.items(name) else { return Ok(None) };
        let list = items.as_fixed_size_list_opt().ok_or_else(|| self.missing(name))?;
        let floats = list.values().as_primitive_opt::<Float32Type>().filter(|floats| floats.null_count() == 0);
        let floats: &Float32Array = floats.ok_or_else(|| self.missing(name))?;
        let width = usize::try_from(list.value_length()).unwrap_or(0);
        Ok(Some((width, floats.values().clone())))
    }

    /// Numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let items = self.items(name).and_then(|items| cast(&items, &DataType::Float64).ok());
        let items = items.ok_or_else(|| self.missing(name))?;
        Ok(items.as_primitive::<Float64Type>().values().to_vec())
    }

    /// The items of a list, whatever they are.
    pub fn list(&self, name: &str) -> Result<ArrayRef> {
        self.items(name).ok_or_else(|| self.missing(name))
    }

    /// Keys.
    pub fn keys(&self, name: &str) -> Result<Keys> {
        let items = self.items(name).ok_or_else(|| self.missing(name))?;
        Keys::from_array(&items).map_err(|flaw| Error::Invalid(format!("{}: keys: {flaw}", self.kind.name())))
    }

    /// Checks that the numbers are those that were stored.
    pub fn check_digest(&self, computed: &str) -> Result<()> {
        let stored = self.text("digest")?;
        if stored == computed {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "the {}'s digest is {stored}, and its numbers, names and settings give {computed}: the value was changed or \
             damaged after it was fitted; fit it again",
            self.kind.name()
        )))
    }
}

/// Blake3 of a stored value's numbers (little-endian), names and settings.
#[derive(Debug)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// A digest for a kind of value; the kind and its format are part of it.
    pub fn new(kind: Kind) -> Self {
        let mut digest = Self(blake3::Hasher::new());
        digest.text("babelake").text(kind.name()).text(&kind.format().to_string());
        digest
    }

    /// A string, after its length.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
        self
    }

    /// Single-precision numbers, after their count.
    pub fn floats(&mut self, values: &[f32]) -> &mut Self {
        self.0.update(&(values.len() as u64).to_le_bytes());
        for chunk in values.chunks(4096) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.0.update(&bytes);
        }
        self
    }

    /// Double-precision numbers, after their count.
    pub fn numbers(&mut self, values: &[f64]) -> &mut Self {
        self.0.update(&(values.len() as u64).to_le_bytes());
        for value in values {
            self.0.update(&value.to_le_bytes());
        }
        self
    }

    /// In hexadecimal.
    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
