//! How long the rows of an encoder are: the distribution of their norms, one pass, mergeable (section 4.2 and Figure 5 of the paper).
//!
//! Moments are summed in `f64` (Pebay 2008), and change by the order of rows in the last places; counts by bins of 1/64 octave do not, and
//! give median and outliers to about a percent.

use std::collections::BTreeMap;

/// Bins of an octave.
const BINS: f64 = 64.0;
/// Norms farther from the median than so many robust deviations (1.4826 times the median distance) are outliers.
const OUTLIER: f64 = 5.0;
/// The median distance of normal numbers from their median, inverse.
const ROBUST: f64 = 1.4826;

/// Norms seen so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Norms {
    /// How many.
    pub count: u64,
    /// Their mean, and the sums of the second, third and fourth powers of what they differ from it by.
    pub moments: [f64; 4],
    /// The least and the largest.
    pub range: Option<(f64, f64)>,
    /// How many are in each bin, `floor(64 log2 norm)`; zeros are below all others.
    pub bins: BTreeMap<i32, u64>,
}

/// What they are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// How many rows.
    pub rows: u64,
    /// The mean norm.
    pub mean: f64,
    /// Sample standard deviation; 0 of one row.
    pub deviation: f64,
    /// `m_3 / m_2^(3/2)`; 0 of equal norms.
    pub skew: f64,
    /// The least norm.
    pub minimum: f64,
    /// The norm in the middle, to about a percent.
    pub median: f64,
    /// The largest norm.
    pub maximum: f64,
    /// Share of rows far from the median.
    pub outliers: f64,
    /// Sarle's coefficient, `(skew^2 + 1) / kurtosis` with the correction for few rows: above 5 / 9, that of a uniform distribution, there is more
    /// than one mode, or a heavy tail. `None` of fewer than four rows or equal norms.
    pub bimodality: Option<f64>,
}

impl Norms {
    /// Adds one.
    pub fn add(&mut self, norm: f64) {
        let one = Self {
            count: 1,
            moments: [norm, 0.0, 0.0, 0.0],
            range: Some((norm, norm)),
            bins: BTreeMap::from([(bin(norm), 1)]),
        };
        self.merge(&one);
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let ([mean, m2, m3, m4], [mean_b, m2_b, m3_b, m4_b]) = (self.moments, other.moments);
        let (n, d) = (a + b, mean_b - mean);
        self.moments = [
            mean + d * b / n,
            m2 + m2_b + d * d * a * b / n,
            m3 + m3_b + d.powi(3) * a * b * (a - b) / (n * n) + 3.0 * d * (a * m2_b - b * m2) / n,
            m4 + m4_b
                + d.powi(4) * a * b * (a * a - a * b + b * b) / n.powi(3)
                + 6.0 * d * d * (a * a * m2_b + b * b * m2) / (n * n)
                + 4.0 * d * (a * m3_b - b * m3) / n,
        ];
        self.count += other.count;
        self.range = match (self.range, other.range) {
            (Some((least, most)), Some((other_least, other_most))) => {
                Some((least.min(other_least), most.max(other_most)))
            }
            (range, other) => range.or(other),
        };
        other.bins.iter().for_each(|(bin, count)| *self.bins.entry(*bin).or_insert(0) += count);
    }

    /// What they are like; `None` of none.
    pub fn scale(&self) -> Option<Scale> {
        let (minimum, maximum) = self.range?;
        let n = self.count as f64;
        let [mean, m2, m3, m4] = self.moments;
        let varies = m2 > 0.0 && maximum > minimum;
        let skew = if varies { n.sqrt() * m3 / m2.powf(1.5) } else { 0.0 };
        let bimodality = (varies && self.count > 3).then(|| {
            // Of the sample, for normal numbers 0.
            let g = skew * (n * (n - 1.0)).sqrt() / (n - 2.0);
            let k = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * (n * m4 / (m2 * m2) - 3.0) + 6.0);
            (g * g + 1.0) / (k + 3.0 * (n - 1.0).powi(2) / ((n - 2.0) * (n - 3.0)))
        });
        let median = middle(self.bins.iter().map(|(bin, count)| (norm_of(*bin), *count)).collect(), self.count);
        let distances = self.bins.iter().map(|(bin, count)| ((norm_of(*bin) - median).abs(), *count));
        let mut distances: Vec<(f64, u64)> = distances.collect();
        distances.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Norms in one bin with the median differ from it by nothing that is known.
        let far =
            (OUTLIER * ROBUST * middle(distances.clone(), self.count)).max(median * (2f64.powf(2.0 / BINS) - 1.0));
        let outliers: u64 = distances.iter().filter(|(distance, _)| *distance > far).map(|(_, count)| count).sum();
        Some(Scale {
            rows: self.count,
            mean,
            deviation: if self.count > 1 { (m2 / (n - 1.0)).sqrt() } else { 0.0 },
            skew,
            minimum,
            median: median.clamp(minimum, maximum),
            maximum,
            outliers: outliers as f64 / n,
            bimodality,
        })
    }
}

