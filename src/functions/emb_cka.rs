//! `emb_cka(a, b)`: linear centred kernel alignment of two spaces over the same rows, `Float64` in [0, 1]; the widths may
//! differ.
//!
//! Rows with a NULL side are left out. NULL where a side does not vary. A NULL or non-finite item is an error. One pass of
//! sums in `f64`: another order of rows gives the same to 1e-9.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::Aggregate;
use super::arguments::Call;
use super::moments::{self, OfMoments};
use crate::kernel::cka::cka;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbCka;

impl Aggregate for EmbCka {
    const NAME: &'static str = "emb_cka";
    const SYNTAX: &'static str = "emb_cka(a, b)";
    const DESCRIPTION: &'static str = "Linear centred kernel alignment of two spaces.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        moments::widths(call)?;
        Ok(DataType::Float64)
    }

    fn state(&self, _call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(moments::state_types())
    }

    fn accumulator(&self, call: &Call<'_>, _args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OfMoments::new(Self::NAME, moments::widths(call)?, |moments| Ok(cka(moments)))))
    }
}
