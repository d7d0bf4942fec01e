//! What a lake holds: its files by the model that their vectors are of.
//!
//! The first rows of every file are looked at. Two files are of one model where the rows of one resemble those of the other, see
//! [`crate::kernel::fingerprint`]: a slice resembles all rows, which vary in more directions than it does. Translated files are of one where they are by one translator.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use rayon::prelude::*;

use super::file::{File, batch_rows};
use super::inputs::Inputs;
use super::lineage::Lineage;
use super::output::write_table;
use super::place::Place;
use super::progress::Progress;
use super::stored::read_translator;
use crate::column::describe::encoder_name;
use crate::column::{Embeddings, Translator};
use crate::kernel::Rows;
use crate::kernel::fingerprint::{MOST_ROWS, Owned, Resemblance};
use crate::kernel::norm::norm;
use crate::kernel::scale::Norms;
use crate::{Error, Result};

/// What to look at.
#[derive(Debug)]
pub struct Request {
    /// The lake.
    pub input: Inputs,
    /// The embedding column; found in every file where absent.
    pub column: Option<String>,
    /// A translator: which files are of its source's encoder is told, too.
    pub translator: Option<Place>,
}

/// What was found.
#[derive(Debug)]
pub struct Inspected {
    /// The models, that of most rows first.
    pub models: Vec<Model>,
    /// The files that could be read, by their paths.
    pub files: Vec<Found>,
    /// Those that could not.
    pub failed: Vec<Error>,
}

/// A model's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Numbers in a vector.
    pub width: usize,
    /// How its vectors came about, where they are translations: `fr -> en, translator 0123456789abcdef`.
    pub translation: Option<String>,
    /// Its files.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
    /// The mean norm of the rows looked at.
    pub norm: f64,
}

/// A file.
#[derive(Debug, Clone)]
pub struct Found {
    /// Below the lake.
    pub path: String,
    /// Its embedding column.
    pub column: String,
    /// All its rows.
    pub rows: u64,
    /// Numbers in a vector; `None` where all rows are NULL.
    pub width: Option<usize>,
    /// Rows looked at: those that have a vector, up to 2,048.
    pub looked_at: usize,
    /// Their mean norm.
    pub norm: f64,
    /// The sample standard deviation of their norms.
    pub norm_deviation: f64,
    /// What wrote the file.
    pub writer: String,
    /// See [`Model::translation`].
    pub translation: Option<String>,
    /// The place of its model; `None` where it has too few rows to tell.
    pub model: Option<usize>,
    /// How its rows compare with those that the translator is for.
    pub resemblance: Option<Resemblance>,
}

/// A file and what its rows are like.
struct Looked {
    found: Found,
    rows: Vec<f32>,
    own: OnceCell<Option<Owned>>,
}

/// Looks at every file of a lake; `progress` counts them.
pub fn inspect(request: &Request, progress: &Progress) -> Result<Inspected> {
    let translator = request.translator.as_ref().map(read_translator).transpose()?;
    if let Some(translator) = &translator
        && translator.source_fingerprint().is_none()
    {
        let place = request.translator.as_ref().map_or("", Place::shown);
        let message = "does not say what rows it is for: fit it again with `babelake fit`, on 200 anchors or more";
        return Err(Error::file(place, message));
    }
    let sources = request.input.select()?.files;
    progress.total.store(sources.len(), Ordering::Relaxed);
    let looked: Vec<Result<Looked>> = sources
        .into_par_iter()
        .map(|source| {
            let path = source.relative().to_owned();
            let looked = look(&File::open(source)?, path, request, translator.as_ref());
            progress.done.fetch_add(1, Ordering::Relaxed);
            looked
        })
        .collect();
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for looked in looked {
        match looked {
            Ok(looked) => all.push(looked),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => failed.push(error),
        }
    }
    let models = group(&mut all);
    Ok(Inspected { models, files: all.into_iter().map(|looked| looked.found).collect(), failed })
}

fn look(file: &File, path: String, request: &Request, translator: Option<&Translator>) -> Result<Looked> {
    let column = file.vector_column(request.column.as_deref())?;
    let width = file.width(&column)?;
    let mut rows: Vec<f32> = Vec::new();
    let mut norms = Norms::default();
    let wanted = MOST_ROWS * width.unwrap_or(0);
    for group in 0..file.metadata().num_row_groups() {
        let Some(width) = width.filter(|_| rows.len() < wanted) else { break };
        for batch in file.read(&[column.index], batch_rows(width * size_of::<f32>()), Some((group, None)))? {
            let batch = batch?;
            // Rows of another width, and NaN, are for `translate` to tell.
            let Ok((view, _)) = Embeddings::sift(batch.column(0), width) else { continue };
            let valid = (0..view.len()).filter_map(|row| view.row(row));
            for row in valid.take((wanted - rows.len()) / width) {
                rows.extend(row);
                norms.add(norm(row));
            }
            if rows.len() == wanted {
                break;
            }
        }
    }
    let sample = Rows::new(&rows, width.unwrap_or(0));
    let fits = translator.filter(|translator| Some(translator.source_width) == width);
    let resemblance = fits.and_then(Translator::source_fingerprint).and_then(|fingerprint| fingerprint.judge(sample));
    let metadata = file.metadata().file_metadata();
    let translation = match Lineage::of(metadata.key_value_metadata()) {
        Some(Ok(lineage)) => lineage.work.columns.iter().find(|step| step.result() == column.name).map(|step| {
            let (from, to) = (encoder_name(&step.source_encoder), encoder_name(&step.target_encoder));
            format!("{from} -> {to}, translator {}", step.translator.get(..16).unwrap_or_default())
        }),
        _ => None,
    };
    let scale = norms.scale();
    let found = Found {
        path,
        column: column.name,
        rows: file.rows(),
        width,
        looked_at: sample.len(),
        norm: scale.map_or(f64::NAN, |scale| scale.mean),
        norm_deviation: scale.map_or(f64::NAN, |scale| scale.deviation),
        writer: metadata.created_by().unwrap_or_default().to_owned(),
        translation,
        model: None,
        resemblance,
    };
    Ok(Looked { found, rows, own: OnceCell::new() })
}

