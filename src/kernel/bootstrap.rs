//! Means with bootstrap intervals over rows.

use rayon::prelude::*;

/// A mean and its 95 % interval: the 26th smallest and the 26th largest of the means of 1,000 resamples with replacement.
/// Rows that all agree have an interval without width, however few they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// How many resamples are drawn.
const RESAMPLES: usize = 1000;
/// Resamples outside the interval on each side: 2.5 %.
const OUTSIDE: usize = 25;

/// The means of `M` measures over `rows`; every resample draws the same rows for all of them. `None` without rows.
///
/// Sums run in the order of rows and draws: the same rows in the same order give the same bits on any number of threads.
pub fn estimates<const M: usize>(rows: &[[f64; M]], seed: u64) -> Option<[Estimate; M]> {
    if rows.is_empty() {
        return None;
    }
    let mean = |chosen: &mut dyn Iterator<Item = usize>| {
        let mut sums = [0.0; M];
        for i in chosen {
            sums.iter_mut().zip(&rows[i]).for_each(|(sum, x)| *sum += x);
        }
        sums.map(|sum| sum / rows.len() as f64)
    };
    let means = mean(&mut (0..rows.len()));
    let resampled: Vec<[f64; M]> = (0..RESAMPLES as u64)
        .into_par_iter()
        .map(|resample| {
            let mut state = mix(mix(seed).wrapping_add(resample));
            mean(&mut (0..rows.len()).map(|_| {
                state = state.wrapping_add(STEP);
                below(mix(state), rows.len())
            }))
        })
        .collect();
    let estimate = |measure: usize| {
        let mut sorted: Vec<f64> = resampled.iter().map(|means| means[measure]).collect();
        sorted.sort_by(f64::total_cmp);
        Estimate { mean: means[measure], low: sorted[OUTSIDE], high: sorted[RESAMPLES - 1 - OUTSIDE] }
    };
    Some(std::array::from_fn(estimate))
}

/// The step of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 random bits as a number below `n`.
fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden, with_threads};

    #[derive(serde::Deserialize)]
    struct Case {
        seed: u64,
        values: Vec<f64>,
        estimate: [f64; 3],
    }

    #[test]
    fn intervals_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/bootstrap.json")) {
            let rows: Vec<[f64; 1]> = case.values.iter().map(|&x| [x]).collect();
            let [found] = estimates(&rows, case.seed).unwrap();
            assert_golden(&[found.mean, found.low, found.high], &case.estimate, "estimate");
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let mut random = Random(3);
        let rows: Vec<[f64; 2]> = (0..500).map(|_| [random.normal(), random.normal()]).collect();
        let want = with_threads(1, || estimates(&rows, 5));
        assert_eq!(with_threads(2, || estimates(&rows, 5)), want);
        assert_ne!(estimates(&rows, 6), want);
    }

    /// About 1.96 standard errors to each side.
    #[test]
    fn the_interval_is_as_wide_as_theory_says() {
        let mut random = Random(4);
        let rows: Vec<[f64; 1]> = (0..2000).map(|_| [random.normal()]).collect();
        let [found] = estimates(&rows, 0).unwrap();
        let width = 2.0 * 1.96 / 2000f64.sqrt();
        assert!(((found.high - found.low) / width - 1.0).abs() < 0.15, "{found:?}");
        assert_eq!(estimates::<1>(&[], 0), None);
    }
}
