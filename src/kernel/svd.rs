//! Thin singular value decompositions and what is made of them, in `f64` and sequential: the same bits every time.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Accum, Mat, MatRef, Par};

use super::{Error, Rows};

/// A singular value counts when it is larger than this share of the largest. The data are `f32`: exact null directions
/// come back as 1e-11 and would be kept by an `f64` rule, then amplified by as much.
pub const DEFAULT_RCOND: f64 = 1e-6;

/// `A = U diag(sigma) V^T` with min(m, n) columns, sigma descending.
#[derive(Debug, Clone)]
pub struct ThinSvd {
    /// Left singular vectors, m x min(m, n).
    pub u: Mat<f64>,
    /// Singular values, descending.
    pub sigma: Vec<f64>,
    /// Right singular vectors, n x min(m, n).
    pub v: Mat<f64>,
}

/// How well a matrix can be inverted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditioning {
    /// Singular values above rcond times the largest.
    pub rank: usize,
    /// The largest singular value.
    pub sigma_max: f64,
    /// The smallest one kept.
    pub sigma_min_kept: f64,
}

impl Conditioning {
    /// `sigma_max / sigma_min_kept`, the condition number after truncation.
    pub fn condition_number(&self) -> f64 {
        self.sigma_max / self.sigma_min_kept
    }
}

/// Rows widened to an `f64` matrix, one row a row.
pub fn widen(rows: Rows<'_>) -> Mat<f64> {
    Mat::from_fn(rows.len(), rows.width(), |i, j| f64::from(rows.row(i)[j]))
}

/// `a b`, sequentially.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut c, Accum::Replace, a, b, 1.0, Par::Seq);
    c
}

/// The thin singular value decomposition of `a`.
pub fn thin_svd(a: MatRef<'_, f64>) -> Result<ThinSvd, Error> {
    let (m, n) = a.shape();
    let size = m.min(n);
    let mut sigma = faer::diag::Diag::<f64>::zeros(size);
    let mut u = Mat::zeros(m, size);
    let mut v = Mat::zeros(n, size);
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    svd(
        a,
        sigma.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    )
    .map_err(|_| Error::NoConvergence { rows: m, columns: n })?;
    Ok(ThinSvd { u, sigma: sigma.column_vector().iter().copied().collect(), v })
}

impl ThinSvd {
    /// How many singular values are larger than `rcond` times the largest, and the extremes of those.
    pub fn conditioning(&self, rcond: f64) -> Conditioning {
        conditioning(&self.sigma, rcond)
    }

    /// `P V^T` over the first `rank` singular values: see [`polar_factor`].
    pub fn polar_factor(&self, rank: usize) -> Mat<f64> {
        product(self.u.get(.., ..rank), self.v.get(.., ..rank).transpose())
    }
}

/// See [`ThinSvd::conditioning`]; `sigma` descending.
pub fn conditioning(sigma: &[f64], rcond: f64) -> Conditioning {
    let sigma_max = sigma.first().copied().unwrap_or(0.0);
    let rank = sigma.iter().take_while(|&&s| s > rcond * sigma_max).count();
    let sigma_min_kept = rank.checked_sub(1).and_then(|last| sigma.get(last)).copied().unwrap_or(0.0);
    Conditioning { rank, sigma_max, sigma_min_kept }
}

/// The Moore-Penrose inverse by truncated SVD: `V diag(1 / sigma) U^T` over sigma > rcond sigma_1.
pub fn pinv(a: MatRef<'_, f64>, rcond: f64) -> Result<(Mat<f64>, Conditioning), Error> {
    ridge_inverse(a, 0.0, rcond)
}

/// The inverse with a ridge: `V diag(sigma / (sigma^2 + lambda sigma_1^2)) U^T` over sigma > rcond sigma_1. `lambda` is
/// relative to the largest eigenvalue of `A^T A`; 0 gives the Moore-Penrose inverse.
pub fn ridge_inverse(a: MatRef<'_, f64>, lambda: f64, rcond: f64) -> Result<(Mat<f64>, Conditioning), Error> {
    let svd = thin_svd(a)?;
    let kept = svd.conditioning(rcond);
    let weight = |j: usize| ridge_weight(svd.sigma[j], lambda, kept.sigma_max);
    let scaled = Mat::from_fn(svd.v.nrows(), kept.rank, |i, j| svd.v[(i, j)] / weight(j));
    Ok((product(scaled.as_ref(), svd.u.get(.., ..kept.rank).transpose()), kept))
}

/// What an inverse with a ridge divides by where the singular value is `sigma`: `sigma + lambda sigma_1^2 / sigma`.
pub fn ridge_weight(sigma: f64, lambda: f64, sigma_max: f64) -> f64 {
    sigma + lambda * sigma_max * (sigma_max / sigma)
}

/// The orthogonal factor of the polar decomposition of `a`: `P V^T` of its thin SVD over sigma > rcond sigma_1; its columns
/// (or its rows, where they are longer) are orthonormal where `a` has full rank. Of unit anchors it is their Parseval frame.
pub fn polar_factor(a: MatRef<'_, f64>, rcond: f64) -> Result<(Mat<f64>, Conditioning), Error> {
    let svd = thin_svd(a)?;
    let kept = svd.conditioning(rcond);
    Ok((svd.polar_factor(kept.rank), kept))
}

/// A matrix rounded to `f32`, row-major.
pub fn round(a: MatRef<'_, f64>) -> Vec<f32> {
    let mut rounded = Vec::with_capacity(a.nrows() * a.ncols());
    for i in 0..a.nrows() {
        rounded.extend((0..a.ncols()).map(|j| a[(i, j)] as f32));
    }
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, assert_golden, flat};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        a: golden::Matrix,
        rcond: f64,
        rank: usize,
        sigma_max: f64,
        sigma_min_kept: f64,
        pinv: golden::Matrix,
        frame: golden::Matrix,
    }

    #[test]
    fn inverses_and_frames_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/pinv.json")) {
            let (inverse, kept) = pinv(case.a.mat().as_ref(), case.rcond).unwrap();
            assert_eq!(kept.rank, case.rank, "{}", case.name);
            assert_golden(&[kept.sigma_max], &[case.sigma_max], &case.name);
            assert_golden(&[kept.sigma_min_kept], &[case.sigma_min_kept], &case.name);
            assert_golden(&flat(inverse.as_ref()), &case.pinv.data, &case.name);
            let (frame, of_frame) = polar_factor(case.a.mat().as_ref(), case.rcond).unwrap();
            assert_eq!(of_frame, kept, "{}", case.name);
            assert_golden(&flat(frame.as_ref()), &case.frame.data, &case.name);
        }
    }

    #[test]
    fn the_inverse_of_nothing_is_nothing() {
        let (inverse, kept) = pinv(Mat::zeros(3, 2).as_ref(), DEFAULT_RCOND).unwrap();
        assert_eq!(kept.rank, 0);
        assert_eq!(flat(inverse.as_ref()), [0.0; 6]);
        let (frame, _) = polar_factor(Mat::zeros(3, 2).as_ref(), DEFAULT_RCOND).unwrap();
        assert_eq!(flat(frame.as_ref()), [0.0; 6]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        let mut a = Mat::<f64>::identity(4, 3);
        a[(1, 1)] = f64::NAN;
        assert!(thin_svd(a.as_ref()).is_err());
    }

    #[test]
    fn rounding_is_row_major() {
        let a = Mat::from_fn(2, 3, |i, j| (10 * i + j) as f64);
        assert_eq!(round(a.as_ref()), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    }
}
