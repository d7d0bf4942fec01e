//! Inverse relative projection at every omega and delta of a grid, with what settings share computed once.
//!
//! Farthest-point sampling goes on for a small delta where it stopped for a larger one, so each start is followed once and the
//! path is cut. The members of a small ensemble are the first ones of a larger. Members of the same anchors (a small delta
//! prunes nothing) have one inverse, and deltas that cut all paths alike are one setting.

use std::time::Instant;

use faer::{Mat, Scale};
use rayon::prelude::*;

use super::inverse::Inverse;
use super::prune::{Distances, Path};
use super::svd::Conditioning;
use super::{Error, Rows};

/// The settings of a grid.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// The anchor that each member starts from, as many as the largest omega at least.
    pub starts: &'a [usize],
    /// Numbers of members, ascending.
    pub omegas: &'a [usize],
    /// Smallest distances between kept anchors.
    pub deltas: &'a [f64],
    /// Relative cut-off of the inverses.
    pub rcond: f64,
}

/// One ensemble.
#[derive(Debug, Clone)]
pub struct Setting {
    /// d_x x d_y: `y' = nu(x - mu_x) T`, as [`super::translator::irp`] gives it to `f32` rounding.
    pub matrix: Mat<f64>,
    /// Mean number of anchors kept.
    pub kept: f64,
    /// Mean condition number of the kept anchors.
    pub condition_number: f64,
    /// How long its inverses and their products took, shared or not.
    pub seconds: f64,
}

/// What a set of anchors contributes to every ensemble that has it.
struct Member {
    matrix: Mat<f64>,
    conditioning: Conditioning,
    seconds: f64,
}

/// Members computed at a time: each is a d_x x d_y matrix.
const AT_A_TIME: usize = 4;

/// What `each` makes of every setting, by omega, then by delta. Row i of source and target is the same anchor.
///
/// Sums run in the order of the members, whatever the number of threads.
pub fn irp<R: Clone + Send, E: From<Error> + Send>(
    source: Rows<'_>,
    target: Rows<'_>,
    grid: &Grid<'_>,
    each: impl Fn(Setting) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let distances = Distances::new(target);
    let last = grid.deltas.iter().copied().fold(1.0, f64::min);
    let paths: Vec<Path> = grid.starts.par_iter().map(|&start| distances.path(start, last)).collect();
    drop(distances);
    let cut = |delta: f64| -> Vec<usize> { paths.iter().map(|path| path.cut(delta).len()).collect() };
    let by_delta: Vec<Vec<usize>> = grid.deltas.iter().map(|&delta| cut(delta)).collect();
    // The distinct ones, and a delta that is cut so; that with the most anchors, which takes longest, first.
    let mut cuts: Vec<(&Vec<usize>, f64)> = by_delta.iter().zip(grid.deltas.iter().copied()).collect();
    cuts.sort_by(|a, b| b.0.cmp(a.0));
    cuts.dedup_by(|a, b| a.0 == b.0);
    let found = cuts.par_iter().map(|&(_, delta)| {
        let sets: Vec<&[usize]> = paths.iter().map(|path| path.cut(delta)).collect();
        ensembles(source, target, &sets, grid, &each)
    });
    let found: Vec<Vec<R>> = found.collect::<Result<_, E>>()?;
    let place = |lengths: &Vec<usize>| cuts.partition_point(|cut| cut.0 > lengths);
    let by_omega = |i: usize| by_delta.iter().map(|lengths| found[place(lengths)][i].clone()).collect::<Vec<R>>();
    Ok((0..grid.omegas.len()).flat_map(by_omega).collect())
}

/// The ensembles of the first of these sets, one for each omega.
fn ensembles<R, E: From<Error>>(
    source: Rows<'_>,
    target: Rows<'_>,
    sets: &[&[usize]],
    grid: &Grid<'_>,
    each: impl Fn(Setting) -> Result<R, E>,
) -> Result<Vec<R>, E> {
    let sorted = |set: &&[usize]| {
        let mut set = set.to_vec();
        set.sort_unstable();
        set
    };
    let sets: Vec<Vec<usize>> = sets.iter().map(sorted).collect();
    // Which set is the first one equal to this.
    let first: Vec<usize> =
        sets.iter().enumerate().map(|(i, set)| sets.iter().position(|other| other == set).unwrap_or(i)).collect();
    let mut members: Vec<Option<Member>> = sets.iter().map(|_| None).collect();
    let mut sum = Mat::<f64>::zeros(source.width(), target.width());
    let (mut kept, mut condition_number, mut seconds) = (0.0, 0.0, 0.0);
    let mut found = Vec::with_capacity(grid.omegas.len());
    let order: Vec<usize> = (0..sets.len()).collect();
    for some in order.chunks(AT_A_TIME) {
        let new: Vec<usize> = some.iter().copied().filter(|&i| first[i] == i).collect();
        let computed = new.par_iter().map(|&i| member(source, target, &sets[i], grid.rcond));
        for (&i, member) in new.iter().zip(computed.collect::<Result<Vec<_>, Error>>()?) {
            members[i] = Some(member);
        }
        for &i in some {
            let Some(member) = &mut members[first[i]] else { continue };
            sum += &member.matrix;
            kept += sets[i].len() as f64;
            condition_number += member.conditioning.condition_number();
            // Once, however many members share it.
            seconds += std::mem::take(&mut member.seconds);
            if !first[i + 1..].contains(&first[i]) {
                members[first[i]] = None;
            }
            if grid.omegas.contains(&(i + 1)) {
                let omega = (i + 1) as f64;
                found.push(each(Setting {
                    matrix: Scale(1.0 / omega) * &sum,
                    kept: kept / omega,
                    condition_number: condition_number / omega,
                    seconds,
                })?);
            }
        }
    }
    Ok(found)
}

