//! What the functions share: checking argument types when a query is planned, reading values when it runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray, UInt64Array, new_empty_array, new_null_array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::memo::{Bytes, Memo};
use super::options::{Options, Spec};
use crate::Error;
use crate::column::{Decoder, Embeddings, Flaw, Head, KeyKind, Queries, Space, Translator, Width};

/// A call as the planner sees it: the types of the arguments. Every message names the function, the argument, what came
/// and what was expected.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The function's name.
    pub function: &'a str,
    /// How the function is called, for messages about the number of arguments.
    pub syntax: &'a str,
    /// Types of the arguments.
    pub fields: &'a [FieldRef],
    /// Values of arguments that are literals; empty for aggregates.
    pub literals: &'a [Option<&'a ScalarValue>],
}

impl Call<'_> {
    /// Checks the number of arguments.
    pub fn count(&self, least: usize, most: usize) -> Result<()> {
        if (least..=most).contains(&self.fields.len()) {
            return Ok(());
        }
        Err(plan_datafusion_err!(
            "{}: {} argument(s) given; call it as {}",
            self.function,
            self.fields.len(),
            self.syntax
        ))
    }

    fn data_type(&self, i: usize) -> &DataType {
        self.fields[i].data_type()
    }

    fn wrong(&self, i: usize, name: &str, expected: &str) -> DataFusionError {
        let found = match self.data_type(i) {
            // A stored value's type is pages long.
            DataType::Struct(_) => "a struct".to_owned(),
            other => other.to_string(),
        };
        plan_datafusion_err!("{}: argument {} (`{name}`) is {found}; expected is {expected}", self.function, i + 1)
    }

    /// Argument `i` is an embedding; a bare NULL passes as one without a width.
    pub fn embedding(&self, i: usize, name: &str) -> Result<Width> {
        if self.data_type(i).is_null() {
            return Ok(Width::Open);
        }
        let expected = "an embedding: a list of Float32, Float16 or Float64, best FixedSizeList<Float32, width> \
                        (CAST(... AS FLOAT[width]))";
        Width::of(self.data_type(i)).ok_or_else(|| self.wrong(i, name, expected))
    }

    /// Argument `i` is an embedding whose width is in its type: what is fitted needs it when the query is planned.
    pub fn fixed_embedding(&self, i: usize, name: &str) -> Result<usize> {
        match self.embedding(i, name)? {
            Width::Fixed(width) => Ok(width),
            Width::Open => Err(plan_datafusion_err!(
                "{}: argument {} (`{name}`) is {}, which does not say its width; cast it: CAST({} AS FLOAT[768]) with the \
                 encoder's width for 768",
                self.function,
                i + 1,
                self.data_type(i),
                self.fields[i].name()
            )),
        }
    }

    /// Argument `i` is an embedding of `width` numbers, as far as its type says.
    pub fn embedding_of(&self, i: usize, name: &str, width: usize, of: &str) -> Result<()> {
        match self.embedding(i, name)? {
            Width::Fixed(found) if found != width => Err(plan_datafusion_err!(
                "{}: argument {} (`{name}`) has width {found}, and {of} has width {width}",
                self.function,
                i + 1
            )),
            _ => Ok(()),
        }
    }

    /// Argument `i` is a number.
    pub fn number(&self, i: usize, name: &str) -> Result<()> {
        let found = self.data_type(i);
        if found.is_numeric() || found.is_null() { Ok(()) } else { Err(self.wrong(i, name, "a number")) }
    }

    /// Argument `i` is a condition.
    pub fn boolean(&self, i: usize, name: &str) -> Result<()> {
        let fits = matches!(self.data_type(i), DataType::Boolean | DataType::Null);
        if fits { Ok(()) } else { Err(self.wrong(i, name, "a condition: a Boolean")) }
    }

    /// Argument `i` is a string.
    pub fn text(&self, i: usize, name: &str) -> Result<()> {
        let fits = self.data_type(i).is_string() || self.data_type(i).is_null();
        if fits { Ok(()) } else { Err(self.wrong(i, name, "a string")) }
    }

    /// Argument `i` is a key.
    pub fn key(&self, i: usize, name: &str) -> Result<KeyKind> {
        KeyKind::of(self.data_type(i)).ok_or_else(|| self.wrong(i, name, "a key: an integer or a string"))
    }

    /// Argument `i` is a space; its kind of keys and width.
    pub fn space(&self, i: usize, name: &str) -> Result<(KeyKind, usize)> {
        Space::shape(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
    }

    /// Argument `i` is a set of queries; its kind of keys and width.
    pub fn queries(&self, i: usize, name: &str) -> Result<(KeyKind, usize)> {
        Queries::shape(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
    }

    /// Argument `i` is a head; its kind of labels and width.
    pub fn head(&self, i: usize, name: &str) -> Result<(KeyKind, usize)> {
        Head::shape(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
    }

    /// Argument `i` is a decoder; its width.
    pub fn decoder(&self, i: usize, name: &str) -> Result<usize> {
        Decoder::width_of(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
    }

    /// Argument `i` is a translator; its widths.
    pub fn translator(&self, i: usize, name: &str) -> Result<(usize, usize)> {
        Translator::widths_of(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
    }

    /// Argument `i`, where given, is a struct of known options of the right types.
    pub fn options(&self, i: usize, known: &[Spec]) -> Result<()> {
        match self.fields.get(i) {
            Some(field) => super::options::check(self.function, field.data_type(), known),
            None => Ok(()),
        }
    }
}

/// A call as it runs: the values of the arguments for a batch of rows.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The engine's arguments.
    pub args: &'a ScalarFunctionArgs,
}

impl Batch<'_> {
    /// How many rows to compute: 1 where every argument is one value for all rows.
    pub fn rows(&self) -> usize {
        if self.is_constant() { 1 } else { self.args.number_rows }
    }

    fn is_constant(&self) -> bool {
        self.args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
    }

    /// The result in the shape the engine expects: one value where all arguments are.
    pub fn result(&self, array: ArrayRef) -> Result<ColumnarValue> {
        if self.is_constant() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }

    /// [`Batch::result`] of one stored value a row, that of `key(row)`; computed once for every key in the batch.
    pub fn stored_result<K: Hash + Eq>(
        &self,
        key: impl Fn(usize) -> Result<K>,
        value: impl Fn(usize, &K) -> Result<Arc<StructArray>>,
    ) -> Result<ColumnarValue> {
        let (values, places) = distinct(self.rows(), key, value)?;
        if let (true, [only]) = (self.is_constant(), values.as_slice()) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Struct(Arc::clone(only))));
        }
        if values.is_empty() {
            return Ok(ColumnarValue::Array(new_empty_array(self.args.return_type())));
        }
        // Rows share the numbers of their value: these are in list views, and `take` copies only where a view points.
        let columns: Vec<&dyn Array> = values.iter().map(|value| value.as_ref() as _).collect();
        Ok(ColumnarValue::Array(take(&concat(&columns)?, &UInt64Array::from(places), None)?))
    }

    /// Lets `compute` do the rows of each stored value (argument `i`) together.
    pub fn for_each_value<V: Bytes>(
        &self,
        (i, name, what): (usize, &str, &str),
        memo: &Memo<V>,
        read: impl Fn(&StructArray, usize) -> crate::Result<Option<V>>,
        mut compute: impl FnMut(&V, &[usize]) -> Result<()>,
    ) -> Result<()> {
        let stored = self.stored(i)?;
        let null = || self.null_value(i, name, what);
        for rows in stored.groups(self.rows()) {
            let Some(&first) = rows.first() else { continue };
            let value = memo.get(stored.digest(first).ok_or_else(null)?, || {
                let read = read(&stored.array, stored.index(first));
                read.map_err(|error| failed(self.function, error))?.ok_or_else(null)
            })?;
            compute(&value, &rows)?;
        }
        Ok(())
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.args.args.len()
    }

    /// Argument `i` as a column: its rows, or one row that stands for all (`true`).
    fn column(&self, i: usize) -> Result<(ArrayRef, bool)> {
        match &self.args.args[i] {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, true)),
        }
    }

    /// Argument `i` as a column of this type with a row for each of [`Batch::rows`].
    pub fn cast(&self, i: usize, to: &DataType) -> Result<ArrayRef> {
        Ok(cast(&self.args.args[i].to_array(self.rows())?, to)?)
    }

    /// Argument `i` as embeddings.
    pub fn embeddings(&self, i: usize, name: &str) -> Result<Embeddings> {
        let (mut array, constant) = self.column(i)?;
        if array.data_type().is_null() {
            array = new_null_array(&Width::Open.data_type(), array.len());
        }
        let view = Embeddings::of(&array).map_err(|flaw| self.flaw(i, name, &flaw))?;
        Ok(if constant { view.repeat(self.rows()) } else { view })
    }

    /// Argument `i` as numbers, one a row; `None` where NULL.
    pub fn numbers(&self, i: usize) -> Result<Vec<Option<f64>>> {
        let (array, constant) = self.column(i)?;
        let numbers = cast(&array, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        Ok(if constant { vec![numbers.iter().next().flatten(); self.rows()] } else { numbers.iter().collect() })
    }

    /// Argument `i` as stored values.
    pub fn stored(&self, i: usize) -> Result<StoredColumn> {
        let (array, constant) = self.column(i)?;
        let wrong = || exec_datafusion_err!("{}: argument {} is no stored value", self.function, i + 1);
        let array = array.as_struct_opt().ok_or_else(wrong)?.clone();
        let digests = cast(array.column_by_name("digest").ok_or_else(wrong)?, &DataType::Utf8)?;
        Ok(StoredColumn { array, digests: digests.as_string().clone(), constant })
    }

    /// Argument `i`, where given, as options.
    pub fn options(&self, i: usize) -> Result<Options<'_>> {
        if i >= self.len() {
            return Ok(Options::none(self.function));
        }
        let (array, constant) = self.column(i)?;
        Ok(Options::new(self.function, array.as_struct_opt().cloned(), constant))
    }

    /// A flaw of argument `i` as an error that names function, argument and row.
    pub fn flaw(&self, i: usize, name: &str, flaw: &Flaw) -> DataFusionError {
        match flaw.row() {
            Some(row) => {
                exec_datafusion_err!("{}: argument {} (`{name}`), row {row} of the batch {flaw}", self.function, i + 1)
            }
            None => exec_datafusion_err!("{}: argument {} (`{name}`): {flaw}", self.function, i + 1),
        }
    }

    /// The error for a stored value that is NULL.
    pub fn null_value(&self, i: usize, name: &str, what: &str) -> DataFusionError {
        exec_datafusion_err!(
            "{}: argument {} (`{name}`) is NULL: no {what} was found; a scalar subquery over no rows gives NULL, so check \
             that its table has one row",
            self.function,
            i + 1
        )
    }
}

