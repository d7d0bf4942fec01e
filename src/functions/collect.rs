//! Rows kept by key until all have come: what the aggregates that fit and those that measure are made of.
//!
//! Partitions send their rows in any order, so nothing is computed before `evaluate`, which sorts by key. A row with a NULL
//! vector is left out. Fits keep all rows, measures a pool of those whose keys are drawn first: while rows come in, no more
//! than that is held.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

use super::aggregate::{list_type, one_list};
use super::arguments::failed;
use crate::column::{Embeddings, Flaw, KeyKind, Keys, Width, embedding};
use crate::kernel::keyed::Draw;
use crate::kernel::{Rows, norm};

/// More rows than this are not fitted: beyond a few thousand a fit gains nothing, and memory and time grow.
pub const MAX_ANCHORS: usize = 20_000;

const FEWER_ANCHORS: &str = "anchors: choose some, for example ORDER BY random() LIMIT 4096 in a subquery, or `babelake fit \
                             --anchors 4096`, whose choice is repeatable";

/// Keyed rows of one or more embedding arguments.
#[derive(Debug)]
pub struct Collected {
    function: &'static str,
    /// Names of the embedding arguments, which follow the key.
    names: &'static [&'static str],
    /// The number of the first of them in the call.
    first_argument: usize,
    /// Widths of the embedding arguments.
    widths: Vec<usize>,
    keys: Keys,
    columns: Vec<Vec<f32>>,
    /// The name and values of a string argument after the embeddings.
    label: Option<(&'static str, Keys)>,
    keep: Keep,
    /// Bytes of keys and labels.
    text_bytes: usize,
}

/// Which rows are kept.
#[derive(Debug)]
enum Keep {
    /// All, up to so many; beyond, the error says what to do.
    All { most: usize, advice: &'static str },
    /// The `size` rows whose keys are drawn first.
    Pool {
        size: usize,
        seed: u64,
        /// Where the row of each draw is. Rows of the same key have the same draw, so one that is kept meets its double here.
        places: BTreeMap<Draw, usize>,
    },
}

impl Collected {
    /// Nothing yet.
    pub fn new(function: &'static str, names: &'static [&'static str], kind: KeyKind, widths: Vec<usize>) -> Self {
        let columns = vec![Vec::new(); widths.len()];
        let keep = Keep::All { most: MAX_ANCHORS, advice: FEWER_ANCHORS };
        let keys = Keys::new(kind);
        Self { function, names, first_argument: 2, widths, keys, columns, label: None, keep, text_bytes: 0 }
    }

    /// The same, keeping only the `size` rows whose keys are drawn first by `seed`.
    pub fn pool(self, size: usize, seed: u64) -> Self {
        Self { keep: Keep::Pool { size, seed, places: BTreeMap::new() }, ..self }
    }

    /// The same, keeping up to `most` rows; an error beyond says `advice`, which begins with what the rows are.
    pub fn at_most(self, most: usize, advice: &'static str) -> Self {
        Self { keep: Keep::All { most, advice }, ..self }
    }

    /// The same, where the embedding arguments do not follow the key.
    pub fn with_first_argument(self, first_argument: usize) -> Self {
        Self { first_argument, ..self }
    }

    /// The same with a string argument `name` after the embeddings.
    pub fn with_label(self, name: &'static str) -> Self {
        Self { label: Some((name, Keys::new(KeyKind::Text))), ..self }
    }

    /// What [`Collected::state`] is made of.
    pub fn state_types(names: &[&'static str], kind: KeyKind, widths: &[usize]) -> Vec<(&'static str, DataType)> {
        let vectors =
            names.iter().zip(widths).map(|(name, width)| (*name, list_type(Width::Fixed(*width).data_type())));
        std::iter::once(("keys", list_type(kind.data_type()))).chain(vectors).collect()
    }

    /// What a label adds to [`Collected::state_types`].
    pub fn label_type(name: &'static str) -> (&'static str, DataType) {
        (name, list_type(DataType::Utf8))
    }

    /// The keys, in the order they came.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Rows of embedding argument `i`, in the order they came.
    pub fn rows(&self, i: usize) -> Rows<'_> {
        Rows::new(&self.columns[i], self.widths[i])
    }

    /// The labels, in the order they came.
    pub fn labels(&self) -> &[String] {
        match &self.label {
            Some((_, Keys::Text(labels))) => labels,
            _ => &[],
        }
    }

    /// Adds a batch: keys, then the embedding arguments, then the label.
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
        let label_place = 1 + self.widths.len();
        let labels = match &self.label {
            Some(_) => Some(cast(&arrays[label_place], &DataType::Utf8)?),
            None => None,
        };
        let mut vectors = Vec::with_capacity(views.len());
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
            vectors.clear();
            for (i, view) in views.iter().enumerate() {
                match view.row_of(row, self.widths[i]) {
                    Ok(Some(v)) if norm::is_finite(v) => vectors.push(v),
                    Ok(_) => return self.flaw(i, &Flaw::NotFinite { row }, &keys),
                    Err(flaw) => return self.flaw(i, &flaw, &keys),
                }
            }
            if let (Some((name, _)), Some(labels)) = (&self.label, &labels)
                && labels.is_null(row)
            {
                return exec_err!(
                    "{function}: argument {} (`{name}`){}: is NULL beside an embedding",
                    label_place + 1,
                    key_of(&keys, row)
                );
            }
            if let Some(place) = self.place(&keys, row)? {
                self.put(place, &keys, &vectors, labels.as_ref(), row);
            }
        }
        Ok(())
    }

