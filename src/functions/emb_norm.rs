//! `emb_norm(v)`: Euclidean length `|v|`, `Float64`.
//!
//! NULL for a NULL row, 0 for the zero vector. A NULL or non-finite item is an error.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::scalar::Scalar;
use crate::column::Flaw;
use crate::kernel::norm::norm;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbNorm;

impl Scalar for EmbNorm {
    const NAME: &'static str = "emb_norm";
    const SYNTAX: &'static str = "emb_norm(v)";
    const DESCRIPTION: &'static str = "Euclidean length of an embedding.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 1)?;
        call.embedding(0, "v")?;
        Ok(DataType::Float64)
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let mut lengths = Vec::with_capacity(v.len());
        for row in 0..v.len() {
            let length = v.row(row).map(norm);
            if length.is_some_and(|length| !length.is_finite()) {
                return Err(batch.flaw(0, "v", &Flaw::NotFinite { row }));
            }
            lengths.push(length);
        }
        batch.result(Arc::new(Float64Array::from(lengths)))
    }
}
