//! Does a query find its own document? Exact, against a pool of documents.

use super::Rows;
use super::bootstrap::{Estimate, estimates};
use super::search::{Index, Metric, Neighbour, Prepare};

/// How documents are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Search {
    /// What nearness is.
    pub metric: Metric,
    /// Cross-domain similarity local scaling (Conneau et al. 2018) with that many neighbours, which takes from hubs, the
    /// documents near everything, what they have in advance: the score of q and d is `2 cos(q, d) - r(q) - r(d)`, where
    /// `r` is the mean cosine of a vector to its nearest neighbours on the other side. For cosines only.
    pub csls: Option<usize>,
}

/// How well queries find their own documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrieval {
    /// Documents searched.
    pub pool: usize,
    /// Share of queries whose own document comes first.
    pub p_at_1: Estimate,
    /// ... among the first 5.
    pub p_at_5: Estimate,
    /// ... among the first 10.
    pub p_at_10: Estimate,
    /// Mean of 1 / rank.
    pub mrr: Estimate,
    /// Mean rank, from 1.
    pub mean_rank: Estimate,
}

/// Ranks of each query's own document `own[i]` in `pool`: the number of documents whose score is at least its own, so
/// ties count against the query. One that is not finite comes last.
pub fn ranks(queries: Rows<'_>, pool: Rows<'_>, own: &[usize], search: Search) -> Vec<usize> {
    let prepare = Prepare::new(search.metric, pool);
    let mut index = Index::new(&prepare, pool);
    if let Some(k) = search.csls {
        // r(q) is the same for all documents of a query, so half of r(d) is what counts.
        let asking = Index::new(&prepare, queries).nearest(pool, k, false);
        let mean = |nearest: &Vec<Neighbour>| {
            let sum: f64 = nearest.iter().map(|neighbour| f64::from(neighbour.score)).sum();
            sum / nearest.len().max(1) as f64
        };
        index = index.with_bias(asking.iter().map(|nearest| (-mean(nearest) / 2.0) as f32).collect());
    }
    index.search(queries, |scores| {
        let own = &own[scores.asked.clone()];
        let mut own_scores = vec![0.0f32; own.len()];
        let mut rank = vec![0usize; own.len()];
        let mut last = None;
        for documents in index.blocks().filter(|documents| own.iter().any(|own| documents.contains(own))) {
            scores.score(documents.clone());
            for ((query, &own), own_score) in scores.asked.clone().zip(own).zip(&mut own_scores) {
                if documents.contains(&own) {
                    *own_score = scores.of(query)[own - documents.start];
                }
            }
            last = Some(documents);
        }
        // The block scored last is counted at once: where all own documents stand in one, nothing is computed twice.
        let rest = index.blocks().filter(|documents| Some(documents) != last.as_ref()).map(Some);
        for documents in std::iter::once(None).chain(rest) {
            if let Some(documents) = documents {
                scores.score(documents);
            }
            for ((query, own_score), rank) in scores.asked.clone().zip(&own_scores).zip(&mut rank) {
                let all = scores.of(query);
                // Not `>=`: a score that is no number counts against the query as well.
                *rank += all.len() - all.iter().filter(|score| *score < own_score).count();
            }
        }
        rank
    })
}

/// Whether a rank is among the first `k`: 1 or 0.
pub fn hit(rank: usize, k: usize) -> f64 {
    f64::from(u8::from(rank <= k))
}

