//! `emb_retrieval(key, query, document, {metric, pool, seed, csls})`: does each query find the document of its own row?
//! A struct of `pool`, `p_at_1`, `p_at_5`, `p_at_10`, `mrr` and `mean_rank`, the last five with 95 % intervals
//! (`p_at_1_low`, `p_at_1_high`).
//!
//! Exact, in single precision. Rows with a NULL side are left out; of the others the `pool` rows (10,000) whose keys are
//! drawn first ask and are searched. A rank counts all documents that score at least as high as the own one: ties count
//! against. NULL where there are no rows. Duplicate keys in the pool, a NULL key beside vectors, a NULL or non-finite item are
//! errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::measures::{self, Measure, Named, Shape};
use super::options::{Kind, Options, Spec, spec};
use crate::kernel::retrieval::{Search, retrieval};
use crate::kernel::search::Metric;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbRetrieval;

const OPTIONS: [Spec; 2] = [spec("metric", Kind::Text), spec("csls", Kind::Integer)];
const VECTORS: [&str; 2] = ["query", "document"];
const MEASURES: [Named; 6] = [
    ("pool", Shape::Count),
    ("p_at_1", Shape::Estimate),
    ("p_at_5", Shape::Estimate),
    ("p_at_10", Shape::Estimate),
    ("mrr", Shape::Estimate),
    ("mean_rank", Shape::Estimate),
];

fn search(function: &str, options: &Options<'_>) -> Result<Search> {
    let metric = measures::metric(function, options)?;
    let csls = match options.integer("csls", 0)? {
        None => None,
        Some(_) => Some(measures::rows(function, options, "csls", 0)?),
    };
    if csls.is_some() && !matches!(metric, Metric::Cosine | Metric::CentredCosine) {
        return exec_err!(
            "{function}: csls corrects cosines: set metric: 'cosine' or 'centred_cosine', or leave it out"
        );
    }
    Ok(Search { metric, csls })
}

impl Aggregate for EmbRetrieval {
    const NAME: &'static str = "emb_retrieval";
    const SYNTAX: &'static str = "emb_retrieval(key, query, document, {metric: 'cosine', pool: 10000, seed: 0})";
    const DESCRIPTION: &'static str =
        "How well queries find the document of their own row: P@1, P@5, P@10, MRR, mean rank.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        measures::return_type(call, 3, &OPTIONS, &VECTORS, &MEASURES)
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        measures::state(call, &VECTORS)
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let (search, seed) = (search(Self::NAME, &options)?, measures::seed(Self::NAME, &options)?);
        let rows = measures::pairs(Self::NAME, call, &VECTORS, &options)?;
        Ok(measures::accumulator(rows, &MEASURES, move |queries, documents, _, order| {
            let own: Vec<usize> = (0..order.len()).collect();
            let found = retrieval(queries, documents, &own, search, seed);
            Ok(found.map(|found| {
                vec![
                    Measure::Count(found.pool),
                    Measure::Estimate(found.p_at_1),
                    Measure::Estimate(found.p_at_5),
                    Measure::Estimate(found.p_at_10),
                    Measure::Estimate(found.mrr),
                    Measure::Estimate(found.mean_rank),
                ]
            }))
        }))
    }
}
