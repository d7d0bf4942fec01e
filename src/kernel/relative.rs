//! The relative representation: cosines of a centred row to the anchors, equation (1).

use super::Rows;
use super::block::{Factor, Scratch, multiply};
use super::center::{Centered, center_normalize_into, noise_floor};
use super::norm::norm;
use super::translate::NotFinite;

/// `r = nu(x - mu) A^T` for `count` rows, to `out` (count x K); `anchors` are unit rows, or a Parseval frame.
///
/// `row(i)` gives row i, or `None` for a NULL one. NULL rows and rows that equal the mean have the zero code.
pub fn relative<'r>(
    mean: &[f32],
    anchors: Rows<'_>,
    count: usize,
    row: impl Fn(usize) -> Option<&'r [f32]>,
    scratch: &mut Scratch,
    out: &mut [f32],
) -> Result<(), NotFinite> {
    let floor = noise_floor(norm(mean));
    multiply(
        count,
        (mean.len(), anchors.len()),
        Factor::Transposed(anchors.as_slice()),
        scratch,
        out,
        |i, input| match row(i).map(|x| center_normalize_into(x, mean, floor, input)) {
            Some(Centered::NotFinite) => Err(NotFinite { row: i }),
            _ => Ok(()),
        },
        |_, _| (),
    )
}
