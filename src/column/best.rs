//! Choosing a method: all of a fixed list are compared on pairs that their fits have not seen.
//!
//! The anchors are split into five folds by key. Each method is fitted on four of them and translates the fifth, so that in
//! the end it has translated every anchor without knowing it; each of these predictions is then searched among the target
//! vectors of all anchors. A difference between methods is one between the same rows: within one standard error of the mean
//! difference to the best, the choice is parseval, or else the simplest.

use rayon::prelude::*;
use serde_json::{Value, json};

use super::pair::Pair;
use super::settings::{Best, By, Irp, Map, Method, Scale};
use super::space::KeyedAnchors;
use crate::Result;
use crate::kernel::Rows;
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::keyed::folds;
use crate::kernel::knn_overlap::common;
use crate::kernel::quality::similarities;
use crate::kernel::retrieval::{Search, hit, ranks};
use crate::kernel::search::{Index, Metric, Neighbour, Prepare};
use crate::kernel::svd::DEFAULT_RCOND;

/// How many parts the anchors are split into.
const FOLDS: usize = 5;
/// Anchors that are compared on at most; of more, those that are drawn first.
const MAX_COMPARED: usize = 4096;
/// Neighbours of [`By::KnnOverlap`].
const NEIGHBOURS: usize = 10;

/// The method chosen, and the comparison.
#[derive(Debug)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// For people, as in a translator's diagnostics under `best`: `by`, `folds`, `anchors`, `seed`, and in `rows` for each
    /// method its measures with 95 % intervals and how far it is behind the best (`difference`, with the paired interval).
    pub compared: Value,
}

/// What is compared, the simpler first; irp starts its subspaces by `seed`.
pub fn candidates(seed: u64) -> Vec<Method> {
    let irp = |omega, delta, lambda| Map::Irp(Irp { omega, delta, seed, prune_source: false, lambda, polar: false });
    let maps = [
        Map::Parseval,
        Map::Procrustes,
        Map::LOrtho,
        Map::Linear,
        Map::Ridge { lambda: 1e-3 },
        Map::Ridge { lambda: 1e-2 },
        Map::Ridge { lambda: 1e-1 },
        Map::Affine,
        irp(8, 0.7, 0.0),
        irp(8, 0.3, 0.0),
        irp(1, 0.0, 1e-2),
    ];
    maps.map(|map| Method { map, scale: Scale::MeanNorm, rcond: DEFAULT_RCOND }).to_vec()
}

/// Measures of one row, in the order of [`By::ALL`].
type Measures = [f64; 4];

fn of(by: By) -> usize {
    By::ALL.iter().position(|known| *known == by).unwrap_or_default()
}

/// What every method gave for anchors that it had not seen.
#[derive(Debug)]
pub struct Comparison {
    candidates: Vec<Method>,
    /// By method, then by anchor; after the methods those of mean-only and of do-nothing. Empty where there were too few
    /// anchors to split.
    measured: Vec<Vec<Measures>>,
    anchors: usize,
    seed: u64,
}

/// Compares on anchors with the same keys in the same order; `median_norm` is that of all the target's anchors. Neighbours are
/// looked for only where `by` asks for their overlap.
pub fn compare(
    source: &KeyedAnchors,
    target: &KeyedAnchors,
    median_norm: f64,
    &Best { by, seed }: &Best,
) -> Result<Comparison> {
    let candidates = candidates(seed);
    let mut drawn = source.keys.drawn("best", seed);
    let fold_of = folds(&drawn, FOLDS);
    drawn.truncate(MAX_COMPARED);
    let anchors = drawn.len();
    if anchors < 2 * FOLDS {
        return Ok(Comparison { candidates, measured: Vec::new(), anchors, seed });
    }
    drawn.sort_unstable();
    let rows = |anchors: &KeyedAnchors| anchors.select(&drawn).rows();
    let (from, pool) = (rows(source), rows(target));
    let trial = Trial {
        drawn: &drawn,
        fold_of: &fold_of,
        source: Rows::new(&from, source.width),
        pool: Rows::new(&pool, target.width),
        center: &target.mean,
        nearest: Vec::new(),
    };
    let trial = if by == By::KnnOverlap { trial.with_neighbours() } else { trial };
    let folds: Vec<Vec<Vec<Measures>>> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| trial.compare(fold, (source, target, median_norm), &candidates))
        .collect::<Result<_>>()?;
    let in_order = |method: usize| trial.in_order(folds.iter().map(|fold| &fold[method]));
    Ok(Comparison { measured: (0..candidates.len() + 2).map(in_order).collect(), candidates, anchors, seed })
}

