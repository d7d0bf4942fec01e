//! The inverse of a target space: a K x d matrix that turns relative coordinates into vectors, equations (2) and (5).

use faer::Mat;
use rayon::prelude::*;

use super::inverse::Inverse;
use super::prune::{self, Distances};
use super::svd::Conditioning;
use super::{Error, Rows};

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

/// How an ensemble is pruned and inverted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ensemble<'a> {
    /// The anchor that each member starts from: omega of them.
    pub starts: &'a [usize],
    /// Smallest distance between kept anchors.
    pub delta: f64,
    /// Ridge of the inverses, relative to the largest eigenvalue; 0 for none.
    pub lambda: f64,
    /// Relative cut-off of the inverses.
    pub rcond: f64,
}

/// `H = 1/omega sum_i scatter_i(pinv(U[S_i]^T))`, with S_i pruned at `delta` from `starts[i]`.
///
/// `pruned` are the unit anchors that distances are taken of, row by row the same anchors as `unit`: `unit` itself, and H needs
/// no other space.
pub fn irp(unit: Rows<'_>, pruned: Rows<'_>, ensemble: &Ensemble<'_>) -> Result<Decoder, Error> {
    let mut matrix = Mat::<f64>::zeros(unit.len(), unit.width());
    let add = |share: f64, inverse: Vec<(usize, Vec<f64>)>| {
        for (anchor, row) in inverse {
            row.into_iter().enumerate().for_each(|(j, x)| matrix[(anchor, j)] += share * x);
        }
    };
    let rows = |inverse: &Inverse<'_>, chosen: &[usize]| {
        let mut rows = Vec::with_capacity(chosen.len());
        inverse.rows(|i, row| rows.push((chosen[i], row.to_vec())));
        rows
    };
    let members = members(unit, pruned, ensemble, rows, add)?;
    Ok(Decoder { matrix, members })
}

/// The members of an ensemble. `make` makes of each, given the inverse of its anchors in `unit` and the anchors, what `add` is to
/// add with the member's share of the ensemble.
///
/// Members are made as many at a time as there are threads, and added up in their order; equal starts are made once.
pub fn members<T: Send>(
    unit: Rows<'_>,
    pruned: Rows<'_>,
    ensemble: &Ensemble<'_>,
    make: impl Fn(&Inverse<'_>, &[usize]) -> T + Sync,
    mut add: impl FnMut(f64, T),
) -> Result<Vec<Member>, Error> {
    let starts = ensemble.starts;
    let mut distinct: Vec<usize> = Vec::new();
    for start in starts {
        if !distinct.contains(start) {
            distinct.push(*start);
        }
    }
    let distances = (distinct.len() > 1).then(|| Distances::new(pruned));
    let member = |&start: &usize| {
        let chosen = match &distances {
            Some(distances) => distances.path(start, ensemble.delta).into_chosen(),
            None => prune::farthest_point(pruned, start, ensemble.delta),
        };
        let inverse = Inverse::of(unit, &chosen, ensemble.lambda, ensemble.rcond)?;
        let (made, conditioning) = (make(&inverse, &chosen), inverse.conditioning);
        Ok((start, made, Member { chosen, conditioning }))
    };

    let mut members = vec![None; starts.len()];
    for some in distinct.chunks(rayon::current_num_threads().max(1)) {
        for (start, made, member) in some.par_iter().map(member).collect::<Result<Vec<_>, Error>>()? {
            let mut times = 0.0;
            for (place, _) in members.iter_mut().zip(starts).filter(|(_, other)| **other == start) {
                *place = Some(member.clone());
                times += 1.0;
            }
            add(times / starts.len() as f64, made);
        }
    }
    Ok(members.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, assert_near, ensemble, flat};
    use crate::kernel::space::Anchors;
    use crate::kernel::svd::{DEFAULT_RCOND, product, widen};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Encoding with the kept anchors and decoding with their inverse, in one space, projects orthogonally onto them.
        #[test]
        fn a_member_is_the_projector_onto_its_kept_anchors(
            seed: u64, k in 2usize..40, d in 2usize..12, delta in 0.1..0.8f64,
        ) {
            let mut random = Random(seed);
            let anchors = Anchors::new(Rows::new(&random.rows(k, d), d)).unwrap();
            let unit = anchors.unit();
            let found = irp(unit, unit, &ensemble(&[random.below(unit.len())], delta)).unwrap();
            let member = &found.members[0];
            let projector = product(widen(unit).transpose(), found.matrix.as_ref());

            // Close to the cut an inverse magnifies the rounding of `f64`.
            let tolerance = 1e-12 * member.conditioning.condition_number().max(1.0) * (k as f64);
            assert_near(&flat(projector.transpose()), &flat(projector.as_ref()), tolerance, "symmetric");
            let twice = product(projector.as_ref(), projector.as_ref());
            assert_near(&flat(twice.as_ref()), &flat(projector.as_ref()), tolerance, "idempotent");
            let trace: f64 = (0..d).map(|i| projector[(i, i)]).sum();
            prop_assert!((trace - member.conditioning.rank as f64).abs() < 1e-6);
            let kept = widen(Rows::new(&unit.select(&member.chosen), d));
            let projected = product(kept.as_ref(), projector.as_ref());
            // What lies below the cut is lost: at most that much.
            let lost = DEFAULT_RCOND * member.conditioning.sigma_max;
            assert_near(&flat(projected.as_ref()), &flat(kept.as_ref()), tolerance.max(2.0 * lost), "kept anchors stay");
        }

        #[test]
        fn the_ensemble_is_the_mean_of_its_members(seed: u64, k in 4usize..30, d in 2usize..8, delta in 0.0..0.8f64) {
            let mut random = Random(seed);
            let anchors = Anchors::new(Rows::new(&random.rows(k, d), d)).unwrap();
            let mut starts: Vec<usize> = (0..2).map(|_| random.below(k)).collect();
            starts.push(starts[0]);
            let whole = irp(anchors.unit(), anchors.unit(), &ensemble(&starts, delta)).unwrap();
            let mut mean = Mat::<f64>::zeros(k, d);
            for (&start, member) in starts.iter().zip(&whole.members) {
                let alone = irp(anchors.unit(), anchors.unit(), &ensemble(&[start], delta)).unwrap();
                prop_assert_eq!(&alone.members[0], member);
                for (i, j) in (0..k).flat_map(|i| (0..d).map(move |j| (i, j))) {
                    mean[(i, j)] += alone.matrix[(i, j)] / 3.0;
                    prop_assert!(member.chosen.contains(&i) || alone.matrix[(i, j)] == 0.0);
                }
            }
            assert_near(&flat(whole.matrix.as_ref()), &flat(mean.as_ref()), 1e-14, "ensemble");
        }
    }
}
