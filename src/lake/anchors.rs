//! The care of anchors: which pairs are suspect, and which rows to embed next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};

use super::Place;
use super::condition::Condition;
use super::fit::MAX_ANCHORS;
use super::inputs::Inputs;
use super::matched::Matched;
use super::output::write_table;
use super::quality::{MEASURES, More, Trial, measure};
use super::table::{At, Conditions, PoolDraw, Table, pairs};
use crate::column::suspects::{Checked, check};
use crate::column::{Choice, Keys, Method, MethodOptions, Side, Translator};
use crate::kernel::Rows;
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::center::{center_normalize_into, noise_floor};
use crate::kernel::mean::mean;
use crate::kernel::norm::norm;
use crate::kernel::prune::farthest_from;
use crate::{Error, Result, session};

/// Pairs to check.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// The table of the encoder to translate from.
    pub source: Inputs,
    /// The table of the encoder to translate to.
    pub target: Inputs,
    /// The columns that name a row in both.
    pub key: Vec<String>,
    /// The source's embedding column; found where absent.
    pub source_column: Option<String>,
    /// The target's embedding column; found where absent.
    pub target_column: Option<String>,
    /// SQL over the source's columns: the pairs that are checked.
    pub anchors_where: Option<String>,
    /// Pairs at most, those that `fit` takes with the same seed.
    pub anchors: usize,
    /// Draws pairs and folds.
    pub seed: u64,
}

/// Pairs, the most suspect first.
#[derive(Debug)]
pub struct CheckedPairs {
    /// Their keys.
    pub keys: Keys,
    /// The name of the keys' column.
    pub key: String,
    /// How they do, in this order.
    pub checked: Checked,
    /// The order of the rows of the table: suspects first, then the others, by descending residual.
    order: Vec<usize>,
}

/// Checks the pairs of two tables; the keys, the vectors and the seed alone matter.
pub fn check_pairs(request: &CheckRequest) -> Result<CheckedPairs> {
    if !(2..=MAX_ANCHORS).contains(&request.anchors) {
        return Err(Error::Invalid(format!("--anchors {}: from 2 to {MAX_ANCHORS} can be had", request.anchors)));
    }
    let (source, target) = (Table::open(&request.source)?, Table::open(&request.target)?);
    let source_vectors = source.vectors(request.source_column.as_deref())?;
    let target_vectors = target.vectors(request.target_column.as_deref())?;
    let session = session::context(&session::Settings::default())?;
    let anchors = request.anchors_where.as_deref();
    let anchors = anchors.map(|sql| Condition { option: "--where", sql, session: &session });
    let conditions = Conditions { anchors, ..Conditions::default() };
    let pairs = pairs(&source, &target, &request.key, &conditions, PoolDraw { size: 0, seed: 0 })?;
    let order = pairs.keys.drawn("anchors", request.seed);
    let matched =
        Matched { keys: pairs.keys, tables: vec![(&source_vectors, pairs.source), (&target_vectors, pairs.target)] };
    let found = matched.first(order, request.anchors)?;
    let keys = matched.keys.select(&found.rows);
    let side = |table: usize| {
        let rows = Rows::new(&found.vectors[table], matched.tables[table].0.width());
        Side { rows, encoder: "", mean: None }
    };
    let checked = check(&keys, &side(0), &side(1), request.seed)?;
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| {
        let by_residual = checked.residuals[b].total_cmp(&checked.residuals[a]);
        let by_suspicion = checked.is_suspect(b).cmp(&checked.is_suspect(a));
        by_suspicion.then(by_residual).then(keys.compare(a, &keys, b))
    });
    Ok(CheckedPairs { keys, key: request.key.join(","), checked, order })
}

