//! The one GEMM of the apply side: blocks of a fixed number of rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::vectorized::vectorized;

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
/// `fill(i, row)` writes input row i (all of its k numbers) and `finish(i, row)` sees output row i (n numbers) after the product.
/// `out` is row-major, count x n. Both run [vectorized], where they say `#[inline(always)]`.
pub fn multiply<E>(
    count: usize,
    (k, n): (usize, usize),
    factor: Factor<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
    mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    mut finish: impl FnMut(usize, &mut [f32]),
) -> Result<(), E> {
    scratch.input.resize(BLOCK_ROWS * k, 0.0);
    for first in (0..count).step_by(BLOCK_ROWS) {
        let rows = BLOCK_ROWS.min(count - first);
        let input = &mut scratch.input[..BLOCK_ROWS * k];
        input[rows * k..].fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in input[..rows * k].chunks_exact_mut(k.max(1)).enumerate() {
                    fill(first + i, row)?;
                }
                Ok(())
            },
        )?;
        let wanted = &mut out[first * n..(first + rows) * n];
        if rows == BLOCK_ROWS {
            multiply_block(input, (k, n), factor, wanted);
        } else {
            scratch.output.resize(BLOCK_ROWS * n, 0.0);
            multiply_block(input, (k, n), factor, &mut scratch.output[..BLOCK_ROWS * n]);
            wanted.copy_from_slice(&scratch.output[..rows * n]);
        }
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in wanted.chunks_exact_mut(n.max(1)).enumerate() {
                    finish(first + i, row);
                }
            },
        );
    }
    Ok(())
}

/// `out = rows F` of one block: `rows` is [`BLOCK_ROWS`] x k, padded with zeros, and `out` [`BLOCK_ROWS`] x n, both row-major.
pub fn multiply_block(rows: &[f32], (k, n): (usize, usize), factor: Factor<'_>, out: &mut [f32]) {
    let factor = match factor {
        Factor::Plain(data) => MatRef::from_row_major_slice(data, k, n),
        Factor::Transposed(data) => MatRef::from_row_major_slice(data, n, k).transpose(),
    };
    let rows = MatRef::from_row_major_slice(rows, BLOCK_ROWS, k);
    let out = MatMut::from_row_major_slice_mut(out, BLOCK_ROWS, n);
    matmul(out, Accum::Replace, rows, factor, 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, assert_near, bits, wide};
    use std::convert::Infallible;

    fn plain(
        count: usize,
        shape: (usize, usize),
        factor: Factor<'_>,
        row: impl Fn(usize) -> Vec<f32>,
        out: &mut [f32],
    ) {
        let fill = |i: usize, input: &mut [f32]| -> Result<(), Infallible> {
            input.copy_from_slice(&row(i));
            Ok(())
        };
        let Ok(()) = multiply(count, shape, factor, &mut Scratch::default(), out, fill, |_, _| ());
    }

    /// The bits of a row depend on that row alone: not on the batch, the place in it, the neighbours, or where the
    /// buffers lie in memory.
    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        for (k, n) in
            [(1, 1), (3, 2), (6, 5), (17, 33), (48, 64), (96, 130), (257, 31), (384, 96), (768, 100), (1025, 24)]
        {
            let mut random = Random((1000 * k + n) as u64);
            let (rows, matrix) = (random.rows(700, k), random.rows(k, n));
            let row = |i: usize| rows[i * k..(i + 1) * k].to_vec();
            for factor in [Factor::Plain(&matrix), Factor::Transposed(&matrix)] {
                let mut all = vec![0.0; 700 * n];
                plain(700, (k, n), factor, row, &mut all);
                let want = |i: usize| bits(&all[i * n..(i + 1) * n]);

                for i in [0, 1, 37, 255, 256, 511, 512, 698, 699] {
                    let mut alone = vec![0.0; n];
                    plain(1, (k, n), factor, |_| row(i), &mut alone);
                    assert_eq!(bits(&alone), want(i), "{k} x {n}, row {i} alone");
                }
                let order = random.shuffled(700);
                for (count, shift) in [(255, 0), (256, 1), (257, 2), (700, 3)] {
                    let mut buffer = vec![0.0; shift + count * n];
                    plain(count, (k, n), factor, |i| row(order[i]), &mut buffer[shift..]);
                    for (i, got) in buffer[shift..].chunks_exact(n).enumerate() {
                        assert_eq!(bits(got), want(order[i]), "{k} x {n}, {count} rows, row {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_product_is_right() {
        let (k, n) = (9, 4);
        let mut random = Random(5);
        let (rows, matrix) = (random.rows(300, k), random.rows(k, n));
        let transposed: Vec<f32> = (0..n * k).map(|i| matrix[i % k * n + i / k]).collect();
        let want: Vec<f64> = (0..300 * n)
            .map(|i| (0..k).map(|j| f64::from(rows[i / n * k + j]) * f64::from(matrix[j * n + i % n])).sum())
            .collect();
        for factor in [Factor::Plain(&matrix), Factor::Transposed(&transposed)] {
            let mut out = vec![f32::NAN; 300 * n];
            plain(300, (k, n), factor, |i| rows[i * k..(i + 1) * k].to_vec(), &mut out);
            assert_near(&wide(&out), &want, 1e-6, "product");
        }
    }

    #[test]
    fn buffers_may_have_served_another_shape() {
        let mut random = Random(6);
        let (rows, matrix) = (random.rows(10, 8), random.rows(8, 8));
        let product = |k: usize, n: usize, scratch: &mut Scratch| {
            let mut out = vec![0.0; 10 * n];
            let fill = |i: usize, input: &mut [f32]| -> Result<(), Infallible> {
                input.copy_from_slice(&rows[i * k..(i + 1) * k]);
                Ok(())
            };
            let Ok(()) = multiply(10, (k, n), Factor::Plain(&matrix[..k * n]), scratch, &mut out, fill, |_, _| ());
            bits(&out)
        };
        let mut scratch = Scratch::default();
        for (k, n) in [(8, 8), (3, 2), (2, 8), (8, 1)] {
            assert_eq!(product(k, n, &mut scratch), product(k, n, &mut Scratch::default()));
        }
    }

    #[test]
    fn nothing_in_is_nothing_out() {
        let mut out = [];
        plain(0, (3, 2), Factor::Plain(&[0.0; 6]), |_| unreachable!(), &mut out);
    }

    #[test]
    fn an_error_of_a_row_stops_the_product() {
        let fill = |i: usize, _: &mut [f32]| if i == 300 { Err(i) } else { Ok(()) };
        let mut out = vec![0.0; 400];
        let got = multiply(400, (1, 1), Factor::Plain(&[1.0]), &mut Scratch::default(), &mut out, fill, |_, _| ());
        assert_eq!(got, Err(300));
    }
}