impl Looked {
    /// The fingerprint of its rows, where there are enough (and it can be computed, which that of finite rows always could);
    /// made when it is first asked for, which of most files it is not.
    fn own(&self) -> Option<&Owned> {
        let rows = || self.found.width.map(|width| Rows::new(&self.rows, width)).filter(|rows| !rows.is_empty());
        self.own.get_or_init(|| rows().and_then(|rows| Owned::new(rows).ok().flatten())).as_ref()
    }

    /// Whether the rows of one resemble those of the other.
    fn is_one(&self, other: &Self) -> bool {
        let resembles = |a: &Self, b: &Self| match (a.own(), a.found.width) {
            (Some(own), Some(width)) => {
                own.fingerprint().judge(Rows::new(&b.rows, width)).is_some_and(|found| !found.is_other())
            }
            _ => false,
        };
        self.found.width == other.found.width && (resembles(other, self) || resembles(self, other))
    }
}

/// Files in the order of their rows begin a model, or join the first whose first file they resemble.
fn group(all: &mut [Looked]) -> Vec<Model> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(all[i].found.looked_at));
    let mut first: Vec<usize> = Vec::new();
    for i in order {
        let is_of = |member: usize| match (&all[i].found.translation, &all[member].found.translation) {
            (Some(a), Some(b)) => a == b && all[i].found.width == all[member].found.width,
            (None, None) => all[i].is_one(&all[member]),
            _ => false,
        };
        let mut known = first.iter().position(|&member| is_of(member));
        if known.is_none() && (all[i].found.translation.is_some() || all[i].own().is_some()) {
            known = Some(first.len());
            first.push(i);
        }
        all[i].found.model = known;
    }
    let model = |(place, &member): (usize, &usize)| {
        let files = || all.iter().map(|looked| &looked.found).filter(|found| found.model == Some(place));
        let looked_at: usize = files().map(|found| found.looked_at).sum();
        let norms: f64 =
            files().filter(|found| found.looked_at > 0).map(|found| found.norm * found.looked_at as f64).sum();
        Model {
            width: all[member].found.width.unwrap_or(0),
            translation: all[member].found.translation.clone(),
            files: files().count(),
            rows: files().map(|found| found.rows).sum(),
            norm: norms / looked_at as f64,
        }
    };
    let models: Vec<Model> = first.iter().enumerate().map(model).collect();
    let mut by_rows: Vec<usize> = (0..models.len()).collect();
    by_rows.sort_by_key(|&place| std::cmp::Reverse(models[place].rows));
    for looked in all {
        looked.found.model = looked.found.model.and_then(|model| by_rows.iter().position(|&place| place == model));
    }
    by_rows.into_iter().map(|place| models[place].clone()).collect()
}

/// The name of a model: A, B, ..., Z, A1, ...
pub fn letter(place: usize) -> String {
    let letter = char::from(b'A' + (place % 26) as u8);
    if place < 26 { letter.to_string() } else { format!("{letter}{}", place / 26) }
}

impl Inspected {
    /// Whether a translator was named and some file is clearly not of its source's encoder.
    pub fn foreign(&self) -> usize {
        self.files.iter().filter(|found| found.resemblance.is_some_and(|found| found.is_other())).count()
    }

    /// As a table, one row a file.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let files = || self.files.iter();
        let integer = |count: usize| i64::try_from(count).ok();
        let texts = |of: fn(&Found) -> Option<String>| Arc::new(files().map(of).collect::<StringArray>()) as ArrayRef;
        let numbers = |of: fn(&Found) -> Option<f64>| {
            let finite = files().map(|found| of(found).filter(|x| x.is_finite()));
            Arc::new(finite.collect::<Float64Array>()) as ArrayRef
        };
        let other = files().map(|found| found.resemblance.map(|found| found.is_other()));
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("path", texts(|found| Some(found.path.clone())), false),
            ("model", texts(|found| found.model.map(letter)), true),
            ("column", texts(|found| Some(found.column.clone())), false),
            ("rows", Arc::new(files().map(|found| i64::try_from(found.rows).ok()).collect::<Int64Array>()), false),
            ("width", Arc::new(files().map(|found| found.width.and_then(integer)).collect::<Int64Array>()), true),
            ("rows_looked_at", Arc::new(files().map(|found| integer(found.looked_at)).collect::<Int64Array>()), false),
            ("norm", numbers(|found| Some(found.norm)), true),
            ("norm_deviation", numbers(|found| Some(found.norm_deviation)), true),
            ("writer", texts(|found| Some(found.writer.clone())), false),
            ("translation", texts(|found| found.translation.clone()), true),
            ("of_another_encoder", Arc::new(other.collect::<BooleanArray>()), true),
            ("directions", numbers(|found| Some(found.resemblance?.directions)), true),
            ("spread", numbers(|found| Some(found.resemblance?.spread)), true),
            ("offset", numbers(|found| Some(found.resemblance?.offset)), true),
            ("shape", numbers(|found| found.resemblance?.shape), true),
        ])?)
    }

    /// Stores the table; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.to_batch()?, overwrite)
    }
}
