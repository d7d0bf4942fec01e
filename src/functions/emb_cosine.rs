//! `emb_cosine(a, b)`: cosine similarity `a . b / (|a| |b|)` in [-1, 1], `Float64`.
//!
//! NULL where either is NULL or the zero vector. Unequal lengths, a NULL or a non-finite item are errors.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::scalar::Scalar;
use crate::column::{Flaw, Width};
use crate::kernel::cosine::cosine;
use crate::kernel::norm::is_finite;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbCosine;

impl Scalar for EmbCosine {
    const NAME: &'static str = "emb_cosine";
    const SYNTAX: &'static str = "emb_cosine(a, b)";
    const DESCRIPTION: &'static str = "Cosine similarity of two embeddings; NULL where one is the zero vector.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        if let (Width::Fixed(a), Width::Fixed(_)) = (call.embedding(0, "a")?, call.embedding(1, "b")?) {
            call.embedding_of(1, "b", a, "argument 1 (`a`)")?;
        }
        Ok(DataType::Float64)
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (a, b) = (batch.embeddings(0, "a")?, batch.embeddings(1, "b")?);
        let mut cosines = Vec::with_capacity(a.len());
        for row in 0..a.len() {
            let Some(left) = a.row(row) else {
                cosines.push(None);
                continue;
            };
            let right = b.row_of(row, left.len()).map_err(|flaw| batch.flaw(1, "b", &flaw))?;
            let Some(right) = right else {
                cosines.push(None);
                continue;
            };
            let cosine = cosine(left, right);
            // An item that is not finite makes the cosine NaN, or none at all beside the zero vector.
            if cosine.is_none_or(f64::is_nan) {
                for (i, name, v) in [(0, "a", left), (1, "b", right)] {
                    if !is_finite(v) {
                        return Err(batch.flaw(i, name, &Flaw::NotFinite { row }));
                    }
                }
            }
            cosines.push(cosine);
        }
        batch.result(Arc::new(Float64Array::from(cosines)))
    }
}
