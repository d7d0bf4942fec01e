//! Fitting a translator from two tables that hold some of the same rows, and measuring it on rows held out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::classes::Classes;
use super::condition::Condition;
use super::gate::{Gate, Judgement};
use super::inputs::Inputs;
use super::quality::{ACCURACY, KNN_OVERLAP, More, RowMeasures, Trial, estimated, measure};
use super::storage::Storage;
use super::table::{At, Conditions, Pairs, PoolDraw, Table, Vectors, pairs};
use super::{Place, stored};
use crate::column::best::{Against, MAX_UNSEEN};
use crate::column::calibration::FEWEST_ANCHORS;
use crate::column::{self, By, Choice, Head, Keys, Method, Translator};
use crate::kernel::Rows;
use crate::kernel::class_means::ClassMeans;
use crate::kernel::classifier::Classifier;
use crate::kernel::keyed::{Draw, draw};
use crate::{Error, Result, session};

/// Anchors taken where nobody says how many.
pub const DEFAULT_ANCHORS: usize = 4096;
/// Anchors at most: a fit holds them in memory, twice.
pub const MAX_ANCHORS: usize = 20_000;
/// Held-out rows measured at most.
pub const MAX_QUERIES: usize = 10_000;
/// Target rows searched at most.
pub(super) const POOL: usize = 10_000;
/// From this many pairs on, at least [`FEWEST_HELD_OUT`] are held out.
const ENOUGH_PAIRS: usize = 400;
/// See [`ENOUGH_PAIRS`].
const FEWEST_HELD_OUT: usize = 200;
/// Held-out rows of a slice that a gate is for.
const SMALLEST_SLICE: usize = 100;
/// Below that, P@1 and MRR look better than they are.
const SMALL_POOL: usize = 1000;

/// What to fit.
#[derive(Debug, Clone)]
pub struct Request {
    /// The table of the encoder to translate from.
    pub source: Inputs,
    /// The table of the encoder to translate to.
    pub target: Inputs,
    /// The column, or the columns, that name a row in both.
    pub key: Vec<String>,
    /// The source's embedding column; found where absent.
    pub source_column: Option<String>,
    /// The target's embedding column; found where absent.
    pub target_column: Option<String>,
    /// The source encoder's name; may be empty.
    pub source_name: String,
    /// The target encoder's name; may be empty.
    pub target_name: String,
    /// SQL over the source's columns: the rows that may be anchors.
    pub anchors_where: Option<String>,
    /// How many anchors at most; [`DEFAULT_ANCHORS`] where absent.
    pub anchors: Option<usize>,
    /// What is held out to measure.
    pub hold_out: HoldOut,
    /// The method; the best is chosen on all the anchors.
    pub method: Choice,
    /// A column of the source with the class of each row, for the accuracy.
    pub label: Option<String>,
    /// A head of the target's space that gives rows their classes for the accuracy, in place of the nearest class mean.
    pub head: Option<Place>,
    /// Whether pairs that do not seem to belong together are no anchors, see [`column::suspects`].
    pub drop_suspects: bool,
    /// What the translator must reach on held-out rows.
    pub gate: Option<Gate>,
    /// A column of the source: the gate is for the worst of the slices, rows of one value, of at least
    /// 100 held-out rows.
    pub slice: Option<String>,
    /// Whether rows are centred by the means of the whole tables instead of the anchors'.
    pub corpus_mean: bool,
    /// Draws anchors, held-out rows and the pool.
    pub seed: u64,
}

/// Which pairs are held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldOut {
    /// A fifth of the pairs, drawn by key; at least 200 where there are 400.
    Keys,
    /// The same, but whole groups of this column of the source, drawn by their value.
    Groups(String),
    /// The source rows that this SQL selects, whether or not they may be anchors.
    Where(String),
}

