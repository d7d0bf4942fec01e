//! `emb_fit(key, source, target, {method, omega, delta, seed, rcond, preset, source_encoder, target_encoder})`: a translator
//! from parallel anchors in one step: bit for bit what `emb_translator` gives of two spaces over the same rows.
//!
//! Without `method` it is `parseval`. Pairs with a NULL side are left out. Duplicate keys, fewer than two pairs, more than
//! 20,000 pairs, a NULL key beside vectors, a NULL or non-finite item are errors.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::{Call, failed};
use super::collect::Collected;
use super::options::{Kind, METHOD, Spec, spec};
use crate::column::{Method, Translator};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbFit;

const NAMES: [Spec; 2] = [spec("source_encoder", Kind::Text), spec("target_encoder", Kind::Text)];
const VECTORS: [&str; 2] = ["source", "target"];

fn widths(call: &Call<'_>) -> Result<[usize; 2]> {
    Ok([call.fixed_embedding(1, "source")?, call.fixed_embedding(2, "target")?])
}

impl Aggregate for EmbFit {
    const NAME: &'static str = "emb_fit";
    const SYNTAX: &'static str = "emb_fit(key, source, target, {method: 'parseval'})";
    const DESCRIPTION: &'static str = "A translator fitted from rows embedded by both encoders.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(3, 4)?;
        call.options(3, &[&METHOD[..], &NAMES].concat())?;
        call.key(0, "key")?;
        let [source, target] = widths(call)?;
        Ok(Translator::data_type(source, target))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(Collected::state_types(&VECTORS, call.key(0, "key")?, &widths(call)?))
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        Ok(Box::new(Fit {
            method: options.method(0, "parseval")?,
            source: options.text("source_encoder", 0)?.unwrap_or_default(),
            target: options.text("target_encoder", 0)?.unwrap_or_default(),
            rows: Collected::new(Self::NAME, &VECTORS, call.key(0, "key")?, widths(call)?.to_vec()),
        }))
    }
}

#[derive(Debug)]
struct Fit {
    rows: Collected,
    method: Method,
    source: String,
    target: String,
}

impl Accumulator for Fit {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.update(values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.rows.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.rows.merge(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (source, target) = (self.rows.rows(0), self.rows.rows(1));
        let names = (self.source.as_str(), self.target.as_str());
        let fitted = Translator::fit_rows(self.rows.keys(), source, target, names, &self.method);
        let fitted = fitted.and_then(|fitted| fitted.to_array()).map_err(|error| failed(EmbFit::NAME, error))?;
        Ok(ScalarValue::Struct(fitted.into()))
    }

    fn size(&self) -> usize {
        self.rows.size() + self.source.len() + self.target.len()
    }
}
