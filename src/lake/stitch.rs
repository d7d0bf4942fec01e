//! Zero-shot stitching: heads trained on one encoder's rows read the translated rows of another.
//!
//! Every Parquet file of a folder is an encoder's table, and rows correspond by key. A head is trained on each encoder's own training rows;
//! every encoder's test rows are translated into every other space and read by the head of that space (*zero-shot*), read as they are
//! where the widths allow (*absolute*), and the head's own rows are the upper bound (*non-stitch*).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::condition::Condition;
use super::inputs::Inputs;
use super::output::write_table;
use super::place::Place;
use super::progress::Progress;
use super::table::{At, Conditions, Table, Vectors};
use crate::column::best::{Against, Classes};
use crate::column::head::{distinct, places};
use crate::column::keys::matches;
use crate::column::{By, Choice, Head, Keys, Method, MethodOptions, Side, Translator};
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::head::classes;
use crate::kernel::head::train::Training;
use crate::{Error, Result, session};

/// Training and test rows of an encoder at most, drawn by key.
pub const MAX_ROWS: usize = 100_000;

/// What is stitched with what.
#[derive(Debug)]
pub struct Request {
    /// The encoders' tables.
    pub tables: Inputs,
    /// Columns that name a row in all tables.
    pub key: Vec<String>,
    /// The column of each row's class.
    pub label: String,
    /// The embedding column of all tables; found where absent.
    pub column: Option<String>,
    /// SQL over the first table's columns: rows to train on, among which anchors are drawn.
    pub train_where: String,
    /// SQL over the first table's columns: rows to test on.
    pub test_where: String,
    /// Anchors of a run.
    pub anchors: usize,
    /// How often anchors, starts and heads are drawn: by the seeds 0, 1, ...
    pub seeds: u64,
    /// How to translate, by the names that rows tell.
    pub methods: Vec<(String, MethodOptions)>,
    /// How heads are trained.
    pub training: Training,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stitched {
    /// The encoders, by the names of their files.
    pub encoders: Vec<String>,
    /// The methods, as they were named.
    pub methods: Vec<String>,
    /// One a pair of encoders, method and seed.
    pub rows: Vec<Row>,
    /// Rows trained on, tested on, and anchors of a run.
    pub counts: (usize, usize, usize),
    /// Classes.
    pub classes: usize,
}

/// A pair of encoders in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Places of the encoders.
    pub source: usize,
    /// ...
    pub target: usize,
    /// The place of the method as it was named.
    pub method: usize,
    /// The method that was fitted: of best the one found.
    pub fitted: String,
    /// Of irp.
    pub omega: Option<i64>,
    /// Of irp.
    pub delta: Option<f64>,
    /// The run.
    pub seed: u64,
    /// Share of the source's test rows, translated, to which the target's head gives their class.
    pub zero_shot: f64,
    /// The same without translation, where the widths are the same.
    pub absolute: Option<f64>,
    /// The same of the target's own test rows.
    pub non_stitch: f64,
}

/// An encoder's rows.
struct Encoder {
    name: String,
    width: usize,
    train: Vec<f32>,
    test: Vec<f32>,
}

