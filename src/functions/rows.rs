//! Columns of embeddings, computed row by row or some rows at a time.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::{NullBuffer, OffsetBuffer};
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
            Ok(Arc::new(embedding::open(rows.iter().map(Option::as_deref))?))
        }
    }
}

/// Lets `compute` fill the rows `rows` (ascending) of a column of rows of `width`: it writes them side by side.
pub fn fill<E>(
    values: &mut [f32],
    width: usize,
    rows: &[usize],
    compute: impl FnOnce(&mut [f32]) -> Result<(), E>,
) -> Result<(), E> {
    if rows.len() * width == values.len() {
        return compute(values);
    }
    let mut computed = vec![0.0; rows.len() * width];
    compute(&mut computed)?;
    for (i, row) in rows.iter().enumerate() {
        values[row * width..][..width].copy_from_slice(&computed[i * width..][..width]);
    }
    Ok(())
}

/// Offsets and numbers of lists that were computed in parts, each of rows of one length side by side: row i is row `places[i].1` of part
/// `places[i].0`. One part alone has all rows, in their order.
pub fn gather(mut parts: Vec<(usize, Vec<f32>)>, places: &[(usize, usize)]) -> Result<(OffsetBuffer<i32>, Vec<f32>)> {
    let length = |&(part, _): &(usize, usize)| parts.get(part).map_or(0, |(length, _)| *length);
    let offsets = embedding::offsets(places.iter().map(length))?;
    let values = match parts.as_mut_slice() {
        [(_, values)] => std::mem::take(values),
        parts => {
            let row = |&(part, i): &(usize, usize)| {
                let (length, values) = &parts[part];
                &values[i * length..][..*length]
            };
            places.iter().flat_map(row).copied().collect()
        }
    };
    Ok((offsets, values))
}
