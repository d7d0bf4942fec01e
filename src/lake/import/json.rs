//! JSON lines: an object on every line, one of whose members is a vector. What else its members are is told by the first lines.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use serde_json::{Map, Value};

use super::input::Input;
use super::lines::{Lines, Parse, Parsed, Piece};
use super::{ID, most_common, vectors};
use crate::Result;
use crate::column::embedding::fixed;
use crate::lake::file::USUAL_NAMES;

/// Lines that tell what members are.
const FIRST: usize = 10_000;

/// What the values of a member are.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Null,
    Bool,
    Int,
    /// An integer too large for the others.
    Unsigned,
    Float,
    Text,
    /// A list of so many numbers.
    Vector(usize),
    /// A list or an object.
    Nested,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(number) if number.is_u64() => Self::Unsigned,
            Value::Number(_) => Self::Float,
            Value::String(_) => Self::Text,
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => Self::Vector(items.len()),
            Value::Array(_) | Value::Object(_) => Self::Nested,
        }
    }

    /// What values of both kinds are: a text holds any that is no list or object.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Null, other) | (other, Self::Null) => other,
            (Self::Vector(_) | Self::Nested, _) | (_, Self::Vector(_) | Self::Nested) => Self::Nested,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (Self::Int, Self::Unsigned) | (Self::Unsigned, Self::Int) => Self::Unsigned,
            _ => Self::Text,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Float => DataType::Float64,
            _ => DataType::Utf8,
        }
    }
}

/// How its lines are read.
#[derive(Debug)]
pub struct Objects {
    /// The member that is the vector, and its width.
    vector: String,
    width: usize,
    /// The other members that become columns.
    members: Vec<FieldRef>,
    /// The column of line numbers, where there is one.
    id: Option<String>,
    left_out: Vec<String>,
    /// As they are parsed: the vector, then the others.
    raw: SchemaRef,
}

/// Looks at the first lines.
pub fn open(input: Input, column: Option<&str>, id: Option<&str>) -> Result<(Lines, Objects)> {
    let (lines, piece) = Lines::open(input)?;
    let input = lines.input();
    let objects: Vec<Map<String, Value>> =
        piece.lines().take(FIRST).filter_map(|(_, line)| serde_json::from_slice(line).ok()).collect();
    if objects.is_empty() {
        let begins =
            |byte: u8| piece.lines().next().is_some_and(|(_, line)| line.trim_ascii_start().first() == Some(&byte));
        return Err(input.wrong(match (begins(b'['), begins(b'{')) {
            (true, _) => "begins as a JSON array: an object on every line is read, which `jq -c '.[]'` writes",
            (_, true) => {
                "has no object on one of its first lines: an object on every line is read, which `jq -c .` writes"
            }
            _ => "has no JSON object among its first lines",
        }));
    }
    // Members in the order in which they are first met: what each is at first, and what all of its values are.
    let mut members: Vec<(&str, Kind, Kind)> = Vec::new();
    for (name, value) in objects.iter().flatten() {
        let kind = Kind::of(value);
        match members.iter_mut().find(|(known, ..)| known == name) {
            Some((_, first, all)) => {
                if *first == Kind::Null {
                    *first = kind.clone();
                }
                *all = all.clone().with(kind);
            }
            None => members.push((name, kind.clone(), kind)),
        }
    }
    let is_vector = |(_, first, _): &&(&str, Kind, Kind)| matches!(first, Kind::Vector(_));
    let candidates: Vec<&str> = members.iter().filter(is_vector).map(|(name, ..)| *name).collect();
    let named = |name: &str| candidates.iter().find(|found| **found == name).copied();
    let vector = match (column, candidates.as_slice()) {
        (Some(column), _) => named(column).ok_or_else(|| {
            let names: Vec<&str> = members.iter().map(|(name, ..)| *name).collect();
            input.wrong(format!(
                "member `{column}` is no list of numbers in the first lines; members are {}",
                names.join(", ")
            ))
        })?,
        (None, [only]) => only,
        (None, []) => return Err(input.wrong("has no member that is a list of numbers in the first lines")),
        (None, several) => USUAL_NAMES.iter().find_map(|name| named(name)).ok_or_else(|| {
            input.wrong(format!(
                "has several members that are lists of numbers, {}: name one with --column",
                several.join(", ")
            ))
        })?,
    };
    let widths = objects.iter().filter_map(|object| match Kind::of(object.get(vector)?) {
        Kind::Vector(width) => Some(width),
        _ => None,
    });
    let width = most_common(widths).unwrap_or_default();
    let (flat, nested): (Vec<_>, Vec<_>) = members
        .iter()
        .filter(|(name, ..)| *name != vector)
        .partition(|(.., all)| !matches!(all, Kind::Vector(_) | Kind::Nested));
    let members: Vec<FieldRef> =
        flat.iter().map(|(name, _, all)| Arc::new(Field::new(*name, all.data_type(), true))).collect();
    let id = id.or_else(|| members.is_empty().then_some(ID)).map(str::to_owned);
    let left_out = nested.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let objects =
        Objects { raw: raw(vector, width, &members), vector: vector.to_owned(), width, members, id, left_out };
    Ok((lines, objects))
}

