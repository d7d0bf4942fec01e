//! Does a query find its own document? Exact, by cosine, against a pool of documents.

use rayon::prelude::*;

use super::Rows;
use super::block::{BLOCK_ROWS, Factor, Scratch, multiply};
use super::normalize::normalize_into;

/// How well queries find their own documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrieval {
    /// Documents searched.
    pub pool: usize,
    /// Share of queries whose own document comes first.
    pub p_at_1: f64,
    /// ... among the first 5.
    pub p_at_5: f64,
    /// ... among the first 10.
    pub p_at_10: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Mean rank, from 1.
    pub mean_rank: f64,
}

/// Ranks of each query's own document `own[i]` in `pool`: the number of documents whose cosine is at least its own, so
/// ties count against the query. A zero vector has cosine 0 with everything; one that is not finite comes last.
pub fn ranks(queries: Rows<'_>, pool: Rows<'_>, own: &[usize]) -> Vec<usize> {
    let d = queries.width();
    let unit_pool = unit_rows(pool);
    let blocks: Vec<usize> = (0..queries.len()).step_by(BLOCK_ROWS).collect();
    let ranked = blocks
        .par_iter()
        .map_init(
            || (Scratch::default(), Vec::new()),
            |(scratch, scores), &first| {
                let count = BLOCK_ROWS.min(queries.len() - first);
                let mut rank = vec![0usize; count];
                let mut own_scores = vec![0.0f32; count];
                // Two sweeps over the pool in column blocks keep memory flat: own scores first, then the count of those above.
                for sweep in [Sweep::Own, Sweep::Count] {
                    for from in (0..pool.len()).step_by(POOL_BLOCK) {
                        let to = (from + POOL_BLOCK).min(pool.len());
                        if sweep == Sweep::Own && !own[first..first + count].iter().any(|o| (from..to).contains(o)) {
                            continue;
                        }
                        scores.resize(count * POOL_BLOCK, 0.0);
                        // The block is always full: a score's bits must not depend on where in the pool a document stands.
                        let factor = &unit_pool[from * d..(from + POOL_BLOCK) * d];
                        let filled: Result<(), std::convert::Infallible> = multiply(
                            count,
                            (d, POOL_BLOCK),
                            Factor::Transposed(factor),
                            scratch,
                            scores,
                            |i, row| {
                                normalize_into(queries.row(first + i), row);
                                Ok(())
                            },
                            |i, row| match sweep {
                                Sweep::Own => {
                                    if let Some(column) = own[first + i].checked_sub(from).filter(|c| *c < to - from) {
                                        own_scores[i] = row[column];
                                    }
                                }
                                Sweep::Count => {
                                    // Not `>=`: a score that is no number counts against the query as well.
                                    let below = |s: &&f32| **s < own_scores[i];
                                    rank[i] += to - from - row[..to - from].iter().filter(below).count();
                                }
                            },
                        );
                        let Ok(()) = filled;
                    }
                }
                rank
            },
        )
        .collect::<Vec<_>>();
    ranked.concat()
}

/// Documents of a block of the pool.
const POOL_BLOCK: usize = 1024;

#[derive(Clone, Copy, PartialEq)]
enum Sweep {
    Own,
    Count,
}

/// Unit rows, padded with zero rows to full blocks.
fn unit_rows(rows: Rows<'_>) -> Vec<f32> {
    let mut unit = vec![0.0; rows.len().next_multiple_of(POOL_BLOCK) * rows.width()];
    for (row, out) in rows.iter().zip(unit.chunks_exact_mut(rows.width().max(1))) {
        normalize_into(row, out);
    }
    unit
}

