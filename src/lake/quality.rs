//! How good a translator is on rows it has not seen, beside the two dumb answers.

use serde_json::{Value, json};

use crate::column::Translator;
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::quality::similarity;
use crate::kernel::retrieval::{Search, ranks, retrieval};
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
}

/// Measures a translator, *mean-only* (every row becomes the target mean) and *do-nothing* (rows stay as they are; no
/// measure where the widths differ): one JSON object a row with `name`, `cosine`, `centred_cosine`, `p_at_1`, `mrr`.
///
/// Cosines are to the target's own vectors, centred ones after the target anchors' mean is taken from both. Retrieval is by
/// plain cosine, ties count against.
pub fn measure(translator: &Translator, trial: &Trial<'_>) -> Result<Vec<Value>> {
    let (queries, width) = (trial.queries, translator.target_width);
    let translated = translated(&translator.translation(), trial)?;
    let mean = translator.target_mean.repeat(queries.len());
    let same_width = translator.source_width == width;
    Ok(vec![
        row(&translator.method, Some(Rows::new(&translated, width)), trial, &translator.target_mean),
        row("mean-only", Some(Rows::new(&mean, width)), trial, &translator.target_mean),
        row("do-nothing", same_width.then_some(queries), trial, &translator.target_mean),
    ])
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

/// Cosine, centred cosine, P@1 and MRR of `answers` to the held-out rows, as in [`measure`] but without intervals, which take
/// longer than the rest; `None` without rows.
pub fn means(answers: Rows<'_>, trial: &Trial<'_>, mean: &[f32]) -> Option<[f64; 4]> {
    let own: Vec<usize> = (0..trial.natives.len()).collect();
    let similar = similarity(answers, trial.natives, mean)?;
    let ranks = ranks(answers, trial.pool, &own, Search::default());
    let count = ranks.len() as f64;
    let first = ranks.iter().filter(|rank| **rank == 1).count() as f64;
    let inverses: f64 = ranks.iter().map(|rank| 1.0 / *rank as f64).sum();
    Some([similar.cosine, similar.centred_cosine, first / count, inverses / count])
}

fn row(name: &str, answers: Option<Rows<'_>>, trial: &Trial<'_>, mean: &[f32]) -> Value {
    let own: Vec<usize> = (0..trial.natives.len()).collect();
    let similar = answers.and_then(|answers| similarity(answers, trial.natives, mean));
    let found = answers.and_then(|answers| retrieval(answers, trial.pool, &own, Search::default(), 0));
    json!({
        "name": name,
        "cosine": similar.map(|similar| similar.cosine),
        "centred_cosine": similar.map(|similar| similar.centred_cosine),
        "p_at_1": found.map(|found| found.p_at_1.mean),
        "mrr": found.map(|found| found.mrr.mean),
    })
}
