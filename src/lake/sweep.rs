//! How every setting of the methods does on held-out rows: means over pairs of tables and seeds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::classes::Classes;
use super::condition::Condition;
use super::fit::{Gathered, HoldOut, MAX_ANCHORS, MAX_QUERIES, POOL, Side, hold_out};
use super::inputs::Inputs;
use super::output::write_table;
use super::place::Place;
use super::progress::Progress;
use super::quality::{More, Trial, means, translated};
use super::table::{Conditions, PoolDraw, Table, Vectors, pairs};
use crate::column::sweep::{Fitted, Grid, Matched};
use crate::column::{Head, KeyedAnchors, Keys, Method};
use crate::kernel::Rows;
use crate::kernel::classifier::Classifier;
use crate::kernel::head::train::Training;
use crate::{Error, Result, session};

/// Anchors where nobody says how many: the paper's.
pub const DEFAULT_ANCHORS: usize = 768;
/// Held-out rows that are measured where nobody says how many.
pub const DEFAULT_QUERIES: usize = 2000;

/// Held-out rows and the pool are the same whatever the seed of a run.
const SEED: u64 = 0;

/// What to compare, and on what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source's and the target's table; or one input each of whose files is the table of an encoder.
    pub tables: Vec<Inputs>,
    /// The column, or the columns, that name a row in all tables.
    pub key: Vec<String>,
    /// The embedding column of all tables; found where absent.
    pub column: Option<String>,
    /// SQL over a source's columns: the rows that may be anchors.
    pub anchors_where: Option<String>,
    /// How many anchors at most.
    pub anchors: usize,
    /// Which pairs are held out to measure.
    pub hold_out: HoldOut,
    /// How many of them are asked for at most.
    pub queries: usize,
    /// The settings of irp.
    pub grid: Option<Grid>,
    /// The other methods.
    pub methods: Vec<Method>,
    /// How often anchors and starts are drawn: by the seeds 0, 1, ...
    pub seeds: u64,
    /// Whether every space is translated into itself, too.
    pub intra: bool,
    /// The column of a source that holds each row's class: heads of the targets then read the translated rows.
    pub label: Option<String>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// One row a setting: irp by omega and delta, the other methods as asked for, the two dumb answers; for each kind of spaces.
    pub rows: Vec<Row>,
    /// The encoders, by the names of their files.
    pub encoders: Vec<String>,
    /// Ordered pairs of encoders, those of an encoder with itself included.
    pub pairs: usize,
    /// Seeds.
    pub seeds: u64,
    /// Anchors of a run, fewest and most.
    pub anchors: (usize, usize),
    /// Held-out rows of a run, fewest and most.
    pub queries: (usize, usize),
    /// Rows searched, fewest and most.
    pub pool: (usize, usize),
    /// How the held-out rows were chosen, for people.
    pub held_out: String,
    /// The share of the target's own held-out rows that its head gives their class, over runs; `None` without classes.
    pub native_accuracy: Option<Spread>,
}

/// Which spaces a run translates between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spaces {
    /// An encoder's and itself.
    Intra,
    /// Two encoders'.
    Inter,
}

/// What is measured of a setting, in the order of [`Row::measures`].
pub const MEASURES: [&str; 8] =
    ["cosine", "centred_cosine", "p_at_1", "mrr", "accuracy", "kept_anchors", "condition_number", "seconds"];

/// Rows that a head is trained on at most, drawn by key.
const MAX_HEAD_ROWS: usize = 20_000;

/// The measures of one run; one that does not apply is absent.
type Measures = [Option<f64>; MEASURES.len()];

/// A setting over all runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Between which spaces.
    pub spaces: Spaces,
    /// The method, or a dumb answer: `mean-only`, `do-nothing`.
    pub method: &'static str,
    /// Of irp.
    pub omega: Option<usize>,
    /// Of irp.
    pub delta: Option<f64>,
    /// Pairs times seeds.
    pub runs: usize,
    /// [`MEASURES`].
    pub measures: [Option<Spread>; MEASURES.len()],
}

/// A measure over runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; `None` of one run.
    pub deviation: Option<f64>,
}

