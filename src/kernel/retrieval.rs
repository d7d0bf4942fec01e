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
/// ties count against the query. A zero vector has cosine 0 with everything.
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
                                    rank[i] += row[..to - from].iter().filter(|s| **s >= own_scores[i]).count();
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
