//! `emb_fit(key, source, target, {method, ..., source_encoder, target_encoder, source_mean, target_mean})`: a translator from
//! parallel anchors in one step: bit for bit what `emb_translator` gives of two spaces over the same rows.
//!
//! Without `method` it is `parseval`. Rows are centred by the anchors' means, or by those given. Pairs with a NULL side are
//! left out. Duplicate keys, fewer than two pairs, more than 20,000 pairs, a NULL key beside vectors, a NULL or non-finite item, a
//! mean of another width are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::collect::{Collected, FromAll};
use super::options::{BY, Kind, METHOD, Spec, spec};
use crate::column::{Side, Translator};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbFit;

const SIDES: [Spec; 5] = [
    BY,
    spec("source_encoder", Kind::Text),
    spec("target_encoder", Kind::Text),
    spec("source_mean", Kind::Vector),
    spec("target_mean", Kind::Vector),
];
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
        call.options(3, &[&METHOD[..], &SIDES].concat())?;
        call.key(0, "key")?;
        let [source, target] = widths(call)?;
        Ok(Translator::data_type(source, target))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(Collected::state_types(&VECTORS, call.key(0, "key")?, &widths(call)?))
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let choice = options.choice(0, "parseval")?;
        let source = options.text("source_encoder", 0)?.unwrap_or_default();
        let target = options.text("target_encoder", 0)?.unwrap_or_default();
        let widths = widths(call)?;
        let source_mean = options.vector("source_mean", 0, widths[0])?;
        let target_mean = options.vector("target_mean", 0, widths[1])?;
        let rows = Collected::new(Self::NAME, &VECTORS, call.key(0, "key")?, widths.to_vec());
        Ok(Box::new(FromAll::new(rows, move |rows: &Collected| {
            let source = Side { rows: rows.rows(0), encoder: &source, mean: source_mean.as_deref() };
            let target = Side { rows: rows.rows(1), encoder: &target, mean: target_mean.as_deref() };
            let fitted = Translator::fit_rows(rows.keys(), &source, &target, &choice)?;
            Ok(ScalarValue::Struct(fitted.to_array()?.into()))
        })))
    }
}
