//! Which option to take.

use super::{Evaluation, Request, Row};
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::ranking::MEASURES;
use crate::lake::gate::{Measures, Outcome};
use crate::{Error, Result};

/// Queries, documents and model as they are: nothing to do.
pub const STAY: &str = "stay";
/// New queries translated into the old space: one small product a query, the lake untouched.
pub const ADAPTER: &str = "query adapter";
/// The lake translated: one small product a document.
pub const TRANSLATE: &str = "translate";
/// Every document through the new model.
pub const RE_EMBED: &str = "re-embed";

/// The options short of re-embedding, cheapest first.
const CHEAPER: [&str; 3] = [STAY, ADAPTER, TRANSLATE];
/// Where staying is among the answers.
const STAYING: usize = 3;
/// The measure that decides, of [`MEASURES`].
const NDCG: usize = 1;

/// How an option answered.
pub struct Answer {
    pub name: &'static str,
    pub queries: &'static str,
    pub documents: &'static str,
    /// Query by query; or why not.
    pub measures: Result<Vec<[f64; 3]>, String>,
}

/// The measures with their intervals, and the cheapest option that is good enough: one that keeps `keep` of the nDCG of the
/// first of `answers`, re-embedding, by the lower end of the paired interval; for translating the gate decides where there is
/// one. Where none is, it is re-embedding.
pub fn decide(request: &Request, answers: [Answer; 6], judged: bool) -> Result<Evaluation> {
    let ceiling = answers[0].measures.clone().unwrap_or_default();
    let measured = |measures: &[[f64; 3]]| estimates(measures, request.seed);
    let Some(native) = measured(&ceiling).filter(|native| native[NDCG].mean > 0.0) else {
        return Err(Error::Invalid(
            "no query finds a relevant document among the first 10 native ones, so there is nothing to compare with: check that \
             --queries, --native and --qrels belong together"
                .into(),
        ));
    };
    let gain = match &answers[STAYING].measures {
        Ok(staying) if judged => {
            let gains = ceiling.iter().zip(staying).map(|(new, old)| [new[NDCG] - old[NDCG]]);
            estimates(&gains.collect::<Vec<_>>(), request.seed).map(|[gain]| gain)
        }
        _ => None,
    };
    let mut evaluation = Evaluation {
        rows: Vec::with_capacity(answers.len()),
        facts: Vec::new(),
        cautions: Vec::new(),
        winner: RE_EMBED,
        verdict: String::new(),
        gate: None,
        storage: None,
    };
    for Answer { name, queries, documents, measures } in answers {
        let (mut share, mut standing) = (None, None);
        if let Ok(measures) = &measures
            && name != RE_EMBED
        {
            let rest = |(mine, native): (&[f64; 3], &[f64; 3])| [mine[NDCG] - request.keep * native[NDCG]];
            let rests: Vec<[f64; 1]> = measures.iter().zip(&ceiling).map(rest).collect();
            if let Some([rest]) = estimates(&rests, request.seed) {
                let of = |x: f64| request.keep + x / native[NDCG].mean;
                share = Some(Estimate { mean: of(rest.mean), low: of(rest.low), high: of(rest.high) });
                standing = CHEAPER.contains(&name).then_some(match rest {
                    Estimate { low, .. } if low >= 0.0 => Outcome::Met,
                    Estimate { mean, .. } if mean >= 0.0 => Outcome::Borderline,
                    _ => Outcome::NotMet,
                });
            }
        }
        let measures = measures.map(|measures| measured(&measures).unwrap_or(native));
        if let (TRANSLATE, Some(gate), Ok(measures)) = (name, &request.gate, &measures) {
            let judgement = gate.judge(&name_all(measures), Some(&name_all(&native)))?;
            standing = Some(judgement.outcome);
            evaluation.gate = Some(judgement);
        }
        evaluation.rows.push(Row { name, queries, documents, measures, share, standing });
    }
    (evaluation.winner, evaluation.verdict) = verdict(request, &evaluation, gain);
    Ok(evaluation)
}

fn verdict(request: &Request, evaluation: &Evaluation, gain: Option<Estimate>) -> (&'static str, String) {
    let keep = request.keep;
    let row = |name: &&str| evaluation.rows.iter().find(|row| row.name == *name);
    let cheaper: Vec<&Row> = CHEAPER.iter().filter_map(row).collect();
    let enough = cheaper.iter().find(|row| row.standing == Some(Outcome::Met));
    let (winner, mut text) = match enough {
        Some(row) if row.name == TRANSLATE && evaluation.gate.is_some() => {
            (row.name, format!("the gate is met, and nothing cheaper keeps {keep} of the nDCG@10 of re-embed"))
        }
        Some(row) => (row.name, format!("the cheapest that keeps {keep} of the nDCG@10 of re-embed{}", share_of(row))),
        None => {
            let failed = if evaluation.gate.is_some() { ", and the gate is not met" } else { "" };
            let share = |row: &Row| row.share.map_or(f64::NEG_INFINITY, |share| share.mean);
            let nearest = cheaper.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
            let nearest = nearest.filter(|row| row.share.is_some()).map_or_else(String::new, |row| {
                let borderline = row.standing == Some(Outcome::Borderline);
                let more = if borderline { ": borderline, more queries would tell" } else { "" };
                format!("; {} comes nearest{}{more}", row.name, share_of(row))
            });
            (RE_EMBED, format!("nothing cheaper keeps {keep} of its nDCG@10{failed}{nearest}"))
        }
    };
    if let Some(Estimate { mean, low, high }) = gain {
        let word = match (low > 0.0, high < 0.0) {
            (true, _) => "better than the old one",
            (_, true) => "worse than the old one",
            _ => "no better than the old one as far as these queries tell",
        };
        text = format!("{text}. The new model is {word}: nDCG@10 {mean:+.3} ({low:+.3} to {high:+.3})");
    }
    (winner, text)
}

fn share_of(row: &Row) -> String {
    row.share.map_or_else(String::new, |Estimate { mean, low, high }| format!(": {mean:.3} ({low:.3} to {high:.3})"))
}

fn name_all(measures: &[Estimate; 3]) -> Measures {
    MEASURES.iter().zip(measures).map(|(name, estimate)| ((*name).to_owned(), *estimate)).collect()
}
