//! `emb_decode(r, decoder)`: a relative representation as a vector of the decoder's space, `y = s (r H) + mu` (equation (5)
//! and step (4) of the paper); `FixedSizeList<Float32, d>`.
//!
//! `r` has one number per anchor. NULL for a NULL row; the zero code decodes to the mean. A NULL decoder, a wrong length, a
//! NULL or non-finite item are errors.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, failed};
use super::memo::Memo;
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
        let (codes, decoders) = (batch.embeddings(0, "r")?, batch.stored(1)?);
        let width = Width::of(batch.args.return_type()).and_then(Width::fixed).unwrap_or_default();
        let mut scratch = Scratch::default();
        let mut values = vec![0.0; codes.len() * width];
        for (first, count) in decoders.runs(codes.len()) {
            let null = || batch.null_value(1, "decoder", "decoder");
            let decoder = self.decoders.get(&decoders.digest(first).ok_or_else(null)?, || {
                let read = Decoder::read(&decoders.array, decoders.index(first));
                read.map_err(|error| failed(Self::NAME, error))?.ok_or_else(null)
            })?;
            for row in first..first + count {
                codes.row_of(row, decoder.anchors()).map_err(|flaw| batch.flaw(0, "r", &flaw))?;
            }
            let out = &mut values[first * width..(first + count) * width];
            let decoded = decoder.decoding().apply(count, |i| codes.row(first + i), &mut scratch, out);
            decoded.map_err(|bad| batch.flaw(0, "r", &Flaw::NotFinite { row: first + bad.row }))?;
        }
        batch.result(Arc::new(embedding::fixed(values, width, codes.nulls(), codes.len())?))
    }
}
