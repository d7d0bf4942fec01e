//! What tells the rows of one encoder from those of another of the same width: in which directions they vary, and how skewed they are there.
//!
//! Means and lengths tell little, for a file may be a slice: one topic, one class, one year. Directions tell more: rows of a slice vary within
//! those in which all rows vary, and rows of another encoder, or of the same one rotated, vary in others. So the statistic is the share of a file's
//! energy, *centred by its own mean*, that lies in the leading directions, over the share that anchors have there which the directions were not found
//! on. (Centred by the anchors' mean, the distance between two encoders' means counts too, and it may lie in any direction: word vectors of length one
//! in the space of activations of length thirty are all one point, and nearly all of their energy is in its leading directions.)
//!
//! Encoders whose axes are principal directions already, as those of latent semantic analysis, share their directions. A file
//! that has the anchors' mean and spread is no slice, and its skewness along each direction must be that of the anchors.

use std::borrow::Cow;
use std::fmt;

use super::block::{Factor, Scratch, multiply};
use super::mean::mean;
use super::space::directions;
use super::{Error, Rows};

/// Rows that a fingerprint is made of, or judged on, at least.
pub const FEWEST_ROWS: usize = 200;
/// Rows that are looked at, at most.
pub const MOST_ROWS: usize = 2048;
/// Rows from which on skewness tells.
const SHAPED_ROWS: usize = 1000;
/// The least share of energy in the leading directions, relative to the anchors'. Of slices of the encoders in docs/inspect.md it is
/// 0.60 or more, of other encoders and rotations 0.49 or less.
const SAME_DIRECTIONS: f64 = 0.55;
/// The least correlation of skewnesses: 0.71 or more in samples of an encoder's rows there, 0.53 or less in others'.
const SAME_SHAPE: f64 = 0.62;
/// What the mean square of a whole sample is, relative to the anchors'.
const WHOLE_SPREAD: (f64, f64) = (0.8, 1.25);
/// How far the mean of a whole sample is off, squared and relative to the anchors' mean square.
const WHOLE_OFFSET: f64 = 0.05;

/// What anchors are like along their leading directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Traits {
    /// Mean square of the centred anchors.
    pub energy: f64,
    /// The share of it in the leading directions, of halves of the anchors in those of the other half.
    pub share: f64,
    /// Skewness along each of the leading directions.
    pub skews: Vec<f64>,
}

/// Rows of one encoder.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint<'a> {
    /// The mean of the anchors, d.
    pub mean: &'a [f32],
    /// Leading principal directions, at least as many as there are skewnesses, m x d.
    pub directions: Rows<'a>,
    /// What they are like there.
    pub traits: &'a Traits,
}

/// How a file's rows compare with a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resemblance {
    /// Rows looked at.
    pub rows: usize,
    /// Share of the energy in the leading directions, relative to the anchors'.
    pub directions: f64,
    /// Mean square about the file's own mean, relative to the anchors'.
    pub spread: f64,
    /// Squared distance of the means, relative to the anchors' mean square.
    pub offset: f64,
    /// Correlation of the skewnesses, of files that seem to be no slices.
    pub shape: Option<f64>,
}

impl Resemblance {
    /// Whether the rows are clearly of another encoder.
    pub fn is_other(&self) -> bool {
        self.directions < SAME_DIRECTIONS || self.shape.is_some_and(|shape| shape < SAME_SHAPE)
    }
}

impl fmt::Display for Resemblance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape.filter(|_| self.directions >= SAME_DIRECTIONS) {
            Some(shape) => {
                write!(
                    f,
                    "their skewness along its leading directions correlates with the anchors' by {shape:.2} ({SAME_SHAPE} is the least)"
                )
            }
            None => {
                let share = self.directions;
                write!(
                    f,
                    "their share of energy in its leading directions is {share:.2} of the anchors' ({SAME_DIRECTIONS} is the least)"
                )
            }
        }
    }
}

/// How many directions of rows of `width` numbers are looked at: with too many of all there are, every row lies in them.
fn leading(width: usize, found: usize) -> usize {
    (width / 4).max(1).min(found)
}