/// A translator and how it came about.
#[derive(Debug)]
pub struct Fit {
    /// Fitted on all pairs that may be anchors, up to the number of anchors; its diagnostics tell the rest.
    pub translator: Translator,
    /// What was found in the tables, as in the diagnostics under `fit`.
    pub found: Value,
    /// How it does on held-out rows, as in the diagnostics under `quality`; `None` where nothing could be held out.
    pub quality: Option<Value>,
    /// What a person should know before using it.
    pub cautions: Vec<String>,
    /// What the gate says, where there is one.
    pub judgement: Option<Judgement>,
}

/// Fits. Depends on keys, vectors, settings and the seed alone, not on the order of rows or their files.
///
/// Pairs are source and target rows of the same key. Held-out pairs are measured with a translator fitted without them; the
/// translator given back is fitted on all of them (held-out rows that a condition names are anchors too where
/// `anchors_where` selects them, or is absent).
pub fn fit(request: &Request) -> Result<Fit> {
    let cap = request.anchors.unwrap_or(DEFAULT_ANCHORS);
    if !(2..=MAX_ANCHORS).contains(&cap) {
        return Err(Error::Invalid(format!("{cap} anchors are asked for: from 2 to {MAX_ANCHORS} can be had")));
    }
    request.check_measures()?;
    let (source, target) = (Table::open(&request.source)?, Table::open(&request.target)?);
    let source_vectors = source.vectors(request.source_column.as_deref())?;
    let target_vectors = target.vectors(request.target_column.as_deref())?;
    let session = session::context(&session::Settings::default())?;
    let condition = |option, sql| Condition { option, sql, session: &session };
    let (evaluate, group) = match &request.hold_out {
        HoldOut::Keys => (None, request.slice.as_deref()),
        HoldOut::Groups(column) => (None, Some(column.as_str())),
        HoldOut::Where(sql) => (Some(condition("--eval-where", sql.as_str())), request.slice.as_deref()),
    };
    if let (HoldOut::Groups(group), Some(slice)) = (&request.hold_out, &request.slice)
        && group != slice
    {
        return Err(Error::Invalid(format!(
            "--group `{group}` and --slice `{slice}` are two columns: slices can be those of the groups, or without --group"
        )));
    }
    let anchors = request.anchors_where.as_deref().map(|sql| condition("--where", sql));
    let conditions = Conditions { anchors, evaluate, group };
    let pairs = pairs(&source, &target, &request.key, &conditions, PoolDraw { size: POOL, seed: request.seed })?;

    let means = match request.corpus_mean {
        true => Some((source_vectors.mean()?, target_vectors.mean()?)),
        false => None,
    };
    let mut gathered = Gathered::new(&pairs, &source_vectors, &target_vectors);
    let by_draw = pairs.keys.drawn("anchors", request.seed);
    let held_out = hold_out(&pairs, &request.hold_out, request.seed);
    let mut cautions = Vec::new();

    let mut anchors = gathered.first(by_draw.iter().copied().filter(|&pair| pairs.anchor[pair]), cap)?;
    if anchors.len() < 2 {
        return Err(Error::Invalid(format!(
            "{} of {} pairs can be an anchor ({} have a NULL embedding): at least two are needed, and a few hundred to \
             translate well",
            anchors.len(),
            pairs.len(),
            gathered.nulls()
        )));
    }
    let mut suspect = vec![false; pairs.len()];
    if request.drop_suspects {
        let checked = request.on(&gathered, &anchors, means.as_ref(), |keys, source, target| {
            column::suspects::check(keys, source, target, request.seed)
        })?;
        anchors.iter().enumerate().for_each(|(i, &pair)| suspect[pair] = checked.is_suspect(i));
        anchors.retain(|&pair| !suspect[pair]);
    }
    let queries = match &held_out {
        Some(held) => gathered.first(held.drawn.iter().copied(), MAX_QUERIES)?,
        None => Vec::new(),
    };
    // Those that are measured are translated by a fit of the others.
    let rest = match &held_out {
        Some(held) => {
            let rest =
                by_draw.iter().copied().filter(|&pair| pairs.anchor[pair] && !held.pairs[pair] && !suspect[pair]);
            gathered.first(rest, cap)?
        }
        None => Vec::new(),
    };
    let labelled = anchors.iter().chain(&queries).chain(&rest).copied();
    let classes = request.label.as_deref().map(|label| Classes::read(&source, label, &pairs, labelled)).transpose()?;
    let head = request.head.as_ref().map(|place| head_for(place, target_vectors.width())).transpose()?;
    let (method, compared) = request.choose(&gathered, &anchors, (classes.as_ref(), head.as_ref()), means.as_ref())?;
    let mut translator = request.fit_on(&gathered, &anchors, means.as_ref(), method, true)?;

    let mut judgement = None;
    let quality = match &held_out {
        Some(held) => {
            if rest.len() < 2 || queries.is_empty() {
                None
            } else {
                let without = request.fit_on(&gathered, &rest, means.as_ref(), method, false)?;
                let pool = gathered.pool(&queries)?;
                let native = gathered.rows(&queries, Side::Target);
                let asked = gathered.rows(&queries, Side::Source);
                let classes = match (&classes, &head) {
                    (None, _) => None,
                    (Some(classes), Some(head)) => {
                        Some((Classifier::Head(&head.layers), classes.of_head(&queries, head)?))
                    }
                    (Some(classes), None) => {
                        let known = gathered.rows(&rest, Side::Target);
                        let known = Rows::new(&known, target_vectors.width());
                        let means = ClassMeans::new(known, &classes.of(&rest), &without.target_mean);
                        Some((Classifier::Means(means), classes.of(&queries)))
                    }
                };
                let trial = Trial {
                    queries: Rows::new(&asked, source_vectors.width()),
                    natives: Rows::new(&native, target_vectors.width()),
                    pool: Rows::new(&pool, target_vectors.width()),
                    more: More { neighbours: request.asks_for(By::KnnOverlap, KNN_OVERLAP), classes },
                };
                let measured = measure(&without, &trial, request.seed)?;
                let groups = queries.iter().map(|&pair| pairs.group[pair].as_deref());
                judgement = request.judge(&measured.rows, groups)?;
                let translated = Rows::new(&measured.translated, target_vectors.width());
                let mut quality = json!({
                    "queries": queries.len(),
                    "pool": trial.pool.len(),
                    "anchors": rest.len(),
                    "held_out": held.by,
                    "rows": measured.table,
                });
                if let Some(storage) = Storage::of_translated(translated, trial.natives, request.seed) {
                    quality["storage"] = storage.to_json();
                }
                Some(quality)
            }
        }
        None => None,
    };
    if let (Some(gate), None) = (&request.gate, &judgement) {
        return Err(Error::Gate(format!("the gate {gate} cannot be judged, as no pairs could be held out: {ADVICE}")));
    }

    let candidates = pairs.anchor.iter().filter(|anchor| **anchor).count();
    let mut found = json!({
        "pairs": pairs.len(),
        "pairs_that_may_be_anchors": candidates,
        "anchors": anchors.len(),
        "pairs_with_a_null_embedding": gathered.nulls(),
        "source_rows_without_twin": pairs.source_without_twin,
        "target_rows_without_twin": pairs.target_without_twin,
        "key": request.key.join(","),
        "seed": request.seed,
    });
    if request.drop_suspects {
        found["suspects_dropped"] = suspect.iter().filter(|suspect| **suspect).count().into();
    }
    let mut of_fit = found.clone();
    if let Some(sql) = &request.anchors_where {
        of_fit["where"] = sql.as_str().into();
    }
    translator.tell("fit", of_fit);
    if let Some(compared) = compared {
        translator.tell("best", compared);
    }
    if let Some(quality) = &quality {
        translator.tell("quality", quality.clone());
    }

    let dimensions = source_vectors.width().max(target_vectors.width());
    if anchors.len() < dimensions {
        cautions.push(format!(
            "there are fewer anchors ({}) than dimensions ({dimensions}): directions that the anchors do not span are lost; \
             embed more rows with both encoders",
            anchors.len()
        ));
    }
    if translator.calibration.is_none() {
        cautions.push(format!(
            "there are fewer than {FEWEST_ANCHORS} anchors: confidence is not calibrated, emb_confidence and --confidence-column \
             cannot be had"
        ));
    }
    match quality.as_ref().and_then(|quality| quality["pool"].as_u64()) {
        None => cautions.push(format!(
            "nothing could be measured: of {} pairs none could be held out; how good this translator is, is not known",
            pairs.len()
        )),
        Some(pool) if pool < SMALL_POOL as u64 => cautions.push(format!(
            "the pool has only {pool} rows: P@1 and MRR fall as a pool grows, so expect less in a real lake"
        )),
        Some(_) => {}
    }
    Ok(Fit { translator, found, quality, cautions, judgement })
}

