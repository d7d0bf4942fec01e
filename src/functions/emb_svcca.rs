//! `emb_svcca(a, b, {variance})`: singular vector canonical correlation analysis of two spaces over the same rows: the mean
//! canonical correlation of the principal directions that hold the share `variance` (0.99) of each side's variance,
//! `Float64` in [0, 1]; the widths may differ.
//!
//! Rows with a NULL side are left out. NULL where a side does not vary. A NULL or non-finite item is an error. One pass of
//! sums in `f64`: another order of rows gives the same to 1e-9.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::moments::{self, OfMoments};
use super::options::{Kind, Spec, spec};
use crate::kernel::svcca::{VARIANCE, svcca};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbSvcca;

const OPTIONS: [Spec; 1] = [spec("variance", Kind::Number)];

impl Aggregate for EmbSvcca {
    const NAME: &'static str = "emb_svcca";
    const SYNTAX: &'static str = "emb_svcca(a, b, {variance: 0.99})";
    const DESCRIPTION: &'static str = "Mean canonical correlation of two spaces' principal directions.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 3)?;
        call.options(2, &OPTIONS)?;
        moments::widths(call)?;
        Ok(DataType::Float64)
    }

    fn state(&self, _call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(moments::state_types())
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 2)?;
        let variance = options.number("variance", 0)?.unwrap_or(VARIANCE);
        if !(variance > 0.0 && variance <= 1.0) {
            return exec_err!(
                "emb_svcca: variance {variance} is outside (0, 1]: the share of each side's that is kept"
            );
        }
        let compute = move |moments: &_| Ok(svcca(moments, variance)?);
        Ok(Box::new(OfMoments::new(Self::NAME, moments::widths(call)?, compute)))
    }
}
