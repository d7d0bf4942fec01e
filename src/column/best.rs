//! Choosing a method: all of a fixed list are compared on pairs that their fits have not seen.
//!
//! The anchors are split into ten folds by key. Each method is fitted on nine of them and translates the tenth, so that in
//! the end it has translated every anchor without knowing it. Each of these predictions is searched among target vectors that
//! the fit has not seen either: those of its own fold, and others that are no anchors. (Predictions are drawn towards
//! anchors that were fitted on, the more so the more freedom a map has: a pool that holds them makes the freer maps look
//! worse than they are.) A difference between methods is one between the same rows: within one standard error of the mean
//! difference to the best, the choice is parseval, or else the simplest.

use rayon::prelude::*;
use serde_json::{Value, json};

use super::settings::{Best, By, Irp, Map, Method, Scale};
use super::space::KeyedAnchors;
use super::sweep::{Fitted, Grid, Matched};
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::class_means::ClassMeans;
use crate::kernel::classifier::Classifier;
use crate::kernel::head::Layer;
use crate::kernel::keyed::folds;
use crate::kernel::knn_overlap::overlaps;
use crate::kernel::quality::similarities;
use crate::kernel::retrieval::{Search, hit, ranks};
use crate::kernel::svd::DEFAULT_RCOND;
use crate::{Error, Result};

/// How many parts the anchors are split into: with nine tenths of the anchors a map is nearly what it is with all of them.
const FOLDS: usize = 10;
/// Anchors that are compared on at most; of more, those that are drawn first.
const MAX_COMPARED: usize = 4096;
/// Target vectors that are no anchors, searched at most.
pub const MAX_UNSEEN: usize = 4096;
/// What draws them where there are more: the pool's seed in `babelake fit`.
pub const UNSEEN_SEED: u64 = 0;
/// Neighbours of [`By::KnnOverlap`].
const NEIGHBOURS: usize = 10;

/// The method chosen, and the comparison.
#[derive(Debug)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// For people, as in a translator's diagnostics under `best`: `by`, `folds`, `anchors`, `unseen`, `seed`, and in `rows` for each
    /// method its measures with 95 % intervals and how far it is behind the best (`difference`, with the paired interval).
    pub compared: Value,
}

/// Methods that are compared, the simpler first.
const PLAIN: [Map; 8] = [
    Map::Parseval,
    Map::Procrustes,
    Map::LOrtho,
    Map::Linear,
    Map::Ridge { lambda: 1e-3 },
    Map::Ridge { lambda: 1e-2 },
    Map::Ridge { lambda: 1e-1 },
    Map::Affine,
];
/// The ridge of unpruned irp.
const RIDGE: f64 = 1e-2;
/// Members of pruned irp, and the distances it is pruned at.
const PRUNED: (usize, [f64; 2]) = (8, [0.3, 0.7]);

/// What is compared, the simpler first; irp starts its subspaces by `seed`.
pub fn candidates(seed: u64) -> Vec<Method> {
    let irp = |omega, delta, lambda| Map::Irp(Irp { omega, delta, seed, prune_source: false, lambda, polar: false });
    let pruned = PRUNED.1.map(|delta| irp(PRUNED.0, delta, 0.0));
    let maps = PLAIN.into_iter().chain([irp(1, 0.0, RIDGE)]).chain(pruned);
    maps.map(|map| Method { map, scale: Scale::MeanNorm, rcond: DEFAULT_RCOND }).collect()
}

/// Measures of one row, in the order of [`By::ALL`].
type Measures = [f64; By::ALL.len()];

fn of(by: By) -> usize {
    By::ALL.iter().position(|known| *known == by).unwrap_or_default()
}

/// What predictions are held against, beside the target vectors of their own fold.
#[derive(Debug, Clone, Copy)]
pub struct Against<'a> {
    /// Target vectors that are no anchors; those beyond [`MAX_UNSEEN`] do not count.
    pub unseen: Rows<'a>,
    /// Those of the anchors, where they have classes.
    pub classes: Option<Classes<'a>>,
}

/// Classes of anchors, and what gives a translated row its class.
#[derive(Debug, Clone, Copy)]
pub struct Classes<'a> {
    /// The class of each anchor.
    pub of: &'a [usize],
    /// The layers of a head of the target's space, whose logit i is that of class i. Where absent, the nearest class mean of the anchors that
    /// were fitted on.
    pub head: Option<&'a [Layer]>,
}

/// What every method gave for anchors that it had not seen.
#[derive(Debug)]
pub struct Comparison {
    candidates: Vec<Method>,
    /// By method, then by anchor; after the methods those of mean-only and of do-nothing. Empty where there were too few
    /// anchors to split.
    measured: Vec<Vec<Measures>>,
    anchors: usize,
    unseen: usize,
    seed: u64,
}