/// Stores a translator; see [`Place::check_writable`] for what is not replaced.
pub fn store(translator: &Translator, place: &Place, overwrite: bool) -> Result<()> {
    place.check_writable(overwrite)?;
    stored::write_translator(translator, place)
}

/// What to do where a translation is not good enough.
pub const ADVICE: &str = "embed the lake again with the target's model, or add anchors and fit again";

/// The head that reads rows of the target, of this width.
fn head_for(place: &Place, width: usize) -> Result<Head> {
    let head = stored::read_head(place)?;
    if head.width() == width {
        return Ok(head);
    }
    let message = format!(
        "the head reads vectors of width {}, and those of --target have {width}: name a head of that encoder",
        head.width()
    );
    Err(Error::file(place.shown(), message))
}

/// The means to centre by, where they are not those of the anchors.
type Means = (Vec<f32>, Vec<f32>);

impl Request {
    /// Whether a measure is what methods are compared by, or what the gate is for.
    fn asks_for(&self, by: By, measure: &str) -> bool {
        let chosen = matches!(&self.method, Choice::Best(best) if best.by == by);
        chosen || self.gate.as_ref().is_some_and(|gate| gate.measure() == measure)
    }

    fn check_measures(&self) -> Result<()> {
        if self.label.is_none() && self.asks_for(By::Accuracy, ACCURACY) {
            return Err(Error::Invalid(
                "accuracy needs the class of every row: name the column of --source that holds it with --label".into(),
            ));
        }
        Ok(())
    }

