//! Many translators of the same pairs, to be measured and forgotten.

use super::keys::matches;
use super::settings::{Map, Method, MethodOptions};
use super::space::KeyedAnchors;
use super::translator::Translator;
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
    /// How long the fit took; of irp its inverses and products, whether or not other settings share them.
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

    /// What `measure` makes of the translator of every setting, in the order of [`Grid::settings`]. Each is that of
    /// [`Translator::fit`] to `f32` rounding; settings that keep the same anchors are measured once.
    pub fn each<R: Clone + Send>(
        &self,
        source: &KeyedAnchors,
        target: &KeyedAnchors,
        seed: u64,
        measure: impl Fn(&Fitted<'_>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let (from, to): (Vec<usize>, Vec<usize>) = matches(&source.keys, &target.keys).into_iter().unzip();
        let (given, usable) = (source.keys.len(), from.len());
        if usable < 2 {
            return Err(kernel::Error::TooFewAnchors { given, usable }.into());
        }
        let (source, target) = (source.select(&from), target.select(&to));
        let starts = target.starts(self.omegas.last().copied().unwrap_or(0), seed);
        let grid = grid::Grid { starts: &starts, omegas: &self.omegas, deltas: &self.deltas, rcond: DEFAULT_RCOND };
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
}

/// What `measure` makes of the translator of any method.
pub fn one<R>(
    source: &KeyedAnchors,
    target: &KeyedAnchors,
    method: &Method,
    measure: impl Fn(&Fitted<'_>) -> Result<R>,
) -> Result<R> {
    let begin = std::time::Instant::now();
    let translator = Translator::fit(source, target, method)?;
    let seconds = begin.elapsed().as_secs_f64();
    let diagnostics: serde_json::Value = serde_json::from_str(&translator.diagnostics).unwrap_or_default();
    // Procrustes finds the nearest rotation, parseval two frames: neither divides by a singular value.
    let inverts = !matches!(method.map, Map::Procrustes | Map::Parseval);
    let condition_number = diagnostics["source_anchors"]["condition_number"].as_f64().filter(|_| inverts);
    let kept_anchors = diagnostics["anchors"].as_f64().unwrap_or_default();
    measure(&Fitted { translation: translator.translation(), kept_anchors, condition_number, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::Keys;
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
        let found = grid.each(&source, &target, 3, taken).unwrap();
        for ((omega, delta), (matrix, scale, kept, condition_number)) in settings.into_iter().zip(found) {
            let options = MethodOptions {
                method: Some("irp".into()),
                omega: Some(omega as i64),
                delta: Some(delta),
                seed: Some(3),
                ..MethodOptions::default()
            };
            let fitted = Translator::fit(&source, &target, &Method::new(&options, "irp").unwrap()).unwrap();
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