fn bin(norm: f64) -> i32 {
    if norm > 0.0 { (norm.log2() * BINS).floor() as i32 } else { i32::MIN }
}

/// The middle of a bin.
fn norm_of(bin: i32) -> f64 {
    if bin == i32::MIN { 0.0 } else { 2f64.powf((f64::from(bin) + 0.5) / BINS) }
}

/// The value in the middle of values, ascending, that occur so often.
fn middle(values: Vec<(f64, u64)>, count: u64) -> f64 {
    let mut below = 0;
    let found = values.iter().find(|(_, times)| {
        below += times;
        2 * below >= count
    });
    found.map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::Random;

    fn of(norms: &[f64]) -> Norms {
        let mut all = Norms::default();
        norms.iter().for_each(|norm| all.add(*norm));
        all
    }

    /// Against the sums that the definitions say.
    #[test]
    fn moments_are_those_of_the_definitions_and_merge() {
        let mut random = Random(8);
        let norms: Vec<f64> = (0..2001).map(|_| (3.0 + random.normal() * 0.4).abs().powi(2)).collect();
        let n = norms.len() as f64;
        let mean = norms.iter().sum::<f64>() / n;
        let power = |p: i32| norms.iter().map(|x| (x - mean).powi(p)).sum::<f64>() / n;
        let whole = of(&norms);
        let scale = whole.scale().unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.0);
        assert!(near(scale.mean, mean) && near(scale.deviation, (power(2) * n / (n - 1.0)).sqrt()));
        assert!(near(scale.skew, power(3) / power(2).powf(1.5)));
        let kurtosis = power(4) / power(2).powi(2);
        assert!((scale.bimodality.unwrap() - (scale.skew.powi(2) + 1.0) / kurtosis).abs() < 0.01);
        let mut sorted = norms.clone();
        sorted.sort_by(f64::total_cmp);
        assert!((scale.median / sorted[1000] - 1.0).abs() < 0.012, "{} {}", scale.median, sorted[1000]);
        let mut merged = of(&norms[..700]);
        merged.merge(&of(&norms[700..]));
        assert_eq!((merged.count, &merged.bins, merged.range), (whole.count, &whole.bins, whole.range));
        assert!(merged.moments.iter().zip(whole.moments).all(|(a, b)| near(*a, b)));
    }

    #[test]
    fn two_modes_and_outliers_are_seen() {
        let mut random = Random(9);
        let mut around =
            |center: f64, count: usize| (0..count).map(|_| center + 0.1 * random.normal()).collect::<Vec<_>>();
        let one = of(&around(5.0, 3000)).scale().unwrap();
        assert!(one.bimodality.unwrap() < 5.0 / 9.0 && one.outliers < 0.001, "{one:?}");
        let two = of(&[around(5.0, 1500), around(9.0, 1500)].concat()).scale().unwrap();
        assert!(two.bimodality.unwrap() > 0.9, "{two:?}");
        let far = of(&[around(5.0, 990), around(50.0, 10)].concat()).scale().unwrap();
        assert!((far.outliers - 0.01).abs() < 0.002, "{far:?}");
        let unit = of(&[1.0; 10]).scale().unwrap();
        assert_eq!((unit.deviation, unit.skew, unit.outliers, unit.bimodality), (0.0, 0.0, 0.0, None));
        assert_eq!(of(&[]).scale(), None);
        assert_eq!(of(&[0.0, 0.0, 2.0]).scale().unwrap().minimum, 0.0);
    }
}