/// A column of stored values, or one that stands for all rows.
#[derive(Debug, Clone)]
pub struct StoredColumn {
    /// The structs.
    pub array: StructArray,
    digests: StringArray,
    constant: bool,
}

impl StoredColumn {
    /// The index in [`StoredColumn::array`] of the value for row `row`.
    pub fn index(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// The digest of the value for row `row`: what it is, whatever copy of it this is. `None` where the value is NULL.
    pub fn digest(&self, row: usize) -> Option<&str> {
        let index = self.index(row);
        (self.array.is_valid(index) && self.digests.is_valid(index)).then(|| self.digests.value(index))
    }

    /// The rows up to `rows` that share one value, for each value; in the order they come.
    fn groups(&self, rows: usize) -> Vec<Vec<usize>> {
        if self.constant {
            return vec![(0..rows).collect()];
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places = HashMap::new();
        for row in 0..rows {
            let place = *places.entry(self.digest(row)).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        groups
    }
}

/// The values of the distinct keys of rows up to `rows`, and each row's place among them.
pub fn distinct<K: Hash + Eq, V>(
    rows: usize,
    key: impl Fn(usize) -> Result<K>,
    value: impl Fn(usize, &K) -> Result<V>,
) -> Result<(Vec<V>, Vec<u64>)> {
    let (mut values, mut places, mut known) = (Vec::new(), Vec::with_capacity(rows), HashMap::new());
    for row in 0..rows {
        places.push(match known.entry(key(row)?) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(new) => {
                values.push(value(row, new.key())?);
                *new.insert(values.len() as u64 - 1)
            }
        });
    }
    Ok((values, places))
}

/// Our error as the engine's, with the function's name before it.
pub fn failed(function: &str, error: Error) -> DataFusionError {
    match error {
        Error::Engine(inner) => inner,
        other => exec_datafusion_err!("{function}: {other}"),
    }
}
