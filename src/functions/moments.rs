//! Means and cross products of two embedding arguments: what the aggregates that compare spaces are made of.
//!
//! Rows with a NULL side are left out. Memory is the square of the widths, whatever the number of rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::Accumulator;

use super::aggregate::{list_type, one_list};
use super::arguments::{Call, failed};
use crate::column::{Embeddings, Flaw};
use crate::kernel::Rows;
use crate::kernel::moments::Moments;
use crate::kernel::norm::is_finite;

const NAMES: [&str; 2] = ["a", "b"];

/// The widths of the arguments.
pub fn widths(call: &Call<'_>) -> Result<[usize; 2]> {
    Ok([call.fixed_embedding(0, NAMES[0])?, call.fixed_embedding(1, NAMES[1])?])
}

/// What an accumulator sends on.
pub fn state_types() -> Vec<(&'static str, DataType)> {
    let sums = ["mean_a", "mean_b", "aa", "bb", "ab"].map(|name| (name, list_type(DataType::Float64)));
    sums.into_iter().chain([("count", DataType::UInt64)]).collect()
}

/// An accumulator that makes a number of the moments.
pub struct OfMoments<F> {
    function: &'static str,
    moments: Moments,
    compute: F,
}

impl<F: Fn(&Moments) -> crate::Result<Option<f64>> + Send + Sync> OfMoments<F> {
    /// Of no rows yet.
    pub fn new(function: &'static str, [a, b]: [usize; 2], compute: F) -> Self {
        Self { function, moments: Moments::new(a, b), compute }
    }

    fn flaw(&self, i: usize, flaw: &Flaw) -> DataFusionError {
        let (function, name) = (self.function, NAMES[i]);
        match flaw.row() {
            Some(row) => {
                exec_datafusion_err!("{function}: argument {} (`{name}`), row {row} of the batch {flaw}", i + 1)
            }
            None => exec_datafusion_err!("{function}: argument {} (`{name}`): {flaw}", i + 1),
        }
    }
}

impl<F> fmt::Debug for OfMoments<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfMoments").field("function", &self.function).field("rows", &self.moments.count).finish()
    }
}

impl<F: Fn(&Moments) -> crate::Result<Option<f64>> + Send + Sync + 'static> Accumulator for OfMoments<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let a = Embeddings::of(&values[0]).map_err(|flaw| self.flaw(0, &flaw))?;
        let b = Embeddings::of(&values[1]).map_err(|flaw| self.flaw(1, &flaw))?;
        let widths = [self.moments.mean_a.len(), self.moments.mean_b.len()];
        let mut rows = [Vec::new(), Vec::new()];
        for row in (0..a.len()).filter(|&row| !a.is_null(row) && !b.is_null(row)) {
            for (i, view) in [&a, &b].into_iter().enumerate() {
                match view.row_of(row, widths[i]) {
                    Ok(Some(v)) if is_finite(v) => rows[i].extend_from_slice(v),
                    Ok(_) => return Err(self.flaw(i, &Flaw::NotFinite { row })),
                    Err(flaw) => return Err(self.flaw(i, &flaw)),
                }
            }
        }
        self.moments.add(Rows::new(&rows[0], widths[0]), Rows::new(&rows[1], widths[1]));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Moments { count, mean_a, mean_b, aa, bb, ab } = &self.moments;
        let mut state = Vec::new();
        for numbers in [mean_a, mean_b, aa, bb, ab] {
            state.push(one_list(Arc::new(Float64Array::from(numbers.clone())))?);
        }
        state.push(ScalarValue::UInt64(Some(*count)));
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[5].as_primitive::<UInt64Type>();
        for row in (0..counts.len()).filter(|&row| counts.is_valid(row)) {
            let numbers = |i: usize| {
                let list = states[i].as_list::<i32>().value(row);
                list.as_primitive::<Float64Type>().values().to_vec()
            };
            let [mean_a, mean_b, aa, bb, ab] = [0, 1, 2, 3, 4].map(numbers);
            self.moments.merge(&Moments { count: counts.value(row), mean_a, mean_b, aa, bb, ab });
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let computed = (self.compute)(&self.moments).map_err(|error| failed(self.function, error))?;
        Ok(ScalarValue::Float64(computed))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.moments.size()
    }
}
