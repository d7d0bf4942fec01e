//! `emb_translate(v, translator)`: `y = s nu(v - mu_x) T + mu_y`, `FixedSizeList<Float32, d_y>`: one GEMM row an embedding.
//!
//! NULL for a NULL row; a row that equals the source mean becomes the target mean. Where the target's anchors are unit vectors,
//! every result is brought to unit length. A NULL translator, a wrong width, a NULL or non-finite item are errors.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::memo::Memo;
use super::rows;
use super::scalar::Scalar;
use crate::column::{Flaw, Translator, Width, embedding};
use crate::kernel::block::Scratch;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbTranslate {
    translators: Memo<Translator>,
}

impl Scalar for EmbTranslate {
    const NAME: &'static str = "emb_translate";
    const SYNTAX: &'static str = "emb_translate(v, translator)";
    const DESCRIPTION: &'static str = "An embedding of the translator's source space as one of its target space.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 2)?;
        let (source, target) = call.translator(1, "translator")?;
        if call.embedding(0, "v")?.fixed().is_some_and(|found| found != source && found == target) {
            return plan_err!(
                "emb_translate: argument 1 (`v`) has width {target}, and the translator turns width {source} into {target}: it \
                 goes the other way; fit one with source and target exchanged"
            );
        }
        call.embedding_of(0, "v", source, "the translator's source")?;
        Ok(Width::Fixed(target).data_type())
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let width = Width::of(batch.args.return_type()).and_then(Width::fixed).unwrap_or_default();
        let mut scratch = Scratch::default();
        let mut values = vec![0.0; v.len() * width];
        batch.for_each_value(
            (1, "translator", "translator"),
            &self.translators,
            Translator::read,
            |translator, rows| {
                for &row in rows {
                    v.row_of(row, translator.source_width).map_err(|flaw| batch.flaw(0, "v", &flaw))?;
                }
                let apply =
                    |out: &mut [f32]| translator.translation().apply(rows.len(), |i| v.row(rows[i]), &mut scratch, out);
                rows::fill(&mut values, width, rows, apply)
                    .map_err(|bad| batch.flaw(0, "v", &Flaw::NotFinite { row: rows[bad.row] }))
            },
        )?;
        batch.result(Arc::new(embedding::fixed(values, width, v.nulls(), v.len())?))
    }
}
