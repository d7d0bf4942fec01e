//! Rows kept by key until all have come: what the aggregates that fit are made of.
//!
//! Partitions send their rows in any order, so nothing is computed before `evaluate`, which sorts by key. A row with a NULL
//! vector is no anchor and is left out.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

use super::arguments::failed;
use crate::column::{Embeddings, Flaw, KeyKind, Keys, Width, embedding};
use crate::kernel::{Rows, norm};

/// More rows than this are not fitted: beyond a few thousand a fit gains nothing, and memory and time grow.
pub const MAX_ANCHORS: usize = 20_000;

/// Keyed rows of one or more embedding arguments.
#[derive(Debug)]
pub struct Collected {
    function: &'static str,
    /// Names of the embedding arguments, which follow the key.
    names: &'static [&'static str],
    /// Widths of the embedding arguments.
    widths: Vec<usize>,
    keys: Keys,
    columns: Vec<Vec<f32>>,
    key_bytes: usize,
}

impl Collected {
    /// Nothing yet.
    pub fn new(function: &'static str, names: &'static [&'static str], kind: KeyKind, widths: Vec<usize>) -> Self {
        let columns = vec![Vec::new(); widths.len()];
        Self { function, names, widths, keys: Keys::new(kind), columns, key_bytes: 0 }
    }

    /// What [`Collected::state`] is made of.
    pub fn state_types(names: &[&'static str], kind: KeyKind, widths: &[usize]) -> Vec<(&'static str, DataType)> {
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
        let vectors = names.iter().zip(widths).map(|(name, width)| (*name, list(Width::Fixed(*width).data_type())));
        std::iter::once(("keys", list(kind.data_type()))).chain(vectors).collect()
    }

    /// The keys, in the order they came.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Rows of embedding argument `i`, in the order they came.
    pub fn rows(&self, i: usize) -> Rows<'_> {
        Rows::new(&self.columns[i], self.widths[i])
    }

    /// Adds a batch: keys, then the embedding arguments.
    pub fn update(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let function = self.function;
        let keys = match Keys::normalize(&arrays[0]) {
            Ok(keys) => keys,
            Err(flaw) => return exec_err!("{function}: argument 1 (`key`): {flaw}"),
        };
        let mut views = Vec::with_capacity(self.widths.len());
        for (i, array) in arrays[1..=self.widths.len()].iter().enumerate() {
            match Embeddings::of(array) {
                Ok(view) => views.push(view),
                Err(flaw) => return self.flaw(i, &flaw, &keys),
            }
        }
        for row in 0..keys.len() {
            if views.iter().any(|view| view.is_null(row)) {
                continue;
            }
            if keys.is_null(row) {
                return exec_err!(
                    "{function}: argument 1 (`key`), row {row} of the batch is NULL beside an embedding: leave such rows \
                     out (WHERE key IS NOT NULL)"
                );
            }
            for (i, view) in views.iter().enumerate() {
                let v = match view.row_of(row, self.widths[i]) {
                    Ok(Some(v)) if norm::norm(v).is_finite() => v,
                    Ok(_) => return self.flaw(i, &Flaw::NotFinite { row }, &keys),
                    Err(flaw) => return self.flaw(i, &flaw, &keys),
                };
                self.columns[i].extend_from_slice(v);
            }
            self.push_key(&keys, row)?;
        }
        Ok(())
    }

    fn push_key(&mut self, normal: &ArrayRef, row: usize) -> Result<()> {
        if self.keys.len() >= MAX_ANCHORS {
            return exec_err!(
                "{}: more than {MAX_ANCHORS} anchors: choose some, for example ORDER BY random() LIMIT 4096 in a subquery, or \
                 `babelake fit --anchors 4096`, whose choice is repeatable",
                self.function
            );
        }
        self.keys.push(normal, row);
        self.key_bytes += match &self.keys {
            Keys::Int(_) => size_of::<i64>(),
            Keys::Text(keys) => size_of::<String>() + keys.last().map_or(0, String::len),
        };
        Ok(())
    }

    /// An error that names the row by its key: a row number means nothing after a join.
    fn flaw(&self, i: usize, flaw: &Flaw, keys: &ArrayRef) -> Result<()> {
        let name = self.names[i];
        let place = flaw.row().and_then(|row| Keys::from_array(&keys.slice(row, 1)).ok());
        let key =
            place.filter(|keys| !keys.is_empty()).map_or_else(String::new, |keys| format!(", key {}", keys.display(0)));
        exec_err!("{}: argument {} (`{name}`){key}: {flaw}", self.function, i + 2)
    }

    /// All rows, as lists of one row.
    pub fn state(&self) -> Result<Vec<ScalarValue>> {
        let list = |items: ArrayRef| {
            let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
            ListArray::try_new(field, OffsetBuffer::from_lengths([items.len()]), items, None)
        };
        let mut state = vec![ScalarValue::List(Arc::new(list(self.keys.to_array())?))];
        for (values, width) in self.columns.iter().zip(&self.widths) {
            let vectors = embedding::fixed(values.clone(), *width, None, self.keys.len())?;
            state.push(ScalarValue::List(Arc::new(list(Arc::new(vectors))?)));
        }
        Ok(state)
    }

    /// Adds the states of other partitions, one a row.
    pub fn merge(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let items = states
                .iter()
                .map(|state| state.as_list::<i32>())
                .map(|list| list.is_valid(row).then(|| list.value(row)))
                .collect::<Option<Vec<_>>>();
            if let Some(items) = items {
                self.update(&items)?;
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.key_bytes
            + self.columns.iter().map(|column| column.capacity() * size_of::<f32>()).sum::<usize>()
    }
}

/// An accumulator that collects keyed rows and computes its result from all of them.
pub struct FromAll<F> {
    rows: Collected,
    compute: F,
}

impl<F: Fn(&Collected) -> crate::Result<ScalarValue> + Send + Sync> FromAll<F> {
    /// Collects into `rows`, which is empty, and calls `compute` at the end.
    pub fn new(rows: Collected, compute: F) -> Self {
        Self { rows, compute }
    }
}

impl<F> fmt::Debug for FromAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromAll").field(&self.rows).finish()
    }
}

impl<F: Fn(&Collected) -> crate::Result<ScalarValue> + Send + Sync + 'static> Accumulator for FromAll<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.update(values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.rows.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.rows.merge(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        (self.compute)(&self.rows).map_err(|error| failed(self.rows.function, error))
    }

    fn size(&self) -> usize {
        self.rows.size()
    }
}