/// The columns as lines are parsed to. Integers are texts: the parser would cut 1.5 to 1.
fn raw(vector: &str, width: usize, members: &[FieldRef]) -> SchemaRef {
    let items = Arc::new(Field::new_list_field(DataType::Float32, true));
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    let vector = Arc::new(Field::new(vector, DataType::FixedSizeList(items, width), true));
    let member = |field: &FieldRef| match field.data_type() {
        DataType::Int64 | DataType::UInt64 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new([vector].into_iter().chain(members.iter().map(member)).collect::<Vec<_>>()))
}

impl Objects {
    /// Numbers of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The columns of the table.
    pub fn columns(&self) -> Vec<FieldRef> {
        let id = self.id.iter().map(|name| Arc::new(Field::new(name, DataType::Int64, false)));
        id.chain(self.members.iter().cloned()).chain([vectors(DataType::Float32, self.width)]).collect()
    }

    /// Members that become no column, being lists or objects.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The columns of some lines; an error where any of them is bad.
    fn decode(&self, lines: &[(u64, &[u8])]) -> Result<Vec<ArrayRef>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let builder =
            ReaderBuilder::new(Arc::clone(&self.raw)).with_batch_size(lines.len() + 1).with_coerce_primitive(true);
        let mut decoder = builder.build_decoder().map_err(|error| text(&error))?;
        for (i, (_, line)) in lines.iter().enumerate() {
            let read = decoder.decode(line).map_err(|error| text(&error))?;
            // An object may not go on in the next line, and no second one may follow it.
            if read < line.len() || decoder.len() != i + 1 || decoder.has_partial_record() {
                return Err("is not one JSON object".to_owned());
            }
        }
        let Some(batch) = decoder.flush().map_err(|error| text(&error))? else { return Err("is empty".to_owned()) };
        let (vector, others) = batch.columns().split_first().ok_or("has no members")?;
        let list = vector.as_fixed_size_list();
        let numbers = list.values().as_primitive::<Float32Type>();
        if list.null_count() + numbers.null_count() > 0 {
            return Err(format!("has no `{}` of numbers", self.vector));
        }
        if !numbers.values().iter().all(|number| number.is_finite()) {
            return Err(format!("`{}` has a number beyond single precision", self.vector));
        }
        let vectors = fixed(numbers.values().clone(), self.width, None, list.len()).map_err(|error| text(&error))?;
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let others = self.members.iter().zip(others);
        let others = others.map(|(field, column)| cast_with_options(column, field.data_type(), &strict));
        let ids = self.id.iter().map(|_| {
            let numbers = lines.iter().map(|(number, _)| number.cast_signed() - 1);
            Ok(Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)
        });
        ids.chain(others)
            .chain([Ok(Arc::new(vectors) as ArrayRef)])
            .collect::<Result<_, _>>()
            .map_err(|error| text(&error))
    }

    /// Decodes lines together, and apart where one of them is bad.
    fn sift(&self, lines: &[(u64, &[u8])], good: &mut Vec<Vec<ArrayRef>>, bad: &mut Vec<(u64, String)>) {
        match (self.decode(lines), lines) {
            (Ok(columns), _) => good.push(columns),
            (Err(_), []) => {}
            (Err(said), [(number, line)]) => bad.push((*number, self.reason(line).unwrap_or(said))),
            (Err(_), lines) => {
                let (first, second) = lines.split_at(lines.len() / 2);
                self.sift(first, good, bad);
                self.sift(second, good, bad);
            }
        }
    }

    /// What is wrong with a line, in better words than the decoder has.
    fn reason(&self, line: &[u8]) -> Option<String> {
        let name = &self.vector;
        let object: Map<String, Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) => return Some(format!("is no JSON object: {error}")),
        };
        match object.get(name) {
            None | Some(Value::Null) => Some(format!("has no `{name}`")),
            Some(Value::Array(items)) if items.len() != self.width => {
                Some(format!("`{name}` has {} numbers, and {} are expected", items.len(), self.width))
            }
            Some(Value::Array(items)) => {
                let (i, item) = items.iter().enumerate().find(|(_, item)| !item.is_number())?;
                Some(format!("`{name}`: number {} is {item}", i + 1))
            }
            Some(_) => Some(format!("`{name}` is no list of numbers")),
        }
    }
}

impl Parse for Objects {
    fn parse(&self, piece: &Piece) -> Result<Parsed> {
        let lines: Vec<_> = piece.lines().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        self.sift(&lines, &mut good, &mut bad);
        if good.is_empty() {
            good.push(self.columns().iter().map(|field| arrow::array::new_empty_array(field.data_type())).collect());
        }
        let count = good.first().map_or(0, Vec::len);
        let column = |i: usize| concat(&good.iter().map(|columns| columns[i].as_ref()).collect::<Vec<_>>());
        Ok(Parsed { columns: (0..count).map(column).collect::<Result<_, _>>()?, bad })
    }
}
