//! The pseudo-inverse of a set of unit anchors, equations (2) and (5), by the cheapest route that is stable.
//!
//! Of A, n x d, the rows of the set, `X = pinv(A^T)` is wanted, n x d. Where all singular values of A are large, X is `A G^-1` with
//! `G = A^T A` (or `(A A^T)^-1 A` where rows are fewer), by a Cholesky factor: squares lose half of the digits, and what is left is
//! far more than `f32` holds. Where some are not large and clearly nothing, the eigenvectors of G are taken; else the singular
//! value decomposition. A is never widened to `f64` as a whole where G says enough.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::{Accum, Conj, Mat, MatRef, Par};

use super::eigen::{LARGE, add_gram, eigenvalues, transposed_pinv};
use super::svd::{Conditioning, ridge_inverse, widen};
use super::{Error, Rows};

/// Rows widened at a time.
const AT_A_TIME: usize = 512;

/// `pinv(A^T)` of the rows of a set, with a ridge where it is asked for.
#[derive(Debug)]
pub struct Inverse<'a> {
    rows: Rows<'a>,
    set: &'a [usize],
    route: Route,
    /// How well A can be inverted.
    pub conditioning: Conditioning,
}

#[derive(Debug)]
enum Route {
    /// The Cholesky factor of `A^T A`.
    Factor(Mat<f64>),
    /// X.
    Whole(Mat<f64>),
}

impl<'a> Inverse<'a> {
    /// Of these rows. The ridge `lambda` is relative to the largest eigenvalue of `A^T A`, see [`ridge_inverse`].
    pub fn of(rows: Rows<'a>, set: &'a [usize], lambda: f64, rcond: f64) -> Result<Self, Error> {
        let width = rows.width();
        let mut gram = Mat::zeros(width.min(set.len()), width.min(set.len()));
        let is_tall = set.len() > width;
        if is_tall {
            chunks(rows, set, |_, chunk| add_gram(&mut gram, chunk));
        } else {
            add_gram(&mut gram, gather(rows, set).transpose());
        }
        let values = eigenvalues(gram.as_ref())?;
        let (last, first) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
        if first > 0.0 && last > LARGE.max(3.0 * rcond).powi(2) * first {
            (0..gram.nrows()).for_each(|i| gram[(i, i)] += lambda * first);
            if let Some(factor) = cholesky(gram) {
                let route = match is_tall {
                    true => Route::Factor(factor),
                    false => {
                        let mut solved = gather(rows, set);
                        solve(factor.as_ref(), &mut solved);
                        Route::Whole(solved)
                    }
                };
                let (sigma_max, sigma_min_kept) = (first.sqrt(), last.sqrt());
                let conditioning = Conditioning { rank: values.len(), sigma_max, sigma_min_kept };
                return Ok(Self { rows, set, route, conditioning });
            }
        }
        let all = gather(rows, set);
        let (whole, conditioning) = match transposed_pinv(all.as_ref(), lambda, rcond)? {
            Some(found) => found,
            None => ridge_inverse(all.transpose(), lambda, rcond)?,
        };
        Ok(Self { rows, set, route: Route::Whole(whole), conditioning })
    }

    /// `U^T X`, d_u x d, of the rows of `other` that belong to those of the set.
    pub fn map_from(&self, other: Rows<'_>) -> Mat<f64> {
        let mut product = Mat::zeros(other.width(), self.rows.width());
        chunks(other, self.set, |first, chunk| {
            let count = chunk.nrows();
            let mut add = |x: MatRef<'_, f64>| {
                matmul(&mut product, Accum::Add, chunk.transpose(), x, 1.0, Par::Seq);
            };
            match &self.route {
                Route::Factor(_) => add(gather(self.rows, &self.set[first..first + count]).as_ref()),
                Route::Whole(whole) => add(whole.get(first..first + count, ..)),
            }
        });
        match &self.route {
            Route::Factor(factor) => right_solved(factor.as_ref(), product.as_ref()),
            Route::Whole(_) => product,
        }
    }

    /// Calls `see(i, x)` with the rows of X, in the order of the set.
    pub fn rows(&self, mut see: impl FnMut(usize, &[f64])) {
        let mut row = vec![0.0; self.rows.width()];
        let mut each = |first: usize, x: MatRef<'_, f64>| {
            for i in 0..x.nrows() {
                row.iter_mut().enumerate().for_each(|(j, number)| *number = x[(i, j)]);
                see(first + i, &row);
            }
        };
        match &self.route {
            Route::Whole(whole) => each(0, whole.as_ref()),
            Route::Factor(factor) => chunks(self.rows, self.set, |first, chunk| {
                each(first, right_solved(factor.as_ref(), chunk).as_ref());
            }),
        }
    }
}