/// Measures every setting; `progress` counts settings over all runs. Depends on keys, vectors and settings alone, the seconds excepted: not on the order of rows, their
/// files or the number of threads.
///
/// In every run the anchors are drawn from the pairs that are not held out, and translators are fitted as by [`super::fit`].
/// Held-out rows and pool are those of its seed 0.
pub fn sweep(request: &Request, progress: &Progress) -> Result<Sweep> {
    request.check()?;
    let tables = match request.tables.as_slice() {
        [one] => one.select()?.files.into_iter().map(Table::file).collect::<Result<Vec<_>>>()?,
        several => several.iter().map(Table::open).collect::<Result<Vec<_>>>()?,
    };
    let directions = request.directions(&tables)?;
    let column = request.column.as_deref();
    let vectors = tables.iter().map(|table| Ok(table.vectors(column)?.remembering())).collect::<Result<Vec<_>>>()?;
    let session = session::context(&session::Settings::default())?;
    let condition = |option, sql| Condition { option, sql, session: &session };

    let labels = request.labels();
    let runs = directions.len() * usize::try_from(request.seeds).unwrap_or(usize::MAX);
    progress.total.store(runs * labels.len(), Ordering::Relaxed);
    let mut sweep = Sweep {
        rows: Vec::new(),
        encoders: tables.iter().map(Table::name).collect(),
        pairs: directions.len(),
        seeds: request.seeds,
        anchors: NONE,
        queries: NONE,
        pool: NONE,
        held_out: String::new(),
        native_accuracy: None,
    };
    let mut heads = Heads::default();
    let mut native_accuracies = Vec::new();
    let mut measured: Vec<(Spaces, Vec<Measures>)> = Vec::new();
    for (spaces, from, to) in directions {
        let (source, target) = (&tables[from], &tables[to]);
        let named = |message: String| Error::Invalid(format!("{} -> {}: {message}", source.shown(), target.shown()));
        let conditions = Conditions {
            anchors: request.anchors_where.as_deref().map(|sql| condition("--where", sql)),
            evaluate: match &request.hold_out {
                HoldOut::Where(sql) => Some(condition("--eval-where", sql)),
                _ => None,
            },
            group: match &request.hold_out {
                HoldOut::Groups(column) => Some(column),
                _ => None,
            },
        };
        let pairs = pairs(source, target, &request.key, &conditions, PoolDraw { size: POOL, seed: SEED })?;
        let mut gathered = Gathered::new(&pairs, &vectors[from], &vectors[to]);
        let held = hold_out(&pairs, &request.hold_out, SEED);
        let held = held.ok_or_else(|| named(format!("of {} pairs none can be held out to measure", pairs.len())))?;
        let queries = gathered.first(held.drawn.iter().copied(), request.queries)?;
        if queries.is_empty() {
            return Err(named("every held-out row has a NULL embedding: nothing can be measured".into()));
        }
        let (asked, native) = (gathered.rows(&queries, Side::Source), gathered.rows(&queries, Side::Target));
        let pool = gathered.pool(&queries)?;
        let (width, target_width) = (vectors[from].width(), vectors[to].width());
        let natives = Rows::new(&native, target_width);
        let read = match request.label.as_deref() {
            None => None,
            Some(label) => {
                let rest = pairs.keys.drawn("head", SEED).into_iter();
                let rest = rest.filter(|&pair| pairs.anchor[pair] && !held.pairs[pair]);
                let known = gathered.first(rest, MAX_HEAD_ROWS)?;
                let classes = Classes::read(source, label, &pairs, known.iter().chain(&queries).copied())?;
                let (rows, keys) = (gathered.rows(&known, Side::Target), pairs.keys.select(&known));
                let head = heads.of(to, &keys, Rows::new(&rows, target_width), &classes.labels(&known));
                let head = head.map_err(|error| named(error.to_string()))?;
                let truth = classes.of_head(&queries, &head);
                let unknown = |error| named(format!("{error}; a class of the held-out rows is not among the others"));
                Some((head, truth.map_err(unknown)?))
            }
        };
        let classes = read.as_ref().map(|(head, truth)| (Classifier::Head(&head.layers), truth.clone()));
        if let Some((head, truth)) = &classes {
            let right = head.is_right(natives, truth);
            native_accuracies.push(right.iter().filter(|right| **right).count() as f64 / right.len() as f64);
        }
        let trial = Trial {
            queries: Rows::new(&asked, width),
            natives,
            pool: Rows::new(&pool, target_width),
            more: More { classes, ..More::default() },
        };
        widen(&mut sweep.queries, queries.len());
        widen(&mut sweep.pool, trial.pool.len());
        sweep.held_out = held.by;
        for seed in 0..request.seeds {
            let rest = pairs.keys.drawn("anchors", seed).into_iter();
            let rest = rest.filter(|&pair| pairs.anchor[pair] && !held.pairs[pair]);
            let anchors = gathered.first(rest, request.anchors)?;
            widen(&mut sweep.anchors, anchors.len());
            let keys = pairs.keys.select(&anchors);
            let fit = |side, vectors: &Vectors<'_>, name: &Table| {
                let rows = gathered.rows(&anchors, side);
                KeyedAnchors::fit(&keys, Rows::new(&rows, vectors.width()), &name.name(), None)
            };
            let run = fit(Side::Source, &vectors[from], source)
                .and_then(|source| Ok((source, fit(Side::Target, &vectors[to], target)?)))
                .and_then(|(source, target)| request.run(&source, &target, &trial, seed, progress));
            measured.push((spaces, run.map_err(|error| named(error.to_string()))?));
            // Settings that keep the same anchors were measured once.
            progress.done.store(measured.len() * labels.len(), Ordering::Relaxed);
        }
    }
    sweep.native_accuracy = Spread::of(native_accuracies.into_iter());
    for spaces in [Spaces::Intra, Spaces::Inter] {
        let of_these = measured.iter().filter(|(of, _)| *of == spaces);
        let runs: Vec<&Vec<Measures>> = of_these.map(|(_, measures)| measures).collect();
        for (place, &(method, omega, delta)) in labels.iter().enumerate().filter(|_| !runs.is_empty()) {
            let measures = std::array::from_fn(|i| Spread::of(runs.iter().filter_map(|run| run[place][i])));
            sweep.rows.push(Row { spaces, method, omega, delta, runs: runs.len(), measures });
        }
    }
    Ok(sweep)
}

