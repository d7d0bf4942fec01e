//! Translated and native documents in one index: who takes the top, and do scores still mean the same?

use super::Rows;
use super::bootstrap::{Estimate, estimates};
use super::cosine::cosine;
use super::retrieval::{Search, ranks};
use super::search::{Index, Metric, Neighbour, Prepare};

/// What a mixed index does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// Documents searched, of both origins.
    pub pool: usize,
    /// Slots of a result: as asked for, or all documents where there are fewer.
    pub k: usize,
    /// Share of the pool that is translated.
    pub translated_in_pool: f64,
    /// Share of all slots that translated documents take.
    pub translated_in_top_k: Estimate,
    /// Share of queries whose own document is in the top k; ties count against.
    pub recall: Estimate,
    /// The same of those whose own document is translated, and native.
    pub recall_by_origin: [Option<f64>; 2],
    /// Kolmogorov-Smirnov distance between the cosines of queries to their own document where that is translated, and where
    /// it is native: the largest difference of the two distribution functions.
    pub ks: Option<f64>,
    /// See [`Passing`].
    pub passing: Option<Passing>,
}

/// An old threshold on scores, for translated documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passing {
    /// Share of native documents whose cosine to their own query is at least the old threshold.
    pub rate: f64,
    /// The largest threshold that at least this share of the translated ones reach; `None` where no native one passes.
    pub threshold: Option<f64>,
}

/// Searches all `documents` with every row of `queries`, whose own document is that of the same row and translated where
/// `translated` says so. By cosine. `None` without rows.
pub fn mixed(
    queries: Rows<'_>,
    documents: Rows<'_>,
    translated: &[bool],
    k: usize,
    threshold: Option<f64>,
    seed: u64,
) -> Option<Mixed> {
    let (pool, k) = (documents.len(), k.min(documents.len()));
    let own: Vec<usize> = (0..pool).collect();
    let found = ranks(queries, documents, &own, Search::default());
    let prepare = Prepare::new(Metric::Cosine, documents);
    let nearest = Index::new(&prepare, documents).nearest(queries, k, false);
    let measures = |(rank, nearest): (&usize, &Vec<Neighbour>)| {
        let slots = nearest.iter().filter(|one| translated[one.document]).count();
        [slots as f64 / k as f64, f64::from(u8::from(*rank <= k))]
    };
    let rows: Vec<[f64; 2]> = found.iter().zip(&nearest).map(measures).collect();
    let [translated_in_top_k, recall] = estimates(&rows, seed)?;

    let of = |origin: bool| own.iter().copied().filter(move |&i| translated[i] == origin);
    let recall_of = |origin| {
        let (mut hits, mut all) = (0.0, 0.0);
        of(origin).for_each(|i| (hits, all) = (hits + rows[i][1], all + 1.0));
        (all > 0.0).then(|| hits / all)
    };
    let scores = |origin| {
        let score = |i| cosine(queries.row(i), documents.row(i)).unwrap_or(0.0);
        let mut scores: Vec<f64> = of(origin).map(score).collect();
        scores.sort_by(f64::total_cmp);
        scores
    };
    let (ours, native) = (scores(true), scores(false));
    let both = !ours.is_empty() && !native.is_empty();
    Some(Mixed {
        pool,
        k,
        translated_in_pool: ours.len() as f64 / pool as f64,
        translated_in_top_k,
        recall,
        recall_by_origin: [recall_of(true), recall_of(false)],
        ks: both.then(|| kolmogorov_smirnov(&ours, &native)),
        passing: threshold.filter(|_| both).map(|threshold| passing(&ours, &native, threshold)),
    })
}

/// The largest difference of the distribution functions of two samples, ascending.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let up_to = |sorted: &[f64], x: f64| sorted.partition_point(|y| *y <= x) as f64 / sorted.len() as f64;
    a.iter().chain(b).map(|&x| (up_to(a, x) - up_to(b, x)).abs()).fold(0.0, f64::max)
}

/// Of samples in ascending order, neither empty.
fn passing(translated: &[f64], native: &[f64], threshold: f64) -> Passing {
    let passing = native.len() - native.partition_point(|score| *score < threshold);
    // In whole numbers: a share that is rounded up by mistake would move the threshold.
    let wanted = (passing * translated.len()).div_ceil(native.len());
    let threshold = (wanted > 0).then(|| translated[translated.len() - wanted]);
    Passing { rate: passing as f64 / native.len() as f64, threshold }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, assert_golden};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        queries: golden::Matrix,
        documents: golden::Matrix,
        translated: Vec<bool>,
        k: usize,
        old_threshold: f64,
        translated_in_pool: f64,
        translated_in_top_k: f64,
        recall: f64,
        recall_translated: f64,
        recall_native: f64,
        ks: f64,
        pass_rate: f64,
        threshold: f64,
    }

    #[test]
    fn mixed_pools_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/mixed.json")) {
            let (queries, documents, d) = (case.queries.narrow(), case.documents.narrow(), case.documents.columns);
            let (queries, documents) = (Rows::new(&queries, d), Rows::new(&documents, d));
            let found = mixed(queries, documents, &case.translated, case.k, Some(case.old_threshold), 0).unwrap();
            let passing = found.passing.unwrap();
            let [recall_translated, recall_native] = found.recall_by_origin;
            assert_golden(
                &[
                    found.translated_in_pool,
                    found.translated_in_top_k.mean,
                    found.recall.mean,
                    recall_translated.unwrap(),
                    recall_native.unwrap(),
                    found.ks.unwrap(),
                    passing.rate,
                    passing.threshold.unwrap(),
                ],
                &[
                    case.translated_in_pool,
                    case.translated_in_top_k,
                    case.recall,
                    case.recall_translated,
                    case.recall_native,
                    case.ks,
                    case.pass_rate,
                    case.threshold,
                ],
                &case.name,
            );
        }
    }

    #[test]
    fn one_origin_alone_has_nothing_to_compare() {
        let rows = Rows::new(&[1.0, 0.0, 0.0, 1.0], 2);
        let found = mixed(rows, rows, &[false, false], 10, Some(0.5), 0).unwrap();
        assert_eq!((found.k, found.translated_in_pool, found.recall.mean), (2, 0.0, 1.0));
        assert_eq!((found.recall_by_origin, found.ks, found.passing), ([None, Some(1.0)], None, None));
        assert_eq!(mixed(Rows::new(&[], 2), Rows::new(&[], 2), &[], 10, None, 0), None);
    }

    #[test]
    fn the_threshold_keeps_the_rate() {
        let native = [0.1, 0.2, 0.3, 0.4];
        let at = |threshold| passing(&[-0.5, 0.0, 0.6], &native, threshold);
        assert_eq!(at(0.3), Passing { rate: 0.5, threshold: Some(0.0) });
        assert_eq!(at(0.0), Passing { rate: 1.0, threshold: Some(-0.5) });
        assert_eq!(at(0.5), Passing { rate: 0.0, threshold: None });
        assert_eq!(kolmogorov_smirnov(&[0.0, 1.0], &[2.0, 3.0]), 1.0);
        assert_eq!(kolmogorov_smirnov(&[0.0, 1.0], &[1.0, 2.0]), 0.5);
    }
}
