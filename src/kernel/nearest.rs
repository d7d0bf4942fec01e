//! The nearest documents of each query, of documents that come a block at a time: exact, scores in single precision.
//!
//! What is found depends on the documents and their keys alone, not on their order or how they are cut into blocks.

use super::Rows;
use super::search::{BLOCK_DOCUMENTS, Index, Neighbour};
use super::vectorized::vectorized;

/// The `k` nearest documents so far of each query.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest<K> {
    k: usize,
    /// For each query, nearest first.
    found: Vec<Vec<Found<K>>>,
}

/// A document found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<K> {
    /// Its score, the higher the nearer.
    pub score: f32,
    /// Its key.
    pub key: K,
}

/// Rows found for all queries together, at most: all of them are in memory, for every thread that searches.
pub const MAX_FOUND: usize = 10_000_000;

/// Rows that wait are searched when about so many bytes of them have come.
const WAITING_BYTES: usize = 12 << 20;

/// How many rows of `width` numbers wait for each other: whole blocks, so that few products are padded.
pub fn waiting_rows(width: usize) -> usize {
    (WAITING_BYTES / (size_of::<f32>() * width.max(1) * BLOCK_DOCUMENTS)).clamp(1, 8) * BLOCK_DOCUMENTS
}

/// Scores that are compared with the least of a query's at once.
const LANES: usize = 64;

impl<K: Ord + Clone + Send + Sync> Nearest<K> {
    /// Nothing found yet of `queries` queries.
    pub fn new(queries: usize, k: usize) -> Self {
        Self { k, found: vec![Vec::new(); queries] }
    }

    /// What was found for each query, nearest first; ties go to the lower key.
    pub fn found(&self) -> &[Vec<Found<K>>] {
        &self.found
    }

    /// Searches `documents`, whose keys are `keys`, too.
    pub fn search(&mut self, documents: &Index<'_>, queries: Rows<'_>, keys: &[K]) {
        let k = self.k;
        documents.visit(queries, &mut self.found, |scores, found| {
            for block in documents.blocks() {
                scores.score(block.clone());
                for (query, found) in scores.asked.clone().zip(&mut *found) {
                    let scores = scores.of(query);
                    let mut least = least(found, k);
                    let reached = reached(scores, least);
                    for (place, scores) in scores.chunks(LANES).enumerate().filter(|(place, _)| reached[*place]) {
                        for (&score, key) in scores.iter().zip(&keys[block.start + place * LANES..]) {
                            if score >= least {
                                offer(found, k, score, key);
                                least = self::least(found, k);
                            }
                        }
                    }
                }
            }
        });
    }

    /// Adds what was found elsewhere for a query.
    pub fn merge(&mut self, query: usize, others: impl IntoIterator<Item = Found<K>>) {
        let (k, found) = (self.k, &mut self.found[query]);
        for other in others {
            offer(found, k, other.score, &other.key);
        }
    }

    /// Bytes held, those behind the keys not counted.
    pub fn size(&self) -> usize {
        let held = self.found.iter().map(|found| found.capacity() * size_of::<Found<K>>());
        size_of_val(self.found.as_slice()) + held.sum::<usize>()
    }
}

impl Index<'_> {
    /// The `k` documents of highest score for each query, highest first; ties go to the lower index. With `others`, query i
    /// does not find document i.
    pub fn nearest(&self, queries: Rows<'_>, k: usize, others: bool) -> Vec<Vec<Neighbour>> {
        let k = k.min(self.len());
        if k == 0 {
            return vec![Vec::new(); queries.len()];
        }
        let documents: Vec<usize> = (0..self.len()).collect();
        // One more, where a query's own document may be among them.
        let mut nearest = Nearest::new(queries.len(), k + usize::from(others));
        nearest.search(self, queries, &documents);
        let of_query = |(query, found): (usize, Vec<Found<usize>>)| {
            let found = found.into_iter().map(|Found { score, key }| Neighbour { document: key, score });
            found.filter(|neighbour| !(others && neighbour.document == query)).take(k).collect()
        };
        nearest.found.into_iter().enumerate().map(of_query).collect()
    }
}

/// What a document must reach to be found: anything while there is room.
fn least<K>(found: &[Found<K>], k: usize) -> f32 {
    found.get(k - 1).map_or(f32::NEG_INFINITY, |last| last.score)
}

