//! The rows of one table nearest to each row of another, to be read: exact, the searched table read once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};

use super::Place;
use super::condition::Condition;
use super::inputs::Inputs;
use super::matched::Matched;
use super::output::write_table;
use super::table::{At, Conditions, Table, Vectors};
use crate::column::Keys;
use crate::column::buffers::Buffers;
use crate::kernel::Rows;
use crate::kernel::nearest::{Found, MAX_FOUND, Nearest, waiting_rows};
use crate::kernel::search::{Index, Metric, Prepare, distance};
use crate::{Error, Result, session};

/// Queries at most: all of them are in memory while a table is searched.
pub const MAX_QUERIES: usize = 100_000;

/// What to look for, and where.
#[derive(Debug)]
pub struct Request {
    /// The table of the queries.
    pub of: Inputs,
    /// The table that is searched.
    pub searched: Inputs,
    /// Columns that name a row, in both tables.
    pub key: Vec<String>,
    /// Embedding column of the queries.
    pub of_column: Option<String>,
    /// Embedding column of the searched table.
    pub searched_column: Option<String>,
    /// SQL over the columns of the queries: the rows that ask.
    pub of_where: Option<String>,
    /// Rows that ask at most, drawn by key; all where absent.
    pub sample: Option<usize>,
    /// Draws them.
    pub seed: u64,
    /// Rows found for each query.
    pub k: usize,
    /// What nearness is.
    pub metric: Metric,
    /// A column to read beside what is found: the queries' and the searched table's.
    pub text: [Option<String>; 2],
}

/// What was found.
#[derive(Debug)]
pub struct Neighbours {
    /// A row for each query and rank: `query`, its text, `rank`, `key`, its text, `score`.
    pub rows: RecordBatch,
    /// Queries asked.
    pub queries: usize,
    /// Rows passed over among the queries, being NULL.
    pub nulls: usize,
    /// Rows searched.
    pub searched: u64,
}

/// A row found. Keys are compared first: ties go to the lower one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Document {
    key: Key,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Int(i64),
    Text(Arc<str>),
}

/// Searches; `done` counts the rows that have been searched.
pub fn nearest(request: &Request, done: &AtomicU64) -> Result<Neighbours> {
    let (of, searched) = (Table::open(&request.of)?, Table::open(&request.searched)?);
    let of_vectors = of.vectors(request.of_column.as_deref())?;
    let vectors = searched.vectors(request.searched_column.as_deref())?;
    if of_vectors.width() != vectors.width() {
        return Err(Error::Invalid(format!(
            "{} has vectors of {} numbers and {} of {}: search a table of the same encoder, or translate the queries first",
            of.shown(),
            of_vectors.width(),
            searched.shown(),
            vectors.width()
        )));
    }
    for (table, text) in [(&of, &request.text[0]), (&searched, &request.text[1])] {
        text.iter().try_for_each(|name| table.check_column(name))?;
    }
    let taken = ["query", "rank", "score", "key"];
    let of_queries = request.text[0].as_ref().map(|name| format!("query_{name}"));
    if let Some(text) =
        request.text[1].as_deref().filter(|text| taken.contains(text) || of_queries.as_deref() == Some(text))
    {
        return Err(Error::Invalid(format!(
            "--text {text}: the result has a column of that name already; name another column"
        )));
    }
    let mut kinds = None;
    searched.check_keys(&request.key, &mut kinds)?;
    let asked = ask(request, &of, &of_vectors)?;
    let queries = Rows::new(&asked.vectors, vectors.width());

    if request.k.saturating_mul(queries.len()) > MAX_FOUND {
        return Err(Error::Invalid(format!(
            "{} rows for each of {} queries are more than {MAX_FOUND} rows: ask for fewer with --k, --where or --sample",
            request.k,
            queries.len()
        )));
    }
    let center = match request.metric {
        Metric::CentredCosine => vectors.mean()?,
        _ => Vec::new(),
    };
    let search = Search {
        request,
        vectors: &vectors,
        queries,
        prepare: Prepare::by_queries(request.metric, queries, center),
        groups: vectors.groups(),
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        buffers: Buffers::new(2),
        done,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(search.groups.len().max(1));
    let parts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let part = search.run();
                parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
            });
        }
    });
    let mut all = Nearest::new(queries.len(), request.k);
    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Of several bad groups the first is told, whichever thread came upon one first.
    let (parts, mut failed): (Vec<_>, Vec<_>) = parts.into_iter().partition(Result::is_ok);
    failed.sort_by_key(|failed| failed.as_ref().err().map(|(group, _)| *group));
    if let Some(Err((_, error))) = failed.into_iter().next() {
        return Err(error);
    }
    for part in parts.iter().flatten() {
        for (query, found) in part.found().iter().enumerate() {
            all.merge(query, found.iter().cloned());
        }
    }
    Ok(Neighbours {
        rows: rows(request, (&of, &asked), (queries, &search.prepare), &searched, &all)?,
        queries: queries.len(),
        nulls: asked.nulls,
        searched: done.load(Ordering::Relaxed),
    })
}

