//! How well the anchors cover a row: the traits of a row that tell, and what they are worth, learned from rows that a
//! translator was not fitted on.

use faer::{Mat, MatRef};

use super::block::{Factor, Scratch, multiply};
use super::center::{Centered, center_normalize_row, centered_norm, noise_floor};
use super::norm::norm;
use super::svd::{DEFAULT_RCOND, product, ridge_inverse};
use super::translate::{NotFinite, Translation};
use super::{Error, Rows};

/// The natural logarithms of `|nu(x - mu) T|`, of the leverage `sum_j ((x - mu) . d_j)^2 / v_j` under the anchors' covariance
/// and of `|x - mu|`, and the share `sum_j (nu(x - mu) . d_j)^2` of the row that lies in the leading directions d_j, of
/// variances v_j.
pub type Traits = [f64; TRAITS];

/// Numbers in [`Traits`].
const TRAITS: usize = 4;

/// Numbers of a calibration.
const NUMBERS: usize = 1 + TRAITS * 4;

/// A trait that varies less among rows says nothing: an orthogonal map makes all results as long.
const LEAST_DEVIATION: f64 = 1e-4;

/// The ridge of the calibration, relative to the largest eigenvalue: traits go together.
const RIDGE: f64 = 1e-3;

/// Where the anchors of a space lie.
#[derive(Debug, Clone, Copy)]
pub struct Coverage<'a> {
    /// mu, d.
    pub mean: &'a [f32],
    /// Leading principal directions, m x d.
    pub directions: Rows<'a>,
    /// Variances along them, m.
    pub variances: &'a [f64],
}

impl Coverage<'_> {
    /// The traits of `count` rows; `None` of a NULL row, and of one that equals the mean. `lengths` are those of their unscaled
    /// results, see [`Translation::lengths`].
    pub fn traits<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        lengths: &[f64],
        scratch: &mut Scratch,
    ) -> Result<Vec<Option<Traits>>, NotFinite> {
        let floor = noise_floor(norm(self.mean));
        let m = self.directions.len();
        let mut along = vec![0.0; count * m];
        let mut directed = vec![false; count];
        let fill = |i: usize, input: &mut [f32]| {
            match center_normalize_row(row(i), self.mean, floor, input) {
                Centered::NotFinite => return Err(NotFinite { row: i }),
                centered => directed[i] = centered == Centered::Direction,
            }
            Ok(())
        };
        let factor = Factor::Transposed(self.directions.as_slice());
        multiply(count, (self.mean.len(), m), factor, scratch, &mut along, fill, |_, _| ())?;
        let traits = |i: usize| {
            let x = row(i).filter(|_| directed[i])?;
            let (mut share, mut leverage) = (0.0, 0.0);
            for (&along, variance) in along[i * m..(i + 1) * m].iter().zip(self.variances) {
                let square = f64::from(along).powi(2);
                share += square;
                leverage += square / variance;
            }
            let (length, own) = (log(lengths[i]), log(centered_norm(x, self.mean)));
            Some([length, log(leverage) + 2.0 * own, own, share])
        };
        Ok((0..count).map(traits).collect())
    }
}

/// The logarithm, of 0 a very low one.
fn log(x: f64) -> f64 {
    x.max(f64::MIN_POSITIVE).ln()
}

/// What the traits are worth: the centred cosine that a row's translation may be expected to have to the target encoder's own
/// vector, linear in the traits, and falling where a trait is beyond all that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    base: f64,
    worth: [Worth; TRAITS],
}

/// What one trait is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Worth {
    /// A unit of it, between `low` and `high`.
    slope: f64,
    /// What a unit beyond them costs.
    cost: f64,
    low: f64,
    high: f64,
}

