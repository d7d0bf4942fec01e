//! `emb_confidence(v, translator)`: how well the translator's anchors cover an embedding, `Float64` in [0, 1]: the centred cosine
//! that its translation may be expected to have to the target encoder's own vector. Coverage, not a probability.
//!
//! It rests on the length of the unscaled result `|nu(v - mu_x) T|`, on the row's leverage under the source anchors' covariance,
//! its share in their leading directions and its centred length, weighted as it fits anchors that were translated by fits
//! without them. NULL for a NULL row; 0 for a row that equals the source mean. A translator that is NULL or was fitted without
//! `calibrate: true`, a wrong width, a NULL or non-finite item are errors.

use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, failed};
use super::memo::Memo;
use super::scalar::Scalar;
use crate::column::{Flaw, Translator};
use crate::kernel::block::Scratch;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbConfidence {
    translators: Memo<Translator>,
}

impl Scalar for EmbConfidence {
    const NAME: &'static str = "emb_confidence";
    const SYNTAX: &'static str = "emb_confidence(v, translator)";
    const DESCRIPTION: &'static str =
        "How well a translator's anchors cover an embedding, 0 to 1: coverage, not a probability.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        let (source, _) = call.translator(1, "translator")?;
        call.embedding_of(0, "v", source, "the translator's source")?;
        Ok(DataType::Float64)
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let mut scratch = Scratch::default();
        let mut confidences = vec![0.0; v.len()];
        batch.for_each_value(
            (1, "translator", "translator"),
            &self.translators,
            Translator::read,
            |translator, rows| {
                for &row in rows {
                    v.row_of(row, translator.source_width).map_err(|flaw| batch.flaw(0, "v", &flaw))?;
                }
                let confidence = translator.confidence().map_err(|error| failed(Self::NAME, error))?;
                let found = confidence
                    .apply(rows.len(), |i| v.row(rows[i]), &mut scratch)
                    .map_err(|bad| batch.flaw(0, "v", &Flaw::NotFinite { row: rows[bad.row] }))?;
                rows.iter().zip(found).for_each(|(&row, found)| confidences[row] = found);
                Ok(())
            },
        )?;
        batch.result(Arc::new(Float64Array::new(confidences.into(), v.nulls())))
    }
}