/// The rows of a set, widened.
fn gather(rows: Rows<'_>, set: &[usize]) -> Mat<f64> {
    widen(Rows::new(&rows.select(set), rows.width()))
}

/// The rows of a set, some at a time, and how many were before.
fn chunks(rows: Rows<'_>, set: &[usize], mut see: impl FnMut(usize, MatRef<'_, f64>)) {
    for (i, some) in set.chunks(AT_A_TIME).enumerate() {
        see(i * AT_A_TIME, gather(rows, some).as_ref());
    }
}

/// The lower factor; `None` where the matrix is not positive definite.
fn cholesky(mut gram: Mat<f64>) -> Option<Mat<f64>> {
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(gram.nrows(), Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    llt::factor::cholesky_in_place(gram.as_mut(), Default::default(), Par::Seq, stack, Default::default()).ok()?;
    Some(gram)
}

/// `G^-1 b` in place.
fn solve(factor: MatRef<'_, f64>, b: &mut Mat<f64>) {
    let (n, columns) = b.shape();
    let mut buffer = MemBuffer::new(llt::solve::solve_in_place_scratch::<f64>(n, columns, Par::Seq));
    let stack = MemStack::new(&mut buffer);
    llt::solve::solve_in_place_with_conj(factor, Conj::No, b.as_mut(), Par::Seq, stack);
}

/// `b G^-1`.
fn right_solved(factor: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut solved = b.transpose().to_owned();
    solve(factor, &mut solved);
    solved.transpose().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, assert_near, flat};
    use crate::kernel::svd::{DEFAULT_RCOND, product};

    #[test]
    fn every_route_gives_the_same_inverse() {
        let mut random = Random(7);
        for (count, width, decay, lambda) in [
            (1300, 20, 0.0, 0.0),
            (1300, 20, 0.1, 1e-3),
            (20, 60, 0.1, 0.0),
            (20, 60, 0.1, 1e-2),
            (30, 30, 0.0, 0.0),
            // By eigenvectors, for there is a direction with nothing; and by singular values, for there are small ones.
            (90, 20, 0.01, 1e-3),
            (90, 20, 0.6, 0.0),
            (15, 40, 0.6, 1e-4),
        ] {
            let (rows, other) = (random.rows(count + 5, width), random.rows(count + 5, 7));
            let mut rows = rows;
            for row in rows.chunks_exact_mut(width) {
                row.iter_mut().enumerate().for_each(|(j, x)| *x *= (-decay * j as f64).exp() as f32);
                row[3] *= if decay == 0.01 { 0.0 } else { 1.0 };
            }
            let (rows, other) = (Rows::new(&rows, width), Rows::new(&other, 7));
            let set: Vec<usize> = random.shuffled(count + 5).into_iter().take(count).collect();
            let (want, conditioning) = ridge_inverse(gather(rows, &set).transpose(), lambda, DEFAULT_RCOND).unwrap();
            let found = Inverse::of(rows, &set, lambda, DEFAULT_RCOND).unwrap();
            assert_eq!(found.conditioning.rank, conditioning.rank);
            let numbers = |found: Conditioning| [found.sigma_max, found.sigma_min_kept];
            assert_near(&numbers(found.conditioning), &numbers(conditioning), 1e-8, "singular values");
            let mut inverse = Mat::zeros(count, width);
            found.rows(|i, row| row.iter().enumerate().for_each(|(j, x)| inverse[(i, j)] = *x));
            let size = want.norm_max();
            assert_near(&flat(inverse.as_ref()), &flat(want.as_ref()), 1e-8 * size, "inverse");
            let mapped = product(gather(other, &set).transpose(), want.as_ref());
            let size = mapped.norm_max();
            assert_near(&flat(found.map_from(other).as_ref()), &flat(mapped.as_ref()), 1e-8 * size, "map");
        }
    }
}