    /// The method to fit with, and how it was found where it was chosen.
    fn choose(
        &self,
        gathered: &Gathered<'_>,
        anchors: &[usize],
        (classes, head): (Option<&Classes>, Option<&Head>),
        means: Option<&Means>,
    ) -> Result<(Method, Option<Value>)> {
        let best = match &self.method {
            Choice::Method(method) => return Ok((*method, None)),
            Choice::Best(best) => best,
        };
        let unseen = gathered.others(anchors, MAX_UNSEEN)?;
        let of_anchors = |classes: &Classes| match head {
            Some(head) => classes.of_head(anchors, head),
            None => Ok(classes.of(anchors)),
        };
        let classes = classes.map(of_anchors).transpose()?;
        let head = head.map(|head| head.layers.as_slice());
        let classes = classes.as_deref().map(|of| column::best::Classes { of, head });
        let against = Against { unseen: Rows::new(&unseen, gathered.target.width()), classes };
        let found = self.on(gathered, anchors, means, |keys, source, target| {
            Ok(Translator::compare(keys, source, target, &against, best)?.choose(best.by))
        })?;
        Ok((found.method, Some(found.compared)))
    }

    fn fit_on(
        &self,
        gathered: &Gathered<'_>,
        anchors: &[usize],
        means: Option<&Means>,
        method: Method,
        calibrate: bool,
    ) -> Result<Translator> {
        self.on(gathered, anchors, means, |keys, source, target| {
            let (source, target) = Translator::anchors(keys, source, target)?;
            let calibrate = calibrate && Translator::can_be_calibrated(&source, &target);
            let fit = if calibrate { Translator::fit_calibrated } else { Translator::fit };
            fit(&source, &target, &Choice::Method(method))
        })
    }

