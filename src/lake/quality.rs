//! How good a translator is on rows it has not seen, beside the two dumb answers.

use serde_json::{Value, json};

use super::gate::Measures;
use crate::column::Translator;
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::classifier::Classifier;
use crate::kernel::knn_overlap::overlaps;
use crate::kernel::quality::similarities;
use crate::kernel::retrieval::{Search, hit, ranks};
use crate::kernel::translate::Translation;
use crate::{Error, Result};

/// Held-out rows, and what they are searched in.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The source's vectors of the held-out rows.
    pub queries: Rows<'a>,
    /// The target's vectors of the same rows.
    pub natives: Rows<'a>,
    /// The target's vectors that are searched; the first ones are `natives`.
    pub pool: Rows<'a>,
    /// What is measured beside cosines and ranks.
    pub more: More<'a>,
}

/// Measures that have a price, or need more than vectors.
#[derive(Debug, Default)]
pub struct More<'a> {
    /// Whether neighbourhoods are compared: two more searches.
    pub neighbours: bool,
    /// What gives rows of the target's space their classes, and the class of each held-out row.
    pub classes: Option<(Classifier<'a>, Vec<usize>)>,
}

/// The measures of a row.
pub const MEASURES: [&str; 8] =
    ["cosine", "centred_cosine", "p_at_1", "p_at_5", "p_at_10", "mrr", KNN_OVERLAP, ACCURACY];
/// Share of the 10 nearest rows of the pool that the translated and the native row have in common.
pub const KNN_OVERLAP: &str = "knn_overlap";
/// Share of the rows that get their own class, by the nearest class mean or by a head.
pub const ACCURACY: &str = "accuracy";
/// Neighbours of [`KNN_OVERLAP`].
const NEIGHBOURS: usize = 10;

/// [`MEASURES`] of one row; NaN where one is not measured.
pub type RowMeasures = [f64; MEASURES.len()];

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// A JSON object for each row of the quality table: `name`, and of each measure the mean and its 95 % interval
    /// (`p_at_1`, `p_at_1_low`, `p_at_1_high`).
    pub table: Vec<Value>,
    /// The measures of each translated row.
    pub rows: Vec<RowMeasures>,
    /// The translated rows.
    pub translated: Vec<f32>,
}

/// Measures a translator, *mean-only* (every row becomes the target mean) and *do-nothing* (rows stay as they are; no
/// measure where the widths differ).
///
/// Cosines are to the target's own vectors, centred ones after the target anchors' mean is taken from both. Retrieval is by
/// plain cosine, ties count against. Intervals are drawn by `seed`.
pub fn measure(translator: &Translator, trial: &Trial<'_>, seed: u64) -> Result<Measured> {
    let (queries, width) = (trial.queries, translator.target_width);
    let translated = translated(&translator.translation(), trial)?;
    let center = &translator.target_mean;
    let mean = center.repeat(queries.len());
    let rows = row_measures(Rows::new(&translated, width), trial, center);
    let mean_only = row_measures(Rows::new(&mean, width), trial, center);
    let do_nothing = (translator.source_width == width).then(|| row_measures(queries, trial, center));
    let table = vec![
        row(&translator.method, Some(&rows), seed),
        row("mean-only", Some(&mean_only), seed),
        row("do-nothing", do_nothing.as_deref(), seed),
    ];
    Ok(Measured { table, rows, translated })
}

/// The held-out rows translated.
pub fn translated(translation: &Translation<'_>, trial: &Trial<'_>) -> Result<Vec<f32>> {
    let queries = trial.queries;
    let mut translated = vec![0.0; queries.len() * translation.target_mean.len()];
    translation
        .apply(queries.len(), |i| Some(queries.row(i)), &mut Scratch::default(), &mut translated)
        .map_err(|flaw| Error::Invalid(format!("held-out row {} has an item that is NaN or infinite", flaw.row)))?;
    Ok(translated)
}

/// The means of [`MEASURES`] of `answers` to the held-out rows; without intervals, which take longer than the rest.
pub fn means(answers: Rows<'_>, trial: &Trial<'_>, center: &[f32]) -> RowMeasures {
    let rows = row_measures(answers, trial, center);
    std::array::from_fn(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64)
}

fn row_measures(answers: Rows<'_>, trial: &Trial<'_>, center: &[f32]) -> Vec<RowMeasures> {
    let own: Vec<usize> = (0..trial.natives.len()).collect();
    let ranks = ranks(answers, trial.pool, &own, Search::default());
    let neighbours = trial.more.neighbours.then(|| overlaps(answers, trial.natives, trial.pool, NEIGHBOURS));
    let overlaps = neighbours.unwrap_or_default();
    let right = trial.more.classes.as_ref().map(|(classifier, classes)| classifier.is_right(answers, classes));
    let row = |(i, ([cosine, centred, _], rank)): (usize, ([f64; 3], usize))| {
        let overlap = overlaps.get(i).copied().unwrap_or(f64::NAN);
        let accuracy = right.as_ref().map_or(f64::NAN, |right| f64::from(u8::from(right[i])));
        [cosine, centred, hit(rank, 1), hit(rank, 5), hit(rank, 10), 1.0 / rank as f64, overlap, accuracy]
    };
    similarities(answers, trial.natives, center).zip(ranks).enumerate().map(row).collect()
}

fn row(name: &str, rows: Option<&[RowMeasures]>, seed: u64) -> Value {
    let mut row = json!({ "name": name });
    let estimated = rows.map(|rows| estimated(rows, seed)).unwrap_or_default();
    for name in MEASURES {
        let Some(Estimate { mean, low, high }) = estimated.get(name).copied() else {
            row[name] = Value::Null;
            continue;
        };
        row[name] = mean.into();
        row[format!("{name}_low")] = low.into();
        row[format!("{name}_high")] = high.into();
    }
    row
}

/// Means and 95 % intervals of those of [`MEASURES`] that were measured, by name; none without rows.
pub fn estimated(rows: &[RowMeasures], seed: u64) -> Measures {
    let estimates = estimates(rows, seed).into_iter().flatten();
    MEASURES.into_iter().map(str::to_owned).zip(estimates).filter(|(_, estimate)| !estimate.mean.is_nan()).collect()
}
