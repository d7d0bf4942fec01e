//! `emb_scale(v)`: the distribution of the rows' norms (section 4.2 and Figure 5 of the paper), a struct of `rows`, `mean`, `deviation`, `skew`, `minimum`,
//! `median`, `maximum`, `outliers` and `bimodality`.
//!
//! One pass. NULL rows do not count; NULL of none. `bimodality` (Sarle's coefficient) is above 5 / 9 where there is more than one mode, or a heavy
//! tail; NULL of fewer than four rows or equal norms. A NULL or non-finite item is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, UInt64Array};
use arrow::datatypes::{DataType, Float64Type, Int32Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, list_type, one_list};
use super::arguments::{Call, failed};
use super::measures::{self, Measure, Named, Shape};
use crate::column::{Embeddings, Flaw};
use crate::kernel::norm::{is_finite, norm};
use crate::kernel::scale::Norms;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbScale;

const MEASURES: [Named; 9] = [
    ("rows", Shape::Count),
    ("mean", Shape::Number),
    ("deviation", Shape::Number),
    ("skew", Shape::Number),
    ("minimum", Shape::Number),
    ("median", Shape::Number),
    ("maximum", Shape::Number),
    ("outliers", Shape::Number),
    ("bimodality", Shape::Number),
];

impl Aggregate for EmbScale {
    const NAME: &'static str = "emb_scale";
    const SYNTAX: &'static str = "emb_scale(v)";
    const DESCRIPTION: &'static str = "The distribution of the rows' norms: mean, deviation, skew, outliers, modes.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 1)?;
        call.embedding(0, "v")?;
        Ok(measures::data_type(&MEASURES))
    }

    fn state(&self, _call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(vec![
            ("count", DataType::UInt64),
            ("moments", list_type(DataType::Float64)),
            ("bins", list_type(DataType::Int32)),
            ("counts", list_type(DataType::UInt64)),
        ])
    }

    fn accumulator(&self, _call: &Call<'_>, _args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Scales(Norms::default())))
    }
}

#[derive(Debug)]
struct Scales(Norms);

impl Accumulator for Scales {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let flaw = |flaw: Flaw| match flaw.row() {
            Some(row) => exec_err!("emb_scale: argument 1 (`v`), row {row} of the batch {flaw}"),
            None => exec_err!("emb_scale: argument 1 (`v`): {flaw}"),
        };
        if values[0].data_type().is_null() {
            return Ok(());
        }
        let rows = match Embeddings::of(&values[0]) {
            Ok(rows) => rows,
            Err(error) => return flaw(error),
        };
        for row in (0..rows.len()).filter(|&row| !rows.is_null(row)) {
            let Some(v) = rows.row(row) else { continue };
            if !is_finite(v) {
                return flaw(Flaw::NotFinite { row });
            }
            self.0.add(norm(v));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Norms { count, moments, range, bins } = &self.0;
        let (least, most) = range.unwrap_or_default();
        Ok(vec![
            ScalarValue::UInt64(Some(*count)),
            one_list(Arc::new(Float64Array::from([moments.as_slice(), &[least, most]].concat())))?,
            one_list(Arc::new(Int32Array::from_iter_values(bins.keys().copied())))?,
            one_list(Arc::new(UInt64Array::from_iter_values(bins.values().copied())))?,
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<UInt64Type>();
        for row in (0..counts.len()).filter(|&row| counts.is_valid(row) && counts.value(row) > 0) {
            let part = |i: usize| states[i].as_list::<i32>().value(row);
            let (moments, bins, times) = (part(1), part(2), part(3));
            let [mean, m2, m3, m4, least, most] = *moments.as_primitive::<Float64Type>().values().as_ref() else {
                return exec_err!("emb_scale: a state has not the moments that it should have");
            };
            let bins = bins.as_primitive::<Int32Type>().values().iter().copied();
            let bins = bins.zip(times.as_primitive::<UInt64Type>().values().iter().copied()).collect();
            let range = Some((least, most));
            self.0.merge(&Norms { count: counts.value(row), moments: [mean, m2, m3, m4], range, bins });
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let measured = self.0.scale().map(|scale| {
            vec![
                Measure::Count(usize::try_from(scale.rows).unwrap_or(usize::MAX)),
                Measure::Number(Some(scale.mean)),
                Measure::Number(Some(scale.deviation)),
                Measure::Number(Some(scale.skew)),
                Measure::Number(Some(scale.minimum)),
                Measure::Number(Some(scale.median)),
                Measure::Number(Some(scale.maximum)),
                Measure::Number(Some(scale.outliers)),
                Measure::Number(scale.bimodality),
            ]
        });
        measures::value(&MEASURES, measured).map_err(|error| failed(EmbScale::NAME, error))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.bins.len() * size_of::<(i32, u64)>() * 2
    }
}
