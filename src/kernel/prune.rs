//! Anchor pruning by farthest-point sampling, equations (3) and (4) of the paper.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::Rows;
use super::norm::{dot, dots};
use super::vectorized::vectorized;

/// `D(a, b) = 1 - |a . b|` of unit vectors, clamped to [0, 1]: equation (3), row by row.
#[inline(always)]
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    apart(dot(a, b))
}

#[inline(always)]
fn apart(dot: f64) -> f64 {
    (1.0 - dot.abs()).clamp(0.0, 1.0)
}

/// The [`distance`]s between row `i` and all rows.
fn distances(unit: Rows<'_>, i: usize) -> Vec<f64> {
    const ROWS: usize = 4;
    let (row, mut out) = (unit.row(i), vec![0.0; unit.len()]);
    vectorized(
        #[inline(always)]
        || {
            let (whole, rest) = out.as_chunks_mut::<ROWS>();
            let passed = ROWS * whole.len();
            for (i, out) in whole.iter_mut().enumerate() {
                *out = dots(row, std::array::from_fn(|n| unit.row(ROWS * i + n))).map(apart);
            }
            for (i, out) in rest.iter_mut().enumerate() {
                *out = distance(row, unit.row(passed + i));
            }
        },
    );
    out
}

/// The anchors kept, in the order chosen: starting from `start`, again and again the anchor farthest from all chosen
/// ones (ties: the lowest index), until that distance is below `delta`. `delta` = 0 keeps all.
///
/// K x |S| distances, no K x K matrix.
pub fn farthest_point(unit: Rows<'_>, start: usize, delta: f64) -> Vec<usize> {
    Distances { unit, rows: Vec::new() }.path(start, delta).chosen
}

/// Anchors in the order in which farthest-point sampling chooses them.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    chosen: Vec<usize>,
    /// Of each, the distance to the nearest one chosen before it: none is larger than the one before.
    distances: Vec<f64>,
}

impl Path {
    /// All of them.
    pub fn into_chosen(self) -> Vec<usize> {
        self.chosen
    }

    /// [`farthest_point`] at a `delta` no smaller than the one the path was followed to.
    pub fn cut(&self, delta: f64) -> &[usize] {
        &self.chosen[..self.distances.partition_point(|distance| *distance >= delta)]
    }
}

/// Distances between anchors for many paths: a row is computed when it is first asked for.
#[derive(Debug)]
pub struct Distances<'a> {
    unit: Rows<'a>,
    /// Empty where none is kept: all would take more than [`MOST_DISTANCES`], or there is one path.
    rows: Vec<OnceLock<Box<[f64]>>>,
}

/// 256 MB: the distances of 5,792 anchors.
const MOST_DISTANCES: usize = 1 << 25;

impl<'a> Distances<'a> {
    /// Between unit anchors.
    pub fn new(unit: Rows<'a>) -> Self {
        let rows = if unit.len() * unit.len() > MOST_DISTANCES { 0 } else { unit.len() };
        Self { unit, rows: (0..rows).map(|_| OnceLock::new()).collect() }
    }

    /// The path from `start` to where [`farthest_point`] at `delta` stops.
    pub fn path(&self, start: usize, delta: f64) -> Path {
        let mut path = Path { chosen: vec![start], distances: vec![f64::INFINITY] };
        // Distance to the nearest chosen anchor; negative once chosen itself.
        let mut nearest = vec![f64::INFINITY; self.unit.len()];
        let mut latest = start;
        loop {
            nearest[latest] = -1.0;
            let mut farthest: Option<(usize, f64)> = None;
            let computed;
            let from_latest = match self.rows.get(latest) {
                Some(kept) => kept.get_or_init(|| distances(self.unit, latest).into()),
                None => {
                    computed = distances(self.unit, latest).into_boxed_slice();
                    &computed
                }
            };
            for (j, (nearest, from_latest)) in nearest.iter_mut().zip(from_latest).enumerate() {
                *nearest = nearest.min(*from_latest);
                if *nearest >= 0.0 && farthest.is_none_or(|(_, distance)| *nearest > distance) {
                    farthest = Some((j, *nearest));
                }
            }
            match farthest {
                Some((j, distance)) if distance >= delta => {
                    path.chosen.push(j);
                    path.distances.push(distance);
                    latest = j;
                }
                _ => return path,
            }
        }
    }
}

