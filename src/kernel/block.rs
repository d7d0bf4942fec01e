//! The one GEMM of the apply side: blocks of a fixed number of rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Rows of a block. Every product has exactly this many, the last one padded with zeros: the library takes other code
/// paths for other shapes, and a row's bits must not depend on its neighbours, the batch size or the partition.
pub const BLOCK_ROWS: usize = 256;

/// A matrix on the right of the product.
#[derive(Debug, Clone, Copy)]
pub enum Factor<'a> {
    /// k x n, row-major.
    Plain(&'a [f32]),
    /// The transpose of an n x k matrix given row-major.
    Transposed(&'a [f32]),
}

/// Buffers of one thread, made once and used for every block.
#[derive(Debug, Default)]
pub struct Scratch {
    input: Vec<f32>,
    output: Vec<f32>,
}

/// `out = rows F` for any number of rows, block by block.
///
/// `fill(i, row)` writes input row i (k numbers, handed over zeroed) and `finish(i, row)` sees output row i (n numbers)
/// after the product. `out` is row-major, count x n.
pub fn multiply<E>(
    count: usize,
    (k, n): (usize, usize),
    factor: Factor<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
    mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    mut finish: impl FnMut(usize, &mut [f32]),
) -> Result<(), E> {
    let factor = match factor {
        Factor::Plain(data) => MatRef::from_row_major_slice(data, k, n),
        Factor::Transposed(data) => MatRef::from_row_major_slice(data, n, k).transpose(),
    };
    scratch.input.resize(BLOCK_ROWS * k, 0.0);
    for first in (0..count).step_by(BLOCK_ROWS) {
        let rows = BLOCK_ROWS.min(count - first);
        let input = &mut scratch.input[..BLOCK_ROWS * k];
        input.fill(0.0);
        for (i, row) in input.chunks_exact_mut(k.max(1)).take(rows).enumerate() {
            fill(first + i, row)?;
        }
        let input = MatRef::from_row_major_slice(&*input, BLOCK_ROWS, k);
        let wanted = &mut out[first * n..(first + rows) * n];
        if rows == BLOCK_ROWS {
            let block = MatMut::from_row_major_slice_mut(&mut *wanted, BLOCK_ROWS, n);
            matmul(block, Accum::Replace, input, factor, 1.0, Par::Seq);
        } else {
            scratch.output.resize(BLOCK_ROWS * n, 0.0);
            let block = MatMut::from_row_major_slice_mut(&mut scratch.output[..BLOCK_ROWS * n], BLOCK_ROWS, n);
            matmul(block, Accum::Replace, input, factor, 1.0, Par::Seq);
            wanted.copy_from_slice(&scratch.output[..rows * n]);
        }
        for (i, row) in wanted.chunks_exact_mut(n.max(1)).enumerate() {
            finish(first + i, row);
        }
    }
    Ok(())
}
