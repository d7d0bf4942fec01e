//! What the functions share: checking argument types when a query is planned, reading values when it runs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_empty_array, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::options::{Options, Spec};
use crate::Error;
use crate::column::{Decoder, Embeddings, Flaw, KeyKind, Space, Translator, Width};

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

    /// Argument `i` is a key.
    pub fn key(&self, i: usize, name: &str) -> Result<KeyKind> {
        KeyKind::of(self.data_type(i)).ok_or_else(|| self.wrong(i, name, "a key: an integer or a string"))
    }

    /// Argument `i` is a space; its kind of keys and width.
    pub fn space(&self, i: usize, name: &str) -> Result<(KeyKind, usize)> {
        Space::shape(self.data_type(i)).map_err(|expected| self.wrong(i, name, &expected))
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

    /// [`Batch::result`] of one stored value a row.
    pub fn stored_result(&self, rows: &[Arc<StructArray>]) -> Result<ColumnarValue> {
        if let (true, [only]) = (self.is_constant(), rows) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Struct(Arc::clone(only))));
        }
        let columns: Vec<&dyn Array> = rows.iter().map(|row| row.as_ref() as _).collect();
        let array = if rows.is_empty() { new_empty_array(self.args.return_type()) } else { concat(&columns)? };
        Ok(ColumnarValue::Array(array))
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
        let array = array
            .as_struct_opt()
            .ok_or_else(|| exec_datafusion_err!("{}: argument {} is no stored value", self.function, i + 1))?;
        Ok(StoredColumn { array: array.clone(), constant })
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
    constant: bool,
}

impl StoredColumn {
    /// The index in [`StoredColumn::array`] of the value for row `row`.
    pub fn index(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// The digest of the value for row `row`: what it is, whatever copy of it this is. `None` where the value is NULL.
    pub fn digest(&self, row: usize) -> Option<String> {
        let index = self.index(row);
        if self.array.is_null(index) {
            return None;
        }
        let digests = cast(&self.array.column_by_name("digest")?.slice(index, 1), &DataType::Utf8).ok()?;
        digests.is_valid(0).then(|| digests.as_string::<i32>().value(0).to_owned())
    }

    /// Runs of consecutive rows, up to `rows`, that share one value: (first, count).
    pub fn runs(&self, rows: usize) -> Vec<(usize, usize)> {
        if self.constant || rows == 0 {
            return if rows == 0 { Vec::new() } else { vec![(0, rows)] };
        }
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut last = None;
        for row in 0..rows {
            let digest = self.digest(row);
            match runs.last_mut() {
                Some((_, count)) if digest == last => *count += 1,
                _ => runs.push((row, 1)),
            }
            last = digest;
        }
        runs
    }
}

/// Our error as the engine's, with the function's name before it.
pub fn failed(function: &str, error: Error) -> DataFusionError {
    match error {
        Error::Engine(inner) => inner,
        other => exec_datafusion_err!("{function}: {other}"),
    }
}
