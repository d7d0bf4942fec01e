//! `emb_relative(v, space [, K])`: the relative representation (equation (1)): cosines of the centred row to the K anchors
//! of the space, in the order of their keys; of a space with a Parseval frame, the coordinates in that frame.
//!
//! `List<Float32>`, or `FixedSizeList<Float32, K>` where K is given as a literal (it must be the number of anchors). NULL for
//! a NULL row; a row that equals the mean has the zero code. A NULL space, a wrong width, a NULL or non-finite item are
//! errors.

use std::sync::Arc;

use arrow::array::{Float32Array, ListArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call};
use super::memo::Memo;
use super::rows;
use super::scalar::Scalar;
use crate::column::{Flaw, Space, Width, embedding};
use crate::kernel::block::Scratch;
use crate::kernel::relative::relative;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbRelative {
    spaces: Memo<Space>,
}

impl Scalar for EmbRelative {
    const NAME: &'static str = "emb_relative";
    const SYNTAX: &'static str = "emb_relative(v, space [, K])";
    const DESCRIPTION: &'static str =
        "Relative representation: cosines of the centred row to the anchors of a space, in the order of their keys.";
    const STORED: &'static [usize] = &[1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 3)?;
        let (_, width) = call.space(1, "space")?;
        call.embedding_of(0, "v", width, "the space")?;
        if call.fields.len() == 2 {
            return Ok(Width::Open.data_type());
        }
        let anchors = call.literals.get(2).copied().flatten().and_then(whole_number);
        match anchors {
            Some(anchors) if anchors > 0 => Ok(Width::Fixed(anchors).data_type()),
            _ => plan_err!("emb_relative: argument 3 (`K`) is the number of anchors as a literal, for example 768"),
        }
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let v = batch.embeddings(0, "v")?;
        let width = Width::of(batch.args.return_type()).and_then(Width::fixed);
        let mut scratch = Scratch::default();
        // The codes of the rows of each space, side by side, and where each row's code is.
        let (mut parts, mut places) = (Vec::new(), vec![(0, 0); v.len()]);
        batch.for_each_value((1, "space", "space"), &self.spaces, Space::read, |space, rows| {
            let anchors = space.frame_rows();
            if let Some(expected) = width.filter(|expected| *expected != anchors.len()) {
                return exec_err!(
                    "emb_relative: argument 3 (`K`) is {expected}, and the space has {} anchors",
                    anchors.len()
                );
            }
            for (i, &row) in rows.iter().enumerate() {
                v.row_of(row, space.anchors.width).map_err(|flaw| batch.flaw(0, "v", &flaw))?;
                places[row] = (parts.len(), i);
            }
            let mut codes = vec![0.0; rows.len() * anchors.len()];
            relative(&space.anchors.mean, anchors, rows.len(), |i| v.row(rows[i]), &mut scratch, &mut codes)
                .map_err(|bad| batch.flaw(0, "v", &Flaw::NotFinite { row: rows[bad.row] }))?;
            parts.push((anchors.len(), codes));
            Ok(())
        })?;
        let (offsets, values) = rows::gather(parts, &places)?;
        match width {
            Some(anchors) => batch.result(Arc::new(embedding::fixed(values, anchors, v.nulls(), v.len())?)),
            None => {
                let items = Arc::new(Float32Array::from(values));
                batch.result(Arc::new(ListArray::try_new(embedding::item(), offsets, items, v.nulls())?))
            }
        }
    }
}

fn whole_number(literal: &ScalarValue) -> Option<usize> {
    match literal.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(Some(number)) => usize::try_from(number).ok(),
        _ => None,
    }
}
