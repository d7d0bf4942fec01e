//! `emb_nearest(key, v, queries, {k, metric, mean})`: the `k` (10) rows nearest to each query, exact, in single precision.
//! `List<Struct<query, key, rank, score>>`, by query and rank (from 1), for `unnest`.
//!
//! `queries` is a value of `emb_queries`, in a scalar subquery. `metric` is 'cosine' (default), 'centred_cosine' (with `mean`, which is
//! taken from both sides: that of the rows searched), 'inner_product' or 'l2'; the score is the cosine, the product or the Euclidean
//! distance. Ties go to the lower key; the zero vector has cosine 0 with everything. Rows with a NULL vector are not searched.
//! NULL where no row is searched. Memory is the queries, `k` rows for each, and some thousand rows, whatever the table. NULL queries, another
//! width than theirs, a NULL key beside a vector, a NULL or non-finite item are errors.

use std::fmt;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type, Int32Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, list_type, literal_options, one_list};
use super::arguments::{Call, failed};
use super::measures;
use super::options::{Kind, Options, Spec, spec};
use crate::column::{Embeddings, Flaw, KeyKind, Keys, Queries};
use crate::kernel::Rows;
use crate::kernel::nearest::{Found, MAX_FOUND, Nearest, waiting_rows};
use crate::kernel::norm::is_finite;
use crate::kernel::search::{Index, Metric, Prepare, distance};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbNearest;

const OPTIONS: [Spec; 3] = [spec("k", Kind::Integer), spec("metric", Kind::Text), spec("mean", Kind::Vector)];

const DIFFERENT: &str = "emb_nearest: argument 3 (`queries`) is not the same in all rows: pass one value with a scalar subquery, \
                         (SELECT emb_queries(id, embedding) FROM queries)";

impl Aggregate for EmbNearest {
    const NAME: &'static str = "emb_nearest";
    const SYNTAX: &'static str = "emb_nearest(key, v, queries, {k: 10, metric: 'cosine'})";
    const DESCRIPTION: &'static str = "The k rows nearest to each query, exact: for unnest.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(3, 4)?;
        call.options(3, &OPTIONS)?;
        let (kind, width) = call.queries(2, "queries")?;
        call.embedding_of(1, "v", width, "the queries")?;
        Ok(list_type(DataType::Struct(fields(kind, call.key(0, "key")?))))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(vec![
            ("digest", DataType::Utf8),
            ("queries", list_type(call.queries(2, "queries")?.0.data_type())),
            ("squares", list_type(DataType::Float64)),
            ("counts", list_type(DataType::Int32)),
            ("keys", list_type(call.key(0, "key")?.data_type())),
            ("scores", list_type(DataType::Float32)),
        ])
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let (kind, width) = call.queries(2, "queries")?;
        let k = measures::rows(Self::NAME, &options, "k", 10)?;
        let metric = measures::metric(Self::NAME, &options)?;
        let center = center(metric, &options, width)?;
        let most = waiting_rows(width);
        let asked = Asked { metric, k, kind, width, most, center };
        Ok(match call.key(0, "key")? {
            KeyKind::Int => Box::new(Searched::<i64>::new(asked)),
            KeyKind::Text => Box::new(Searched::<Arc<str>>::new(asked)),
        })
    }
}

fn center(metric: Metric, options: &Options<'_>, width: usize) -> Result<Vec<f32>> {
    match (metric, options.vector("mean", 0, width)?) {
        (Metric::CentredCosine, Some(mean)) => Ok(mean),
        (Metric::CentredCosine, None) => exec_err!(
            "emb_nearest: metric 'centred_cosine' needs the mean of the rows searched: {{metric: 'centred_cosine', mean: \
             (SELECT emb_mean(embedding) FROM documents)}}"
        ),
        (_, Some(_)) => exec_err!("emb_nearest: option `mean` is for metric 'centred_cosine'"),
        (_, None) => Ok(Vec::new()),
    }
}

fn fields(query: KeyKind, key: KeyKind) -> Fields {
    Fields::from(vec![
        Field::new("query", query.data_type(), true),
        Field::new("key", key.data_type(), true),
        Field::new("rank", DataType::Int64, true),
        Field::new("score", DataType::Float32, true),
    ])
}

/// A key of a row searched: shared by all queries that have found it.
trait Key: Ord + Clone + Hash + fmt::Debug + Send + Sync + 'static {
    const KIND: KeyKind;

    /// Row `row` of a column that [`Keys::normalize`] made, not NULL.
    fn of(normal: &dyn Array, row: usize) -> Self;

    fn to_array(keys: Vec<Self>) -> Result<ArrayRef>;
}

impl Key for i64 {
    const KIND: KeyKind = KeyKind::Int;

    fn of(normal: &dyn Array, row: usize) -> Self {
        normal.as_primitive::<arrow::datatypes::Int64Type>().value(row)
    }