/// Rows of an even draw, at most [`MOST_ROWS`], as they lie.
fn drawn(rows: Rows<'_>) -> Cow<'_, [f32]> {
    match rows.len().div_ceil(MOST_ROWS) {
        0 | 1 => Cow::Borrowed(rows.as_slice()),
        step => Cow::Owned(rows.select(&(0..rows.len()).step_by(step).collect::<Vec<_>>())),
    }
}

/// What some rows are like along directions.
struct Moments {
    mean: Vec<f64>,
    energy: f64,
    share: f64,
    skews: Vec<f64>,
}

/// Of finite rows, at least one.
fn moments(rows: Rows<'_>, directions: Rows<'_>) -> Moments {
    let (n, m, width) = (rows.len(), directions.len(), rows.width());
    let mean = mean(rows);
    let mut along = vec![0.0f32; n * m];
    let mut energy = 0.0;
    let fill = |i: usize, input: &mut [f32]| {
        for ((to, &x), mean) in input.iter_mut().zip(rows.row(i)).zip(&mean) {
            let centred = f64::from(x) - mean;
            energy += centred * centred;
            *to = centred as f32;
        }
        Ok::<(), std::convert::Infallible>(())
    };
    let factor = Factor::Transposed(directions.as_slice());
    let Ok(()) = multiply(n, (width, m), factor, &mut Scratch::default(), &mut along, fill, |_, _| ());
    let (mut squares, mut cubes) = (vec![0.0; m], vec![0.0; m]);
    for row in along.chunks_exact(m.max(1)) {
        for ((&x, square), cube) in row.iter().zip(&mut squares).zip(&mut cubes) {
            let x = f64::from(x);
            *square += x * x;
            *cube += x * x * x;
        }
    }
    let n = n.max(1) as f64;
    let skew = |(square, cube): (&f64, &f64)| {
        let variance: f64 = square / n;
        if variance > 0.0 { cube / n / variance.powf(1.5) } else { 0.0 }
    };
    let share = if energy > 0.0 { squares.iter().sum::<f64>() / energy } else { 0.0 };
    Moments { skews: squares.iter().zip(&cubes).map(skew).collect(), mean, energy: energy / n, share }
}

/// The leading directions of rows about their mean, m x d.
fn leading_directions(rows: Rows<'_>) -> Result<Vec<f32>, Error> {
    let mean = mean(rows);
    let centred: Vec<f32> =
        rows.iter().flat_map(|row| row.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean) as f32)).collect();
    let found = directions(Rows::new(&centred, rows.width()), &vec![1.0; rows.len()])?;
    let wanted = leading(rows.width(), found.variances.len());
    Ok(found.directions[..wanted * rows.width()].to_vec())
}

impl Traits {
    /// Of anchors whose principal directions are known. `None` of fewer than [`FEWEST_ROWS`], and of rows that are all the same.
    pub fn new(anchors: Rows<'_>, directions: Rows<'_>) -> Result<Option<Self>, Error> {
        let width = anchors.width();
        let rows = drawn(anchors);
        let rows = Rows::new(&rows, width);
        if rows.len() < FEWEST_ROWS {
            return Ok(None);
        }
        let half = |parity: usize| rows.select(&(parity..rows.len()).step_by(2).collect::<Vec<_>>());
        let halves = [half(0), half(1)];
        let mut share = 0.0;
        for (fitted, held) in [(0, 1), (1, 0)] {
            let directions = leading_directions(Rows::new(&halves[fitted], width))?;
            share += moments(Rows::new(&halves[held], width), Rows::new(&directions, width)).share / 2.0;
        }
        let wanted = leading(width, directions.len());
        let found = moments(rows, directions.first(wanted));
        Ok((found.energy > 0.0 && share > 0.0).then_some(Self { energy: found.energy, share, skews: found.skews }))
    }

    /// As numbers, to be stored.
    pub fn numbers(&self) -> Vec<f64> {
        [self.energy, self.share].into_iter().chain(self.skews.iter().copied()).collect()
    }

    /// From [`Self::numbers`].
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        match numbers {
            [energy, share, skews @ ..] if !skews.is_empty() && *energy > 0.0 && *share > 0.0 => {
                Some(Self { energy: *energy, share: *share, skews: skews.to_vec() })
            }
            _ => None,
        }
    }
}

impl Fingerprint<'_> {
    /// Judges finite rows; `None` of fewer than [`FEWEST_ROWS`].
    pub fn judge(&self, rows: Rows<'_>) -> Option<Resemblance> {
        if rows.len() < FEWEST_ROWS {
            return None;
        }
        let rows = drawn(rows);
        let rows = Rows::new(&rows, self.mean.len());
        let Traits { energy, share, skews } = self.traits;
        let found = moments(rows, self.directions.first(skews.len()));
        let offset: f64 =
            found.mean.iter().zip(self.mean).map(|(mean, &of_anchors)| (mean - f64::from(of_anchors)).powi(2)).sum();
        let (spread, offset) = (found.energy / energy, offset / energy);
        let is_whole = (WHOLE_SPREAD.0..=WHOLE_SPREAD.1).contains(&spread) && offset <= WHOLE_OFFSET;
        let shape = (is_whole && rows.len() >= SHAPED_ROWS).then(|| correlation(skews, &found.skews));
        Some(Resemblance { rows: rows.len(), directions: found.share / share, spread, offset, shape })
    }
}

/// About zero: a skewness has no sign but that of its direction.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = (product(a, a) * product(b, b)).sqrt();
    if length > 0.0 { product(a, b) / length } else { 1.0 }
}

/// A fingerprint of its own, of rows without anchors.
#[derive(Debug, Clone)]
pub struct Owned {
    mean: Vec<f32>,
    directions: Vec<f32>,
    traits: Traits,
}

impl Owned {
    /// Of finite rows; `None` where [`Traits::new`] gives none.
    pub fn new(rows: Rows<'_>) -> Result<Option<Self>, Error> {
        let width = rows.width();
        let rows = drawn(rows);
        let rows = Rows::new(&rows, width);
        if rows.len() < FEWEST_ROWS {
            return Ok(None);
        }
        let directions = leading_directions(rows)?;
        let traits = Traits::new(rows, Rows::new(&directions, width))?;
        let mean = mean(rows).into_iter().map(|m| m as f32).collect();
        Ok(traits.map(|traits| Self { mean, directions, traits }))
    }

    /// To judge by.
    pub fn fingerprint(&self) -> Fingerprint<'_> {
        Fingerprint { mean: &self.mean, directions: Rows::new(&self.directions, self.mean.len()), traits: &self.traits }
    }
}
