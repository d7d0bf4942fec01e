//! Many translators of the same pairs, to be measured and forgotten.

use std::time::Instant;

use rayon::prelude::*;

use super::pair::{Numbers, Pair};
use super::settings::{Map, Method, MethodOptions};
use super::space::KeyedAnchors;
use super::translator::matched;
use crate::kernel::space::median;
use crate::kernel::svd::{DEFAULT_RCOND, round};
use crate::kernel::translate::{Length, Translation};
use crate::kernel::{self, grid};
use crate::{Error, Result};

/// The settings of inverse relative projection to compare: every omega with every delta.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    omegas: Vec<usize>,
    deltas: Vec<f64>,
}

/// A translator, and what its fit was like.
#[derive(Debug, Clone)]
pub struct Fitted<'a> {
    /// The numbers that translate.
    pub translation: Translation<'a>,
    /// Anchors used: of irp the mean number that its subspaces keep.
    pub kept_anchors: f64,
    /// Of irp the mean condition number of the kept target anchors; of the methods that invert all source anchors, theirs.
    pub condition_number: Option<f64>,
    /// How long its inverses or decompositions and its products took, whether or not others share them.
    pub seconds: f64,
}

impl Grid {
    /// Checks the values, and brings them in ascending order, each once.
    pub fn new(omegas: &[i64], deltas: &[f64]) -> Result<Self> {
        let mut grid = Self { omegas: Vec::new(), deltas: deltas.to_vec() };
        let irp = MethodOptions { method: Some("irp".into()), ..MethodOptions::default() };
        for &omega in omegas {
            let method = Method::new(&MethodOptions { omega: Some(omega), ..irp.clone() }, "irp")?;
            if let Map::Irp(irp) = method.map {
                grid.omegas.push(irp.omega);
            }
        }
        for &delta in deltas {
            Method::new(&MethodOptions { delta: Some(delta), ..irp.clone() }, "irp")?;
        }
        if omegas.is_empty() || deltas.is_empty() {
            return Err(Error::Invalid("a grid needs one omega and one delta at least".into()));
        }
        grid.omegas.sort_unstable();
        grid.omegas.dedup();
        grid.deltas.sort_by(f64::total_cmp);
        // -0 is 0.
        grid.deltas.dedup_by(|a, b| a == b);
        Ok(grid)
    }

    /// The deltas, ascending.
    pub fn deltas(&self) -> &[f64] {
        &self.deltas
    }

    /// All settings: by omega, then by delta.
    pub fn settings(&self) -> impl Iterator<Item = (usize, f64)> {
        self.omegas.iter().flat_map(|&omega| self.deltas.iter().map(move |&delta| (omega, delta)))
    }
}

/// Two spaces' common anchors.
#[derive(Debug)]
pub struct Matched {
    source: KeyedAnchors,
    target: KeyedAnchors,
    median_norm: f64,
}

impl Matched {
    /// Brings anchors together by key. Each space keeps its own mean and scale, as in [`super::Translator::fit`].
    pub fn new(source: &KeyedAnchors, target: &KeyedAnchors) -> Result<Self> {
        let median_norm = median(&target.norms);
        let ((source, target), _) = matched(source, target)?;
        Ok(Self::of(source, target, median_norm))
    }

    /// Of anchors with the same keys in the same order; `median_norm` is that of all the target's.
    pub(super) fn of(source: KeyedAnchors, target: KeyedAnchors, median_norm: f64) -> Self {
        Self { source, target, median_norm }
    }

