//! `emb_space(key, v, {encoder, frame, mean})`: one encoder's anchors made ready: `U = nu(A - mu)`, sorted by key.
//!
//! `encoder` names the encoder. `frame` is what codes are made with: 'anchors' (default: the cosines of the paper) or
//! 'parseval' (coordinates in the anchors' Parseval frame). `mean` is what rows are centred by instead of the anchors' mean.
//! Rows with a NULL vector are no anchors; rows equal to the mean have no direction and are dropped and counted. Duplicate
//! keys, fewer than two different rows, more than 20,000 rows, a NULL key beside a vector, a NULL or non-finite item, a mean of
//! another width are errors.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::collect::{Collected, FromAll};
use super::options::{Kind, Spec, spec};
use crate::column::Space;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbSpace;

const OPTIONS: [Spec; 3] = [spec("encoder", Kind::Text), spec("frame", Kind::Text), spec("mean", Kind::Vector)];
const VECTORS: [&str; 1] = ["v"];

impl Aggregate for EmbSpace {
    const NAME: &'static str = "emb_space";
    const SYNTAX: &'static str = "emb_space(key, v, {encoder: 'name', frame: 'anchors'})";
    const DESCRIPTION: &'static str = "One encoder's anchors made ready: centred, unit length, sorted by key.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 3)?;
        call.options(2, &OPTIONS)?;
        Ok(Space::data_type(call.key(0, "key")?, call.fixed_embedding(1, "v")?))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        Ok(Collected::state_types(&VECTORS, call.key(0, "key")?, &[call.fixed_embedding(1, "v")?]))
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 2)?;
        let parseval = match options.text("frame", 0)?.as_deref() {
            None | Some("anchors") => false,
            Some("parseval") => true,
            Some(other) => {
                return exec_err!("emb_space: frame '{other}' is unknown: 'anchors' and 'parseval' are known");
            }
        };
        let encoder = options.text("encoder", 0)?.unwrap_or_default();
        let width = call.fixed_embedding(1, "v")?;
        let mean = options.vector("mean", 0, width)?;
        let rows = Collected::new(Self::NAME, &VECTORS, call.key(0, "key")?, vec![width]);
        Ok(Box::new(FromAll::new(rows, move |rows: &Collected| {
            let space = Space::fit(rows.keys(), rows.rows(0), &encoder, mean.as_deref(), parseval)?;
            Ok(ScalarValue::Struct(space.to_array()?.into()))
        })))
    }
}
