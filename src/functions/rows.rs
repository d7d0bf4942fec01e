//! Row-wise results: a column of embeddings computed row by row.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use datafusion::common::Result;

use crate::column::{Embeddings, Width, embedding};

/// A column of rows of `width`, row i written by `compute(i, v, out)` from row i of `v`. NULL rows stay NULL; `false` makes a
/// row NULL. Where the width is open, a row is as long as its input.
pub fn map(
    v: &Embeddings,
    width: Width,
    mut compute: impl FnMut(usize, &[f32], &mut [f32]) -> Result<bool>,
) -> Result<ArrayRef> {
    let mut valid = vec![false; v.len()];
    match width {
        Width::Fixed(width) => {
            let mut values = vec![0.0; v.len() * width];
            for (row, out) in values.chunks_exact_mut(width).enumerate() {
                if let Some(input) = v.row(row) {
                    valid[row] = compute(row, input, out)?;
                }
            }
            let nulls = NullBuffer::from(valid);
            let nulls = (nulls.null_count() > 0).then_some(nulls);
            Ok(Arc::new(embedding::fixed(values, width, nulls, v.len())?))
        }
        Width::Open => {
            let mut rows = vec![None; v.len()];
            for (row, result) in rows.iter_mut().enumerate() {
                if let Some(input) = v.row(row) {
                    let mut out = vec![0.0; input.len()];
                    *result = compute(row, input, &mut out)?.then_some(out);
                }
            }
            Ok(Arc::new(embedding::open(rows.iter().map(Option::as_deref))))
        }
    }
}
