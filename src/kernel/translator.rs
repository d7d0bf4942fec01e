//! From two spaces over the same anchors to one d_x x d_y matrix.

use faer::Mat;

use super::svd::{Conditioning, parseval_frame, product, widen};
use super::{Error, Rows, decoder};

/// A fitted matrix and what its inverses were like.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// d_x x d_y: `y' = nu(x - mu_x) T`.
    pub matrix: Mat<f64>,
    /// The pruned sets and their inverses; empty for parseval.
    pub members: Vec<decoder::Member>,
    /// Of the source's frame; parseval only.
    pub source_frame: Option<Conditioning>,
    /// Of the target's frame; parseval only.
    pub target_frame: Option<Conditioning>,
}

/// Inverse relative projection: `T = U_x^T H_y` (anchor completion of equation (5)), the decoder pruned and inverted in
/// the target's space alone. Row i of both is the same anchor.
pub fn irp(source: Rows<'_>, target: Rows<'_>, starts: &[usize], delta: f64, rcond: f64) -> Result<Fitted, Error> {
    let decoder = decoder::irp(target, starts, delta, rcond)?;
    let matrix = product(widen(source).transpose(), decoder.matrix.as_ref());
    Ok(Fitted { matrix, members: decoder.members, source_frame: None, target_frame: None })
}

/// Parseval frames: `T = F_x^T F_y` with `F = P V^T` of each space's unit anchors. Nothing is pruned.
pub fn parseval(source: Rows<'_>, target: Rows<'_>, rcond: f64) -> Result<Fitted, Error> {
    let (source, target) =
        rayon::join(|| parseval_frame(widen(source).as_ref(), rcond), || parseval_frame(widen(target).as_ref(), rcond));
    let ((source_frame, source), (target_frame, target)) = (source?, target?);
    let matrix = product(source_frame.transpose(), target_frame.as_ref());
    Ok(Fitted { matrix, members: Vec::new(), source_frame: Some(source), target_frame: Some(target) })
}