/// The measures of [`ranks`]; `None` without queries.
pub fn retrieval(queries: Rows<'_>, pool: Rows<'_>, own: &[usize]) -> Option<Retrieval> {
    let ranks = ranks(queries, pool, own);
    let n = ranks.len() as f64;
    let share = |k: usize| ranks.iter().filter(|rank| **rank <= k).count() as f64 / n;
    (!ranks.is_empty()).then(|| Retrieval {
        pool: pool.len(),
        p_at_1: share(1),
        p_at_5: share(5),
        p_at_10: share(10),
        mrr: ranks.iter().map(|rank| 1.0 / *rank as f64).sum::<f64>() / n,
        mean_rank: ranks.iter().sum::<usize>() as f64 / n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden, with_threads};
    use crate::kernel::quality::similarity;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        queries: golden::Matrix,
        pool: golden::Matrix,
        own: Vec<usize>,
        ranks: Vec<usize>,
        retrieval: Measures,
        center: Vec<f64>,
        cosines: Vec<f64>,
        cosine: f64,
        centred_cosine: f64,
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
    fn ranks_and_cosines_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/metrics.json")) {
            let (name, d) = (&case.name, case.pool.columns);
            let (queries, pool) = (case.queries.narrow(), case.pool.narrow());
            let (queries, pool) = (Rows::new(&queries, d), Rows::new(&pool, d));
            assert_eq!(ranks(queries, pool, &case.own), case.ranks, "{name}");
            let (got, want) = (retrieval(queries, pool, &case.own).unwrap(), &case.retrieval);
            assert_eq!(got.pool, pool.len());
            assert_golden(
                &[got.p_at_1, got.p_at_5, got.p_at_10, got.mrr, got.mean_rank],
                &[want.p_at_1, want.p_at_5, want.p_at_10, want.mrr, want.mean_rank],
                name,
            );

            let native = pool.select(&case.own);
            let native = Rows::new(&native, d);
            let cosine = |(a, b)| crate::kernel::cosine::cosine(a, b).unwrap_or(0.0);
            let cosines: Vec<f64> = queries.iter().zip(native.iter()).map(cosine).collect();
            assert_golden(&cosines, &case.cosines, name);
            let found = similarity(queries, native, &golden::narrow(&case.center)).unwrap();
            assert_golden(&[found.cosine, found.centred_cosine], &[case.cosine, case.centred_cosine], name);
        }
    }

    /// Equal documents tie wherever they stand in a pool of several blocks; every copy counts against the query.
    #[test]
    fn copies_of_a_document_tie_everywhere_in_the_pool() {
        for d in [3, 8, 17, 64, 129] {
            let mut random = Random(d as u64);
            let mut pool = random.rows(2 * POOL_BLOCK + 77, d);
            let document = random.rows(1, d);
            let copies = [0, 1, 5, 500, 1022, 1023, 1024, 1031, 2047, 2048, 2124];
            for &copy in &copies {
                pool[copy * d..(copy + 1) * d].copy_from_slice(&document);
            }
            let pool = Rows::new(&pool, d);
            let queries = document.repeat(copies.len());
            assert_eq!(ranks(Rows::new(&queries, d), pool, &copies), [copies.len(); 11], "width {d}");
        }
    }

    #[test]
    fn ranks_do_not_depend_on_orders_or_threads() {
        let (d, n) = (12, 600);
        let mut random = Random(1);
        let pool = random.rows(1500, d);
        let pool = Rows::new(&pool, d);
        let own: Vec<usize> = (0..n).collect();
        let queries: Vec<f32> = pool.as_slice()[..n * d].iter().map(|x| x + random.normal() as f32).collect();
        let queries = Rows::new(&queries, d);
        let want = with_threads(1, || ranks(queries, pool, &own));
        assert_eq!(with_threads(2, || ranks(queries, pool, &own)), want);

        let (query_order, pool_order) = (random.shuffled(n), random.shuffled(pool.len()));
        let mut place = vec![0; pool.len()];
        for (to, &from) in pool_order.iter().enumerate() {
            place[from] = to;
        }
        let own: Vec<usize> = query_order.iter().map(|&i| place[i]).collect();
        let (queries, pool) = (queries.select(&query_order), pool.select(&pool_order));
        let got = ranks(Rows::new(&queries, d), Rows::new(&pool, d), &own);
        assert!(got.iter().zip(&query_order).all(|(rank, &i)| *rank == want[i]));
    }

    #[test]
    fn a_query_that_is_not_finite_comes_last() {
        let pool = Random(7).rows(20, 4);
        let pool = Rows::new(&pool, 4);
        let queries = [f32::NAN, 0.0, 0.0, 1.0, f32::INFINITY, 1.0, 1.0, 1.0];
        assert_eq!(ranks(Rows::new(&queries, 4), pool, &[3, 4]), [20, 20]);
    }

    #[test]
    fn no_queries_have_no_measures() {
        assert_eq!(retrieval(Rows::new(&[], 2), Rows::new(&[1.0, 0.0], 2), &[]), None);
    }
}
