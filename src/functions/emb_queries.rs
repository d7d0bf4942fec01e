//! `emb_queries(key, v)`: vectors to search with as one value, sorted by key: the argument `queries` of `emb_nearest`.
//!
//! Rows with a NULL vector are left out. Duplicate keys, more than 100,000 rows, a NULL key beside a vector, a NULL or non-finite item
//! are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::Aggregate;
use super::arguments::Call;
use super::collect::{Collected, FromAll};
use crate::column::Queries;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbQueries;

/// More than this are searched in several statements: all of them are in memory while a table is searched.
pub const MAX_QUERIES: usize = 100_000;

const VECTORS: [&str; 1] = ["v"];

impl Aggregate for EmbQueries {
    const NAME: &'static str = "emb_queries";
    const SYNTAX: &'static str = "emb_queries(key, v)";
    const DESCRIPTION: &'static str = "Vectors to search with as one value, for emb_nearest.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        Ok(Queries::data_type(call.key(0, "key")?, call.fixed_embedding(1, "v")?))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(Collected::state_types(&VECTORS, call.key(0, "key")?, &[call.fixed_embedding(1, "v")?]))
    }

    fn accumulator(&self, call: &Call<'_>, _args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let width = call.fixed_embedding(1, "v")?;
        let rows = Collected::new(Self::NAME, &VECTORS, call.key(0, "key")?, vec![width])
            .at_most(MAX_QUERIES, "queries: ask in several statements, each with a part of them");
        Ok(Box::new(FromAll::new(rows, |rows: &Collected| {
            Ok(ScalarValue::Struct(Queries::new(rows.keys(), rows.rows(0))?.to_array()?.into()))
        })))
    }
}