impl CheckedPairs {
    /// All pairs as a table: the key, `residual`, `rank` and whether it is `suspect`.
    pub fn table(&self) -> Result<RecordBatch> {
        let (checked, order) = (&self.checked, &self.order);
        let residuals: Float64Array = order.iter().map(|&i| Some(checked.residuals[i])).collect();
        let ranks: Int64Array = order.iter().map(|&i| i64::try_from(checked.ranks[i]).ok()).collect();
        let suspects: BooleanArray = order.iter().map(|&i| Some(checked.is_suspect(i))).collect();
        let columns: [(&str, ArrayRef); 4] = [
            (&self.key, self.keys.select(order).to_array()),
            ("residual", Arc::new(residuals)),
            ("rank", Arc::new(ranks)),
            ("suspect", Arc::new(suspects)),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    /// Stores the table; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.table()?, overwrite)
    }
}

/// Rows of the source that are looked at for a suggestion, at most.
pub const SAMPLE: usize = 10_000;
/// Pairs that new rows keep away from, at most.
const KNOWN: usize = 2048;
/// Pairs that a learning curve is measured on, at most.
const MAX_HELD_OUT: usize = 2000;
/// Rows that are searched for a learning curve, at most.
const POOL: usize = 10_000;
/// The first point of a learning curve.
const FIRST_POINT: usize = 64;
/// What is suggested at least where no pair is known.
const FEWEST: usize = 512;
/// The method that learning curves are of.
const METHOD: &str = "parseval";
/// Of [`MEASURES`], those of a learning curve.
const OF_CURVE: [&str; 3] = ["p_at_1", "mrr", "centred_cosine"];
/// A rise of P@1 that is worth as many anchors again.
const WORTH: f64 = 0.01;

/// Where to look for rows to embed next.
#[derive(Debug, Clone)]
pub struct SuggestRequest {
    /// The table of the encoder to translate from.
    pub source: Inputs,
    /// The table of the encoder to translate to, with the rows that it has already.
    pub target: Option<Inputs>,
    /// The columns that name a row in both.
    pub key: Vec<String>,
    /// The source's embedding column; found where absent.
    pub source_column: Option<String>,
    /// The target's embedding column; found where absent.
    pub target_column: Option<String>,
    /// SQL over the source's columns: the rows that may be suggested.
    pub rows_where: Option<String>,
    /// A column of the source: each of its values has its share of the rows.
    pub stratify: Option<String>,
    /// Columns of the source that come along.
    pub columns: Vec<String>,
    /// How many rows; where absent, as many as there are pairs, or without pairs twice the width and at least 512.
    pub count: Option<usize>,
    /// Draws the sample, the rows held out and the anchors of the curve.
    pub seed: u64,
}

/// Rows to embed next.
#[derive(Debug)]
pub struct Suggestion {
    /// Their keys and the columns that come along, the most wanted first.
    pub rows: RecordBatch,
    /// How many rows could have been suggested.
    pub candidates: usize,
    /// How many of them were looked at.
    pub sampled: usize,
    /// Rows that are in both tables.
    pub pairs: usize,
    /// How good a translator is by the number of its anchors.
    pub curve: Curve,
}

/// A learning curve; without points where there are too few pairs to tell.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// By ascending number of anchors.
    pub points: Vec<Point>,
    /// Pairs that it is measured on.
    pub held_out: usize,
    /// How P@1 rose over the last doubling: from that many anchors, and by how much, with the paired interval.
    pub rise: Option<(usize, Estimate)>,
}

/// A point of a learning curve.
#[derive(Debug, Clone)]
pub struct Point {
    /// Anchors.
    pub anchors: usize,
    /// P@1, MRR and centred cosine.
    pub measures: [Estimate; 3],
}

