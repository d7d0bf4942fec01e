//! Applying a translator: `y = s nu(x - mu_x) T + mu_y`, in `f32`.

use super::block::{Factor, Scratch, multiply};
use super::center::{Centered, center_normalize_into, noise_floor};
use super::norm::norm;
use super::normalize::normalize_in_place;

/// A translator's numbers, borrowed from wherever they are.
#[derive(Debug, Clone, Copy)]
pub struct Translation<'a> {
    /// mu_x, d_x.
    pub source_mean: &'a [f32],
    /// T, d_x x d_y row-major.
    pub matrix: &'a [f32],
    /// mu_y, d_y.
    pub target_mean: &'a [f32],
    /// s: the mean length of the target's centred anchors.
    pub scale: f64,
    /// Whether the result is brought to unit length at the end.
    pub unit_output: bool,
}

/// The first row that has an item that is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    /// Its index.
    pub row: usize,
}

impl Translation<'_> {
    /// Translates `count` rows to `out` (count x d_y). `row(i)` gives row i, or `None` for a NULL one, whose output is zeros.
    /// A row that equals the source mean becomes the target mean.
    pub fn apply<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NotFinite> {
        let floor = noise_floor(norm(self.source_mean));
        let scale = self.scale as f32;
        let shape = (self.source_mean.len(), self.target_mean.len());
        multiply(
            count,
            shape,
            Factor::Plain(self.matrix),
            scratch,
            out,
            |i, input| match row(i).map(|x| center_normalize_into(x, self.source_mean, floor, input)) {
                Some(Centered::NotFinite) => Err(NotFinite { row: i }),
                _ => Ok(()),
            },
            |i, output| {
                if row(i).is_none() {
                    output.fill(0.0);
                } else {
                    restore(output, scale, self.target_mean, self.unit_output);
                }
            },
        )
    }
}

/// `y = s y' + mu`, then to unit length where the target space is one of unit vectors.
pub fn restore(y: &mut [f32], scale: f32, mean: &[f32], unit_output: bool) {
    for (y, &m) in y.iter_mut().zip(mean) {
        *y = scale * *y + m;
    }
    if unit_output {
        normalize_in_place(y);
    }
}