impl Calibration {
    /// Least squares with a small ridge of `cosines` on standardised `traits`, row by row the same. A standard deviation of a
    /// trait beyond its range costs a standard deviation of the cosines.
    pub fn fit(traits: &[Traits], cosines: &[f64]) -> Result<Self, Error> {
        let moments = |values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.collect();
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
        };
        let of: [(f64, f64); TRAITS] = std::array::from_fn(|j| moments(&mut traits.iter().map(|row| row[j])));
        let (mean, deviation) = moments(&mut cosines.iter().copied());
        let varies = |j: usize| of[j].1 > LEAST_DEVIATION;
        let standard = |i: usize, j: usize| if varies(j) { (traits[i][j] - of[j].0) / of[j].1 } else { 0.0 };
        let standard = Mat::from_fn(traits.len(), TRAITS, standard);
        let off = Mat::from_fn(cosines.len(), 1, |i, _| cosines[i] - mean);
        let (inverse, _) = ridge_inverse(standard.as_ref(), RIDGE, DEFAULT_RCOND)?;
        let weights = product(inverse.as_ref(), MatRef::from(off.as_ref()));
        let mut fitted = Self { base: mean, worth: [Worth::default(); TRAITS] };
        for (j, worth) in fitted.worth.iter_mut().enumerate().filter(|(j, _)| varies(*j)) {
            let range = traits.iter().map(|row| row[j]);
            *worth = Worth {
                slope: weights[(j, 0)] / of[j].1,
                cost: deviation / of[j].1,
                low: range.clone().fold(f64::INFINITY, f64::min),
                high: range.fold(f64::NEG_INFINITY, f64::max),
            };
            fitted.base -= worth.slope * of[j].0;
        }
        Ok(fitted)
    }

    /// The confidence in a row of these traits, 0 to 1; 0 for one that has none.
    pub fn confidence(&self, traits: Option<Traits>) -> f64 {
        let Some(traits) = traits else { return 0.0 };
        let worth = self.worth.iter().zip(traits).map(|(worth, x)| {
            let within = x.clamp(worth.low, worth.high);
            worth.slope * within - worth.cost * (x - within).abs()
        });
        (self.base + worth.sum::<f64>()).clamp(0.0, 1.0)
    }

    /// As it is stored.
    pub fn numbers(&self) -> Vec<f64> {
        let worth = self.worth.iter().flat_map(|worth| [worth.slope, worth.cost, worth.low, worth.high]);
        std::iter::once(self.base).chain(worth).collect()
    }

    /// What [`Calibration::numbers`] gave; `None` of anything else.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let (&base, rest) = numbers.split_first()?;
        let mut worth = [Worth::default(); TRAITS];
        for (worth, numbers) in worth.iter_mut().zip(rest.chunks_exact(4)) {
            *worth = Worth { slope: numbers[0], cost: numbers[1], low: numbers[2], high: numbers[3] };
        }
        let sound = numbers.len() == NUMBERS
            && numbers.iter().all(|x| x.is_finite())
            && worth.iter().all(|worth| worth.low <= worth.high);
        sound.then_some(Self { base, worth })
    }
}

/// A tenth of some rows, by rising confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decile {
    /// The least confidence.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// How many rows it has.
    pub rows: usize,
    /// Their mean cosine.
    pub cosine: f64,
}

/// The tenths of rows by their confidence; equal ones stay in their order. Tenths without rows are left out.
pub fn deciles(confidences: &[f64], cosines: &[f64]) -> Vec<Decile> {
    let mut order: Vec<usize> = (0..confidences.len()).collect();
    order.sort_by(|&i, &j| confidences[i].total_cmp(&confidences[j]));
    let tenth = |i: usize| {
        let rows = &order[i * order.len() / 10..(i + 1) * order.len() / 10];
        let (first, last) = (rows.first()?, rows.last()?);
        Some(Decile {
            low: confidences[*first],
            high: confidences[*last],
            rows: rows.len(),
            cosine: rows.iter().map(|&i| cosines[i]).sum::<f64>() / rows.len() as f64,
        })
    };
    (0..10).filter_map(tenth).collect()
}

/// Confidence in the translations of a translator.
#[derive(Debug, Clone, Copy)]
pub struct Confidence<'a> {
    /// The translator.
    pub translation: Translation<'a>,
    /// Where its source's anchors lie.
    pub coverage: Coverage<'a>,
    /// What that is worth.
    pub calibration: &'a Calibration,
}

