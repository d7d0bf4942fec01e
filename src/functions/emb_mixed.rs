//! `emb_mixed(key, query, document, origin, {k, threshold, pool, seed})`: translated and native documents in one index, by
//! cosine. `origin` is 'translated' or 'native', and says what a row's document is. A struct of `pool`, `k`,
//! `translated_in_pool`, `translated_in_top_k` and `recall` with 95 % intervals, `recall_translated`, `recall_native`, `ks`,
//! `pass_rate` and `threshold`.
//!
//! Rows with a NULL side are left out; of the others the `pool` rows (10,000) whose keys are drawn first ask and are searched.
//! What compares the origins is NULL where one is missing, `pass_rate` and `threshold` without an old `threshold`. NULL where
//! there are no rows. Duplicate keys, a NULL key or origin beside vectors, a NULL or non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::collect::Collected;
use super::measures::{self, Measure, Named, Shape};
use super::options::{Kind, Spec, spec};
use crate::Error;
use crate::column::KeyKind;
use crate::kernel::mixed::mixed;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbMixed;

const OPTIONS: [Spec; 2] = [spec("k", Kind::Integer), spec("threshold", Kind::Number)];
const VECTORS: [&str; 2] = ["query", "document"];
const ORIGIN: &str = "origin";
const MEASURES: [Named; 10] = [
    ("pool", Shape::Count),
    ("k", Shape::Count),
    ("translated_in_pool", Shape::Number),
    ("translated_in_top_k", Shape::Estimate),
    ("recall", Shape::Estimate),
    ("recall_translated", Shape::Number),
    ("recall_native", Shape::Number),
    ("ks", Shape::Number),
    ("pass_rate", Shape::Number),
    ("threshold", Shape::Number),
];

fn is_translated(rows: &Collected, row: usize) -> crate::Result<bool> {
    match rows.labels()[row].as_str() {
        "translated" => Ok(true),
        "native" => Ok(false),
        other => Err(Error::Invalid(format!(
            "argument 4 (`origin`), key {}: is '{other}', expected is 'translated' or 'native'",
            rows.keys().display(row)
        ))),
    }
}

impl Aggregate for EmbMixed {
    const NAME: &'static str = "emb_mixed";
    const SYNTAX: &'static str =
        "emb_mixed(key, query, document, origin, {k: 10, threshold: 0.7, pool: 10000, seed: 0})";
    const DESCRIPTION: &'static str = "What an index of translated and native documents does to results and scores.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        let measured = measures::return_type(call, 4, &OPTIONS, &VECTORS, &MEASURES)?;
        let origin = call.fields[3].data_type();
        if KeyKind::of(origin) != Some(KeyKind::Text) {
            return plan_err!("emb_mixed: argument 4 (`origin`) is {origin}; expected is 'translated' or 'native'");
        }
        Ok(measured)
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        let mut state = measures::state(call, &VECTORS)?;
        state.push(Collected::label_type(ORIGIN));
        Ok(state)
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 4)?;
        let (k, seed) = (measures::rows(Self::NAME, &options, "k", 10)?, measures::seed(Self::NAME, &options)?);
        let threshold = options.number("threshold", 0)?;
        let rows = measures::pairs(Self::NAME, call, &VECTORS, &options)?.with_label(ORIGIN);
        Ok(measures::accumulator(rows, &MEASURES, move |queries, documents, rows, order| {
            let translated = order.iter().map(|&row| is_translated(rows, row)).collect::<crate::Result<Vec<bool>>>()?;
            let found = mixed(queries, documents, &translated, k, threshold, seed);
            Ok(found.map(|found| {
                let [recall_translated, recall_native] = found.recall_by_origin;
                vec![
                    Measure::Count(found.pool),
                    Measure::Count(found.k),
                    Measure::Number(Some(found.translated_in_pool)),
                    Measure::Estimate(found.translated_in_top_k),
                    Measure::Estimate(found.recall),
                    Measure::Number(recall_translated),
                    Measure::Number(recall_native),
                    Measure::Number(found.ks),
                    Measure::Number(found.passing.map(|passing| passing.rate)),
                    Measure::Number(found.passing.and_then(|passing| passing.threshold)),
                ]
            }))
        }))
    }
}