    fn on<T>(
        &self,
        gathered: &Gathered<'_>,
        anchors: &[usize],
        means: Option<&Means>,
        work: impl FnOnce(&Keys, &column::Side<'_>, &column::Side<'_>) -> Result<T>,
    ) -> Result<T> {
        let (source, target) = (gathered.rows(anchors, Side::Source), gathered.rows(anchors, Side::Target));
        let source = column::Side {
            rows: Rows::new(&source, gathered.source.width()),
            encoder: &self.source_name,
            mean: means.map(|(mean, _)| mean.as_slice()),
        };
        let target = column::Side {
            rows: Rows::new(&target, gathered.target.width()),
            encoder: &self.target_name,
            mean: means.map(|(_, mean)| mean.as_slice()),
        };
        work(&gathered.pairs.keys.select(anchors), &source, &target)
    }

    /// What the gate says of held-out rows with these measures and slices: of all of them, or of the slice that is worst for
    /// it.
    fn judge<'g>(
        &self,
        rows: &[RowMeasures],
        groups: impl Iterator<Item = Option<&'g str>>,
    ) -> Result<Option<Judgement>> {
        let Some(gate) = &self.gate else { return Ok(None) };
        let Some(column) = &self.slice else {
            return gate.judge(&estimated(rows, self.seed), None).map(Some);
        };
        let mut slices: BTreeMap<Option<&str>, Vec<RowMeasures>> = BTreeMap::new();
        for (row, group) in rows.iter().zip(groups) {
            slices.entry(group).or_default().push(*row);
        }
        let mut worst: Option<Judgement> = None;
        for (group, rows) in slices.iter().filter(|(_, rows)| rows.len() >= SMALLEST_SLICE) {
            let name = format!("{column} = {}", group.map_or("NULL".to_owned(), |group| format!("'{group}'")));
            let judged = gate.judge(&estimated(rows, self.seed), None)?.of(&format!("{name}, {} rows", rows.len()));
            if worst.as_ref().is_none_or(|worst| judged.is_worse_than(worst)) {
                worst = Some(judged);
            }
        }
        worst.map(Some).ok_or_else(|| {
            Error::Gate(format!(
                "the gate {gate} cannot be judged: no slice of `{column}` has {SMALLEST_SLICE} held-out rows: hold out more, \
                 or leave out --slice"
            ))
        })
    }
}

/// Pairs that are not anchors when the quality is measured.
pub(super) struct Held {
    /// By pair.
    pub pairs: Vec<bool>,
    /// The same in the order drawn.
    pub drawn: Vec<usize>,
    /// How they were chosen, for people.
    pub by: String,
}

/// Which pairs to hold out; `None` where no split leaves two anchors and one row to ask for.
pub(super) fn hold_out(pairs: &Pairs, hold_out: &HoldOut, seed: u64) -> Option<Held> {
    let drawn = pairs.keys.drawn("hold-out", seed);
    let candidates: Vec<usize> = drawn.iter().copied().filter(|&pair| pairs.anchor[pair]).collect();
    let fifth = candidates.len() / 5;
    let wanted = if candidates.len() >= ENOUGH_PAIRS { fifth.max(FEWEST_HELD_OUT) } else { fifth };
    let mut held = vec![false; pairs.len()];
    let by = match hold_out {
        HoldOut::Keys => {
            candidates.iter().take(wanted).for_each(|&pair| held[pair] = true);
            format!("a fifth, drawn by key, seed {seed}")
        }
        HoldOut::Groups(column) => {
            let mut groups: BTreeMap<(Draw, &Option<Arc<str>>), Vec<usize>> = BTreeMap::new();
            for &pair in &candidates {
                let group = &pairs.group[pair];
                let bytes = group.as_ref().map_or_else(|| b"n".to_vec(), |text| [b"g", text.as_bytes()].concat());
                groups.entry((draw("hold-out", seed, &bytes), group)).or_default().push(pair);
            }
            let (mut count, total) = (0, groups.len());
            let taken = groups.values().take(total.saturating_sub(1)).take_while(|members| {
                let more = count < wanted;
                count += members.len();
                more
            });
            let taken: Vec<&Vec<usize>> = taken.collect();
            taken.iter().flat_map(|members| members.iter()).for_each(|&pair| held[pair] = true);
            format!("{} of {total} groups of `{column}`, seed {seed}", taken.len())
        }
        HoldOut::Where(sql) => {
            held.copy_from_slice(&pairs.evaluate);
            format!("--eval-where {sql}")
        }
    };
    let drawn: Vec<usize> = drawn.into_iter().filter(|&pair| held[pair]).collect();
    (!drawn.is_empty()).then_some(Held { pairs: held, drawn, by })
}