    /// Where a row goes: behind the others, in the place of one that is drawn later, or nowhere.
    fn place(&mut self, keys: &ArrayRef, row: usize) -> Result<Option<usize>> {
        let (function, kept) = (self.function, self.keys.len());
        match &mut self.keep {
            Keep::All { most, advice } if kept >= *most => exec_err!("{function}: more than {most} {advice}"),
            Keep::All { .. } => Ok(Some(kept)),
            Keep::Pool { size, seed, places } => {
                let mut key = Keys::new(self.keys.kind());
                key.push(keys, row);
                let draw = key.draw("pool", *seed, 0);
                if places.contains_key(&draw) {
                    let key = key.display(0);
                    return exec_err!("{function}: key {key} occurs more than once: a row's key must be unique");
                }
                let place = match places.last_entry() {
                    _ if kept < *size => kept,
                    Some(last) if draw < *last.key() => last.remove(),
                    _ => return Ok(None),
                };
                places.insert(draw, place);
                Ok(Some(place))
            }
        }
    }

    fn put(&mut self, place: usize, keys: &ArrayRef, vectors: &[&[f32]], labels: Option<&ArrayRef>, row: usize) {
        let is_new = place == self.keys.len();
        for (column, v) in self.columns.iter_mut().zip(vectors) {
            if is_new {
                column.extend_from_slice(v);
            } else {
                column[place * v.len()..][..v.len()].copy_from_slice(v);
            }
        }
        let labels = self.label.as_mut().zip(labels).map(|((_, kept), labels)| (kept, labels));
        for (kept, array) in std::iter::once((&mut self.keys, keys)).chain(labels) {
            if is_new {
                kept.push(array, row);
            } else {
                self.text_bytes -= bytes(kept, place);
                kept.replace(place, array, row);
            }
            self.text_bytes += bytes(kept, place);
        }
    }

    /// An error that names the row by its key: a row number means nothing after a join.
    fn flaw(&self, i: usize, flaw: &Flaw, keys: &ArrayRef) -> Result<()> {
        let name = self.names[i];
        let key = flaw.row().map_or_else(String::new, |row| key_of(keys, row));
        exec_err!("{}: argument {} (`{name}`){key}: {flaw}", self.function, i + self.first_argument)
    }

    /// All rows, as lists of one row. They are given away: the engine asks once.
    pub fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut state = vec![one_list(self.keys.to_array())?];
        for (values, width) in self.columns.iter_mut().zip(&self.widths) {
            let vectors = embedding::fixed(std::mem::take(values), *width, None, self.keys.len())?;
            state.push(one_list(Arc::new(vectors))?);
        }
        if let Some((_, labels)) = &self.label {
            state.push(one_list(labels.to_array())?);
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
        let places = match &self.keep {
            Keep::All { .. } => 0,
            // A B-tree's nodes are two thirds full.
            Keep::Pool { places, .. } => places.len() * size_of::<(Draw, usize)>() * 3 / 2,
        };
        size_of::<Self>()
            + self.text_bytes
            + places
            + self.columns.iter().map(|column| column.capacity() * size_of::<f32>()).sum::<usize>()
    }
}

/// ", key 7" of a row of normalized keys; nothing where it has none.
fn key_of(keys: &ArrayRef, row: usize) -> String {
    let key = Keys::from_array(&keys.slice(row, 1)).ok().filter(|keys| !keys.is_empty());
    key.map_or_else(String::new, |key| format!(", key {}", key.display(0)))
}

/// Bytes of one key.
fn bytes(keys: &Keys, i: usize) -> usize {
    match keys {
        Keys::Int(_) => size_of::<i64>(),
        Keys::Text(keys) => size_of::<String>() + keys[i].len(),
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
