//! `emb_logits(v, head)`: a head's logits of a row, one for each of its labels in their order (ascending); `List<Float32>`.
//!
//! NULL for a NULL row. A NULL head, a wrong width, a NULL or non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::heads;
use super::memo::Memo;
use super::scalar::Scalar;
use crate::column::{Head, Width};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbLogits {
    heads: Memo<Head>,
}

impl Scalar for EmbLogits {
    const NAME: &'static str = "emb_logits";
    const SYNTAX: &'static str = "emb_logits(v, head)";
    const DESCRIPTION: &'static str = "A head's logits of a row, in the order of its labels.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        call.embedding_of(0, "v", call.head(1, "head")?.1, "the head")?;
        Ok(Width::Open.data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        batch.result(heads::lists(batch, &self.heads, |_, _| ())?)
    }
}
