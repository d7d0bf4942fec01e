//! What the functions share that apply heads: logits of the rows of each head, and lists of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, ListArray};
use datafusion::common::Result;

use super::arguments::Batch;
use super::memo::{Bytes, Memo};
use super::rows;
use crate::column::{Flaw, Head, embedding};
use crate::kernel::block::Scratch;
use crate::kernel::head::logits;

impl Bytes for Head {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.layers.iter().map(|layer| size_of_val(layer.weight.as_slice())).sum::<usize>()
    }
}

/// Lets `each` see the logits of the rows of every head, row-major, a NULL row's zeros; arguments are `v` and `head`.
pub fn each(
    batch: &Batch<'_>,
    heads: &Memo<Head>,
    mut each: impl FnMut(&Head, &[usize], Vec<f32>) -> Result<()>,
) -> Result<()> {
    let v = batch.embeddings(0, "v")?;
    let mut scratch = Scratch::default();
    batch.for_each_value((1, "head", "head"), heads, Head::read, |head, rows| {
        for &row in rows {
            v.row_of(row, head.width()).map_err(|flaw| batch.flaw(0, "v", &flaw))?;
        }
        let found = logits(&head.layers, rows.len(), |i| v.row(rows[i]), &mut scratch);
        each(head, rows, found.map_err(|bad| batch.flaw(0, "v", &Flaw::NotFinite { row: rows[bad.row] }))?)
    })
}

/// A list of as many numbers as there are classes for every row; `finish` sees each row's logits first.
pub fn lists(batch: &Batch<'_>, heads: &Memo<Head>, finish: impl Fn(usize, &mut [f32])) -> Result<ArrayRef> {
    let v = batch.embeddings(0, "v")?;
    let (mut parts, mut places) = (Vec::new(), vec![(0, 0); v.len()]);
    each(batch, heads, |head, rows, mut logits| {
        let classes = head.labels.len();
        for (i, (&row, logits)) in rows.iter().zip(logits.chunks_exact_mut(classes.max(1))).enumerate() {
            finish(row, logits);
            places[row] = (parts.len(), i);
        }
        parts.push((classes, logits));
        Ok(())
    })?;
    let (offsets, values) = rows::gather(parts, &places)?;
    Ok(Arc::new(ListArray::try_new(embedding::item(), offsets, Arc::new(Float32Array::from(values)), v.nulls())?))
}