/// The rows that ask, by ascending key.
struct Asked {
    keys: Keys,
    at: Vec<At>,
    vectors: Vec<f32>,
    nulls: usize,
}

fn ask(request: &Request, of: &Table, vectors: &Vectors<'_>) -> Result<Asked> {
    let session = session::context(&session::Settings::default())?;
    let condition = request.of_where.as_deref();
    let anchors = condition.map(|sql| Condition { option: "--where", sql, session: &session });
    let all = of.keys(&request.key, &Conditions { anchors, ..Conditions::default() })?;
    let order: Vec<usize> = match request.sample {
        Some(_) => all.keys.drawn("queries", request.seed),
        None => (0..all.keys.len()).collect(),
    };
    let most = request.sample.unwrap_or(MAX_QUERIES + 1);
    let matched = Matched { keys: all.keys, tables: vec![(vectors, all.at)] };
    let gathered = matched.first(order, most)?;
    if gathered.rows.is_empty() {
        return Err(Error::file(
            of.shown(),
            "has no row that could ask: --where selects none, or all embeddings are NULL",
        ));
    }
    if gathered.rows.len() > MAX_QUERIES {
        return Err(Error::file(
            of.shown(),
            format!(
                "has more than {MAX_QUERIES} rows that would ask: select some with --where, or draw some with --sample"
            ),
        ));
    }
    let mut order: Vec<usize> = (0..gathered.rows.len()).collect();
    order.sort_unstable_by_key(|&i| gathered.rows[i]);
    let rows: Vec<usize> = order.iter().map(|&i| gathered.rows[i]).collect();
    Ok(Asked {
        keys: matched.keys.select(&rows),
        at: rows.iter().map(|&row| matched.tables[0].1[row]).collect(),
        vectors: Rows::new(&gathered.vectors[0], vectors.width()).select(&order),
        nulls: gathered.nulls,
    })
}

/// A search that several threads do together, a row group each at a time.
struct Search<'a> {
    request: &'a Request,
    vectors: &'a Vectors<'a>,
    queries: Rows<'a>,
    prepare: Prepare,
    groups: Vec<(usize, usize)>,
    next: AtomicUsize,
    /// Set where a group cannot be read.
    stop: AtomicBool,
    buffers: Buffers<f32>,
    done: &'a AtomicU64,
}

impl Search<'_> {
    /// Takes groups as long as there are some. An error is one of the group at that place.
    fn run(&self) -> Result<Nearest<Document>, (usize, Error)> {
        let nearest = Nearest::new(self.queries.len(), self.request.k);
        let mut part = Part { search: self, nearest, rows: Vec::new(), documents: Vec::new() };
        while !self.stop.load(Ordering::Relaxed) {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&group) = self.groups.get(place) else { break };
            if let Err(error) = part.read(group) {
                self.stop.store(true, Ordering::Relaxed);
                return Err((place, error));
            }
        }
        part.find();
        Ok(part.nearest)
    }
}

/// What one thread has found, and the rows that wait.
struct Part<'a> {
    search: &'a Search<'a>,
    nearest: Nearest<Document>,
    rows: Vec<f32>,
    documents: Vec<Document>,
}