    fn to_array(keys: Vec<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(keys)))
    }
}

impl Key for Arc<str> {
    const KIND: KeyKind = KeyKind::Text;

    fn of(normal: &dyn Array, row: usize) -> Self {
        normal.as_string::<i32>().value(row).into()
    }

    fn to_array(keys: Vec<Self>) -> Result<ArrayRef> {
        let bytes: usize = keys.iter().map(|key| key.len()).sum();
        if i32::try_from(bytes).is_err() {
            return exec_err!(
                "emb_nearest: the keys found take {bytes} bytes, more than a column of them may: ask for fewer"
            );
        }
        Ok(Arc::new(StringArray::from_iter_values(keys)))
    }
}

/// What a search is of, beyond the queries.
#[derive(Debug)]
struct Asked {
    metric: Metric,
    k: usize,
    /// Of the queries' keys.
    kind: KeyKind,
    width: usize,
    /// Rows that are searched at once.
    most: usize,
    /// For the centred cosine.
    center: Vec<f32>,
}

/// Rows searched so far.
#[derive(Debug)]
struct Searched<K> {
    asked: Asked,
    /// The queries and what they are made ready with, where rows come to this accumulator and not only what others found.
    queries: Option<(Queries, Prepare)>,
    /// Digest and keys of the queries.
    keys: Option<(String, Keys)>,
    /// Squared lengths of the queries, where distances are made of them.
    squares: Vec<f64>,
    nearest: Nearest<K>,
    /// Rows that wait.
    waiting: Vec<f32>,
    waiting_keys: Vec<K>,
}

impl<K: Key> Searched<K> {
    fn new(asked: Asked) -> Self {
        let nearest = Nearest::new(0, asked.k);
        let (waiting, waiting_keys) = (Vec::new(), Vec::new());
        Self { asked, queries: None, keys: None, squares: Vec::new(), nearest, waiting, waiting_keys }
    }

    /// Takes the queries of a batch, which must be those of the others.
    fn ask(&mut self, values: &ArrayRef) -> Result<()> {
        let name = EmbNearest::NAME;
        let values = values.as_struct();
        let null =
            "{name}: argument 3 (`queries`) is NULL: no queries were found; a scalar subquery over no rows gives NULL";
        let digest = values.column_by_name("digest").map(|digests| arrow::compute::cast(digests, &DataType::Utf8));
        let digest = digest.transpose()?;
        let digests = digest.as_ref().and_then(|digests| digests.as_string_opt::<i32>());
        let Some(digests) = digests.filter(|digests| values.is_valid(0) && digests.is_valid(0)) else {
            return exec_err!("{}", null.replace("{name}", name));
        };
        let known = match &self.queries {
            Some((queries, _)) => queries.digest.clone(),
            None => {
                let Some(queries) = Queries::read(values, 0).map_err(|error| failed(name, error))? else {
                    return exec_err!("{}", null.replace("{name}", name));
                };
                let center = mem::take(&mut self.asked.center);
                let prepare = Prepare::by_queries(self.asked.metric, queries.rows(), center);
                let squares = match self.asked.metric {
                    Metric::L2 => queries.rows().iter().map(|q| prepare.square(q)).collect(),
                    _ => Vec::new(),
                };
                self.begin(queries.digest.clone(), queries.keys.clone(), squares)?;
                self.queries.insert((queries, prepare)).0.digest.clone()
            }
        };
        if (0..digests.len()).any(|row| digests.is_null(row) || digests.value(row) != known) {
            return exec_err!("{DIFFERENT}");
        }
        Ok(())
    }

    /// Of the queries with this digest and these keys, where nothing was found yet.
    fn begin(&mut self, digest: String, keys: Keys, squares: Vec<f64>) -> Result<()> {
        match &self.keys {
            Some((known, _)) if *known != digest => exec_err!("{DIFFERENT}"),
            Some(_) => Ok(()),
            None => {
                let k = self.asked.k;
                if k.saturating_mul(keys.len()) > MAX_FOUND {
                    return exec_err!(
                        "emb_nearest: {k} rows for each of {} queries are more than {MAX_FOUND} rows: ask for fewer, or in several \
                         statements",
                        keys.len()
                    );
                }
                self.nearest = Nearest::new(keys.len(), k);
                (self.keys, self.squares) = (Some((digest, keys)), squares);
                Ok(())
            }
        }
    }

    /// Searches the rows that wait.
    fn search(&mut self) {
        let Some((queries, prepare)) = &self.queries else { return };
        let rows = Rows::new(&self.waiting, self.asked.width);
        self.nearest.search(&Index::new(prepare, rows), queries.rows(), &self.waiting_keys);
        self.waiting.clear();
        self.waiting_keys.clear();
    }