/// No run yet.
const NONE: (usize, usize) = (usize::MAX, 0);

fn widen(range: &mut (usize, usize), count: usize) {
    *range = (range.0.min(count), range.1.max(count));
}

/// The heads of the targets, trained once for the same rows.
#[derive(Default)]
struct Heads(HashMap<(usize, String, String), Arc<Head>>);

impl Heads {
    fn of(&mut self, target: usize, keys: &Keys, rows: Rows<'_>, labels: &Keys) -> Result<Arc<Head>> {
        match self.0.entry((target, keys.digest(), labels.digest())) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(place) => {
                let head = Head::train(keys, rows, labels, "", &Training::default())?;
                Ok(Arc::clone(place.insert(Arc::new(head))))
            }
        }
    }
}

/// Method, omega and delta of a row.
type Label = (&'static str, Option<usize>, Option<f64>);

impl Request {
    fn check(&self) -> Result<()> {
        let message = if !(2..=MAX_ANCHORS).contains(&self.anchors) {
            format!("{} anchors are asked for: from 2 to {MAX_ANCHORS} can be had", self.anchors)
        } else if !(1..=MAX_QUERIES).contains(&self.queries) {
            format!("{} held-out rows are asked for: from 1 to {MAX_QUERIES} can be measured", self.queries)
        } else if self.seeds == 0 {
            "0 seeds are asked for: 1 is the least".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Invalid(message))
    }

    /// Which tables are translated into which, by their places: between all of a folder, from the first of two to the second.
    fn directions(&self, tables: &[Table]) -> Result<Vec<(Spaces, usize, usize)>> {
        let all = 0..tables.len();
        let mut directions = Vec::new();
        if self.intra {
            directions.extend(all.clone().map(|table| (Spaces::Intra, table, table)));
        }
        let named = self.tables.len() > 1;
        for (from, to) in all.clone().flat_map(|from| all.clone().map(move |to| (from, to))) {
            if from != to && (!named || from < to) {
                directions.push((Spaces::Inter, from, to));
            }
        }
        match (directions.as_slice(), tables) {
            ([], [only]) => Err(Error::file(
                only.shown(),
                "is the only table here: name a second one, a folder of several, or give --intra to translate it into itself",
            )),
            _ => Ok(directions),
        }
    }

    fn labels(&self) -> Vec<Label> {
        let grid = self.grid.iter().flat_map(Grid::settings);
        let mut labels: Vec<Label> = grid.map(|(omega, delta)| ("irp", Some(omega), Some(delta))).collect();
        labels.extend(self.methods.iter().map(|method| (method.name(), None, None)));
        labels.extend([("mean-only", None, None), ("do-nothing", None, None)]);
        labels
    }

    /// The measures of all settings, in the order of the labels.
    fn run(
        &self,
        source: &KeyedAnchors,
        target: &KeyedAnchors,
        trial: &Trial<'_>,
        seed: u64,
        progress: &Progress,
    ) -> Result<Vec<Measures>> {
        let measured = |answers: Rows<'_>, mean: &[f32]| -> Measures {
            let [cosine, centred_cosine, p_at_1, _, _, mrr, _, accuracy] =
                means(answers, trial, mean).map(|mean| Some(mean).filter(|mean| !mean.is_nan()));
            progress.done.fetch_add(1, Ordering::Relaxed);
            [cosine, centred_cosine, p_at_1, mrr, accuracy, None, None, None]
        };
        let measure = |fitted: &Fitted<'_>| -> Result<Measures> {
            let mean = fitted.translation.target_mean;
            let answers = translated(&fitted.translation, trial)?;
            let mut measures = measured(Rows::new(&answers, mean.len()), mean);
            measures[5..].copy_from_slice(&[Some(fitted.kept_anchors), fitted.condition_number, Some(fitted.seconds)]);
            Ok(measures)
        };
        let matched = Matched::new(source, target)?;
        let grid = || self.grid.as_ref().map(|grid| matched.irp(grid, seed, measure)).transpose();
        let (grid, others) = rayon::join(grid, || matched.methods(&self.methods, measure));
        let mut rows = grid?.unwrap_or_default();
        rows.extend(others?);
        let mean = target.mean.repeat(trial.natives.len());
        rows.push(measured(Rows::new(&mean, target.width), &target.mean));
        let same_width = source.width == target.width;
        rows.push(if same_width { measured(trial.queries, &target.mean) } else { Measures::default() });
        Ok(rows)
    }
}

