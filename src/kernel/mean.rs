//! The mean vector, with the same `f32` bits whatever the order of the rows.

use super::Rows;

/// A running sum of vectors of one width; sums of parts can be added.
///
/// Every component is an unevaluated pair of `f64`: the rounded sum, and the sum of what its roundings lost (two-sum, as in
/// Neumaier's summation). For n numbers the pair is within `n^2 2^-106 sum |x|` of the true sum. It *is* the true sum, which
/// has no order, where all numbers are multiples of a power of two q and `n^2 max |x| < 2^104 q`: a billion `f32` numbers
/// whose magnitudes, zero apart, are within a factor of a million, or a million within 1e12. Beyond that, two orders can
/// give different `f32` bits only where the true mean is that close to a midpoint between two `f32` numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeanSum {
    /// Rounded sum of every component; empty until the first vector.
    pub sum: Vec<f64>,
    /// What the roundings of `sum` lost, by component.
    pub compensation: Vec<f64>,
    /// How many vectors were added.
    pub count: u64,
}

impl MeanSum {
    /// Adds one vector. One that is not finite makes the mean not finite.
    pub fn add(&mut self, v: &[f32]) {
        self.widen_to(v.len());
        for ((sum, lost), &x) in self.sum.iter_mut().zip(&mut self.compensation).zip(v) {
            accumulate(sum, lost, f64::from(x));
        }
        self.count += 1;
    }

    /// Adds the [`state`](Self::state) of another part; a part without vectors changes nothing.
    pub fn merge(&mut self, sum: &[f64], compensation: &[f64], count: u64) {
        self.widen_to(sum.len());
        for (((sum, lost), &x), &more) in self.sum.iter_mut().zip(&mut self.compensation).zip(sum).zip(compensation) {
            accumulate(sum, lost, x);
            *lost += more;
        }
        self.count += count;
    }

    /// What [`merge`](Self::merge) takes: sum, compensation, count.
    pub fn state(&self) -> (&[f64], &[f64], u64) {
        (&self.sum, &self.compensation, self.count)
    }

    /// Numbers in a vector, or `None` before the first.
    pub fn width(&self) -> Option<usize> {
        (self.count > 0).then_some(self.sum.len())
    }

    /// The mean, or `None` of nothing.
    pub fn mean(&self) -> Option<Vec<f64>> {
        let count = self.count as f64;
        let mean = || self.sum.iter().zip(&self.compensation).map(|(sum, lost)| (sum + lost) / count).collect();
        (self.count > 0).then(mean)
    }

    fn widen_to(&mut self, width: usize) {
        if self.sum.len() < width {
            self.sum.resize(width, 0.0);
            self.compensation.resize(width, 0.0);
        }
    }
}

/// `sum += x`; `lost` takes the rounding error, which is exact (Knuth's two-sum).
fn accumulate(sum: &mut f64, lost: &mut f64, x: f64) {
    let rounded = *sum + x;
    let of_x = rounded - *sum;
    *lost += (*sum - (rounded - of_x)) + (x - of_x);
    *sum = rounded;
}

/// The mean of `rows`.
pub fn mean(rows: Rows<'_>) -> Vec<f64> {
    let mut sum = MeanSum::default();
    for row in rows.iter() {
        sum.add(row);
    }
    sum.mean().unwrap_or_else(|| vec![0.0; rows.width()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, bits, narrow};
    use proptest::prelude::*;

    /// Numbers of magnitudes from 2^-range to 2^range.
    fn mixed(random: &mut Random, count: usize, range: i32) -> Vec<f32> {
        (0..count)
            .map(|_| random.normal() as f32 * 2f32.powi(random.below(2 * range as usize + 1) as i32 - range))
            .collect()
    }

    /// The mean of the rows taken in some order, split into some parts (some of them empty) that are merged in some order.
    fn scattered(random: &mut Random, rows: Rows<'_>) -> Vec<f64> {
        let mut parts = vec![MeanSum::default(); 1 + random.below(7)];
        for i in random.shuffled(rows.len()) {
            let part = random.below(parts.len());
            parts[part].add(rows.row(i));
        }
        let mut whole = MeanSum::default();
        for i in random.shuffled(parts.len()) {
            let (sum, compensation, count) = parts[i].state();
            whole.merge(sum, compensation, count);
        }
        whole.mean().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn shuffled_and_split_sums_have_the_same_bits(seed: u64, n in 1usize..300, range in 0i32..80) {
            let mut random = Random(seed);
            let data = mixed(&mut random, 3 * n, range);
            let rows = Rows::new(&data, 3);
            let want = bits(&narrow(&mean(rows)));
            for _ in 0..4 {
                prop_assert_eq!(&bits(&narrow(&scattered(&mut random, rows))), &want);
            }
        }

        /// Against sums of integers, within the range where the pair is exact.
        #[test]
        fn the_sum_is_exact_where_promised(seed: u64, n in 1usize..300) {
            const UNIT: f64 = 1.0 / (1u64 << 60) as f64;
            let mut random = Random(seed);
            // Multiples of 2^-60, up to 2^23.
            let data: Vec<f32> = mixed(&mut random, n, 20)
                .iter()
                .map(|x| ((f64::from(*x) / UNIT).round() * UNIT) as f32)
                .filter(|x| (f64::from(*x) / UNIT).fract() == 0.0)
                .collect();
            prop_assume!(!data.is_empty());
            let exact: i128 = data.iter().map(|&x| (f64::from(x) / UNIT) as i128).sum();
            let want = exact as f64 * UNIT / data.len() as f64;
            prop_assert_eq!(scattered(&mut random, Rows::new(&data, 1)), [want]);
        }
    }

    #[test]
    fn what_cancels_leaves_the_rest() {
        assert_eq!(mean(Rows::new(&[1e15, 1.0, -1e15, 1.0, 3e15, 1.0, -3e15, 1.0], 1)), [0.5]);
    }

    #[test]
    fn an_empty_part_changes_nothing() {
        let mut sum = MeanSum::default();
        assert_eq!(sum.mean(), None);
        sum.merge(&[], &[], 0);
        sum.add(&[1.0, 2.0]);
        sum.merge(&[], &[], 0);
        assert_eq!(sum.mean(), Some(vec![1.0, 2.0]));
        assert_eq!(mean(Rows::new(&[], 2)), [0.0, 0.0]);
    }

    #[test]
    fn a_vector_that_is_not_finite_shows() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mean = mean(Rows::new(&[1.0, bad, 2.0, 3.0], 2));
            assert!(mean[0] == 1.5 && !mean[1].is_finite());
        }
    }
}
