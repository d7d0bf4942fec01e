//! `emb_require(condition, message)`: true where the condition holds; where it does not, the statement fails with the message,
//! and `babelake run` and `babelake sql` end with exit code 3. The gate in SQL.
//!
//! A NULL condition fails too: what was not measured is not good enough. The engine computes only what a statement needs:
//! select the column, or put the call into `WHERE`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::scalar::Scalar;
use crate::Error;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbRequire;

impl Scalar for EmbRequire {
    const NAME: &'static str = "emb_require";
    const SYNTAX: &'static str = "emb_require(condition, message)";
    const DESCRIPTION: &'static str = "Fails the statement with the message where the condition does not hold.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        call.boolean(0, "condition")?;
        call.text(1, "message")?;
        Ok(DataType::Boolean)
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (conditions, messages) = (batch.cast(0, &DataType::Boolean)?, batch.cast(1, &DataType::Utf8)?);
        let (conditions, messages) = (conditions.as_boolean(), messages.as_string::<i32>());
        for row in 0..batch.rows() {
            if conditions.is_valid(row) && conditions.value(row) {
                continue;
            }
            let message = if messages.is_valid(row) { messages.value(row) } else { "a requirement is not met" };
            let null = if conditions.is_null(row) { " (the condition is NULL)" } else { "" };
            return Err(DataFusionError::from(Error::Gate(format!("{message}{null}"))));
        }
        batch.result(Arc::new(BooleanArray::from(vec![true; batch.rows()])))
    }
}
