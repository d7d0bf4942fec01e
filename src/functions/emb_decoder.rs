//! `emb_decoder(space, {method, omega, delta, seed, rcond, preset})`: a target space's inverse, equations (2), (4) and (5).
//!
//! Codes and decoders of different frames never mix: a space of plain anchors has an `irp` decoder, a space with a Parseval
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
        let has_frame =
            |row| spaces.array.column_by_name("frame").is_some_and(|frame| frame.is_valid(spaces.index(row)));
        let mut decoders = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            let null = || batch.null_value(0, "space", "space");
            let digest = spaces.digest(row).ok_or_else(null)?;
            let method = options.method(row, if has_frame(row) { "parseval" } else { "irp" })?;
            decoders.push(self.decoders.get(&format!("{digest} {method:?}"), || {
                let read = Space::read(&spaces.array, spaces.index(row)).map_err(|error| failed(Self::NAME, error))?;
                let space = read.ok_or_else(null)?;
                let decoder = Decoder::fit(&space, &method).and_then(|decoder| decoder.to_array());
                decoder.map_err(|error| failed(Self::NAME, error))
            })?);
        }
        batch.stored_result(&decoders)
    }
}