/// Chooses rows to embed next: by farthest-point sampling of the centred source rows, from a sample of [`SAMPLE`] rows that have
/// no twin, away from rows that have one. Keys, vectors and the seed alone matter.
pub fn suggest(request: &SuggestRequest) -> Result<Suggestion> {
    if request.count == Some(0) {
        return Err(Error::Invalid("--count 0: at least one row".into()));
    }
    let source = Table::open(&request.source)?;
    let target = request.target.as_ref().map(Table::open).transpose()?;
    let vectors = source.vectors(request.source_column.as_deref())?;
    let target_vectors = match &target {
        Some(target) => Some((target, target.vectors(request.target_column.as_deref())?)),
        None => None,
    };
    let session = session::context(&session::Settings::default())?;
    let condition = request.rows_where.as_deref();
    let anchors = condition.map(|sql| Condition { option: "--where", sql, session: &session });
    let conditions = Conditions { anchors, group: request.stratify.as_deref(), ..Conditions::default() };
    let all = source.keys(&request.key, &conditions)?;
    let twins = match &target {
        Some(target) => target.find(&request.key, &all.keys, (&source, &request.key))?,
        None => vec![None; all.keys.len()],
    };
    let (paired, open): (Vec<usize>, Vec<usize>) = (0..all.keys.len()).partition(|&row| twins[row].is_some());
    if open.is_empty() {
        return Err(Error::file(
            source.shown(),
            "has no row that could be suggested: all have a twin, or --where selects none",
        ));
    }
    let at = |rows: &[usize]| -> Vec<At> { rows.iter().map(|&row| all.at[row]).collect() };
    let candidates = Matched { keys: all.keys.select(&open), tables: vec![(&vectors, at(&open))] };
    let sample = candidates.first(candidates.keys.drawn("sample", request.seed), SAMPLE)?;
    let (mut curve, mut known) = (Curve::default(), Vec::new());
    if let Some((_, target_vectors)) = &target_vectors {
        let pairs = Matched {
            keys: all.keys.select(&paired),
            tables: vec![
                (&vectors, at(&paired)),
                (target_vectors, paired.iter().filter_map(|&row| twins[row]).collect()),
            ],
        };
        let found = pairs.first(pairs.keys.drawn("anchors", request.seed), MAX_ANCHORS)?;
        let sides =
            [Rows::new(&found.vectors[0], vectors.width()), Rows::new(&found.vectors[1], target_vectors.width())];
        curve = learning_curve(&pairs.keys.select(&found.rows), sides, request.seed)?;
        let most = found.rows.len().min(KNOWN) * vectors.width();
        known = found.vectors[0][..most].to_vec();
    }

    let width = vectors.width();
    let rows = Rows::new(&sample.vectors[0], width);
    let center: Vec<f32> = mean(rows).into_iter().map(|m| m as f32).collect();
    let unit = |rows: Rows<'_>| {
        let (mut unit, floor) = (vec![0.0; rows.len() * width], noise_floor(norm(&center)));
        for (row, out) in rows.iter().zip(unit.chunks_exact_mut(width)) {
            center_normalize_into(row, &center, floor, out);
        }
        unit
    };
    let (unit, known) = (unit(rows), unit(Rows::new(&known, width)));
    let (unit, known) = (Rows::new(&unit, width), Rows::new(&known, width));
    let default = if paired.is_empty() { FEWEST.max(2 * width) } else { paired.len() };
    let count = request.count.unwrap_or(default).min(unit.len());
    let mut strata: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (i, &row) in sample.rows.iter().enumerate() {
        strata.entry(all.group[open[row]].as_deref()).or_default().push(i);
    }
    // Each with its place among those of its stratum, so that any first part has the strata in their shares.
    let mut chosen: Vec<(f64, usize)> = Vec::with_capacity(count);
    let members: Vec<&Vec<usize>> = strata.values().collect();
    for (members, share) in members.iter().zip(shares(&members, count)) {
        let rows = unit.select(members);
        let found = farthest_from(Rows::new(&rows, width), known, share);
        let place = |(place, i): (usize, usize)| ((place as f64 + 0.5) / share as f64, members[i]);
        chosen.extend(found.into_iter().enumerate().map(place));
    }
    chosen.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let wanted: Vec<At> = chosen.iter().map(|&(_, i)| all.at[open[sample.rows[i]]]).collect();
    let mut names: Vec<&str> = request.key.iter().chain(&request.stratify).map(String::as_str).collect();
    names.extend(request.columns.iter().map(String::as_str));
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    Ok(Suggestion {
        rows: source.take(&names, &wanted)?,
        candidates: open.len(),
        sampled: unit.len(),
        pairs: paired.len(),
        curve,
    })
}

/// `count` rows shared among strata by their sizes, by largest remainder; each has at least one as long as there are enough.
fn shares(strata: &[&Vec<usize>], count: usize) -> Vec<usize> {
    let total: usize = strata.iter().map(|members| members.len()).sum();
    let exact = |members: &Vec<usize>| count as f64 * members.len() as f64 / total.max(1) as f64;
    let mut shares: Vec<usize> = strata.iter().map(|members| exact(members).floor() as usize).collect();
    let mut order: Vec<usize> = (0..strata.len()).collect();
    let left = |i: usize| if shares[i] == 0 { 1.0 } else { exact(strata[i]).fract() };
    let lefts: Vec<f64> = order.iter().map(|&i| left(i)).collect();
    order.sort_by(|&a, &b| lefts[b].total_cmp(&lefts[a]).then(a.cmp(&b)));
    let mut rest = count - shares.iter().sum::<usize>();
    for &i in order.iter().cycle().take(count * strata.len().max(1)) {
        if rest > 0 && shares[i] < strata[i].len() {
            shares[i] += 1;
            rest -= 1;
        }
    }
    shares
}