/// Which lanes of a block's scores have one that reaches `least`. Few do, after the first blocks.
fn reached(scores: &[f32], least: f32) -> [bool; BLOCK_DOCUMENTS / LANES] {
    let mut reached = [false; BLOCK_DOCUMENTS / LANES];
    vectorized(
        #[inline(always)]
        || {
            for (reached, lanes) in reached.iter_mut().zip(scores.chunks(LANES)) {
                *reached = lanes.iter().fold(false, |any, &score| any | (score >= least));
            }
        },
    );
    reached
}

fn offer<K: Ord + Clone>(found: &mut Vec<Found<K>>, k: usize, score: f32, key: &K) {
    let before = |other: &Found<K>| other.score > score || (other.score == score && other.key <= *key);
    let place = found.partition_point(before);
    if place < k {
        found.insert(place, Found { score, key: key.clone() });
        found.truncate(k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, with_threads};
    use crate::kernel::search::{Metric, Prepare};

    /// Searches documents in an order, cut after so many.
    fn found(
        metric: Metric,
        (queries, documents): (Rows<'_>, Rows<'_>),
        order: &[usize],
        cut: usize,
        k: usize,
    ) -> Nearest<usize> {
        let prepare = Prepare::new(metric, documents);
        let mut nearest = Nearest::new(queries.len(), k);
        for keys in order.chunks(cut) {
            let rows = documents.select(keys);
            nearest.search(&Index::new(&prepare, Rows::new(&rows, documents.width())), queries, keys);
        }
        nearest
    }

    #[test]
    fn the_nearest_are_those_of_one_search_in_any_order_and_cut() {
        let (d, k) = (7, 10);
        let mut random = Random(12);
        let mut pool = random.rows(2300, d);
        // Copies tie, and the lower key comes first.
        for copy in [3, 900, 1023, 1024, 2200] {
            pool.copy_within(5 * d..6 * d, copy * d);
        }
        let (documents, queries) = (Rows::new(&pool, d), Rows::new(&pool[..300 * d], d));
        for metric in [Metric::Cosine, Metric::CentredCosine, Metric::InnerProduct, Metric::L2] {
            let prepare = Prepare::new(metric, documents);
            let want = Index::new(&prepare, documents).nearest(queries, k, false);
            let straight: Vec<usize> = (0..documents.len()).collect();
            for (order, cut) in [(straight.clone(), 2300), (straight, 64), (random.shuffled(2300), 700)] {
                for threads in [1, 2] {
                    let got = with_threads(threads, || found(metric, (queries, documents), &order, cut, k));
                    for (got, want) in got.found().iter().zip(&want) {
                        let want: Vec<(usize, f32)> = want.iter().map(|n| (n.document, n.score)).collect();
                        let got: Vec<(usize, f32)> = got.iter().map(|found| (found.key, found.score)).collect();
                        assert_eq!(got, want, "{metric:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_found_apart_merge_to_the_whole() {
        let mut random = Random(13);
        let pool = random.rows(900, 5);
        let (documents, queries) = (Rows::new(&pool, 5), Rows::new(&pool[..20 * 5], 5));
        let order = random.shuffled(900);
        let search = |keys: &[usize], k| found(Metric::Cosine, (queries, documents), keys, 100, k);
        for k in [1, 7, 1000] {
            let whole = search(&order, k);
            let mut merged = Nearest::new(20, k);
            for part in [search(&order[600..], k), search(&order[..600], k)] {
                part.found().iter().enumerate().for_each(|(query, found)| merged.merge(query, found.iter().cloned()));
            }
            assert_eq!(merged, whole, "{k}");
            assert_eq!(whole.found()[3].len(), k.min(900));
        }
    }

    #[test]
    fn a_score_that_is_no_number_is_not_found() {
        let mut nearest = Nearest::new(1, 3);
        let rows = [1.0, 0.0, f32::NAN, 0.0, 0.5, 0.5];
        let documents = Rows::new(&rows, 2);
        let prepare = Prepare::new(Metric::InnerProduct, documents);
        nearest.search(&Index::new(&prepare, documents), Rows::new(&[1.0, 0.0], 2), &["a", "b", "c"]);
        let keys: Vec<_> = nearest.found()[0].iter().map(|found| found.key).collect();
        assert_eq!(keys, ["a", "c"]);
    }
}
