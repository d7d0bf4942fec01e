//! `emb_relative(v, space [, K])`: the relative representation (equation (1)): cosines of the centred row to the K anchors
//! of the space, in the order of their keys; of a space with a Parseval frame, the coordinates in that frame.
//!
//! `List<Float32>`, or `FixedSizeList<Float32, K>` where K is given as a literal (it must be the number of anchors). NULL for
//! a NULL row; a row that equals the mean has the zero code. A NULL space, a wrong width, a NULL or non-finite item are
//! errors.

use std::sync::Arc;

use arrow::array::{Float32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, failed};
use super::memo::Memo;
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
        let (v, spaces) = (batch.embeddings(0, "v")?, batch.stored(1)?);
        let mut scratch = Scratch::default();
        let (mut values, mut lengths) = (Vec::new(), Vec::with_capacity(v.len()));
        for (first, count) in spaces.runs(v.len()) {
            let null = || batch.null_value(1, "space", "space");
            let space = self.spaces.get(&spaces.digest(first).ok_or_else(null)?, || {
                let read = Space::read(&spaces.array, spaces.index(first));
                read.map_err(|error| failed(Self::NAME, error))?.ok_or_else(null)
            })?;
            let anchors = space.frame_rows();
            if let Some(expected) = Width::of(batch.args.return_type()).and_then(Width::fixed)
                && expected != anchors.len()
            {
                return exec_err!(
                    "emb_relative: argument 3 (`K`) is {expected}, and the space has {} anchors",
                    anchors.len()
                );
            }
            for row in first..first + count {
                v.row_of(row, space.anchors.width).map_err(|flaw| batch.flaw(0, "v", &flaw))?;
                lengths.push(anchors.len());
            }
            let start = values.len();
            values.resize(start + count * anchors.len(), 0.0);
            relative(&space.anchors.mean, anchors, count, |i| v.row(first + i), &mut scratch, &mut values[start..])
                .map_err(|bad| batch.flaw(0, "v", &Flaw::NotFinite { row: first + bad.row }))?;
        }
        match Width::of(batch.args.return_type()) {
            Some(Width::Fixed(anchors)) => {
                batch.result(Arc::new(embedding::fixed(values, anchors, v.nulls(), v.len())?))
            }
            _ => {
                let (items, offsets) = (Arc::new(Float32Array::from(values)), OffsetBuffer::from_lengths(lengths));
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