/// How good translators of more and more of the pairs are on a fifth that is held out; rows are in the order drawn.
fn learning_curve(keys: &Keys, sides: [Rows<'_>; 2], seed: u64) -> Result<Curve> {
    let held_out = (keys.len() / 5).min(MAX_HELD_OUT);
    let most = keys.len() - held_out;
    if most < 2 * FIRST_POINT {
        return Ok(Curve::default());
    }
    let drawn = keys.drawn("hold-out", seed);
    let (asked, known) = drawn.split_at(held_out);
    let mut known = known.to_vec();
    known.sort_unstable();
    let part = |side: usize, rows: &[usize]| sides[side].select(rows);
    let searched: Vec<usize> = asked.iter().chain(&known).copied().take(POOL).collect();
    let (queries, natives, pool) = (part(0, asked), part(1, asked), part(1, &searched));
    let [from, to] = sides.map(|side| side.width());
    let trial = Trial {
        queries: Rows::new(&queries, from),
        natives: Rows::new(&natives, to),
        pool: Rows::new(&pool, to),
        more: More::default(),
    };
    let method = Choice::Method(Method::new(&MethodOptions::default(), METHOD)?);
    let half = most / 2;
    let doubled = std::iter::successors(Some(FIRST_POINT), |size| Some(2 * size)).take_while(|size| *size < most);
    // The last rise is that of a doubling too, whatever the number of pairs.
    let sizes: BTreeSet<usize> = doubled.chain([half, most]).collect();
    let measure_at = |anchors: usize| {
        let chosen = &known[..anchors];
        let (source, target) = (part(0, chosen), part(1, chosen));
        let side = |rows, width| Side { rows: Rows::new(rows, width), encoder: "", mean: None };
        let keys = keys.select(chosen);
        let translator = Translator::fit_rows(&keys, &side(&source, from), &side(&target, to), &method)?;
        Ok((anchors, measure(&translator, &trial, seed)?.rows))
    };
    let measured = sizes.into_iter().map(measure_at).collect::<Result<Vec<_>>>()?;
    let of_curve = OF_CURVE.map(|name| MEASURES.iter().position(|known| *known == name).unwrap_or(0));
    let points = measured.iter().filter_map(|(anchors, rows)| {
        let rows: Vec<[f64; 3]> = rows.iter().map(|row| of_curve.map(|measure| row[measure])).collect();
        Some(Point { anchors: *anchors, measures: estimates(&rows, seed)? })
    });
    let before = measured.iter().find(|(anchors, _)| *anchors == half);
    let rise = before.zip(measured.last()).and_then(|((anchors, before), (_, after))| {
        let rises = before.iter().zip(after).map(|(before, after)| [after[of_curve[0]] - before[of_curve[0]]]);
        let [rise] = estimates(&rises.collect::<Vec<_>>(), seed)?;
        Some((*anchors, rise))
    });
    Ok(Curve { points: points.collect(), held_out, rise })
}

impl Suggestion {
    /// Whether more anchors would pay, in a sentence.
    pub fn advice(&self) -> String {
        let Some(((from, Estimate { mean, low, high }), last)) = self.curve.rise.zip(self.curve.points.last()) else {
            return format!(
                "{} pairs are too few for a learning curve: embed these rows, and run this again with --target",
                self.pairs
            );
        };
        let rose = format!(
            "from {from} to {} anchors P@1 went from {:.3} to {:.3} ({low:+.3} to {high:+.3})",
            last.anchors,
            last.measures[0].mean - mean,
            last.measures[0].mean
        );
        if low > 0.0 && mean >= WORTH {
            format!("more anchors pay: {rose}; as many again may bring nearly as much")
        } else {
            format!(
                "more anchors hardly pay: {rose}; try another method, or embed the lake again where this is not enough"
            )
        }
    }

    /// Stores the rows; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.rows, overwrite)
    }
}
