//! Whether the spaces of a hub say the same: every pair, there and back, and through every third.
//!
//! Frames and inverses are fitted anew on two thirds of the anchors that all spaces hold, and what is measured are the other ones: an
//! anchor of space A translated into B beside B's own (*direct*), translated back beside itself (*cycle*), and into C through B beside
//! what comes of it without B (*triangle*).

use rayon::prelude::*;

use super::{FEWEST, Member};
use crate::column::keys::matches;
use crate::column::{Decoder, Keys, Space, Translator};
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::mean::mean;
use crate::kernel::quality::similarity;
use crate::kernel::retrieval::{Search, hit, ranks};
use crate::kernel::search::Metric;
use crate::{Error, Result};

/// Anchors measured at most.
const MAX_MEASURED: usize = 2000;
/// A space is odd where pairs with it reach less than this share of what pairs without it do.
const ODD: f64 = 0.5;
/// A pair whose rows come no nearer than this to the target's own (centred cosine) has nothing in common.
const UNRELATED: f64 = 0.1;

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The spaces' names.
    pub names: Vec<String>,
    /// Every ordered pair of different spaces, by their places.
    pub pairs: Vec<Pair>,
    /// Spaces that do not fit the others.
    pub odd: Vec<Odd>,
    /// Whether no pair has anything in common.
    pub unrelated: bool,
    /// Anchors that were fitted on, and that were measured.
    pub anchors: (usize, usize),
}

/// How rows fare from one space into another. All are means of centred cosines, but for `p_at_1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Places of the spaces.
    pub from: usize,
    /// ...
    pub into: usize,
    /// Beside the target's own.
    pub direct: f64,
    /// Share of rows whose own target row is the nearest.
    pub p_at_1: f64,
    /// There and back, beside the row itself.
    pub cycle: f64,
    /// Through the third space that changes most, beside the direct way; that space's place. None of two spaces.
    pub triangle: Option<(f64, usize)>,
}

/// A space that does not fit the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Odd {
    /// Its place.
    pub space: usize,
    /// The mean of `direct` over pairs with it.
    pub with: f64,
    /// ... and over pairs of others.
    pub without: f64,
}

/// One space, fitted on a part of its anchors.
struct Fitted {
    space: Space,
    decoder: Decoder,
    /// Anchors that were not fitted on.
    rows: Vec<f32>,
    /// Their mean.
    center: Vec<f32>,
}

/// Checks at least two spaces.
pub fn check(members: &[Member]) -> Result<Checked> {
    let Some((first, others)) = members.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err(Error::Invalid("one space alone has nothing to be checked against: add another one".to_owned()));
    };
    let mut common = first.space.anchors.keys.clone();
    for other in others {
        let here = matches(&common, &other.space.anchors.keys);
        common = common.select(&here.into_iter().map(|(place, _)| place).collect::<Vec<_>>());
    }
    let measured = (common.len() / 3).min(MAX_MEASURED);
    if common.len() < FEWEST {
        return Err(Error::Invalid(format!(
            "{} anchors are common to all {} spaces, and {FEWEST} are needed to fit on some and measure on others: embed the missing ones",
            common.len(),
            members.len()
        )));
    }
    let drawn = common.drawn("hold-out", 0);
    let part = |places: &[usize]| {
        let mut places = places.to_vec();
        places.sort_unstable();
        common.select(&places)
    };
    let (held_out, known) = (part(&drawn[..measured]), part(&drawn[measured..]));
    let fitted = members.par_iter().map(|member| fit(member, &known, &held_out)).collect::<Result<Vec<_>>>()?;

    let from_one = |from: usize| -> Result<Vec<Pair>> {
        let own = &fitted[from];
        // What becomes of its rows in every other space.
        let there =
            (0..fitted.len()).map(|into| if into == from { Ok(own.rows.clone()) } else { own.into(&fitted[into]) });
        let there = there.collect::<Result<Vec<_>>>()?;
        let pair = |into: usize| -> Result<Pair> {
            let target = &fitted[into];
            let direct = target.near(&there[into], &target.rows);
            let width = target.space.anchors.width;
            let (rows, pool) = (Rows::new(&there[into], width), Rows::new(&target.rows, width));
            let places: Vec<usize> = (0..rows.len()).collect();
            let found = ranks(rows, pool, &places, Search { metric: Metric::CentredCosine, csls: None });
            let p_at_1 = found.iter().map(|&rank| hit(rank, 1)).sum::<f64>() / found.len() as f64;
            let back = translate(&Translator::compose(&target.space, &own.decoder)?, &there[into])?;
            let cycle = own.near(&back, &own.rows);
            let mut triangle: Option<(f64, usize)> = None;
            for through in (0..fitted.len()).filter(|&through| through != from && through != into) {
                let bridge = Translator::compose(&fitted[through].space, &target.decoder)?;
                let near = target.near(&translate(&bridge, &there[through])?, &there[into]);
                if triangle.is_none_or(|(worst, _)| near < worst) {
                    triangle = Some((near, through));
                }
            }
            Ok(Pair { from, into, direct, p_at_1, cycle, triangle })
        };
        (0..fitted.len()).filter(|&into| into != from).map(pair).collect()
    };
    let pairs = (0..fitted.len()).into_par_iter().map(from_one).collect::<Result<Vec<_>>>()?.concat();
    Ok(Checked {
        names: members.iter().map(|member| member.name.clone()).collect(),
        odd: odd(&pairs, members.len()),
        unrelated: pairs.iter().all(|pair| pair.direct < UNRELATED),
        pairs,
        anchors: (known.len(), held_out.len()),
    })
}