impl Confidence<'_> {
    /// The confidence in `count` rows, 0 to 1; of a NULL row and of one that equals the mean 0.
    pub fn apply<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
    ) -> Result<Vec<f64>, NotFinite> {
        let lengths = self.translation.lengths(count, &row, scratch)?;
        self.of_lengths(count, row, &lengths, scratch)
    }

    /// The same where the lengths of the unscaled results are known already.
    pub fn of_lengths<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        lengths: &[f64],
        scratch: &mut Scratch,
    ) -> Result<Vec<f64>, NotFinite> {
        let traits = self.coverage.traits(count, row, lengths, scratch)?;
        Ok(traits.into_iter().map(|traits| self.calibration.confidence(traits)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden};
    use crate::kernel::translate::Length;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        mean: Vec<f64>,
        matrix: golden::Matrix,
        directions: golden::Matrix,
        variances: Vec<f64>,
        rows: golden::Matrix,
        cosines: Vec<f64>,
        traits: golden::Matrix,
        calibration: Vec<f64>,
        others: golden::Matrix,
        confidences: Vec<f64>,
    }

    #[test]
    fn confidences_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/confidence.json")) {
            let (name, width) = (&case.name, case.rows.columns);
            let narrow = |m: &golden::Matrix| m.narrow();
            let (mean, matrix) = (golden::narrow(&case.mean), narrow(&case.matrix));
            let (directions, target_mean) = (narrow(&case.directions), vec![0.0; case.matrix.columns]);
            let translation = Translation {
                source_mean: &mean,
                matrix: &matrix,
                target_mean: &target_mean,
                scale: 2.0,
                length: Length::Scaled,
                unit_output: true,
            };
            let coverage =
                Coverage { mean: &mean, directions: Rows::new(&directions, width), variances: &case.variances };
            let rows = narrow(&case.rows);
            let rows = Rows::new(&rows, width);
            let scratch = &mut Scratch::default();
            let lengths = translation.lengths(rows.len(), |i| Some(rows.row(i)), scratch).unwrap();
            let traits = coverage.traits(rows.len(), |i| Some(rows.row(i)), &lengths, scratch).unwrap();
            let traits: Vec<Traits> = traits.into_iter().map(Option::unwrap).collect();
            assert_golden(&traits.concat(), &case.traits.data, name);

            let calibration = Calibration::fit(&traits, &case.cosines).unwrap();
            assert_golden(&calibration.numbers(), &case.calibration, name);
            let others = narrow(&case.others);
            let others = Rows::new(&others, width);
            let confidence = Confidence { translation, coverage, calibration: &calibration };
            let found = confidence.apply(others.len(), |i| Some(others.row(i)), scratch).unwrap();
            assert_golden(&found, &case.confidences, name);
        }
    }

    #[test]
    fn a_calibration_is_read_as_it_was_stored() {
        let mut random = Random(1);
        let traits: Vec<Traits> = (0..60).map(|_| std::array::from_fn(|_| random.normal())).collect();
        let cosines: Vec<f64> = traits.iter().map(|row| 0.5 + 0.1 * row[0]).collect();
        let calibration = Calibration::fit(&traits, &cosines).unwrap();
        let numbers = calibration.numbers();
        assert_eq!(Calibration::from_numbers(&numbers), Some(calibration.clone()));
        assert_eq!(Calibration::from_numbers(&numbers[1..]), None);
        assert_eq!(Calibration::from_numbers(&[f64::NAN; NUMBERS]), None);
        // What the cosines hang on is found, and beyond all that was seen confidence falls on both sides.
        let of = |x: f64| calibration.confidence(Some([x, 0.0, 0.0, 0.0]));
        assert!((of(1.0) - of(-1.0) - 0.2).abs() < 0.01, "{} {}", of(1.0), of(-1.0));
        assert!(of(100.0) == 0.0 && of(-100.0) == 0.0 && of(f64::MIN) == 0.0);
        assert_eq!(calibration.confidence(None), 0.0);
    }

    #[test]
    fn traits_that_do_not_vary_say_nothing() {
        let traits: Vec<Traits> = (0..50).map(|i| [1.0 + 1e-7 * f64::from(i % 3), 2.0, 3.0, 0.5]).collect();
        let calibration = Calibration::fit(&traits, &[0.6; 50]).unwrap();
        assert!((calibration.confidence(Some([9.0; TRAITS])) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn tenths_are_even_and_rise() {
        let confidences: Vec<f64> = (0..55).map(|i| f64::from(i * 7 % 55)).collect();
        let cosines: Vec<f64> = confidences.iter().map(|x| 2.0 * x).collect();
        let found = deciles(&confidences, &cosines);
        assert_eq!(found.iter().map(|tenth| tenth.rows).sum::<usize>(), 55);
        assert!(found.iter().all(|tenth| (5..=6).contains(&tenth.rows) && tenth.low <= tenth.high));
        assert!(found.is_sorted_by(|a, b| a.high < b.low && a.cosine < b.cosine));
        assert_eq!(found[0], Decile { low: 0.0, high: 4.0, rows: 5, cosine: 4.0 });
        assert_eq!(deciles(&[0.5; 3], &[1.0; 3]).len(), 3);
    }
}
