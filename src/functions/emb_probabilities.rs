//! `emb_probabilities(v, head [, temperature])`: `softmax(logits / temperature)`, in the order of the head's labels; `List<Float32>`.
//!
//! The temperature is 1 where none is given; rescaling logits by alpha is a temperature of 1 / alpha. NULL for a NULL row. A
//! temperature that is NULL or not above 0, a NULL head, a wrong width, a NULL or non-finite item are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::heads;
use super::memo::Memo;
use super::scalar::Scalar;
use crate::column::{Head, Width};
use crate::kernel::head::softmax;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbProbabilities {
    heads: Memo<Head>,
}

impl Scalar for EmbProbabilities {
    const NAME: &'static str = "emb_probabilities";
    const SYNTAX: &'static str = "emb_probabilities(v, head [, temperature])";
    const DESCRIPTION: &'static str = "A head's probabilities of a row, in the order of its labels.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 3)?;
        call.embedding_of(0, "v", call.head(1, "head")?.1, "the head")?;
        if call.fields.len() == 3 {
            call.number(2, "temperature")?;
        }
        Ok(Width::Open.data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let temperatures = if batch.len() == 3 { batch.numbers(2)? } else { vec![Some(1.0); batch.rows()] };
        for (row, temperature) in temperatures.iter().enumerate() {
            match temperature {
                Some(temperature) if *temperature > 0.0 && temperature.is_finite() => {}
                Some(temperature) => {
                    return exec_err!(
                        "emb_probabilities: argument 3 (`temperature`), row {row} of the batch is {temperature}: it must be above 0"
                    );
                }
                None => {
                    return exec_err!("emb_probabilities: argument 3 (`temperature`), row {row} of the batch is NULL");
                }
            }
        }
        let finish = |row: usize, logits: &mut [f32]| softmax(logits, temperatures[row].unwrap_or(1.0));
        batch.result(heads::lists(batch, &self.heads, finish)?)
    }
}
