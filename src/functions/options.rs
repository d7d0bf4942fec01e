//! Options of a function: one struct literal, `{method: 'irp', omega: 8}`.
//!
//! Names and types are checked when the query is planned, from the struct's type; values when it runs. A NULL option is an
//! absent one. Scalar functions also take options from columns, one set a row.

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};

use super::arguments::failed;
use crate::column::{Choice, Embeddings, Method, MethodOptions, Width};
use crate::kernel::norm::is_finite;

/// The type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// An embedding, such as a mean.
    Vector,
}

/// A known option.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// A [`Spec`].
pub const fn spec(name: &'static str, kind: Kind) -> Spec {
    Spec { name, kind }
}

/// The options that choose a method.
pub const METHOD: [Spec; 10] = [
    spec("preset", Kind::Text),
    spec("method", Kind::Text),
    spec("omega", Kind::Integer),
    spec("delta", Kind::Number),
    spec("seed", Kind::Integer),
    spec("prune_space", Kind::Text),
    spec("orthogonalise", Kind::Text),
    spec("lambda", Kind::Number),
    spec("scale", Kind::Text),
    spec("rcond", Kind::Number),
];

/// What method 'best' chooses by.
pub const BY: Spec = spec("by", Kind::Text);

/// Checks that `data_type` is a struct of known options of the right types.
pub fn check(function: &str, data_type: &DataType, known: &[Spec]) -> Result<()> {
    let names = || known.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
    let DataType::Struct(fields) = data_type else {
        return plan_err!(
            "{function}: options are one struct literal such as {{{}: ...}}, got {data_type}; known options: {}",
            known.first().map_or("name", |spec| spec.name),
            names()
        );
    };
    for field in fields {
        let Some(spec) = known.iter().find(|spec| spec.name == field.name()) else {
            return plan_err!("{function}: unknown option `{}`; known options: {}", field.name(), names());
        };
        let given = field.data_type();
        let (fits, expected) = match spec.kind {
            Kind::Text => (given.is_string(), "a string"),
            Kind::Integer => (given.is_integer(), "a whole number"),
            Kind::Number => (given.is_numeric(), "a number"),
            Kind::Vector => (Width::of(given).is_some(), "an embedding"),
        };
        if !fits && !given.is_null() {
            return plan_err!("{function}: option `{}` is {expected}, got {given}", spec.name);
        }
    }
    Ok(())
}

/// Options of a call as it runs.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    function: &'a str,
    array: Option<StructArray>,
    constant: bool,
}

impl<'a> Options<'a> {
    /// No options given.
    pub fn none(function: &'a str) -> Self {
        Self { function, array: None, constant: true }
    }

    /// Options of a struct column, or of one struct for all rows.
    pub fn new(function: &'a str, array: Option<StructArray>, constant: bool) -> Self {
        Self { function, array, constant }
    }

    /// The option of a row, cast where a type is asked for.
    fn value(&self, name: &str, row: usize, to: Option<&DataType>) -> Result<Option<ArrayRef>> {
        let row = if self.constant { 0 } else { row };
        let Some(array) = self.array.as_ref().filter(|array| array.is_valid(row)) else { return Ok(None) };
        let Some(column) = array.column_by_name(name).filter(|column| column.is_valid(row)) else { return Ok(None) };
        // A cast that makes NULL of what it cannot hold would turn a number too large into the default.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let value = column.slice(row, 1);
        match to.map_or_else(|| Ok(ArrayRef::clone(&value)), |to| cast_with_options(&value, to, &strict)) {
            Ok(value) => Ok(Some(value).filter(|value| value.is_valid(0))),
            Err(error) => exec_err!("{}: option `{name}`: {error}", self.function),
        }
    }

    /// A string option of a row.
    pub fn text(&self, name: &str, row: usize) -> Result<Option<String>> {
        Ok(self.value(name, row, Some(&DataType::Utf8))?.map(|value| value.as_string::<i32>().value(0).to_owned()))
    }

    /// A whole-number option of a row.
    pub fn integer(&self, name: &str, row: usize) -> Result<Option<i64>> {
        Ok(self.value(name, row, Some(&DataType::Int64))?.map(|value| value.as_primitive::<Int64Type>().value(0)))
    }

    /// A number option of a row.
    pub fn number(&self, name: &str, row: usize) -> Result<Option<f64>> {
        Ok(self.value(name, row, Some(&DataType::Float64))?.map(|value| value.as_primitive::<Float64Type>().value(0)))
    }

    /// An embedding option of a row, which must have `width` finite numbers.
    pub fn vector(&self, name: &str, row: usize, width: usize) -> Result<Option<Vec<f32>>> {
        let Some(value) = self.value(name, row, None)? else { return Ok(None) };
        let vector = Embeddings::of(&value).and_then(|rows| Ok(rows.row_of(0, width)?.map(<[f32]>::to_vec)));
        match vector {
            Ok(Some(vector)) if !is_finite(&vector) => {
                exec_err!("{}: option `{name}` has an item that is NaN or infinite", self.function)
            }
            Ok(vector) => Ok(vector),
            Err(flaw) => exec_err!("{}: option `{name}` {flaw}", self.function),
        }
    }

    /// The method of a row; `fallback` where none is named.
    pub fn method(&self, row: usize, fallback: &str) -> Result<Method> {
        Method::new(&self.method_options(row)?, fallback).map_err(|error| failed(self.function, error))
    }

    /// The method of a row, or that it is to be chosen; `fallback` where none is named.
    pub fn choice(&self, row: usize, fallback: &str) -> Result<Choice> {
        Choice::new(&self.method_options(row)?, fallback).map_err(|error| failed(self.function, error))
    }

    fn method_options(&self, row: usize) -> Result<MethodOptions> {
        Ok(MethodOptions {
            preset: self.text("preset", row)?,
            method: self.text("method", row)?,
            by: self.text("by", row)?,
            omega: self.integer("omega", row)?,
            delta: self.number("delta", row)?,
            seed: self.integer("seed", row)?,
            prune_space: self.text("prune_space", row)?,
            orthogonalise: self.text("orthogonalise", row)?,
            lambda: self.number("lambda", row)?,
            scale: self.text("scale", row)?,
            rcond: self.number("rcond", row)?,
        })
    }
}
