//! Eigenvectors of symmetric matrices, and inverses made of them, in `f64` and sequential: the same bits every time.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::householder;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::qr::no_pivoting::factor;
use faer::{Accum, Conj, Mat, MatRef, Par};

use super::Error;
use super::svd::{Conditioning, product};

/// Up to this size all eigenvectors are computed: beyond, that takes longer than to find the leading ones.
const DENSE: usize = 512;
/// Vectors iterated beside those asked for: what they take up does not slow the others down.
const EXTRA: usize = 16;
/// Blocks of the Krylov space of a round: Y, AY, A^2 Y, ...
const BLOCKS: usize = 4;
/// A vector is found when its residual is below this share of the largest eigenvalue, which is then right to about its square.
const RESIDUAL: f64 = 1e-6;
/// Singular values above this share of the largest are right to 1e-9 of themselves when they come from squares.
pub const LARGE: f64 = 1e-3;
/// The part of rcond below which rounding cannot bring a dropped singular value above it.
const DROPPED: f64 = 1.0 / 3.0;
/// Rounds at most: eigenvalues too close to be told apart by then span one space, and its vectors are as good as any.
const ROUNDS: usize = 12;

/// The `count` largest eigenvalues of a positive semi-definite matrix, falling, and their eigenvectors, one a column.
///
/// Small matrices are decomposed whole; of large ones a block Krylov space is restarted from its own best vectors.
pub fn leading(a: MatRef<'_, f64>, count: usize) -> Result<(Vec<f64>, Mat<f64>), Error> {
    let n = a.nrows();
    if n <= DENSE {
        return Ok(largest(eigen(a)?, count.min(n)));
    }
    let width = count + EXTRA;
    let mut best = start(n, width);
    let mut found = (Vec::new(), Mat::new());
    for _ in 0..ROUNDS {
        let mut blocks = Mat::zeros(n, BLOCKS * width);
        for i in 0..BLOCKS {
            if i > 0 {
                best = orthonormal(product(a, best.as_ref()));
            }
            blocks.get_mut(.., i * width..(i + 1) * width).copy_from(&best);
        }
        let span = orthonormal(blocks);
        let span = span.as_ref();
        let image = product(a, span);
        let within = product(span.transpose(), image.as_ref());
        let (values, vectors) = largest(eigen(within.as_ref())?, width);
        best = product(span, vectors.as_ref());
        let image = product(image.as_ref(), vectors.as_ref());
        let residual = |j: usize| (image.col(j) - faer::Scale(values[j]) * best.col(j)).norm_l2();
        let count = count.min(values.len());
        let converged = (0..count).all(|j| residual(j) <= RESIDUAL * values[0]);
        found = (values[..count].to_vec(), best.get(.., ..count).to_owned());
        if converged {
            break;
        }
    }
    Ok(found)
}

/// The pseudo-inverse of `A^T` by the eigenvectors of the smaller of `A A^T` and `A^T A`, and how well it inverts: a fraction
/// of the work of a singular value decomposition, and the same to `f32` rounding. `lambda` is a ridge as that of
/// [`ridge_inverse`](super::svd::ridge_inverse).
///
/// `None` where the squares lose too much of it: where a singular value is neither large nor clearly one that
/// `rcond` drops.
pub fn transposed_pinv(a: MatRef<'_, f64>, lambda: f64, rcond: f64) -> Result<Option<(Mat<f64>, Conditioning)>, Error> {
    if rcond > LARGE * DROPPED {
        return Ok(None);
    }
    let tall = a.nrows() > a.ncols();
    let small = gram(if tall { a } else { a.transpose() }, 1.0);
    let (values, vectors) = largest(eigen(small.as_ref())?, small.nrows());
    let Some(first) = values.first().copied().filter(|first| *first > 0.0) else { return Ok(None) };
    let rank = values.partition_point(|value| *value > LARGE * LARGE * first);
    let dropped = (rcond * DROPPED).powi(2) * first;
    if values.get(rank).is_some_and(|next| *next > dropped) {
        return Ok(None);
    }
    let vectors = vectors.get(.., ..rank);
    let inverted = Mat::from_fn(vectors.nrows(), rank, |i, j| vectors[(i, j)] / (values[j] + lambda * first));
    let inverse = match tall {
        true => product(a, product(inverted.as_ref(), vectors.transpose()).as_ref()),
        false => product(inverted.as_ref(), product(vectors.transpose(), a).as_ref()),
    };
    let last = values[rank - 1];
    Ok(Some((inverse, Conditioning { rank, sigma_max: first.sqrt(), sigma_min_kept: last.sqrt() })))
}

