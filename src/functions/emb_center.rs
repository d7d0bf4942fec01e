//! `emb_center(v, mean)`: `v - mean`; the width of both, `Float32`.
//!
//! NULL where either is NULL. Unequal lengths, a NULL or a non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::rows;
use super::scalar::Scalar;
use crate::column::{Flaw, Width};
use crate::kernel::center::center_into;
use crate::kernel::norm::is_finite;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbCenter;

impl Scalar for EmbCenter {
    const NAME: &'static str = "emb_center";
    const SYNTAX: &'static str = "emb_center(v, mean)";
    const DESCRIPTION: &'static str = "An embedding less a mean, v - mean.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        let (v, mean) = (call.embedding(0, "v")?, call.embedding(1, "mean")?);
        if let (Width::Fixed(_), Width::Fixed(mean)) = (v, mean) {
            call.embedding_of(0, "v", mean, "argument 2 (`mean`)")?;
        }
        Ok(Width::data_type(if v.fixed().is_some() { v } else { mean }))
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (v, mean) = (batch.embeddings(0, "v")?, batch.embeddings(1, "mean")?);
        let width = Width::of(batch.args.return_type()).unwrap_or(Width::Open);
        batch.result(rows::map(&v, width, |row, v, out| {
            if v.len() != out.len() {
                return Err(batch.flaw(0, "v", &Flaw::Width { row, found: v.len(), expected: out.len() }));
            }
            let Some(mean) = mean.row_of(row, v.len()).map_err(|flaw| batch.flaw(1, "mean", &flaw))? else {
                return Ok(false);
            };
            center_into(v, mean, out);
            if is_finite(out) {
                return Ok(true);
            }
            match (is_finite(v), is_finite(mean)) {
                (false, _) => Err(batch.flaw(0, "v", &Flaw::NotFinite { row })),
                (true, false) => Err(batch.flaw(1, "mean", &Flaw::NotFinite { row })),
                (true, true) => exec_err!("emb_center: row {row} of the batch: the difference is beyond Float32"),
            }
        })?)
    }
}