    /// What `measure` makes of the translator of every setting, in the order of [`Grid::settings`]. Each is that of
    /// [`super::Translator::fit`] to `f32` rounding; settings that keep the same anchors are measured once.
    pub fn irp<R: Clone + Send>(
        &self,
        grid: &Grid,
        seed: u64,
        measure: impl Fn(&Fitted<'_>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let Self { source, target, .. } = self;
        let starts = target.starts(grid.omegas.last().copied().unwrap_or(0), seed);
        let grid = grid::Grid { starts: &starts, omegas: &grid.omegas, deltas: &grid.deltas, rcond: DEFAULT_RCOND };
        grid::irp(source.unit(), target.unit(), &grid, |setting| {
            measure(&Fitted {
                translation: Translation {
                    source_mean: &source.mean,
                    matrix: &round(setting.matrix.as_ref()),
                    target_mean: &target.mean,
                    scale: target.scale,
                    length: Length::Scaled,
                    unit_output: target.unit_vectors,
                },
                kept_anchors: setting.kept,
                condition_number: Some(setting.condition_number),
                seconds: setting.seconds,
            })
        })
    }

    /// What `measure` makes of the translators of other methods, in their order; each space is decomposed once for all.
    pub fn methods<R: Send>(
        &self,
        methods: &[Method],
        measure: impl Fn(&Fitted<'_>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let Self { source, target, median_norm } = self;
        let pair = Pair::new(source, target, *median_norm, DEFAULT_RCOND);
        let timed = |decompose: &dyn Fn() -> Result<(), kernel::Error>| {
            let begin = Instant::now();
            decompose().map(|()| begin.elapsed().as_secs_f64())
        };
        let has = |wanted: fn(Map) -> bool| methods.iter().any(|method| wanted(method.map));
        let by_source = if has(|map| map != Map::Affine) { timed(&|| pair.source().map(drop))? } else { 0.0 };
        let by_target = if has(|map| map == Map::Parseval) { timed(&|| pair.target().map(drop))? } else { 0.0 };
        let one = |method: &Method| {
            let begin = Instant::now();
            let Numbers { fitted, target_mean, scale, length } = pair.fit(method)?;
            let shared = match method.map {
                Map::Affine => 0.0,
                Map::Parseval => by_source + by_target,
                _ => by_source,
            };
            let seconds = begin.elapsed().as_secs_f64() + shared;
            // Procrustes finds the nearest rotation, parseval two frames: neither divides by a singular value.
            let inverts = !matches!(method.map, Map::Procrustes | Map::Parseval);
            let mut of_source = fitted.conditioning.iter().filter(|(name, _)| inverts && *name == "source_anchors");
            measure(&Fitted {
                translation: Translation {
                    source_mean: &source.mean,
                    matrix: &round(fitted.matrix.as_ref()),
                    target_mean: &target_mean,
                    scale,
                    length,
                    unit_output: target.unit_vectors,
                },
                kept_anchors: source.keys.len() as f64,
                condition_number: of_source.next().map(|(_, conditioning)| conditioning.condition_number()),
                seconds,
            })
        };
        methods.par_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::settings::Choice;
    use crate::column::{Keys, Translator};
    use crate::kernel::Rows;

    /// Rows of a common offset and directions that fade.
    fn rows(count: usize, width: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 5003.5 - 1.0;
        (0..count * width).map(|i| 0.3 + number(i) * 0.9f32.powi((i % width) as i32)).collect()
    }

    #[test]
    fn every_setting_is_what_a_fit_gives() {
        let keys = Keys::Int((0..90).rev().collect());
        // A row that equals the mean has no direction: it is an anchor in one space and not in the other.
        let mut target = rows(90, 8, 2);
        let mean: Vec<f32> =
            (0..8).map(|j| target.chunks_exact(8).skip(1).map(|row| row[j]).sum::<f32>() / 89.0).collect();
        target[..8].copy_from_slice(&mean);
        let source = KeyedAnchors::fit(&keys, Rows::new(&rows(90, 12, 1), 12), "a", None).unwrap();
        let target = KeyedAnchors::fit(&keys, Rows::new(&target, 8), "b", None).unwrap();
        let grid = Grid::new(&[4, 1, 2, 1], &[0.5, 0.0, 0.3, -0.0]).unwrap();
        let settings: Vec<_> = grid.settings().collect();
        assert_eq!(settings[..4], [(1, 0.0), (1, 0.3), (1, 0.5), (2, 0.0)]);
        let taken = |fitted: &Fitted<'_>| -> Result<_> {
            let numbers = fitted.translation.matrix.to_vec();
            Ok((numbers, fitted.translation.scale, fitted.kept_anchors, fitted.condition_number))
        };
        let found = Matched::new(&source, &target).unwrap().irp(&grid, 3, taken).unwrap();
        for ((omega, delta), (matrix, scale, kept, condition_number)) in settings.into_iter().zip(found) {
            let options = MethodOptions {
                method: Some("irp".into()),
                omega: Some(omega as i64),
                delta: Some(delta),
                seed: Some(3),
                ..MethodOptions::default()
            };
            let method = Choice::new(&options, "irp").unwrap();
            let fitted = Translator::fit(&source, &target, &method).unwrap();
            let largest = fitted.matrix.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            for (got, want) in matrix.iter().zip(fitted.matrix.iter()) {
                assert!((got - want).abs() <= f32::EPSILON * largest, "omega {omega}, delta {delta}: {got}, {want}");
            }
            assert_eq!(scale, fitted.scale);
            let diagnostics: serde_json::Value = serde_json::from_str(&fitted.diagnostics).unwrap();
            let members = diagnostics["members"].as_array().unwrap();
            let mean = |name: &str| members.iter().filter_map(|m| m[name].as_f64()).sum::<f64>() / omega as f64;
            assert_eq!(kept, mean("anchors"));
            assert!((condition_number.unwrap() / mean("condition_number") - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (omegas, deltas, word) in
            [(&[0][..], &[0.5][..], "omega 0"), (&[1], &[1.0], "delta 1"), (&[], &[0.5], "one omega")]
        {
            let error = Grid::new(omegas, deltas).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
