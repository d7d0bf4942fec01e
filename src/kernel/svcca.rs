//! Singular vector canonical correlation analysis (Raghu et al. 2017). Its golden values are those of [`super::cka`].

use faer::{Mat, MatRef};

use super::Error;
use super::moments::Moments;
use super::svd::{DEFAULT_RCOND, product, thin_svd};

/// The share of each side's variance that is kept, as in the article.
pub const VARIANCE: f64 = 0.99;

/// Each side is brought to the fewest principal directions that hold the share `variance` of its variance; the result is the
/// mean of the canonical correlations between the two, as many as the smaller side has directions. In [0, 1]. `None` where a
/// side does not vary.
pub fn svcca(moments: &Moments, variance: f64) -> Result<Option<f64>, Error> {
    if !moments.vary() {
        return Ok(None);
    }
    let (a, b) = (moments.mean_a.len(), moments.mean_b.len());
    let whiten_a = whitening(MatRef::from_row_major_slice(&moments.aa, a, a), variance)?;
    let whiten_b = whitening(MatRef::from_row_major_slice(&moments.bb, b, b), variance)?;
    let ab = MatRef::from_row_major_slice(&moments.ab, a, b);
    let between = product(product(whiten_a.transpose(), ab).as_ref(), whiten_b.as_ref());
    let correlations = thin_svd(between.as_ref())?.sigma;
    Ok(Some(correlations.iter().map(|c| c.min(1.0)).sum::<f64>() / correlations.len() as f64))
}

/// `V diag(lambda)^-1/2` over the leading eigenvectors of a side's products, one a column.
fn whitening(products: MatRef<'_, f64>, variance: f64) -> Result<Mat<f64>, Error> {
    // Symmetric and positive: singular values are eigenvalues.
    let svd = thin_svd(products)?;
    let total: f64 = svd.sigma.iter().sum();
    // Eigenvalues are squares of the rows' singular values.
    let rank = svd.conditioning(DEFAULT_RCOND * DEFAULT_RCOND).rank;
    let held = svd.sigma.iter().scan(0.0, |sum, lambda| {
        *sum += lambda;
        Some(*sum)
    });
    let kept = (held.take_while(|held| *held < variance * total).count() + 1).min(rank);
    Ok(Mat::from_fn(svd.v.nrows(), kept, |i, j| svd.v[(i, j)] / svd.sigma[j].sqrt()))
}