impl Comparison {
    /// Chooses by a measure.
    pub fn choose(&self, measure: By) -> Chosen {
        let Self { candidates, measured, anchors, seed } = self;
        let folds = if measured.is_empty() { 0 } else { FOLDS };
        let mut compared =
            json!({ "by": measure.name(), "folds": folds, "anchors": anchors, "seed": seed, "rows": [] });
        if measured.is_empty() {
            return Chosen { method: candidates[0], compared };
        }
        let (by, n) = (of(measure), *anchors);
        let mean = |rows: &[Measures]| rows.iter().map(|row| row[by]).sum::<f64>() / n as f64;
        let means: Vec<f64> = measured[..candidates.len()].iter().map(|rows| mean(rows)).collect();
        let top = (0..means.len()).fold(0, |top, method| if means[method] > means[top] { method } else { top });
        let differences =
            |method: usize| measured[top].iter().zip(&measured[method]).map(|(top, row)| top[by] - row[by]);
        let is_tied = |method: &usize| {
            let behind = means[top] - means[*method];
            let variance = differences(*method).map(|d| (d - behind).powi(2)).sum::<f64>() / (n - 1) as f64;
            behind <= (variance / n as f64).sqrt()
        };
        let chosen = (0..candidates.len()).find(is_tied).unwrap_or(top);

        let described = candidates.iter().map(|method| (method.name(), method.settings()));
        let dumb = [("mean-only", json!({})), ("do-nothing", json!({}))];
        let rows = described.chain(dumb).enumerate().map(|(method, (name, settings))| {
            let mut row = json!({ "name": name, "settings": settings });
            let rows: Vec<[f64; 5]> = measured[method]
                .iter()
                .zip(differences(method))
                .map(|(&[p_at_1, mrr, overlap, cosine], d)| [p_at_1, mrr, overlap, cosine, d])
                .collect();
            let names = By::ALL.map(By::name).into_iter().chain(["difference"]);
            for (name, Estimate { mean, low, high }) in names.zip(estimates(&rows, *seed).into_iter().flatten()) {
                if mean.is_nan() {
                    continue;
                }
                row[name] = mean.into();
                row[format!("{name}_low")] = low.into();
                row[format!("{name}_high")] = high.into();
            }
            if method == chosen {
                row["chosen"] = true.into();
            }
            row
        });
        compared["rows"] = rows.collect();
        Chosen { method: candidates[chosen], compared }
    }
}

/// What methods are compared on.
struct Trial<'a> {
    /// The anchors that take part, ascending.
    drawn: &'a [usize],
    /// The fold of each anchor.
    fold_of: &'a [usize],
    /// Source vectors of those that take part.
    source: Rows<'a>,
    /// Their target vectors, which are searched.
    pool: Rows<'a>,
    /// The target's mean.
    center: &'a [f32],
    /// The nearest others of each target vector; empty where nobody asks.
    nearest: Vec<Vec<Neighbour>>,
}

impl Trial<'_> {
    fn with_neighbours(self) -> Self {
        let prepare = Prepare::new(Metric::Cosine, self.pool);
        let nearest = Index::new(&prepare, self.pool).nearest(self.pool, NEIGHBOURS, true);
        Self { nearest, ..self }
    }

    /// Places among those that take part of the members of a fold.
    fn members(&self, fold: usize) -> Vec<usize> {
        (0..self.drawn.len()).filter(|&place| self.fold_of[self.drawn[place]] == fold).collect()
    }

    /// Measures of a fold's members, by method; then those of mean-only and of do-nothing.
    fn compare(
        &self,
        fold: usize,
        (source, target, median_norm): (&KeyedAnchors, &KeyedAnchors, f64),
        candidates: &[Method],
    ) -> Result<Vec<Vec<Measures>>> {
        let members = self.members(fold);
        let others: Vec<usize> = self.drawn.iter().copied().filter(|&i| self.fold_of[i] != fold).collect();
        let (known_source, known_target) = (source.select(&others), target.select(&others));
        let pair = Pair::new(&known_source, &known_target, median_norm, DEFAULT_RCOND);
        let asked = self.source.select(&members);
        let asked = Rows::new(&asked, self.source.width());
        let width = self.pool.width();
        let measured = candidates.par_iter().map(|method| {
            let translated = pair.translated(method, asked)?;
            Ok(self.measure(&members, Rows::new(&translated, width)))
        });
        let mut measured = measured.collect::<Result<Vec<_>>>()?;
        let mean = self.center.repeat(members.len());
        measured.push(self.measure(&members, Rows::new(&mean, width)));
        measured.push(match asked.width() == width {
            true => self.measure(&members, asked),
            false => vec![[f64::NAN; 4]; members.len()],
        });
        Ok(measured)
    }

    fn measure(&self, members: &[usize], answers: Rows<'_>) -> Vec<Measures> {
        let natives = self.pool.select(members);
        let natives = Rows::new(&natives, self.pool.width());
        let ranks = ranks(answers, self.pool, members, Search::default());
        let overlaps = self.overlaps(members, answers);
        let cosines = similarities(answers, natives, self.center).map(|[_, centred, _]| centred);
        let rows = ranks.into_iter().zip(overlaps).zip(cosines);
        rows.map(|((rank, overlap), cosine)| [hit(rank, 1), 1.0 / rank as f64, overlap, cosine]).collect()
    }

    /// NaN where nobody asks.
    fn overlaps(&self, members: &[usize], answers: Rows<'_>) -> Vec<f64> {
        if self.nearest.is_empty() {
            return vec![f64::NAN; members.len()];
        }
        let prepare = Prepare::new(Metric::Cosine, self.pool);
        // One more than is wanted: its own twin is no neighbour.
        let found = Index::new(&prepare, self.pool).nearest(answers, NEIGHBOURS + 1, false);
        let overlap = |(&member, found): (&usize, &Vec<Neighbour>)| {
            let wanted = &self.nearest[member];
            let others = found.iter().filter(|one| one.document != member).take(wanted.len());
            common(others, wanted) as f64 / wanted.len().max(1) as f64
        };
        members.iter().zip(&found).map(overlap).collect()
    }

    /// Measures of all folds in the order of the anchors.
    fn in_order<'m>(&self, folds: impl Iterator<Item = &'m Vec<Measures>>) -> Vec<Measures> {
        let mut rows = vec![[f64::NAN; 4]; self.drawn.len()];
        for (fold, measured) in folds.enumerate() {
            for (place, measures) in self.members(fold).into_iter().zip(measured) {
                rows[place] = *measures;
            }
        }
        rows
    }
}