#[derive(Clone, Copy)]
pub(super) enum Side {
    Source,
    Target,
}

/// A pair's vectors as far as they were read.
#[derive(Clone)]
enum Seen {
    Unread,
    Null,
    Both(Box<[f32]>, Box<[f32]>),
}

/// The vectors of pairs, read as they are needed.
pub(super) struct Gathered<'a> {
    pairs: &'a Pairs,
    source: &'a Vectors<'a>,
    target: &'a Vectors<'a>,
    seen: Vec<Seen>,
}

impl<'a> Gathered<'a> {
    pub fn new(pairs: &'a Pairs, source: &'a Vectors<'a>, target: &'a Vectors<'a>) -> Self {
        Self { pairs, source, target, seen: vec![Seen::Unread; pairs.len()] }
    }

    /// The first `count` pairs in this order that have both vectors; reads them.
    pub fn first(&mut self, order: impl Iterator<Item = usize>, count: usize) -> Result<Vec<usize>> {
        let order: Vec<usize> = order.collect();
        loop {
            let usable = order.iter().copied().filter(|&pair| !matches!(self.seen[pair], Seen::Null));
            let chosen: Vec<usize> = usable.take(count).collect();
            let unread: Vec<usize> =
                chosen.iter().copied().filter(|&pair| matches!(self.seen[pair], Seen::Unread)).collect();
            if unread.is_empty() {
                return Ok(chosen);
            }
            let at = |rows: &[At]| -> Vec<At> { unread.iter().map(|&pair| rows[pair]).collect() };
            let source = self.source.read(&at(&self.pairs.source))?;
            let target = self.target.read(&at(&self.pairs.target))?;
            for ((&pair, source), target) in unread.iter().zip(source).zip(target) {
                self.seen[pair] = match (source, target) {
                    (Some(source), Some(target)) => Seen::Both(source, target),
                    _ => Seen::Null,
                };
            }
        }
    }

    /// Pairs known to have a NULL embedding on a side.
    pub fn nulls(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen, Seen::Null)).count()
    }

    /// The vectors of pairs that [`Gathered::first`] gave, row-major.
    pub fn rows(&self, pairs: &[usize], side: Side) -> Vec<f32> {
        let vectors = pairs.iter().filter_map(|&pair| match (&self.seen[pair], side) {
            (Seen::Both(source, _), Side::Source) => Some(source),
            (Seen::Both(_, target), Side::Target) => Some(target),
            _ => None,
        });
        vectors.flat_map(|vector| vector.iter().copied()).collect()
    }

    /// The target's vectors to search: those of the queries first, then others as drawn, up to [`POOL`] in all.
    pub fn pool(&self, queries: &[usize]) -> Result<Vec<f32>> {
        let mut pool = self.rows(queries, Side::Target);
        pool.extend(self.others(queries, POOL.saturating_sub(queries.len()))?);
        Ok(pool)
    }

    /// `count` target vectors that are not those of these pairs, as drawn; fewer where there are fewer, or some are NULL.
    fn others(&self, pairs: &[usize], count: usize) -> Result<Vec<f32>> {
        let own: HashSet<At> = pairs.iter().map(|&pair| self.pairs.target[pair]).collect();
        let others = self.pairs.pool.iter().copied().filter(|at| !own.contains(at));
        let others: Vec<At> = others.take(count).collect();
        Ok(self.target.read(&others)?.into_iter().flatten().flatten().collect())
    }
}
