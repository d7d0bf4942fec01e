//! The inverse of a target space: a K x d matrix that turns relative coordinates into vectors, equations (2) and (5).

use faer::Mat;
use rayon::prelude::*;

use super::svd::{Conditioning, pinv, widen};
use super::{Error, Rows, prune};

/// One member of the ensemble: a pruned set of anchors and how well it inverts.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Indexes of the anchors kept, in the order chosen.
    pub chosen: Vec<usize>,
    /// Of the inverse of these anchors.
    pub conditioning: Conditioning,
}

/// A decoder matrix and where it came from.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// K x d.
    pub matrix: Mat<f64>,
    /// The ensemble's members.
    pub members: Vec<Member>,
}

/// `H = 1/omega sum_i scatter_i(pinv(U[S_i]^T))`, with S_i pruned at `delta` from `starts[i]`.
///
/// The members are computed in parallel and added up in their order.
pub fn irp(unit: Rows<'_>, starts: &[usize], delta: f64, rcond: f64) -> Result<Decoder, Error> {
    let inverses = starts
        .par_iter()
        .map(|&start| {
            let chosen = prune::farthest_point(unit, start, delta);
            let subspace = widen(Rows::new(&unit.select(&chosen), unit.width()));
            let (inverse, conditioning) = pinv(subspace.transpose(), rcond)?;
            Ok((inverse, Member { chosen, conditioning }))
        })
        .collect::<Result<Vec<_>, Error>>()?;

    let omega = starts.len() as f64;
    let mut matrix = Mat::<f64>::zeros(unit.len(), unit.width());
    let mut members = Vec::with_capacity(starts.len());
    for (inverse, member) in inverses {
        for (row, &anchor) in member.chosen.iter().enumerate() {
            for column in 0..unit.width() {
                matrix[(anchor, column)] += inverse[(row, column)] / omega;
            }
        }
        members.push(member);
    }
    Ok(Decoder { matrix, members })
}
