//! `emb_describe(x)`: what a space, decoder or translator is, as text for people: names, direction, method and its source,
//! settings, anchors, rank and condition, digest.
//!
//! NULL for a NULL value.

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, failed};
use super::scalar::Scalar;
use crate::column::describe::describe;
use crate::column::stored::Kind;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbDescribe;

impl Scalar for EmbDescribe {
    const NAME: &'static str = "emb_describe";
    const SYNTAX: &'static str = "emb_describe(x)";
    const DESCRIPTION: &'static str = "What a space, decoder or translator is, as text.";
    const STORED: &'static [usize] = &[0];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 1)?;
        let data_type = call.fields[0].data_type();
        match Kind::of(data_type) {
            Some(_) => Ok(DataType::Utf8),
            None if data_type.is_null() => Ok(DataType::Utf8),
            None => plan_err!("emb_describe: argument 1 (`x`) is no space, decoder or translator"),
        }
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let Some(kind) = Kind::of(batch.args.arg_fields[0].data_type()) else {
            return batch.result(Arc::new(StringArray::new_null(batch.rows())));
        };
        let values = batch.stored(0)?;
        let mut texts = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            let index = values.index(row);
            let text = values.array.is_valid(index).then(|| describe(kind, &values.array, index)).transpose();
            texts.push(text.map_err(|error| failed(Self::NAME, error))?);
        }
        batch.result(Arc::new(StringArray::from(texts)))
    }
}
