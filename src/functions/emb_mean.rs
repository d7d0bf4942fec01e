//! `emb_mean(v)`: the mean of the rows that are not NULL, summed in `f64`; same width, `Float32`.
//!
//! NULL where there are no such rows. Unequal lengths, a NULL or a non-finite item are errors. The sum is compensated, so the
//! result does not depend on the order of the rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, Float64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, list_type, one_list};
use super::arguments::Call;
use crate::column::{Embeddings, Flaw, Width, embedding};
use crate::kernel::mean::MeanSum;
use crate::kernel::norm::is_finite;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbMean;

impl Aggregate for EmbMean {
    const NAME: &'static str = "emb_mean";
    const SYNTAX: &'static str = "emb_mean(v)";
    const DESCRIPTION: &'static str = "Mean of embeddings.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 1)?;
        Ok(call.embedding(0, "v")?.data_type())
    }

    fn state(&self, _call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(vec![
            ("sum", list_type(DataType::Float64)),
            ("compensation", list_type(DataType::Float64)),
            ("count", DataType::UInt64),
        ])
    }

    fn accumulator(&self, call: &Call<'_>, _args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Mean { width: call.embedding(0, "v")?, sum: MeanSum::default() }))
    }
}

#[derive(Debug)]
struct Mean {
    width: Width,
    sum: MeanSum,
}

impl Accumulator for Mean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values[0].data_type().is_null() {
            return Ok(());
        }
        let flawed = |flaw: Flaw| match flaw.row() {
            Some(row) => exec_datafusion_err!("emb_mean: argument 1 (`v`), row {row} of the batch {flaw}"),
            None => exec_datafusion_err!("emb_mean: argument 1 (`v`): {flaw}"),
        };
        let v = Embeddings::of(&values[0]).map_err(flawed)?;
        let expected = self.sum.width().or_else(|| v.first_width()).unwrap_or_default();
        for row in 0..v.len() {
            if let Some(v) = v.row_of(row, expected).map_err(flawed)? {
                if !is_finite(v) {
                    return Err(flawed(Flaw::NotFinite { row }));
                }
                self.sum.add(v);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |numbers: &[f64]| one_list(Arc::new(Float64Array::from(numbers.to_vec())));
        let (sum, compensation, count) = self.sum.state();
        Ok(vec![list(sum)?, list(compensation)?, ScalarValue::UInt64(Some(count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts: &UInt64Array = states[2].as_primitive::<UInt64Type>();
        for row in (0..counts.len()).filter(|&row| counts.is_valid(row) && counts.value(row) > 0) {
            let part = |i: usize| states[i].as_list::<i32>().value(row);
            let (sum, compensation) = (part(0), part(1));
            if self.sum.width().is_some_and(|width| width != sum.len()) {
                return exec_err!(
                    "emb_mean: rows of {} and of {} numbers in one group",
                    sum.len(),
                    self.sum.width().unwrap_or(0)
                );
            }
            let floats = |array: &ArrayRef| array.as_primitive::<Float64Type>().values().clone();
            self.sum.merge(&floats(&sum), &floats(&compensation), counts.value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mean: Option<Vec<f32>> = self.sum.mean().map(|mean| mean.into_iter().map(|m| m as f32).collect());
        let mean: ArrayRef = match (self.width, mean) {
            (Width::Fixed(width), Some(mean)) => Arc::new(embedding::fixed(mean, width, None, 1)?),
            (Width::Open, mean) => Arc::new(embedding::open(std::iter::once(mean.as_deref()))?),
            (width, None) => return ScalarValue::try_from(&width.data_type()),
        };
        ScalarValue::try_from_array(&mean, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sum.width().unwrap_or(0) * 2 * size_of::<f64>()
    }
}