/// The measures of [`ranks`], with intervals drawn by `seed`; `None` without queries.
pub fn retrieval(queries: Rows<'_>, pool: Rows<'_>, own: &[usize], search: Search, seed: u64) -> Option<Retrieval> {
    let measures = |rank| [hit(rank, 1), hit(rank, 5), hit(rank, 10), 1.0 / rank as f64, rank as f64];
    let rows: Vec<[f64; 5]> = ranks(queries, pool, own, search).into_iter().map(measures).collect();
    let [p_at_1, p_at_5, p_at_10, mrr, mean_rank] = estimates(&rows, seed)?;
    Some(Retrieval { pool: pool.len(), p_at_1, p_at_5, p_at_10, mrr, mean_rank })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden, with_threads};
    use crate::kernel::quality::similarity;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        metric: String,
        csls: Option<usize>,
        queries: golden::Matrix,
        pool: golden::Matrix,
        own: Vec<usize>,
        ranks: Vec<usize>,
        retrieval: Measures,
        center: Vec<f64>,
        cosines: Vec<f64>,
        cosine: f64,
        centred_cosine: f64,
        mse: f64,
    }

    #[derive(serde::Deserialize)]
    struct Measures {
        p_at_1: f64,
        p_at_5: f64,
        p_at_10: f64,
        mrr: f64,
        mean_rank: f64,
    }

    #[test]
    fn ranks_and_similarities_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/metrics.json")) {
            let (name, d) = (&case.name, case.pool.columns);
            let (queries, pool) = (case.queries.narrow(), case.pool.narrow());
            let (queries, pool) = (Rows::new(&queries, d), Rows::new(&pool, d));
            let metric = match case.metric.as_str() {
                "cosine" => Metric::Cosine,
                "centred_cosine" => Metric::CentredCosine,
                "inner_product" => Metric::InnerProduct,
                _ => Metric::L2,
            };
            let search = Search { metric, csls: case.csls };
            assert_eq!(ranks(queries, pool, &case.own, search), case.ranks, "{name}");
            let (got, want) = (retrieval(queries, pool, &case.own, search, 0).unwrap(), &case.retrieval);
            assert_eq!(got.pool, pool.len());
            assert_golden(
                &[got.p_at_1, got.p_at_5, got.p_at_10, got.mrr, got.mean_rank].map(|estimate| estimate.mean),
                &[want.p_at_1, want.p_at_5, want.p_at_10, want.mrr, want.mean_rank],
                name,
            );

            let native = pool.select(&case.own);
            let native = Rows::new(&native, d);
            let cosine = |(a, b)| crate::kernel::cosine::cosine(a, b).unwrap_or(0.0);
            let cosines: Vec<f64> = queries.iter().zip(native.iter()).map(cosine).collect();
            assert_golden(&cosines, &case.cosines, name);
            let found = similarity(queries, native, &golden::narrow(&case.center)).unwrap();
            assert_golden(
                &[found.cosine, found.centred_cosine, found.mse],
                &[case.cosine, case.centred_cosine, case.mse],
                name,
            );
        }
    }

    /// Equal documents tie wherever they stand in a pool of several blocks; every copy counts against the query.
    #[test]
    fn copies_of_a_document_tie_everywhere_in_the_pool() {
        for d in [3, 8, 17, 64, 129] {
            let mut random = Random(d as u64);
            let mut pool = random.rows(2125, d);
            let document = random.rows(1, d);
            let copies = [0, 1, 5, 500, 1022, 1023, 1024, 1031, 2047, 2048, 2124];
            for &copy in &copies {
                pool[copy * d..(copy + 1) * d].copy_from_slice(&document);
            }
            let pool = Rows::new(&pool, d);
            let queries = document.repeat(copies.len());
            let plain = [Metric::Cosine, Metric::CentredCosine, Metric::L2].map(|metric| Search { metric, csls: None });
            for search in plain {
                let found = ranks(Rows::new(&queries, d), pool, &copies, search);
                assert_eq!(found, [copies.len(); 11], "width {d}, {search:?}");
            }
            // Under CSLS a document that many queries are near to may lose to others: all copies lose alike.
            let found = ranks(Rows::new(&queries, d), pool, &copies, SEARCH);
            assert_eq!(found, [found[0].max(copies.len()); 11], "width {d}");
        }
    }

    const SEARCH: Search = Search { metric: Metric::CentredCosine, csls: Some(5) };

    #[test]
    fn ranks_do_not_depend_on_orders_or_threads() {
        let (d, n) = (12, 600);
        let mut random = Random(1);
        let pool = random.rows(1500, d);
        let pool = Rows::new(&pool, d);
        let own: Vec<usize> = (0..n).collect();
        let queries: Vec<f32> = pool.as_slice()[..n * d].iter().map(|x| x + random.normal() as f32).collect();
        let queries = Rows::new(&queries, d);
        let want = with_threads(1, || ranks(queries, pool, &own, SEARCH));
        assert_eq!(with_threads(2, || ranks(queries, pool, &own, SEARCH)), want);

        let (query_order, pool_order) = (random.shuffled(n), random.shuffled(pool.len()));
        let mut place = vec![0; pool.len()];
        for (to, &from) in pool_order.iter().enumerate() {
            place[from] = to;
        }
        let own: Vec<usize> = query_order.iter().map(|&i| place[i]).collect();
        let (queries, pool) = (queries.select(&query_order), pool.select(&pool_order));
        let got = ranks(Rows::new(&queries, d), Rows::new(&pool, d), &own, SEARCH);
        assert!(got.iter().zip(&query_order).all(|(rank, &i)| *rank == want[i]));
    }

    #[test]
    fn a_query_that_is_not_finite_comes_last() {
        let pool = Random(7).rows(20, 4);
        let pool = Rows::new(&pool, 4);
        let queries = [f32::NAN, 0.0, 0.0, 1.0, f32::INFINITY, 1.0, 1.0, 1.0];
        assert_eq!(ranks(Rows::new(&queries, 4), pool, &[3, 4], Search::default()), [20, 20]);
    }

    #[test]
    fn no_queries_have_no_measures() {
        assert_eq!(retrieval(Rows::new(&[], 2), Rows::new(&[1.0, 0.0], 2), &[], Search::default(), 0), None);
    }
}