/// `U_x[S]^T pinv(U_y[S]^T)`.
fn member(source: Rows<'_>, target: Rows<'_>, set: &[usize], rcond: f64) -> Result<Member, Error> {
    let begin = Instant::now();
    let inverse = Inverse::of(target, set, 0.0, rcond)?;
    let (matrix, conditioning) = (inverse.map_from(source), inverse.conditioning);
    Ok(Member { matrix, conditioning, seconds: begin.elapsed().as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::decoder::Ensemble;
    use crate::kernel::golden::{Random, assert_near, flat, with_threads};
    use crate::kernel::space::Anchors;
    use crate::kernel::svd::DEFAULT_RCOND;
    use crate::kernel::translator;

    const OMEGAS: [usize; 4] = [1, 2, 5, 7];
    const DELTAS: [f64; 5] = [0.8, 0.0, 0.1, 0.4, 0.6];
    const STARTS: [usize; 7] = [3, 9, 3, 27, 50, 66, 9];

    /// Anchors whose directions fade, so that pruning and conditioning are gradual; the last has no width at all.
    fn fading(random: &mut Random, count: usize, width: usize) -> Vec<f32> {
        let mut rows = random.rows(count, width);
        for row in rows.chunks_exact_mut(width) {
            row.iter_mut().enumerate().for_each(|(j, x)| *x *= 0.8f32.powi(j as i32));
            row[width - 1] = 0.0;
        }
        rows
    }

    #[test]
    fn every_setting_is_the_one_fitted_alone() {
        let mut random = Random(4);
        for (d_x, d_y) in [(12, 9), (24, 90), (33, 24)] {
            let (x, y) = (fading(&mut random, 70, d_x), fading(&mut random, 70, d_y));
            let source = Anchors::new(Rows::new(&x, d_x)).unwrap();
            let target = Anchors::new(Rows::new(&y, d_y)).unwrap();
            let grid = Grid { starts: &STARTS, omegas: &OMEGAS, deltas: &DELTAS, rcond: DEFAULT_RCOND };
            let found = irp(source.unit(), target.unit(), &grid, Ok::<_, Error>).unwrap();
            let settings = OMEGAS.iter().flat_map(|&omega| DELTAS.map(|delta| (omega, delta)));
            assert_eq!(found.len(), OMEGAS.len() * DELTAS.len());
            for ((omega, delta), found) in settings.zip(found) {
                let ensemble = Ensemble { starts: &STARTS[..omega], delta, lambda: 0.0, rcond: DEFAULT_RCOND };
                let alone = translator::irp(source.unit(), target.unit(), target.unit(), &ensemble).unwrap();
                let what = format!("{d_x} -> {d_y}, omega {omega}, delta {delta}");
                assert_near(&flat(found.matrix.as_ref()), &flat(alone.matrix.as_ref()), 6e-8, &what);
                let mean = |of: &dyn Fn(&crate::kernel::decoder::Member) -> f64| {
                    alone.members.iter().map(of).sum::<f64>() / omega as f64
                };
                assert_eq!(found.kept, mean(&|member| member.chosen.len() as f64), "{what}");
                let condition_number = mean(&|member| member.conditioning.condition_number());
                assert_near(&[found.condition_number], &[condition_number], 1e-7, &what);
            }
        }
    }

    #[test]
    fn a_grid_has_the_same_bits_on_one_thread_and_on_three() {
        let mut random = Random(5);
        let (x, y) = (fading(&mut random, 70, 16), fading(&mut random, 70, 20));
        let source = Anchors::new(Rows::new(&x, 16)).unwrap();
        let target = Anchors::new(Rows::new(&y, 20)).unwrap();
        let run = || {
            let grid = Grid { starts: &STARTS, omegas: &OMEGAS, deltas: &DELTAS, rcond: DEFAULT_RCOND };
            let bits = |setting: Setting| -> Result<Vec<u64>, Error> {
                let numbers = [setting.kept, setting.condition_number].into_iter().chain(flat(setting.matrix.as_ref()));
                Ok(numbers.map(f64::to_bits).collect())
            };
            irp(source.unit(), target.unit(), &grid, bits).unwrap()
        };
        assert_eq!(with_threads(1, run), with_threads(3, run));
    }
}