/// `scale A^T A`.
pub fn gram(a: MatRef<'_, f64>, scale: f64) -> Mat<f64> {
    let n = a.ncols();
    let mut gram = Mat::<f64>::zeros(n, n);
    add_scaled_gram(&mut gram, a, scale);
    gram
}

/// Adds `A^T A`.
pub fn add_gram(gram: &mut Mat<f64>, a: MatRef<'_, f64>) {
    add_scaled_gram(gram, a, 1.0);
}

fn add_scaled_gram(gram: &mut Mat<f64>, a: MatRef<'_, f64>, scale: f64) {
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Add,
        a.transpose(),
        BlockStructure::Rectangular,
        a,
        BlockStructure::Rectangular,
        scale,
        Par::Seq,
    );
    for j in 0..gram.ncols() {
        for i in j + 1..gram.nrows() {
            gram[(j, i)] = gram[(i, j)];
        }
    }
}

/// All eigenvalues of a symmetric matrix, rising.
pub fn eigenvalues(a: MatRef<'_, f64>) -> Result<Vec<f64>, Error> {
    let n = a.nrows();
    let mut values = faer::diag::Diag::<f64>::zeros(n);
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::No, Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    self_adjoint_evd(a, values.as_mut(), None, Par::Seq, MemStack::new(&mut buffer), Default::default())
        .map_err(|_| Error::NoConvergence { rows: n, columns: n })?;
    Ok(values.column_vector().iter().copied().collect())
}

/// An orthonormal basis of what the columns of a tall matrix span, and as many more vectors as they are short of being independent.
fn orthonormal(mut a: Mat<f64>) -> Mat<f64> {
    let (rows, columns) = a.shape();
    let block = factor::recommended_block_size::<f64>(rows, columns);
    let mut coefficients = Mat::zeros(block, columns);
    let scratch = factor::qr_in_place_scratch::<f64>(rows, columns, block, Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    factor::qr_in_place(a.as_mut(), coefficients.as_mut(), Par::Seq, stack, Default::default());
    let mut basis = Mat::identity(rows, columns);
    let scratch =
        householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(rows, block, columns);
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        a.as_ref(),
        coefficients.as_ref(),
        Conj::No,
        basis.as_mut(),
        Par::Seq,
        stack,
    );
    basis
}

/// n x `width` signs that are the same everywhere and favour no direction.
fn start(n: usize, width: usize) -> Mat<f64> {
    let mut bytes = vec![0u8; n * width];
    blake3::Hasher::new().update(b"eigenvectors").finalize_xof().fill(&mut bytes);
    Mat::from_fn(n, width, |i, j| if bytes[i * width + j] & 1 == 0 { 1.0 } else { -1.0 })
}

/// The last `count` of rising eigenvalues with their vectors, falling.
fn largest((values, vectors): (Vec<f64>, Mat<f64>), count: usize) -> (Vec<f64>, Mat<f64>) {
    let last = values.len().saturating_sub(1);
    let vectors = Mat::from_fn(vectors.nrows(), count, |i, j| vectors[(i, last - j)]);
    (values.into_iter().rev().take(count).collect(), vectors)
}

