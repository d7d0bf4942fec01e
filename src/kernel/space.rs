//! One encoder's anchors made ready: centred by their mean, unit length, with what is known of the space.

use faer::Mat;

use super::center::noise_floor;
use super::eigen::{gram, leading};
use super::svd::{Conditioning, DEFAULT_RCOND, conditioning, product, thin_svd, widen};
use super::{Error, Rows, mean};

/// Leading principal directions kept with a space, at most.
pub const MAX_DIRECTIONS: usize = 32;

/// The target counts as unit vectors when more than this share of its anchors has length 1 to [`UNIT_TOLERANCE`].
const UNIT_SHARE: f64 = 0.99;
/// See [`UNIT_SHARE`].
const UNIT_TOLERANCE: f64 = 1e-3;

/// Anchors of one space, made ready: `U = nu(A - mu)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchors {
    /// Numbers in a vector, d.
    pub width: usize,
    /// Indexes of the given rows that differ from their mean; the others have no direction and are left out.
    pub kept: Vec<usize>,
    /// Mean of all given rows, or the one that was given, d.
    pub mean: Vec<f32>,
    /// Unit rows of the kept anchors, K x d.
    pub unit: Vec<f32>,
    /// Lengths of the kept anchors after centring, K.
    pub norms: Vec<f64>,
    /// Mean of `norms`.
    pub scale: f64,
    /// Whether the given rows are unit vectors (more than 99 % have length 1 to 1e-3).
    pub unit_anchors: bool,
}

impl Anchors {
    /// Centres and normalises `rows`, which the caller has sorted by key, by their own mean.
    pub fn new(rows: Rows<'_>) -> Result<Self, Error> {
        Self::about(rows, mean::mean(rows))
    }

    /// The same, centred by a given mean: that of a whole corpus, which needs no pairs.
    pub fn about(rows: Rows<'_>, mean: Vec<f64>) -> Result<Self, Error> {
        let width = rows.width();
        let floor = noise_floor(mean.iter().map(|m| m * m).sum::<f64>().sqrt());
        let (mut kept, mut unit, mut norms) = (Vec::new(), Vec::new(), Vec::new());
        let mut centred = vec![0.0f64; width];
        let mut unit_rows = 0usize;
        for (i, row) in rows.iter().enumerate() {
            unit_rows += usize::from((super::norm::norm(row) - 1.0).abs() <= UNIT_TOLERANCE);
            for ((c, &x), m) in centred.iter_mut().zip(row).zip(&mean) {
                *c = f64::from(x) - m;
            }
            let length = centred.iter().map(|c| c * c).sum::<f64>().sqrt();
            if length > floor {
                kept.push(i);
                norms.push(length);
                unit.extend(centred.iter().map(|c| (c / length) as f32));
            }
        }
        if kept.len() < 2 {
            return Err(Error::TooFewAnchors { given: rows.len(), usable: kept.len() });
        }
        let scale = norms.iter().sum::<f64>() / norms.len() as f64;
        Ok(Self {
            width,
            kept,
            mean: mean.iter().map(|&m| m as f32).collect(),
            unit,
            norms,
            scale,
            unit_anchors: unit_rows as f64 > UNIT_SHARE * rows.len() as f64,
        })
    }

    /// The unit anchors, K x d.
    pub fn unit(&self) -> Rows<'_> {
        Rows::new(&self.unit, self.width)
    }
}

/// The median of anchors' lengths: of an even number, the mean of the two in the middle.
pub fn median(norms: &[f64]) -> f64 {
    let mut sorted = norms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
    (middle(sorted.len().saturating_sub(1) / 2) + middle(sorted.len() / 2)) / 2.0
}

/// Singular values of the unit anchors.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Descending, min(K, d) of them.
    pub singular_values: Vec<f64>,
    /// Rank at the default rcond, and the extremes.
    pub conditioning: Conditioning,
}

/// The spectrum of unit anchors.
pub fn spectrum(unit: Rows<'_>) -> Result<Spectrum, Error> {
    let sigma = thin_svd(widen(unit).as_ref())?.sigma;
    Ok(Spectrum { conditioning: conditioning(&sigma, DEFAULT_RCOND), singular_values: sigma })
}

/// Principal directions of the centred anchors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Directions {
    /// Unit rows, by falling variance, m x d; of each the entry of largest magnitude is positive.
    pub directions: Vec<f32>,
    /// Variance along each, m.
    pub variances: Vec<f64>,
}

/// The centred anchors `norms * unit`, K x d.
pub fn centred(unit: Rows<'_>, norms: &[f64]) -> Mat<f64> {
    Mat::from_fn(unit.len(), unit.width(), |i, j| norms[i] * f64::from(unit.row(i)[j]))
}