impl Spaces {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Intra => "intra",
            Self::Inter => "inter",
        }
    }
}

impl Spread {
    /// `None` of no values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }
}

impl Sweep {
    /// Pearson's correlation of two of [`MEASURES`] over the settings of irp, of their means; `None` where there are fewer than three settings, or
    /// a measure is the same in all.
    pub fn correlation(&self, spaces: Spaces, [a, b]: [&str; 2]) -> Option<f64> {
        let place = |name: &str| MEASURES.iter().position(|known| *known == name);
        let (a, b) = (place(a)?, place(b)?);
        let settings = self.rows.iter().filter(|row| row.spaces == spaces && row.omega.is_some());
        let points: Vec<(f64, f64)> =
            settings.filter_map(|row| Some((row.measures[a]?.mean, row.measures[b]?.mean))).collect();
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|point| of(point.0 - x, point.1 - y)).sum::<f64>();
        let correlation = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
        (points.len() > 2 && correlation.is_finite()).then_some(correlation)
    }

    /// As a table: `spaces`, `method`, `omega`, `delta`, `runs`, and of each measure its mean and, as `..._sd`, its deviation.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let rows = || self.rows.iter();
        let text = |of: fn(&Row) -> &'static str| Arc::new(StringArray::from_iter_values(rows().map(of))) as ArrayRef;
        let integer = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let omegas: Int64Array = rows().map(|row| row.omega.map(integer)).collect();
        let deltas: Float64Array = rows().map(|row| row.delta).collect();
        let runs = Int64Array::from_iter_values(rows().map(|row| integer(row.runs)));
        let mut columns = vec![
            ("spaces".to_owned(), text(|row| row.spaces.name()), false),
            ("method".to_owned(), text(|row| row.method), false),
            ("omega".to_owned(), Arc::new(omegas), true),
            ("delta".to_owned(), Arc::new(deltas), true),
            ("runs".to_owned(), Arc::new(runs), false),
        ];
        for (i, name) in MEASURES.into_iter().enumerate() {
            let means: Float64Array = rows().map(|row| row.measures[i].map(|spread| spread.mean)).collect();
            let deviations: Float64Array =
                rows().map(|row| row.measures[i].and_then(|spread| spread.deviation)).collect();
            columns.push((name.to_owned(), Arc::new(means), true));
            columns.push((format!("{name}_sd"), Arc::new(deviations), true));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

/// Writes the table of [`Sweep::to_batch`] as Parquet; see [`Place::check_writable`] for what is not replaced.
pub fn store(sweep: &Sweep, place: &Place, overwrite: bool) -> Result<()> {
    write_table(place, &sweep.to_batch()?, overwrite)
}