    fn flaw(&self, flaw: &Flaw, keys: &ArrayRef) -> Result<()> {
        let key = flaw.row().and_then(|row| Keys::from_array(&keys.slice(row, 1)).ok()).filter(|keys| !keys.is_empty());
        let key = key.map_or_else(String::new, |key| format!(", key {}", key.display(0)));
        exec_err!("emb_nearest: argument 2 (`v`){key}: {flaw}")
    }
}

impl<K: Key> Accumulator for Searched<K> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values[0].is_empty() {
            return Ok(());
        }
        self.ask(&values[2])?;
        let keys = match Keys::normalize(&values[0]) {
            Ok(keys) => keys,
            Err(flaw) => return exec_err!("emb_nearest: argument 1 (`key`): {flaw}"),
        };
        let rows = match Embeddings::of(&values[1]) {
            Ok(rows) => rows,
            Err(flaw) => return self.flaw(&flaw, &keys),
        };
        for row in 0..rows.len() {
            let v = match rows.row_of(row, self.asked.width) {
                Ok(None) => continue,
                Ok(Some(v)) if is_finite(v) => v,
                Ok(_) => return self.flaw(&Flaw::NotFinite { row }, &keys),
                Err(flaw) => return self.flaw(&flaw, &keys),
            };
            if keys.is_null(row) {
                return exec_err!(
                    "emb_nearest: argument 1 (`key`), row {row} of the batch is NULL beside an embedding: leave such rows out \
                     (WHERE key IS NOT NULL)"
                );
            }
            self.waiting.extend_from_slice(v);
            self.waiting_keys.push(K::of(&keys, row));
            if self.waiting_keys.len() == self.asked.most {
                self.search();
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.search();
        let (digest, keys) = match self.keys.clone() {
            Some((digest, keys)) => (Some(digest), keys),
            None => (None, Keys::new(self.asked.kind)),
        };
        let found = self.nearest.found();
        let counts: Int32Array = found.iter().map(|found| found.len() as i32).collect();
        let scores: Float32Array = found.iter().flatten().map(|found| Some(found.score)).collect();
        let found: Vec<K> = found.iter().flatten().map(|found| found.key.clone()).collect();
        let squares = Float64Array::from(mem::take(&mut self.squares));
        let state: [ArrayRef; 5] =
            [keys.to_array(), Arc::new(squares), Arc::new(counts), K::to_array(found)?, Arc::new(scores)];
        std::iter::once(Ok(ScalarValue::Utf8(digest))).chain(state.into_iter().map(one_list)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let digests = states[0].as_string::<i32>();
        for row in (0..digests.len()).filter(|&row| digests.is_valid(row)) {
            let part = |i: usize| states[i].as_list::<i32>().value(row);
            let Ok(keys) = Keys::from_array(&part(1)) else { return exec_err!("emb_nearest: a state has no keys") };
            let squares = part(2).as_primitive::<Float64Type>().values().to_vec();
            self.begin(digests.value(row).to_owned(), keys, squares)?;
            let (counts, keys, scores) = (part(3), part(4), part(5));
            let scores = scores.as_primitive::<Float32Type>();
            let mut begin = 0;
            for (query, &count) in counts.as_primitive::<Int32Type>().values().iter().enumerate() {
                let end = begin + usize::try_from(count).unwrap_or(0);
                let found = (begin..end).map(|i| Found { score: scores.value(i), key: K::of(&keys, i) });
                self.nearest.merge(query, found);
                begin = end;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.search();
        let fields = fields(self.asked.kind, K::KIND);
        let nothing = self.nearest.found().iter().all(Vec::is_empty);
        let Some((_, asked)) = self.keys.as_ref().filter(|_| !nothing) else {
            return ScalarValue::try_from(&list_type(DataType::Struct(fields)));
        };
        let (mut queries, mut keys, mut ranks, mut scores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (query, found) in self.nearest.found().iter().enumerate() {
            for (rank, found) in (1i64..).zip(found) {
                queries.push(query);
                keys.push(found.key.clone());
                ranks.push(rank);
                scores.push(match self.squares.get(query) {
                    Some(square) => distance(*square, found.score),
                    None => found.score,
                });
            }
        }
        let columns: Vec<ArrayRef> = vec![
            asked.select(&queries).to_array(),
            K::to_array(keys)?,
            Arc::new(Int64Array::from(ranks)),
            Arc::new(Float32Array::from(scores)),
        ];
        one_list(Arc::new(StructArray::try_new(fields, columns, None)?))
    }

    fn size(&self) -> usize {
        let queries = self.queries.as_ref().map_or(0, |(queries, _)| size_of_val::<[f32]>(&queries.vectors));
        let waiting = self.waiting.capacity() * size_of::<f32>() + self.waiting_keys.capacity() * size_of::<K>();
        size_of::<Self>() + queries + waiting + self.nearest.size()
    }
}
