//! `emb_normalize(v)`: unit length, `v / |v|`; same width, `Float32`.
//!
//! NULL for a NULL row and for the zero vector, which has no direction. A NULL or non-finite item is an error.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::rows;
use super::scalar::Scalar;
use crate::column::{Flaw, Width};
use crate::kernel::normalize::normalize_into;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbNormalize;

impl Scalar for EmbNormalize {
    const NAME: &'static str = "emb_normalize";
    const SYNTAX: &'static str = "emb_normalize(v)";
    const DESCRIPTION: &'static str = "An embedding at unit length, v / |v|; NULL for the zero vector.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 1)?;
        Ok(call.embedding(0, "v")?.data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let width = Width::of(batch.args.return_type()).unwrap_or(Width::Open);
        batch.result(rows::map(&v, width, |row, v, out| {
            let has_direction = normalize_into(v, out);
            if has_direction && !out.iter().all(|x| x.is_finite()) {
                return Err(batch.flaw(0, "v", &Flaw::NotFinite { row }));
            }
            Ok(has_direction)
        })?)
    }
}
