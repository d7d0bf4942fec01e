//! Rescaling inside a transformer: a head that was trained on its encodings reads those of the same model with one layer's output rescaled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::file::File;
use super::inputs::Inputs;
use super::output::write_table;
use super::place::Place;
use super::progress::Progress;
use super::stitch::{classes_of, share};
use super::table::Table;
use crate::column::head::{distinct, places};
use crate::column::{Head, KeyKind, Keys};
use crate::kernel::Rows;
use crate::kernel::head::train::Training;
use crate::{Error, Result};
use encoder::{Encoder, Model, Pooling, Tokens};

pub mod encoder;

/// What is studied.
#[derive(Debug)]
pub struct Request {
    /// The folder of the model.
    pub model: Place,
    /// The table of texts.
    pub data: Inputs,
    /// Its column of texts.
    pub text: String,
    /// Its column of classes.
    pub label: String,
    /// Its column that says `train` or `test`; rows that say something else are left out.
    pub split: String,
    /// Factors of a layer's output, above 0.
    pub alphas: Vec<f64>,
    /// What a text's vector is made of.
    pub pooling: Pooling,
    /// Tokens of a text at most; as many as the model reads where absent.
    pub max_tokens: Option<usize>,
    /// Rows to train on, and rows to test on, at most: drawn by their places in the table.
    pub limit: usize,
    /// How the head is trained.
    pub training: Training,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The name of the model's folder.
    pub model: String,
    /// Layers, that of the embeddings included.
    pub layers: usize,
    /// The factors.
    pub alphas: Vec<f64>,
    /// One a layer and factor.
    pub rows: Vec<Row>,
    /// Share of test rows that get their class where nothing is rescaled.
    pub unscaled: f64,
    /// Rows trained on and tested on.
    pub counts: (usize, usize),
    /// Classes.
    pub classes: usize,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The layer whose output is rescaled; 0 is that of the embeddings.
    pub layer: usize,
    /// The factor.
    pub alpha: f64,
    /// Share of test rows that get their class.
    pub accuracy: f64,
    /// Share of test rows that get the class they get where nothing is rescaled.
    pub agreement: f64,
}

/// The two parts of a table, as its split column names them.
const TRAIN: &str = "train";
const TEST: &str = "test";

/// Texts of a part, in the order of the table.
struct Part {
    /// Places in the table.
    keys: Keys,
    tokens: Vec<Tokens>,
    labels: Keys,
}

/// Trains the head, and reads by it every layer's encodings rescaled by every factor; `progress` counts texts encoded, over all runs.
pub fn scale_study(request: &Request, progress: &Progress) -> Result<Study> {
    if let Some(alpha) = request.alphas.iter().find(|alpha| !(alpha.is_finite() && **alpha > 0.0)) {
        return Err(Error::Invalid(format!("--alpha {alpha}: a finite number above 0 is expected")));
    }
    let encoder = Encoder::open(&request.model, request.max_tokens)?;
    let table = Table::open(&request.data)?;
    let drawn = request.draw(&table)?;
    let train = request.part(&table, &encoder, &drawn.train)?;
    let test = request.part(&table, &encoder, &drawn.test)?;
    let classes = distinct(&train.labels);
    let truth = places(&test.labels, &classes).map_err(|error| {
        let drawn = if drawn.all { "" } else { " (--limit leaves rows out)" };
        let message = format!("{error}: a class of the rows to test on is not among those to train on{drawn}");
        Error::file(table.shown(), message)
    })?;
    let layers = encoder.layers() + 1;
    let runs = layers * request.alphas.len() + 1;
    progress.total.store(train.tokens.len() + runs * test.tokens.len(), Ordering::Relaxed);
    let encode = |model: &Model<'_>, part: &Part| {
        model.encode(&part.tokens, request.pooling, |texts| {
            progress.done.fetch_add(texts, Ordering::Relaxed);
        })
    };

    let model = encoder.model(None)?;
    let vectors = encode(&model, &train)?;
    let name = request.model.name();
    let rows = Rows::new(&vectors, encoder.width());
    let head = Head::train(&train.keys, rows, &train.labels, name, &request.training)
        .map_err(|error| Error::file(table.shown(), format!("rows to train on: {error}")))?;
    let read = |model: &Model<'_>| classes_of(&head, Rows::new(&encode(model, &test)?, encoder.width()));
    let unscaled = read(&model)?;
    let mut study = Study {
        model: name.to_owned(),
        layers,
        alphas: request.alphas.clone(),
        rows: Vec::with_capacity(runs),
        unscaled: share(&unscaled, &truth),
        counts: (train.tokens.len(), test.tokens.len()),
        classes: classes.len(),
    };
    for (layer, &alpha) in (0..layers).flat_map(|layer| request.alphas.iter().map(move |alpha| (layer, alpha))) {
        let found = read(&encoder.model(Some((layer, alpha)))?)
            .map_err(|error| Error::Invalid(format!("layer {layer}, alpha {alpha}: {error}")))?;
        let (accuracy, agreement) = (share(&found, &truth), share(&found, &unscaled));
        study.rows.push(Row { layer, alpha, accuracy, agreement });
    }
    Ok(study)
}