impl Part<'_> {
    fn read(&mut self, group: (usize, usize)) -> Result<()> {
        let Search { vectors, request, .. } = self.search;
        let most = waiting_rows(vectors.width());
        let (begin, keys) = vectors.table().keys_of_group(&request.key, group)?;
        vectors.scan(group, &self.search.buffers, |at, vector| {
            let place = usize::try_from(at.row - begin).unwrap_or(usize::MAX);
            let key = match &keys {
                Keys::Int(keys) => keys.get(place).map(|&key| Key::Int(key)),
                Keys::Text(keys) => keys.get(place).map(|key| Key::Text(key.as_str().into())),
            };
            let Some(key) = key else {
                let message = "has fewer keys than embeddings in a row group: it is damaged";
                return Err(Error::file(vectors.table().shown(), message));
            };
            self.rows.extend_from_slice(vector);
            self.documents.push(Document { key, at });
            if self.documents.len() == most {
                self.find();
            }
            Ok(())
        })
    }

    /// Searches the rows that wait.
    fn find(&mut self) {
        let search = self.search;
        let index = Index::new(&search.prepare, Rows::new(&self.rows, search.vectors.width()));
        self.nearest.search(&index, search.queries, &self.documents);
        search.done.fetch_add(self.documents.len() as u64, Ordering::Relaxed);
        self.rows.clear();
        self.documents.clear();
    }
}

fn rows(
    request: &Request,
    (of, asked): (&Table, &Asked),
    (queries, prepare): (Rows<'_>, &Prepare),
    searched: &Table,
    all: &Nearest<Document>,
) -> Result<RecordBatch> {
    let each =
        || all.found().iter().enumerate().flat_map(|(query, found)| (1i64..).zip(found).map(move |f| (query, f)));
    let of_query: UInt32Array = each().map(|(query, _)| u32::try_from(query).ok()).collect();
    let score = |query: usize, found: &Found<Document>| match request.metric {
        Metric::L2 => distance(prepare.square(queries.row(query)), found.score),
        _ => found.score,
    };
    let scores: Float32Array = each().map(|(query, (_, found))| Some(score(query, found))).collect();
    let ranks: Int64Array = each().map(|(_, (rank, _))| Some(rank)).collect();

    let mut places: Vec<At> = each().map(|(_, (_, found))| found.key.at).collect();
    let wanted: Vec<At> = places.clone();
    places.sort_unstable();
    places.dedup();
    let of_document: UInt32Array =
        wanted.iter().map(|at| places.binary_search(at).ok().and_then(|place| u32::try_from(place).ok())).collect();
    let mut keys = Keys::new(asked.keys.kind());
    for (_, (_, found)) in each() {
        match (&mut keys, &found.key.key) {
            (Keys::Int(keys), Key::Int(key)) => keys.push(*key),
            (Keys::Text(keys), Key::Text(key)) => keys.push(key.to_string()),
            (none, Key::Int(key)) if none.is_empty() => *none = Keys::Int(vec![*key]),
            (none, Key::Text(key)) if none.is_empty() => *none = Keys::Text(vec![key.to_string()]),
            _ => return Err(Error::Invalid("the keys of the searched table are of two kinds".to_owned())),
        }
    }

    let bytes = match &keys {
        Keys::Int(_) => 0,
        Keys::Text(keys) => keys.iter().map(String::len).sum(),
    };
    if i32::try_from(bytes).is_err() {
        let message = format!("the keys found take {bytes} bytes, more than a column of them may: ask for fewer");
        return Err(Error::Invalid(message));
    }
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("query".to_owned(), take(&asked.keys.to_array(), &of_query, None)?)];
    if let Some(text) = &request.text[0] {
        let texts = of.take(&[text], &asked.at)?;
        columns.push((format!("query_{text}"), take(texts.column(0), &of_query, None)?));
    }
    columns.push(("rank".to_owned(), Arc::new(ranks)));
    columns.push(("score".to_owned(), Arc::new(scores)));
    columns.push(("key".to_owned(), keys.to_array()));
    if let Some(text) = &request.text[1] {
        let texts = searched.take(&[text], &places)?;
        columns.push((text.clone(), take(texts.column(0), &of_document, None)?));
    }
    let field = |(name, column): &(String, ArrayRef)| -> Field {
        let data_type: &DataType = column.data_type();
        Field::new(name, data_type.clone(), true)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())?)
}

impl Neighbours {
    /// Stores the rows; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.rows, overwrite)
    }
}
