//! `emb_similarity(key, translated, native, {pool, seed})`: how near translated rows are to native ones. A struct of `pool`,
//! `cosine`, `centred_cosine` and `mse`, the last three with 95 % intervals.
//!
//! The centred cosine takes the mean of the pool's native rows from both sides; a vector without a direction has cosine 0;
//! the mean squared error is over all numbers of all rows. Rows with a NULL side are left out; of the others the `pool` rows
//! (10,000) whose keys are drawn first count. NULL where there are none. Duplicate keys, a NULL key beside vectors, a NULL or
//! non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::measures::{self, Measure, Named, Shape};
use crate::kernel::{mean, quality};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbSimilarity;

const VECTORS: [&str; 2] = ["translated", "native"];
const MEASURES: [Named; 4] = [
    ("pool", Shape::Count),
    ("cosine", Shape::Estimate),
    ("centred_cosine", Shape::Estimate),
    ("mse", Shape::Estimate),
];

impl Aggregate for EmbSimilarity {
    const NAME: &'static str = "emb_similarity";
    const SYNTAX: &'static str = "emb_similarity(key, translated, native, {pool: 10000, seed: 0})";
    const DESCRIPTION: &'static str = "Mean cosine, centred cosine and squared error of translated and native rows.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        measures::return_type(call, 3, &[], &VECTORS, &MEASURES)
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        measures::state(call, &VECTORS)
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let seed = measures::seed(Self::NAME, &options)?;
        let rows = measures::pairs(Self::NAME, call, &VECTORS, &options)?;
        Ok(measures::accumulator(rows, &MEASURES, move |translated, native, _, _| {
            let center: Vec<f32> = mean::mean(native).into_iter().map(|m| m as f32).collect();
            let found = quality::estimated(translated, native, &center, seed);
            Ok(found.map(|found| {
                vec![
                    Measure::Count(native.len()),
                    Measure::Estimate(found.cosine),
                    Measure::Estimate(found.centred_cosine),
                    Measure::Estimate(found.mse),
                ]
            }))
        }))
    }
}