/// Trains all heads and stitches all pairs, which `progress` counts.
pub fn stitch(request: &Request, progress: &Progress) -> Result<Stitched> {
    let tables = request.tables.select()?.files.into_iter().map(Table::file).collect::<Result<Vec<_>>>()?;
    if tables.len() < 2 {
        let message = "holds fewer than two tables: every Parquet file in it is an encoder's";
        return Err(Error::file(request.tables.shown(), message));
    }
    if request.seeds == 0 || request.anchors < 2 || request.methods.is_empty() {
        return Err(Error::Invalid("at least 1 seed, 2 anchors and 1 method are needed".to_owned()));
    }
    let vectors = tables.iter().map(|table| table.vectors(request.column.as_deref())).collect::<Result<Vec<_>>>()?;
    let train = request.rows(&tables, &vectors, &request.train_where, "--train-where")?;
    let test = request.rows(&tables, &vectors, &request.test_where, "--test-where")?;
    if !matches(&train.keys, &test.keys).is_empty() {
        let message =
            "rows to train on are rows to test on as well: make --train-where and --test-where exclude each other";
        return Err(Error::Invalid(message.to_owned()));
    }
    let (train_labels, test_labels) = (request.labels(&tables[0], &train)?, request.labels(&tables[0], &test)?);
    let classes = distinct(&train_labels);
    let of = places(&train_labels, &classes)?;
    let truth = places(&test_labels, &classes).map_err(|error| {
        Error::file(
            tables[0].shown(),
            format!("{error}: a class of the rows to test on is not among those to train on"),
        )
    })?;
    let encoders: Vec<Encoder> = tables
        .iter()
        .zip(&vectors)
        .zip(train.vectors.into_iter().zip(test.vectors))
        .map(|((table, vectors), (train, test))| Encoder { name: table.name(), width: vectors.width(), train, test })
        .collect();
    if train.keys.len() < request.anchors {
        return Err(Error::Invalid(format!(
            "{} anchors are asked for and {} rows are to train on in all tables: ask for fewer",
            request.anchors,
            train.keys.len()
        )));
    }

    // A softmax regression comes to the same optimum from every start: one head does for all seeds.
    let head_seeds = if request.training.hidden.is_empty() { 1 } else { request.seeds };
    let pairs = encoders.len() * (encoders.len() - 1);
    let runs = usize::try_from(request.seeds).unwrap_or(usize::MAX) * request.methods.len() * pairs;
    let heads = encoders.len() * usize::try_from(head_seeds).unwrap_or(usize::MAX);
    progress.total.store(heads + runs, Ordering::Relaxed);
    let mut stitched = Stitched {
        encoders: encoders.iter().map(|encoder| encoder.name.clone()).collect(),
        methods: request.methods.iter().map(|(name, _)| name.clone()).collect(),
        rows: Vec::new(),
        counts: (train.keys.len(), test.keys.len(), request.anchors),
        classes: classes.len(),
    };
    let mut heads: Vec<Head> = Vec::new();
    // What each head (second) makes of each encoder's rows (first) as they are, where it can read them.
    let mut as_they_are: Vec<Vec<Option<f64>>> = Vec::new();
    for seed in 0..request.seeds {
        if seed < head_seeds {
            let training = Training { seed, ..request.training.clone() };
            let train_one = |encoder: &Encoder| {
                let rows = Rows::new(&encoder.train, encoder.width);
                let head = Head::train(&train.keys, rows, &train_labels, &encoder.name, &training);
                progress.done.fetch_add(1, Ordering::Relaxed);
                head.map_err(|error| Error::Invalid(format!("{}: {error}", encoder.name)))
            };
            heads = encoders.iter().map(train_one).collect::<Result<Vec<_>>>()?;
            let read = |encoder: &Encoder, head: &Head| {
                let rows = Rows::new(&encoder.test, encoder.width);
                (head.width() == encoder.width).then(|| accuracy(head, rows, &truth)).transpose()
            };
            let by_all = |encoder: &Encoder| heads.iter().map(|head| read(encoder, head)).collect::<Result<Vec<_>>>();
            as_they_are = encoders.iter().map(by_all).collect::<Result<Vec<_>>>()?;
        }
        let drawn: Vec<usize> = train.keys.drawn("anchors", seed).into_iter().take(request.anchors).collect();
        let anchors =
            Anchors { keys: train.keys.select(&drawn), classes: drawn.iter().map(|&row| of[row]).collect(), drawn };
        for (source, target) in (0..encoders.len()).flat_map(|s| (0..encoders.len()).map(move |t| (s, t))) {
            if source == target {
                continue;
            }
            let (from, to) = (&encoders[source], &encoders[target]);
            let rows = Rows::new(&from.test, from.width);
            for (method, (_, options)) in request.methods.iter().enumerate() {
                let named = |error: Error| Error::Invalid(format!("{} -> {}: {error}", from.name, to.name));
                let translator = anchors.fit((from, to), &heads[target], options, seed).map_err(named)?;
                let mut out = vec![0.0; rows.len() * to.width];
                translated(&translator, rows, &mut out).map_err(named)?;
                let settings: serde_json::Value = serde_json::from_str(&translator.settings).unwrap_or_default();
                stitched.rows.push(Row {
                    source,
                    target,
                    method,
                    omega: settings["omega"].as_i64(),
                    delta: settings["delta"].as_f64(),
                    fitted: translator.method,
                    seed,
                    zero_shot: accuracy(&heads[target], Rows::new(&out, to.width), &truth)?,
                    absolute: as_they_are[source][target],
                    non_stitch: as_they_are[target][target].unwrap_or_default(),
                });
                progress.done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(stitched)
}

/// Rows that all tables hold, and their vectors table by table.
struct Common {
    keys: Keys,
    /// Where the first table has them.
    first: Vec<At>,
    vectors: Vec<Vec<f32>>,
}

impl Request {
    /// Rows of every table that satisfy a condition over the first one's columns, those that are drawn first where there are many.
    fn rows(&self, tables: &[Table], vectors: &[Vectors<'_>], sql: &str, option: &'static str) -> Result<Common> {
        let session = session::context(&session::Settings::default())?;
        let anchors = Some(Condition { option, sql, session: &session });
        let (first, others) = tables.split_at(1);
        let all = first[0].keys(&self.key, &Conditions { anchors, ..Conditions::default() })?;
        let mut places: Vec<Vec<Option<At>>> = vec![all.at.iter().copied().map(Some).collect()];
        for other in others {
            places.push(other.find(&self.key, &all.keys, (&first[0], &self.key))?);
        }
        let common = |row: &usize| places.iter().all(|table| table[*row].is_some());
        let mut chosen: Vec<usize> = all.keys.drawn("rows", 0).into_iter().filter(common).take(MAX_ROWS).collect();
        chosen.sort_unstable();
        if chosen.is_empty() {
            let message = format!("no row that {option} selects is in all {} tables", tables.len());
            return Err(Error::file(self.tables.shown(), message));
        }
        let mut read = Vec::with_capacity(tables.len());
        for (vectors, at) in vectors.iter().zip(&places) {
            read.push(vectors.read(&chosen.iter().filter_map(|&row| at[row]).collect::<Vec<_>>())?);
        }
        // Rows with a NULL vector in some table.
        let whole: Vec<usize> = (0..chosen.len()).filter(|&i| read.iter().all(|table| table[i].is_some())).collect();
        let gather = |table: &Vec<Option<Box<[f32]>>>| {
            whole.iter().filter_map(|&i| table[i].as_deref()).flatten().copied().collect()
        };
        let kept: Vec<usize> = whole.iter().map(|&i| chosen[i]).collect();
        Ok(Common {
            keys: all.keys.select(&kept),
            first: kept.iter().map(|&row| all.at[row]).collect(),
            vectors: read.iter().map(gather).collect(),
        })
    }

    /// The classes of rows, as the first table has them.
    fn labels(&self, table: &Table, rows: &Common) -> Result<Keys> {
        let values = table.take(&[&self.label], &rows.first)?;
        let texts = cast(values.column(0), &DataType::Utf8).map_err(|_| {
            let found = values.column(0).data_type();
            Error::file(table.shown(), format!("column `{}` is {found}: numbers or strings name classes", self.label))
        })?;
        if let Some(null) = (0..texts.len()).find(|&row| texts.is_null(row)) {
            let place = table.place_of(rows.first[null]);
            return Err(Error::Invalid(format!("{place}: column `{}` is NULL: every row needs a class", self.label)));
        }
        Ok(Keys::Text(texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect()))
    }
}

/// The anchors of a run.
struct Anchors {
    /// Their rows among those to train on.
    drawn: Vec<usize>,
    keys: Keys,
    classes: Vec<usize>,
}

impl Anchors {
    /// The best by accuracy is what the target's `head` reads best.
    fn fit(
        &self,
        (source, target): (&Encoder, &Encoder),
        head: &Head,
        options: &MethodOptions,
        seed: u64,
    ) -> Result<Translator> {
        let rows = |encoder: &Encoder| Rows::new(&encoder.train, encoder.width).select(&self.drawn);
        let (from, to) = (rows(source), rows(target));
        let from = Side { rows: Rows::new(&from, source.width), encoder: &source.name, mean: None };
        let to = Side { rows: Rows::new(&to, target.width), encoder: &target.name, mean: None };
        let method = match Choice::new(options, "best")? {
            Choice::Method(method) => method,
            Choice::Best(best) => {
                let unseen = Rows::new(&[], target.width);
                let classes =
                    (best.by == By::Accuracy).then_some(Classes { of: &self.classes, head: Some(&head.layers) });
                Translator::compare(&self.keys, &from, &to, &Against { unseen, classes }, &best)?.choose(best.by).method
            }
        };
        let method = seeded(method, options, seed)?;
        Translator::fit_rows(&self.keys, &from, &to, &Choice::Method(method))
    }
}

/// The method with its starts drawn by the run's seed.
fn seeded(method: Method, options: &MethodOptions, seed: u64) -> Result<Method> {
    if method.name() != "irp" || options.method.as_deref() == Some("best") {
        return Ok(method);
    }
    let seed = i64::try_from(seed).ok();
    Method::new(&MethodOptions { seed, ..options.clone() }, "irp")
}

fn translated(translator: &Translator, rows: Rows<'_>, out: &mut [f32]) -> Result<()> {
    let row = |i: usize| Some(rows.row(i));
    let applied = translator.translation().apply(rows.len(), row, &mut Scratch::default(), out);
    applied.map_err(|bad| Error::Invalid(format!("test row {} has an item that is NaN or infinite", bad.row)))
}

/// Rows read by a head at once.
const PART: usize = 4096;

/// The share of rows that a head gives their class.
fn accuracy(head: &Head, rows: Rows<'_>, truth: &[usize]) -> Result<f64> {
    Ok(share(&classes_of(head, rows)?, truth))
}

/// The share of classes that are the others.
pub(super) fn share(found: &[usize], others: &[usize]) -> f64 {
    let same = found.iter().zip(others).filter(|(class, other)| class == other).count();
    same as f64 / found.len().max(1) as f64
}

/// The class that a head gives each row, by its place among the head's labels.
pub(super) fn classes_of(head: &Head, rows: Rows<'_>) -> Result<Vec<usize>> {
    let parts: Vec<usize> = (0..rows.len()).step_by(PART).collect();
    let classes = parts.into_par_iter().map(|first| -> Result<Vec<usize>> {
        let count = PART.min(rows.len() - first);
        let found = classes(&head.layers, count, |i| Some(rows.row(first + i)), &mut Scratch::default());
        let found = found.map_err(|bad| Error::Invalid(format!("test row {} is not finite", first + bad.row)))?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    });
    Ok(classes.collect::<Result<Vec<_>>>()?.concat())
}

/// A pair, a seed, and what was measured.
type Value = ((usize, usize), u64, f64);

/// A mean, and what it varies by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean over all runs.
    pub mean: f64,
    /// Sample deviation over pairs, of each the mean over seeds; 0 of one pair.
    pub over_pairs: f64,
    /// Sample deviation over seeds, of each the mean over pairs; 0 of one seed.
    pub over_seeds: f64,
    /// Pairs that have a value.
    pub pairs: usize,
}

impl Stitched {
    /// A row of Table 2: a measure over the pairs and seeds of a method; `None` where no pair has it.
    pub fn spread(&self, method: usize, of: impl Fn(&Row) -> Option<f64>) -> Option<Spread> {
        let values: Vec<Value> = self
            .rows
            .iter()
            .filter(|row| row.method == method)
            .filter_map(|row| Some(((row.source, row.target), row.seed, of(row)?)))
            .collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let deviation = |values: &[f64]| match values.len() {
            0 | 1 => 0.0,
            n => (values.iter().map(|x| (x - mean(values)).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt(),
        };
        let mut pairs: Vec<_> = values.iter().map(|(pair, ..)| *pair).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut seeds: Vec<_> = values.iter().map(|(_, seed, _)| *seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let some = |keep: &dyn Fn(&Value) -> bool| {
            mean(&values.iter().filter(|value| keep(value)).map(|(.., x)| *x).collect::<Vec<_>>())
        };
        let by_pair: Vec<f64> = pairs.iter().map(|pair| some(&|value| value.0 == *pair)).collect();
        let by_seed: Vec<f64> = seeds.iter().map(|seed| some(&|value| value.1 == *seed)).collect();
        (!values.is_empty()).then(|| Spread {
            mean: mean(&by_pair),
            over_pairs: deviation(&by_pair),
            over_seeds: deviation(&by_seed),
            pairs: pairs.len(),
        })
    }

    /// As a table, one row a pair, method and seed.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let text = |of: &dyn Fn(&Row) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.rows.iter().map(of)))
        };
        let number = |of: &dyn Fn(&Row) -> Option<f64>| -> ArrayRef {
            Arc::new(self.rows.iter().map(of).collect::<Float64Array>())
        };
        let omegas: Int64Array = self.rows.iter().map(|row| row.omega).collect();
        let seeds: Int64Array = self.rows.iter().map(|row| i64::try_from(row.seed).ok()).collect();
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("source", text(&|row| self.encoders[row.source].clone()), false),
            ("target", text(&|row| self.encoders[row.target].clone()), false),
            ("method", text(&|row| self.methods[row.method].clone()), false),
            ("fitted", text(&|row| row.fitted.clone()), false),
            ("omega", Arc::new(omegas) as ArrayRef, true),
            ("delta", number(&|row| row.delta), true),
            ("seed", Arc::new(seeds), false),
            ("zero_shot", number(&|row| Some(row.zero_shot)), false),
            ("absolute", number(&|row| row.absolute), true),
            ("non_stitch", number(&|row| Some(row.non_stitch)), false),
        ])?)
    }

    /// Stores the table; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.to_batch()?, overwrite)
    }
}
