//! Means and cross products of paired rows in one pass, in `f64`: what CKA and SVCCA are made of.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::Rows;
use super::center::noise_floor;

/// Rows that are multiplied at once.
const BLOCK_ROWS: usize = 256;

/// Count, means and sums of products of deviations from the means. Parts can be merged in any order, to about 1e-12
/// (Chan, Golub and LeVeque 1979); memory depends on the widths alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// How many pairs were added.
    pub count: u64,
    /// Means of a.
    pub mean_a: Vec<f64>,
    /// Means of b.
    pub mean_b: Vec<f64>,
    /// `A^T A` of deviations, row-major.
    pub aa: Vec<f64>,
    /// `B^T B`.
    pub bb: Vec<f64>,
    /// `A^T B`.
    pub ab: Vec<f64>,
}

impl Moments {
    /// Of no rows, for these widths.
    pub fn new(a: usize, b: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self { count: 0, mean_a: zeros(a), mean_b: zeros(b), aa: zeros(a * a), bb: zeros(b * b), ab: zeros(a * b) }
    }

    /// Adds paired rows.
    pub fn add(&mut self, a: Rows<'_>, b: Rows<'_>) {
        for first in (0..a.len()).step_by(BLOCK_ROWS) {
            let rows = first..(first + BLOCK_ROWS).min(a.len());
            let count = rows.len() as u64;
            let ((mean_a, a), (mean_b, b)) = (deviations(a, rows.clone()), deviations(b, rows));
            self.shift(count, &mean_a, &mean_b);
            add_product(&mut self.aa, a.as_ref(), a.as_ref());
            add_product(&mut self.bb, b.as_ref(), b.as_ref());
            add_product(&mut self.ab, a.as_ref(), b.as_ref());
        }
    }

    /// Adds another part, of the same widths.
    pub fn merge(&mut self, other: &Self) {
        self.shift(other.count, &other.mean_a, &other.mean_b);
        for (mine, theirs) in [(&mut self.aa, &other.aa), (&mut self.bb, &other.bb), (&mut self.ab, &other.ab)] {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// Moves the means as `count` more rows of these means do, and adds what the distance of the means contributes to the
    /// products; the rows' own products are still to be added.
    fn shift(&mut self, count: u64, mean_a: &[f64], mean_b: &[f64]) {
        if count == 0 {
            return;
        }
        let (mine, more) = (self.count as f64, count as f64);
        let from = |mean: &[f64], other: &[f64]| -> Vec<f64> { other.iter().zip(mean).map(|(o, m)| o - m).collect() };
        let (a, b) = (from(&self.mean_a, mean_a), from(&self.mean_b, mean_b));
        let weight = mine * more / (mine + more);
        for (products, left, right) in [(&mut self.aa, &a, &a), (&mut self.bb, &b, &b), (&mut self.ab, &a, &b)] {
            for (row, l) in products.chunks_exact_mut(right.len().max(1)).zip(left) {
                row.iter_mut().zip(right).for_each(|(product, r)| *product += weight * l * r);
            }
        }
        let share = more / (mine + more);
        self.mean_a.iter_mut().zip(&a).for_each(|(mean, delta)| *mean += share * delta);
        self.mean_b.iter_mut().zip(&b).for_each(|(mean, delta)| *mean += share * delta);
        self.count += count;
    }

    /// Whether both sides vary by more than the noise of `f32` numbers as large as their means.
    pub fn vary(&self) -> bool {
        let varies = |mean: &[f64], products: &[f64]| {
            let length = mean.iter().map(|m| m * m).sum::<f64>().sqrt();
            let variance: f64 = products.iter().step_by(mean.len() + 1).sum::<f64>() / self.count as f64;
            variance.sqrt() > noise_floor(length)
        };
        self.count > 0 && varies(&self.mean_a, &self.aa) && varies(&self.mean_b, &self.bb)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let numbers = self.mean_a.len() + self.mean_b.len() + self.aa.len() + self.bb.len() + self.ab.len();
        numbers * size_of::<f64>()
    }
}

/// The mean of some rows and the rows without it.
fn deviations(rows: Rows<'_>, of: std::ops::Range<usize>) -> (Vec<f64>, Mat<f64>) {
    let mut mean = vec![0.0; rows.width()];
    for i in of.clone() {
        mean.iter_mut().zip(rows.row(i)).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    mean.iter_mut().for_each(|sum| *sum /= of.len() as f64);
    let matrix = Mat::from_fn(of.len(), rows.width(), |i, j| f64::from(rows.row(of.start + i)[j]) - mean[j]);
    (mean, matrix)
}

/// `products += a^T b`.
fn add_product(products: &mut [f64], a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let products = MatMut::from_row_major_slice_mut(products, a.ncols(), b.ncols());
    matmul(products, Accum::Add, a.transpose(), b, 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, assert_near};

    #[test]
    fn parts_merge_in_any_order() {
        let mut random = Random(9);
        // Far from the origin, where plain sums of products lose most digits.
        let far = |rows: Vec<f32>| -> Vec<f32> { rows.into_iter().map(|x| x + 1000.0).collect() };
        let (a, b) = (far(random.rows(700, 4)), far(random.rows(700, 3)));
        let (a, b) = (Rows::new(&a, 4), Rows::new(&b, 3));
        let mut whole = Moments::new(4, 3);
        whole.add(a, b);
        for _ in 0..5 {
            let mut parts = vec![Moments::new(4, 3); 4];
            for i in random.shuffled(700) {
                let part = random.below(3);
                parts[part].add(Rows::new(a.row(i), 4), Rows::new(b.row(i), 3));
            }
            let mut merged = Moments::new(4, 3);
            for i in random.shuffled(4) {
                merged.merge(&parts[i]);
            }
            assert_eq!(merged.count, 700);
            for (got, want) in [
                (&merged.mean_a, &whole.mean_a),
                (&merged.mean_b, &whole.mean_b),
                (&merged.aa, &whole.aa),
                (&merged.bb, &whole.bb),
                (&merged.ab, &whole.ab),
            ] {
                assert_near(got, want, 1e-9, "moments");
            }
        }
    }

    #[test]
    fn what_is_constant_does_not_vary() {
        let constant = [0.1, 0.7, 0.1, 0.7, 0.1, 0.7];
        let mut moments = Moments::new(2, 1);
        assert!(!moments.vary());
        moments.add(Rows::new(&constant, 2), Rows::new(&[1.0, 2.0, 3.0], 1));
        assert!(!moments.vary());
        moments.add(Rows::new(&[0.2, 0.7], 2), Rows::new(&[1.0], 1));
        assert!(moments.vary());
    }
}
