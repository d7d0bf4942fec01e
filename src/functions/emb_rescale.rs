//! `emb_rescale(v, alpha)`: a given length, `alpha v / |v|`; same width, `Float32`.
//!
//! NULL for a NULL row, a NULL alpha and the zero vector, which has no direction. A NULL or non-finite item, and an alpha
//! that is not finite, are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::rows;
use super::scalar::Scalar;
use crate::column::{Flaw, Width};
use crate::kernel::norm::is_finite;
use crate::kernel::rescale::rescale_into;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbRescale;

impl Scalar for EmbRescale {
    const NAME: &'static str = "emb_rescale";
    const SYNTAX: &'static str = "emb_rescale(v, alpha)";
    const DESCRIPTION: &'static str = "An embedding at length alpha, alpha v / |v|; NULL for the zero vector.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        call.number(1, "alpha")?;
        Ok(call.embedding(0, "v")?.data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let alphas = batch.numbers(1)?;
        let width = Width::of(batch.args.return_type()).unwrap_or(Width::Open);
        batch.result(rows::map(&v, width, |row, v, out| {
            let Some(alpha) = alphas[row] else { return Ok(false) };
            if !alpha.is_finite() {
                return exec_err!(
                    "emb_rescale: argument 2 (`alpha`), row {row} of the batch is {alpha}: give a finite number"
                );
            }
            let has_direction = rescale_into(v, alpha, out);
            if !has_direction || is_finite(out) {
                return Ok(has_direction);
            }
            if is_finite(v) {
                return exec_err!(
                    "emb_rescale: argument 2 (`alpha`), row {row} of the batch is {alpha:?}: items of that size are beyond Float32"
                );
            }
            Err(batch.flaw(0, "v", &Flaw::NotFinite { row }))
        })?)
    }
}