/// All eigenvalues, rising, and eigenvectors of a symmetric matrix.
fn eigen(a: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), Error> {
    let n = a.nrows();
    let mut values = faer::diag::Diag::<f64>::zeros(n);
    let mut vectors = Mat::zeros(n, n);
    let mut buffer =
        MemBuffer::new(self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default()));
    self_adjoint_evd(
        a,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    )
    .map_err(|_| Error::NoConvergence { rows: n, columns: n })?;
    Ok((values.column_vector().iter().copied().collect(), vectors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, assert_near, flat};
    use crate::kernel::svd::{DEFAULT_RCOND, pinv};

    /// `A^T A` of 700 rows whose columns shrink by `decay`.
    fn sample(n: usize, decay: f64) -> Mat<f64> {
        let mut random = Random(1);
        let rows = Mat::from_fn(700, n, |_, j| random.normal() * (-decay * j as f64).exp());
        gram(rows.as_ref(), 1.0 / 700.0)
    }

    #[test]
    fn leading_vectors_of_large_matrices_are_those_of_the_whole_decomposition() {
        let a = sample(DENSE + 60, 0.02);
        let (values, vectors) = leading(a.as_ref(), 32).unwrap();
        let (want, whole) = largest(eigen(a.as_ref()).unwrap(), 32);
        assert_near(&values, &want, 1e-10, "eigenvalues");
        for j in 0..32 {
            let along: f64 = vectors.col(j).transpose() * whole.col(j);
            assert!((along.abs() - 1.0).abs() < 1e-8, "vector {j}: {along}");
        }
        let (_, again) = leading(a.as_ref(), 32).unwrap();
        assert!(flat(vectors.as_ref()) == flat(again.as_ref()), "the same bits");
    }

    #[test]
    fn flat_and_deficient_spectra_have_leading_vectors_too() {
        for a in [sample(DENSE + 60, 0.0), Mat::identity(DENSE + 1, DENSE + 1), sample(DENSE + 60, 5.0)] {
            let (values, vectors) = leading(a.as_ref(), 32).unwrap();
            let (want, _) = largest(eigen(a.as_ref()).unwrap(), 32);
            assert_near(&values, &want, 1e-6, "eigenvalues");
            let products = product(vectors.transpose(), vectors.as_ref());
            assert_near(&flat(products.as_ref()), &flat(Mat::identity(32, 32).as_ref()), 1e-9, "orthonormal");
        }
    }

    #[test]
    fn the_inverse_by_squares_is_the_pseudo_inverse_or_none() {
        let mut random = Random(2);
        for (rows, columns, decay, squares) in [
            (60, 20, 0.0, true),
            (20, 60, 0.1, true),
            (30, 30, 0.1, true),
            // Singular values of every size down to nothing.
            (60, 40, 0.5, false),
            (40, 60, 0.5, false),
        ] {
            let a = Mat::from_fn(rows, columns, |_, j| random.normal() * (-decay * j as f64).exp());
            // A null direction on the side that is decomposed is dropped by both.
            let a = product(
                a.as_ref(),
                Mat::from_fn(columns, columns, |i, j| f64::from(u8::from(i == j && j != 3))).as_ref(),
            );
            let (want, conditioning) = pinv(a.transpose(), DEFAULT_RCOND).unwrap();
            let found = transposed_pinv(a.as_ref(), 0.0, DEFAULT_RCOND).unwrap();
            assert_eq!(found.is_some(), squares, "{rows} x {columns}, {decay}");
            let Some((inverse, found)) = found else { continue };
            assert_near(&flat(inverse.as_ref()), &flat(want.as_ref()), 1e-9, "inverse");
            assert_eq!(found.rank, conditioning.rank);
            assert_near(&[found.condition_number()], &[conditioning.condition_number()], 1e-9, "condition number");
        }
        assert!(transposed_pinv(Mat::zeros(3, 2).as_ref(), 0.0, DEFAULT_RCOND).unwrap().is_none());
    }
}
