//! Suspect pairs: anchors whose two sides do not seem to be the same thing.
//!
//! The pairs are split into five folds by key; each fold is translated by parseval frames fitted on the others. A pair is
//! suspect where its residual, 1 - centred cosine to its own twin, is above the median by more than twice the deviation, and
//! its twin is not among the nearest tenth of all anchors. The deviation is 1.4826 times the median distance to the median, which
//! a few wrong pairs do not move. Both conditions, because the first alone suspects rows that are merely hard, and the second alone
//! suspects rows whose neighbourhood is merely dense.

use super::settings::{Choice, Method, MethodOptions};
use super::{Keys, Side, Translator};
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::keyed::folds;
use crate::kernel::mean::mean;
use crate::kernel::quality::similarities;
use crate::kernel::retrieval::{Search, ranks};
use crate::kernel::search::Metric;
use crate::kernel::space::median;
use crate::{Error, Result};

/// How many parts the pairs are split into.
const FOLDS: usize = 5;
/// Fewer pairs than that have no outliers to speak of.
const FEWEST: usize = 20;
/// Deviations above the median.
const DEVIATIONS: f64 = 2.0;
/// What makes the median distance to the median the standard deviation of normal numbers.
const NORMAL: f64 = 1.4826;

/// How each pair does without itself, in the order of the pairs.
#[derive(Debug, Clone)]
pub struct Checked {
    /// 1 - centred cosine of the translated source row to its twin, 0 at best.
    pub residuals: Vec<f64>,
    /// How many target anchors are at least as near to the translated row as its twin, itself included.
    pub ranks: Vec<usize>,
    /// The median of the residuals.
    pub median: f64,
    /// Residuals above this are suspect.
    pub residual_above: f64,
    /// ... where their rank is above this.
    pub rank_above: usize,
}

impl Checked {
    /// Whether pair `i` is suspect.
    pub fn is_suspect(&self, i: usize) -> bool {
        self.residuals[i] > self.residual_above && self.ranks[i] > self.rank_above
    }

    /// How many are.
    pub fn suspects(&self) -> usize {
        (0..self.residuals.len()).filter(|&i| self.is_suspect(i)).count()
    }
}

/// Checks pairs: row i of both sides has key i. Folds are drawn by `seed`.
pub fn check(keys: &Keys, source: &Side<'_>, target: &Side<'_>, seed: u64) -> Result<Checked> {
    let n = keys.len();
    if n < FEWEST {
        return Err(Error::Invalid(format!(
            "{n} pairs are too few to tell a suspect from the others: {FEWEST} at least"
        )));
    }
    let method = Choice::Method(Method::new(&MethodOptions::default(), "parseval")?);
    let fold_of = folds(&keys.drawn("suspects", seed), FOLDS);
    let mut translated = vec![0.0; n * target.rows.width()];
    for fold in 0..FOLDS {
        let (asked, known): (Vec<usize>, Vec<usize>) = (0..n).partition(|&pair| fold_of[pair] == fold);
        let (from, to) = (source.rows.select(&known), target.rows.select(&known));
        let translator =
            Translator::fit_rows(&keys.select(&known), &of_rows(source, &from), &of_rows(target, &to), &method)?;
        let width = translator.target_width;
        let mut out = vec![0.0; asked.len() * width];
        translator
            .translation()
            .apply(asked.len(), |i| Some(source.rows.row(asked[i])), &mut Scratch::default(), &mut out)
            .map_err(|flaw| Error::Invalid(format!("pair {} overflows when it is centred", asked[flaw.row])))?;
        for (&pair, row) in asked.iter().zip(out.chunks_exact(width)) {
            translated[pair * width..(pair + 1) * width].copy_from_slice(row);
        }
    }
    let translated = Rows::new(&translated, target.rows.width());
    let center: Vec<f32> = mean(target.rows).into_iter().map(|m| m as f32).collect();
    let own: Vec<usize> = (0..n).collect();
    let search = Search { metric: Metric::CentredCosine, csls: None };
    let residuals: Vec<f64> =
        similarities(translated, target.rows, &center).map(|[_, centred, _]| 1.0 - centred).collect();
    let middle = median(&residuals);
    let away: Vec<f64> = residuals.iter().map(|residual| (residual - middle).abs()).collect();
    Ok(Checked {
        ranks: ranks(translated, target.rows, &own, search),
        median: middle,
        residual_above: middle + DEVIATIONS * NORMAL * median(&away),
        rank_above: n.div_ceil(10),
        residuals,
    })
}

fn of_rows<'a>(side: &Side<'a>, rows: &'a [f32]) -> Side<'a> {
    Side { rows: Rows::new(rows, side.rows.width()), ..*side }
}
