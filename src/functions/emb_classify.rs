//! `emb_classify(v, head)`: the label with the highest logit, the first of equal ones: an `Int64` or `Utf8` as the head's labels are.
//!
//! NULL for a NULL row. A NULL head, a wrong width, a NULL or non-finite item are errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::heads;
use super::memo::Memo;
use super::scalar::Scalar;
use crate::column::{Head, Keys};
use crate::kernel::head::highest;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbClassify {
    heads: Memo<Head>,
}

impl Scalar for EmbClassify {
    const NAME: &'static str = "emb_classify";
    const SYNTAX: &'static str = "emb_classify(v, head)";
    const DESCRIPTION: &'static str = "The label that a head gives a row.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        let (labels, width) = call.head(1, "head")?;
        call.embedding_of(0, "v", width, "the head")?;
        Ok(labels.data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let (mut numbers, mut texts) = (vec![None; v.len()], vec![None; v.len()]);
        heads::each(batch, &self.heads, |head, rows, logits| {
            for (&row, logits) in rows.iter().zip(logits.chunks_exact(head.labels.len().max(1))) {
                let Some(class) = highest(logits).filter(|_| !v.is_null(row)) else { continue };
                match &head.labels {
                    Keys::Int(labels) => numbers[row] = labels.get(class).copied(),
                    Keys::Text(labels) => texts[row] = labels.get(class).cloned(),
                }
            }
            Ok(())
        })?;
        let labels: ArrayRef = match batch.args.return_type() {
            DataType::Int64 => Arc::new(Int64Array::from(numbers)),
            _ => Arc::new(StringArray::from(texts)),
        };
        batch.result(labels)
    }
}
