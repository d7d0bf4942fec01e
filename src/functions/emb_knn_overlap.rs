//! `emb_knn_overlap(key, translated, native, {k, pool, seed})`: the mean share of the `k` (10) nearest native rows, by cosine,
//! that a row's translation and its native vector have in common. A struct of `pool`, `k` and `overlap` with its 95 %
//! interval.
//!
//! The row itself is no neighbour; `k` is at most the number of other rows; ties go to the smaller key. Rows with a NULL side
//! are left out; of the others the `pool` rows (10,000) whose keys are drawn first count. NULL of fewer than two rows.
//! Duplicate keys, a NULL key beside vectors, a NULL or non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::measures::{self, Measure, Named, Shape};
use super::options::{Kind, Spec, spec};
use crate::kernel::knn_overlap::knn_overlap;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbKnnOverlap;

const OPTIONS: [Spec; 1] = [spec("k", Kind::Integer)];
const VECTORS: [&str; 2] = ["translated", "native"];
const MEASURES: [Named; 3] = [("pool", Shape::Count), ("k", Shape::Count), ("overlap", Shape::Estimate)];

impl Aggregate for EmbKnnOverlap {
    const NAME: &'static str = "emb_knn_overlap";
    const SYNTAX: &'static str = "emb_knn_overlap(key, translated, native, {k: 10, pool: 10000, seed: 0})";
    const DESCRIPTION: &'static str =
        "Share of the nearest native rows that translated and native rows have in common.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        measures::return_type(call, 3, &OPTIONS, &VECTORS, &MEASURES)
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        measures::state(call, &VECTORS)
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let (k, seed) = (measures::rows(Self::NAME, &options, "k", 10)?, measures::seed(Self::NAME, &options)?);
        let rows = measures::pairs(Self::NAME, call, &VECTORS, &options)?;
        Ok(measures::accumulator(rows, &MEASURES, move |translated, native, _, _| {
            let found = knn_overlap(translated, native, k, seed);
            Ok(found.map(|found| {
                vec![Measure::Count(found.pool), Measure::Count(found.k), Measure::Estimate(found.overlap)]
            }))
        }))
    }
}
