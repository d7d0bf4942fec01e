//! How near translated rows are to the target encoder's own.

use super::Rows;
use super::center::center_into;
use super::cosine::cosine;

/// Mean cosines of paired rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Mean cosine. Flatters: where vectors share a large mean, predicting that mean scores high.
    pub cosine: f64,
    /// Mean cosine after the target anchors' mean is taken from both; a row that equals the mean counts 0.
    pub centred_cosine: f64,
}

/// The similarity of row i of `translated` to row i of `native`; `None` without rows.
pub fn similarity(translated: Rows<'_>, native: Rows<'_>, center: &[f32]) -> Option<Similarity> {
    let n = native.len();
    let (mut plain, mut centred) = (0.0, 0.0);
    let (mut a, mut b) = (vec![0.0; center.len()], vec![0.0; center.len()]);
    for (t, y) in translated.iter().zip(native.iter()) {
        plain += cosine(t, y).unwrap_or(0.0);
        center_into(t, center, &mut a);
        center_into(y, center, &mut b);
        centred += cosine(&a, &b).unwrap_or(0.0);
    }
    (n > 0).then(|| Similarity { cosine: plain / n as f64, centred_cosine: centred / n as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_at_the_mean_counts_zero() {
        let (translated, native) = ([1.0, 1.0, 2.0, 1.0], [1.0, 1.0, 3.0, 1.0]);
        let found = similarity(Rows::new(&translated, 2), Rows::new(&native, 2), &[1.0, 1.0]).unwrap();
        assert_eq!(found.centred_cosine, 0.5);
        assert!((found.cosine - (1.0 + 7.0 / 50f64.sqrt()) / 2.0).abs() < 1e-12);
        assert_eq!(similarity(Rows::new(&[], 2), Rows::new(&[], 2), &[0.0, 0.0]), None);
    }
}
