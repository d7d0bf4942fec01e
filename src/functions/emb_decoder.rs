//! `emb_decoder(space, {method, omega, delta, seed, lambda, scale, rcond, preset})`: a target space's inverse, equations (2),
//! (4) and (5).
//!
//! What needs a source as well (other methods, options and scales) is an error. Codes and decoders of different frames never mix: a space of plain anchors has an `irp` decoder, a space with a Parseval
//! frame a `parseval` one; that is also what it is without `method`. A NULL space is an error.

use arrow::array::{Array, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, failed};
use super::memo::Memo;
use super::options::METHOD;
use super::scalar::Scalar;
use crate::column::{Decoder, Space};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbDecoder {
    decoders: Memo<StructArray>,
}

impl Scalar for EmbDecoder {
    const NAME: &'static str = "emb_decoder";
    const SYNTAX: &'static str = "emb_decoder(space, {method: 'irp', omega: 8, delta: 0.7, seed: 0, rcond: 1e-6})";
    const DESCRIPTION: &'static str = "The inverse of a target space: turns relative representations into its vectors.";
    const STORED: &'static [usize] = &[0];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 2)?;
        call.options(1, &METHOD)?;
        Ok(Decoder::data_type(call.space(0, "space")?.1))
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (spaces, options) = (batch.stored(0)?, batch.options(1)?);
        let method = |row| {
            let frame = spaces.array.column_by_name("frame");
            let has_frame = frame.is_some_and(|frame| frame.is_valid(spaces.index(row)));
            options.method(row, if has_frame { "parseval" } else { "irp" })
        };
        let null = || batch.null_value(0, "space", "space");
        let key = |row| Ok(format!("{} {:?}", spaces.digest(row).ok_or_else(null)?, method(row)?));
        batch.stored_result(key, |row, key| {
            self.decoders.get(key, || {
                let read = Space::read(&spaces.array, spaces.index(row)).map_err(|error| failed(Self::NAME, error))?;
                let decoder = Decoder::fit(&read.ok_or_else(null)?, &method(row)?);
                decoder.and_then(|decoder| decoder.to_array()).map_err(|error| failed(Self::NAME, error))
            })
        })
    }
}