fn fit(member: &Member, known: &Keys, held_out: &Keys) -> Result<Fitted> {
    let anchors = &member.space.anchors;
    let all = anchors.rows();
    let rows = |keys: &Keys| {
        let places: Vec<usize> = matches(&anchors.keys, keys).into_iter().map(|(place, _)| place).collect();
        Rows::new(&all, anchors.width).select(&places)
    };
    let known_rows = rows(known);
    let parseval = member.space.frame_name() == "parseval";
    let space = Space::fit(known, Rows::new(&known_rows, anchors.width), &member.name, None, parseval)?;
    let decoder = Decoder::fit(&space, &member.decoder.method()?)?;
    let rows = rows(held_out);
    let center = mean(Rows::new(&rows, anchors.width)).into_iter().map(|m| m as f32).collect();
    Ok(Fitted { space, decoder, rows, center })
}

fn translate(translator: &Translator, rows: &[f32]) -> Result<Vec<f32>> {
    let rows = Rows::new(rows, translator.source_width);
    let mut out = vec![0.0; rows.len() * translator.target_width];
    let applied = translator.translation().apply(rows.len(), |i| Some(rows.row(i)), &mut Scratch::default(), &mut out);
    match applied {
        Ok(()) => Ok(out),
        Err(_) => Err(Error::Invalid(format!("an anchor of '{}' is no finite vector", translator.source_encoder))),
    }
}

impl Fitted {
    fn into(&self, other: &Self) -> Result<Vec<f32>> {
        translate(&Translator::compose(&self.space, &other.decoder)?, &self.rows)
    }

    /// Mean centred cosine of rows of this space.
    fn near(&self, a: &[f32], b: &[f32]) -> f64 {
        let width = self.space.anchors.width;
        similarity(Rows::new(a, width), Rows::new(b, width), &self.center).map_or(0.0, |found| found.centred_cosine)
    }
}

fn odd(pairs: &[Pair], spaces: usize) -> Vec<Odd> {
    let average = |of: &dyn Fn(&Pair) -> bool| {
        let of: Vec<f64> = pairs.iter().filter(|pair| of(pair)).map(|pair| pair.direct).collect();
        (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
    };
    let judge = |space: usize| {
        let has = |pair: &Pair| pair.from == space || pair.into == space;
        let (with, without) = (average(&has)?, average(&|pair| !has(pair))?);
        (without >= UNRELATED && with < ODD * without).then_some(Odd { space, with, without })
    };
    (0..spaces).filter_map(judge).collect()
}
