//! `emb_decode(r, decoder)`: a relative representation as a vector of the decoder's space, `y = s (r H) + mu` (equation (5)
//! and step (4) of the paper); `FixedSizeList<Float32, d>`.
//!
//! `r` has one number per anchor. NULL for a NULL row; the zero code decodes to the mean. A NULL decoder, a wrong length, a
//! NULL or non-finite item are errors.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::memo::Memo;
use super::rows;
use super::scalar::Scalar;
use crate::column::{Decoder, Flaw, Width, embedding};
use crate::kernel::block::Scratch;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbDecode {
    decoders: Memo<Decoder>,
}

impl Scalar for EmbDecode {
    const NAME: &'static str = "emb_decode";
    const SYNTAX: &'static str = "emb_decode(r, decoder)";
    const DESCRIPTION: &'static str = "A relative representation as a vector of the decoder's space.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        call.embedding(0, "r")?;
        Ok(Width::Fixed(call.decoder(1, "decoder")?).data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let codes = batch.embeddings(0, "r")?;
        let width = Width::of(batch.args.return_type()).and_then(Width::fixed).unwrap_or_default();
        let mut scratch = Scratch::default();
        let mut values = vec![0.0; codes.len() * width];
        batch.for_each_value((1, "decoder", "decoder"), &self.decoders, Decoder::read, |decoder, rows| {
            for &row in rows {
                codes.row_of(row, decoder.anchors()).map_err(|flaw| batch.flaw(0, "r", &flaw))?;
            }
            let apply =
                |out: &mut [f32]| decoder.decoding().apply(rows.len(), |i| codes.row(rows[i]), &mut scratch, out);
            rows::fill(&mut values, width, rows, apply)
                .map_err(|bad| batch.flaw(0, "r", &Flaw::NotFinite { row: rows[bad.row] }))
        })?;
        batch.result(Arc::new(embedding::fixed(values, width, codes.nulls(), codes.len())?))
    }
}