/// The at most [`MAX_DIRECTIONS`] leading principal directions of the anchors `norms * unit`, and their variances.
///
/// By the eigenvectors of the d x d covariance, or of the K x K Gram matrix where that is smaller: the leading ones are
/// wanted, so squaring the condition number is harmless.
pub fn directions(unit: Rows<'_>, norms: &[f64]) -> Result<Directions, Error> {
    let (k, d) = (unit.len(), unit.width());
    let centred = centred(unit, norms);
    let by_anchor = k < d;
    let long = if by_anchor { centred.transpose() } else { centred.as_ref() };
    let (mut variances, vectors) = leading(gram(long, 1.0 / k as f64).as_ref(), MAX_DIRECTIONS)?;
    let largest = variances.first().copied().unwrap_or(0.0);
    variances.retain(|&variance| variance > DEFAULT_RCOND * DEFAULT_RCOND * largest);
    let vectors = vectors.get(.., ..variances.len());
    let directions = if by_anchor { product(centred.transpose(), vectors) } else { vectors.to_owned() };
    let mut found = Directions { variances, directions: Vec::new() };
    for direction in directions.col_iter() {
        let peak = direction.iter().fold(0.0f64, |peak, &x| if x.abs() > peak.abs() { x } else { peak });
        let length = direction.norm_l2() * peak.signum();
        found.directions.extend(direction.iter().map(|x| (x / length) as f32));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden, wide};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        rows: golden::Matrix,
        kept: Vec<usize>,
        mean: Vec<f64>,
        unit: golden::Matrix,
        norms: Vec<f64>,
        scale: f64,
        unit_anchors: bool,
        singular_values: Vec<f64>,
        rank: usize,
        directions: golden::Matrix,
        variances: Vec<f64>,
    }

    #[test]
    fn spaces_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/space.json")) {
            let (name, rows) = (&case.name, case.rows.narrow());
            let anchors = Anchors::new(Rows::new(&rows, case.rows.columns)).unwrap();
            assert_eq!(anchors.kept, case.kept, "{name}");
            assert_eq!(anchors.unit_anchors, case.unit_anchors, "{name}");
            assert_golden(&wide(&anchors.mean), &case.mean, name);
            assert_golden(&wide(&anchors.unit), &case.unit.data, name);
            assert_golden(&anchors.norms, &case.norms, name);
            assert_golden(&[anchors.scale], &[case.scale], name);

            let spectrum = spectrum(anchors.unit()).unwrap();
            assert_eq!(spectrum.conditioning.rank, case.rank, "{name}");
            assert_golden(&spectrum.singular_values, &case.singular_values, name);

            let found = directions(anchors.unit(), &anchors.norms).unwrap();
            assert_golden(&found.variances, &case.variances, name);
            assert_golden(&wide(&found.directions), &case.directions.data, name);
        }
    }

    #[test]
    fn fewer_than_two_usable_anchors_are_an_error() {
        let too_few = |rows: &[f32], usable| {
            let rows = Rows::new(rows, 2);
            assert_eq!(Anchors::new(rows), Err(Error::TooFewAnchors { given: rows.len(), usable }));
        };
        too_few(&[], 0);
        too_few(&[3.0, 4.0], 0);
        too_few(&[3.0, 4.0, 3.0, 4.0, 3.0, 4.0], 0);
        too_few(&[0.0; 8], 0);
        // Anchors apart by less than their rounding.
        too_few(&[1e6, 1e6, 1e6, 1e6 + 0.0625], 0);
        too_few(&[f32::NAN, 0.0, 1.0, 0.0, 2.0, 1.0], 0);
        assert!(Anchors::new(Rows::new(&[3.0, 4.0, 3.0, 4.5], 2)).is_ok());
    }

    #[test]
    fn numbers_at_the_ends_of_f32_have_directions() {
        for scale in [1e-42f32, 1e-37, 1.0, 1e37] {
            let rows: Vec<f32> = [1.0f32, 2.0, -3.0, 0.5, 2.0, -9.0].iter().map(|x| x * scale).collect();
            let anchors = Anchors::new(Rows::new(&rows, 2)).unwrap();
            assert_eq!(anchors.kept, [0, 1, 2]);
            for row in anchors.unit().iter() {
                assert!((crate::kernel::norm::norm(row) - 1.0).abs() < 1e-6, "{scale}");
            }
        }
    }

    #[test]
    fn at_most_32_directions_are_kept() {
        let rows = Random(8).rows(60, 40);
        let anchors = Anchors::new(Rows::new(&rows, 40)).unwrap();
        let found = directions(anchors.unit(), &anchors.norms).unwrap();
        assert_eq!((found.variances.len(), found.directions.len()), (MAX_DIRECTIONS, MAX_DIRECTIONS * 40));
        assert!(found.variances.is_sorted_by(|a, b| a >= b));
    }
}