/// Places in the table, ascending.
struct Drawn {
    train: Vec<i64>,
    test: Vec<i64>,
    /// Whether these are all of both parts.
    all: bool,
}

impl Request {
    /// The rows of both parts.
    fn draw(&self, table: &Table) -> Result<Drawn> {
        let (mut train, mut test, mut place) = (Vec::new(), Vec::new(), 0i64);
        table.columns(&[&self.split], |file, _, parts| {
            let splits = as_text(file, &self.split, &parts[0])?;
            for split in splits.as_string::<i32>() {
                match split {
                    Some(TRAIN) => train.push(place),
                    Some(TEST) => test.push(place),
                    _ => {}
                }
                place += 1;
            }
            Ok(())
        })?;
        for (part, name) in [(&train, TRAIN), (&test, TEST)] {
            if part.is_empty() {
                let message =
                    format!("no row of {place} has '{name}' in column `{}`: name another by --split", self.split);
                return Err(Error::file(table.shown(), message));
            }
        }
        let drawn = |places: Vec<i64>| {
            let keys = Keys::Int(places.clone());
            let mut rows: Vec<i64> = keys.drawn("rows", 0).into_iter().take(self.limit).map(|i| places[i]).collect();
            rows.sort_unstable();
            rows
        };
        let all = train.len().max(test.len()) <= self.limit;
        Ok(Drawn { train: drawn(train), test: drawn(test), all })
    }

    /// Tokens and classes of these rows.
    fn part(&self, table: &Table, encoder: &Encoder, wanted: &[i64]) -> Result<Part> {
        let (mut tokens, mut labels) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        let (mut begin, mut rest) = (0i64, wanted);
        table.columns(&[&self.text, &self.label], |file, first, parts| {
            let kind = parts[0].data_type();
            if KeyKind::of(kind) != Some(KeyKind::Text) {
                let message =
                    format!("column `{}` is {kind}: texts are strings, name their column by --text", self.text);
                return Err(Error::file(file.shown(), message));
            }
            let (texts, classes) = (as_text(file, &self.text, &parts[0])?, as_text(file, &self.label, &parts[1])?);
            let end = begin + parts[0].len() as i64;
            let (inside, others) = rest.split_at(rest.partition_point(|place| *place < end));
            let rows: Vec<usize> = inside.iter().filter_map(|place| usize::try_from(place - begin).ok()).collect();
            let mut batch = Vec::with_capacity(rows.len());
            for &row in &rows {
                for (array, name) in [(&texts, &self.text), (&classes, &self.label)] {
                    if array.is_null(row) {
                        let message = "is NULL: every row to train or test on needs a text and a class";
                        return Err(file.row_error(name, first + row as u64, message));
                    }
                }
                batch.push(texts.as_string::<i32>().value(row));
                labels.push(classes.as_string::<i32>().value(row).to_owned());
            }
            tokens.extend(encoder.tokens(&batch).map_err(|bad| match bad.text.and_then(|text| rows.get(text)) {
                Some(&row) => file.row_error(&self.text, first + row as u64, bad.message),
                None => Error::file(file.shown(), bad.message),
            })?);
            (begin, rest) = (end, others);
            Ok(())
        })?;
        Ok(Part { keys: Keys::Int(wanted.to_vec()), tokens, labels: Keys::Text(labels) })
    }
}

fn as_text(file: &File, name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    cast(column, &DataType::Utf8).map_err(|_| {
        let message = format!("column `{name}` is {}: numbers or strings are expected", column.data_type());
        Error::file(file.shown(), message)
    })
}

impl Study {
    /// The accuracies of a layer, by ascending factor.
    pub fn of_layer(&self, layer: usize) -> Vec<(f64, f64)> {
        let rows = self.rows.iter().filter(|row| row.layer == layer);
        let mut points: Vec<(f64, f64)> = rows.map(|row| (row.alpha, row.accuracy)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }

    /// As a table, one row a layer and factor.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let number = |of: &dyn Fn(&Row) -> f64| -> ArrayRef {
            Arc::new(self.rows.iter().map(|row| Some(of(row))).collect::<Float64Array>())
        };
        let layers: Int64Array = self.rows.iter().map(|row| i64::try_from(row.layer).ok()).collect();
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("layer", Arc::new(layers) as ArrayRef, false),
            ("alpha", number(&|row| row.alpha), false),
            ("accuracy", number(&|row| row.accuracy), false),
            ("unscaled", number(&|_| self.unscaled), false),
            ("agreement", number(&|row| row.agreement), false),
        ])?)
    }

    /// Stores the table; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.to_batch()?, overwrite)
    }
}