/// Compares on anchors with the same keys in the same order; `median_norm` is that of all the target's anchors. Neighbours are
/// looked for only where `by` asks for their overlap.
pub fn compare(
    source: &KeyedAnchors,
    target: &KeyedAnchors,
    median_norm: f64,
    &Against { unseen, classes }: &Against<'_>,
    &Best { by, seed }: &Best,
) -> Result<Comparison> {
    if by == By::Accuracy && classes.is_none() {
        return Err(Error::Invalid(
            "by 'accuracy' needs the class of every anchor, which `babelake fit --by accuracy --label COLUMN` reads: in SQL choose \
             by another measure"
                .into(),
        ));
    }
    let candidates = candidates(seed);
    let mut drawn = source.keys.drawn("best", seed);
    let fold_of = folds(&drawn, FOLDS);
    drawn.truncate(MAX_COMPARED);
    let (anchors, width) = (drawn.len(), target.width);
    let unseen = unseen.first(MAX_UNSEEN);
    if anchors < FOLDS {
        return Ok(Comparison { candidates, measured: Vec::new(), anchors, unseen: unseen.len(), seed });
    }
    let compare = |fold: usize| {
        let (members, others): (Vec<usize>, Vec<usize>) = drawn.iter().partition(|&&anchor| fold_of[anchor] == fold);
        let (known_source, known_target) = (source.select(&others), target.select(&others));
        let asked = source.select(&members).rows();
        let pool = [&target.select(&members).rows(), unseen.as_slice()].concat();
        let of =
            |anchors: &[usize], classes: &[usize]| anchors.iter().map(|&anchor| classes[anchor]).collect::<Vec<_>>();
        let classes = classes.map(|classes| {
            let classifier = classes.head.map_or_else(
                || {
                    let known = known_target.rows();
                    let known = Rows::new(&known, width);
                    Classifier::Means(ClassMeans::new(known, &of(&others, classes.of), &target.mean))
                },
                Classifier::Head,
            );
            (classifier, of(&members, classes.of))
        });
        let fold = Fold {
            natives: Rows::new(&pool[..members.len() * width], width),
            pool: Rows::new(&pool, width),
            center: &target.mean,
            classes,
            neighbours: by == By::KnnOverlap,
        };
        let matched = Matched::of(known_source, known_target, median_norm);
        fold.compare(&matched, Rows::new(&asked, source.width), &candidates, seed)
    };
    let folds: Vec<Vec<Vec<Measures>>> = (0..FOLDS).into_par_iter().map(compare).collect::<Result<_>>()?;
    // Every method's rows in the same order: fold by fold.
    let all = |method: usize| folds.iter().flat_map(|fold| fold[method].iter().copied()).collect();
    let measured = (0..candidates.len() + 2).map(all).collect();
    Ok(Comparison { measured, candidates, anchors, unseen: unseen.len(), seed })
}

impl Comparison {
    /// Chooses by a measure.
    pub fn choose(&self, measure: By) -> Chosen {
        let Self { candidates, measured, anchors, unseen, seed } = self;
        let folds = if measured.is_empty() { 0 } else { FOLDS };
        let mut compared = json!({
            "by": measure.name(), "folds": folds, "anchors": anchors, "unseen": unseen, "seed": seed, "rows": [],
        });
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
            let rows: Vec<[f64; By::ALL.len() + 1]> = measured[method]
                .iter()
                .zip(differences(method))
                .map(|(measures, d)| std::array::from_fn(|i| measures.get(i).copied().unwrap_or(d)))
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

/// What a fold's members are measured against.
struct Fold<'a> {
    /// Their target vectors.
    natives: Rows<'a>,
    /// What is searched: the same, then those that are no anchors.
    pool: Rows<'a>,
    /// The target's mean.
    center: &'a [f32],
    /// What gives their classes, and the members' own.
    classes: Option<(Classifier<'a>, Vec<usize>)>,
    /// Whether neighbours are looked for.
    neighbours: bool,
}

impl Fold<'_> {
    /// Measures of the members' source vectors translated, by method; then those of mean-only and of do-nothing.
    fn compare(
        &self,
        matched: &Matched,
        asked: Rows<'_>,
        candidates: &[Method],
        seed: u64,
    ) -> Result<Vec<Vec<Measures>>> {
        let width = self.natives.width();
        let measure = |fitted: &Fitted<'_>| -> Result<Vec<Measures>> {
            let mut translated = vec![0.0; asked.len() * width];
            let translation = &fitted.translation;
            let done = translation.apply(asked.len(), |i| Some(asked.row(i)), &mut Scratch::default(), &mut translated);
            done.map_err(|flaw| Error::Invalid(format!("anchor {} has an item that is NaN or infinite", flaw.row)))?;
            Ok(self.measure(Rows::new(&translated, width)))
        };
        let (omega, deltas) = PRUNED;
        let alone = &candidates[..candidates.len() - deltas.len()];
        let grid = Grid::new(&[omega as i64], &deltas)?;
        let (alone, pruned) = rayon::join(|| matched.methods(alone, measure), || matched.irp(&grid, seed, measure));
        let mut measured = [alone?, pruned?].concat();
        let mean = self.center.repeat(asked.len());
        measured.push(self.measure(Rows::new(&mean, width)));
        measured.push(match asked.width() == width {
            true => self.measure(asked),
            false => vec![[f64::NAN; By::ALL.len()]; asked.len()],
        });
        Ok(measured)
    }

    /// NaN where nobody asks.
    fn measure(&self, answers: Rows<'_>) -> Vec<Measures> {
        let own: Vec<usize> = (0..self.natives.len()).collect();
        let overlaps = match self.neighbours {
            true => overlaps(answers, self.natives, self.pool, NEIGHBOURS),
            false => Vec::new(),
        };
        let ranks = ranks(answers, self.pool, &own, Search::default());
        let cosines = similarities(answers, self.natives, self.center).map(|[_, centred, _]| centred);
        let right = self.classes.as_ref().map(|(classifier, classes)| classifier.is_right(answers, classes));
        let measure = |((i, rank), cosine): ((usize, usize), f64)| {
            let overlap = overlaps.get(i).copied().unwrap_or(f64::NAN);
            let accuracy = right.as_ref().map_or(f64::NAN, |right| f64::from(u8::from(right[i])));
            [hit(rank, 1), 1.0 / rank as f64, overlap, cosine, accuracy]
        };
        ranks.into_iter().enumerate().zip(cosines).map(measure).collect()
    }
}
