//! How near translated rows are to the target encoder's own.

use super::Rows;
use super::bootstrap::{Estimate, estimates};
use super::center::center_into;
use super::cosine::cosine;

/// Means over paired rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity<T = f64> {
    /// Mean cosine. Flatters: where vectors share a large mean, predicting that mean scores high.
    pub cosine: T,
    /// Mean cosine after the target anchors' mean is taken from both; a row that equals the mean counts 0.
    pub centred_cosine: T,
    /// Mean squared difference of two numbers, over all numbers of all rows.
    pub mse: T,
}

/// The similarity of row i of `translated` to row i of `native`; `None` without rows.
pub fn similarity(translated: Rows<'_>, native: Rows<'_>, center: &[f32]) -> Option<Similarity> {
    let n = native.len();
    let mut sums = [0.0; 3];
    similarities(translated, native, center).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
    let [cosine, centred_cosine, mse] = sums.map(|sum| sum / n as f64);
    (n > 0).then_some(Similarity { cosine, centred_cosine, mse })
}

/// [`similarity`] with intervals drawn by `seed`.
pub fn estimated(translated: Rows<'_>, native: Rows<'_>, center: &[f32], seed: u64) -> Option<Similarity<Estimate>> {
    let rows: Vec<[f64; 3]> = similarities(translated, native, center).collect();
    let [cosine, centred_cosine, mse] = estimates(&rows, seed)?;
    Some(Similarity { cosine, centred_cosine, mse })
}

/// Cosine, centred cosine and mean squared difference of every pair.
pub fn similarities<'a>(
    translated: Rows<'a>,
    native: Rows<'a>,
    center: &'a [f32],
) -> impl Iterator<Item = [f64; 3]> + 'a {
    let (mut a, mut b) = (vec![0.0; center.len()], vec![0.0; center.len()]);
    translated.iter().zip(native.iter()).map(move |(t, y)| {
        center_into(t, center, &mut a);
        center_into(y, center, &mut b);
        let squares: f64 = t.iter().zip(y).map(|(&t, &y)| (f64::from(t) - f64::from(y)).powi(2)).sum();
        [cosine(t, y).unwrap_or(0.0), cosine(&a, &b).unwrap_or(0.0), squares / center.len() as f64]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_at_the_mean_counts_zero() {
        let (translated, native) = ([1.0, 1.0, 2.0, 1.0], [1.0, 1.0, 3.0, 1.0]);
        let (translated, native) = (Rows::new(&translated, 2), Rows::new(&native, 2));
        let found = similarity(translated, native, &[1.0, 1.0]).unwrap();
        assert_eq!((found.centred_cosine, found.mse), (0.5, 0.25));
        assert!((found.cosine - (1.0 + 7.0 / 50f64.sqrt()) / 2.0).abs() < 1e-12);
        let estimated = estimated(translated, native, &[1.0, 1.0], 0).unwrap();
        assert_eq!([estimated.cosine.mean, estimated.centred_cosine.mean], [found.cosine, 0.5]);
        assert_eq!(similarity(Rows::new(&[], 2), Rows::new(&[], 2), &[0.0, 0.0]), None);
    }
}