/// `count` rows, or all where there are fewer, in the order chosen: again and again the one farthest from all chosen ones and
/// from all `known` rows (ties: the lowest index). Without known rows the first is row 0.
pub fn farthest_from(unit: Rows<'_>, known: Rows<'_>, count: usize) -> Vec<usize> {
    let to_known = |row: &[f32]| known.iter().map(|known| distance(known, row)).fold(f64::INFINITY, f64::min);
    let mut nearest: Vec<f64> = (0..unit.len()).into_par_iter().map(|i| to_known(unit.row(i))).collect();
    let mut chosen = Vec::with_capacity(count.min(unit.len()));
    while chosen.len() < count.min(unit.len()) {
        let farthest = (1..unit.len()).fold(0, |best, i| if nearest[i] > nearest[best] { i } else { best });
        chosen.push(farthest);
        let latest = unit.row(farthest);
        nearest.par_iter_mut().enumerate().for_each(|(i, nearest)| {
            *nearest = nearest.min(distance(latest, unit.row(i)));
        });
        // Negative once chosen: a copy of it is still at 0.
        nearest[farthest] = -1.0;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random};
    use crate::kernel::space::Anchors;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        unit: golden::Matrix,
        start: usize,
        delta: f64,
        chosen: Vec<usize>,
    }

    #[test]
    fn chosen_anchors_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/prune.json")) {
            let unit = case.unit.narrow();
            let chosen = farthest_point(Rows::new(&unit, case.unit.columns), case.start, case.delta);
            assert_eq!(chosen, case.chosen, "{} from {} at {}", case.name, case.start, case.delta);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kept_anchors_are_far_apart_and_near_all_others(
            seed: u64, k in 2usize..60, d in 2usize..9, delta in 0.0..0.95f64,
        ) {
            let mut random = Random(seed);
            let anchors = Anchors::new(Rows::new(&random.rows(k, d), d)).unwrap();
            let unit = anchors.unit();
            let start = random.below(unit.len());
            let chosen = farthest_point(unit, start, delta);
            prop_assert_eq!(chosen[0], start);
            for (i, &a) in chosen.iter().enumerate() {
                for &b in &chosen[..i] {
                    prop_assert!(a != b && distance(unit.row(a), unit.row(b)) >= delta);
                }
            }
            for j in (0..unit.len()).filter(|j| !chosen.contains(j)) {
                prop_assert!(chosen.iter().any(|&c| distance(unit.row(c), unit.row(j)) < delta));
            }
            // Less pruning goes on from where more pruning stopped.
            let longer = farthest_point(unit, start, delta / 2.0);
            prop_assert_eq!(&longer[..chosen.len()], &chosen[..]);
            let path = Distances::new(unit).path(start, delta / 2.0);
            prop_assert_eq!((path.cut(delta), path.cut(delta / 2.0)), (&chosen[..], &longer[..]));

            // The same rows, and none that is near what is known.
            let from = unit.row(start);
            let others: Vec<usize> = (0..unit.len()).filter(|&i| i != start).collect();
            let rows = unit.select(&others);
            let found = farthest_from(Rows::new(&rows, d), Rows::new(from, d), chosen.len() - 1);
            let found: Vec<usize> = found.into_iter().map(|i| others[i]).collect();
            prop_assert_eq!(&found[..], &chosen[1..]);

            let mut all = farthest_point(unit, start, 0.0);
            all.sort_unstable();
            prop_assert_eq!(all, (0..unit.len()).collect::<Vec<_>>());
        }
    }
}
