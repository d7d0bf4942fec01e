//! Exact search of documents by queries: scores in single precision, a block at a time, so that memory stays flat.

use std::ops::Range;

use rayon::prelude::*;

use super::Rows;
use super::block::{BLOCK_ROWS, Factor, multiply_block};
use super::center::{Centered, center_into, center_normalize_into, noise_floor};
use super::mean::mean;
use super::norm::{dot, norm};
use super::normalize::normalize_into;

/// What nearness is. The zero vector (for the centred cosine, the mean) has cosine 0 with everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// `q . d / (|q| |d|)`.
    #[default]
    Cosine,
    /// The cosine after the documents' mean is taken from queries and documents.
    CentredCosine,
    /// `q . d`.
    InnerProduct,
    /// The Euclidean distance, smaller is nearer: scored as `q . d - |d|^2 / 2`, which orders documents alike, after a centre is
    /// taken from both: what is left of vectors far from the origin would be lost in their lengths.
    L2,
}

impl Metric {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 4] = [
        ("cosine", Self::Cosine),
        ("centred_cosine", Self::CentredCosine),
        ("inner_product", Self::InnerProduct),
        ("l2", Self::L2),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, metric)| metric)
    }
}

/// Makes vectors ready for the product.
#[derive(Debug)]
pub struct Prepare {
    metric: Metric,
    center: Vec<f32>,
    noise_floor: f64,
}

impl Prepare {
    /// For a search of `documents`.
    pub fn new(metric: Metric, documents: Rows<'_>) -> Self {
        let center: Vec<f32> = match metric {
            Metric::CentredCosine | Metric::L2 => mean(documents).into_iter().map(|m| m as f32).collect(),
            _ => Vec::new(),
        };
        Self::about(metric, center)
    }

    /// With a centre: the documents' mean for the centred cosine, any for distances (as near to the vectors as can be), none else.
    pub fn about(metric: Metric, center: Vec<f32>) -> Self {
        let noise_floor = noise_floor(norm(&center));
        Self { metric, center, noise_floor }
    }

    fn fill(&self, v: &[f32], out: &mut [f32]) {
        match self.metric {
            Metric::Cosine => {
                normalize_into(v, out);
            }
            Metric::CentredCosine => {
                if center_normalize_into(v, &self.center, self.noise_floor, out) == Centered::NotFinite {
                    out.fill(f32::NAN);
                }
            }
            Metric::InnerProduct => out.copy_from_slice(v),
            Metric::L2 => center_into(v, &self.center, out),
        }
    }

    /// For a search by these queries, of documents that are not all at hand; `center` is the documents' mean, which only the centred
    /// cosine needs.
    pub fn by_queries(metric: Metric, queries: Rows<'_>, center: Vec<f32>) -> Self {
        match metric {
            // Distances are the same from anywhere, and exact to more places where vectors are short.
            Metric::L2 => Self::new(metric, queries),
            _ => Self::about(metric, center),
        }
    }

    /// The squared length of a query from which its distance to a document is made, see [`distance`].
    pub fn square(&self, query: &[f32]) -> f64 {
        let mut ready = vec![0.0; query.len()];
        self.fill(query, &mut ready);
        dot(&ready, &ready)
    }
}

/// The distance of a query, by its [`Prepare::square`], to a document of this score.
pub fn distance(square: f64, score: f32) -> f32 {
    (square - 2.0 * f64::from(score)).max(0.0).sqrt() as f32
}

/// Documents of a block. The last block is padded with zero rows: a score's bits must not depend on where a document stands.
pub const BLOCK_DOCUMENTS: usize = 1024;

/// Documents ready to be searched.
#[derive(Debug)]
pub struct Index<'a> {
    prepare: &'a Prepare,
    width: usize,
    len: usize,
    documents: Vec<f32>,
    /// Added to a document's scores; empty where nothing is.
    bias: Vec<f32>,
}

impl<'a> Index<'a> {
    /// Of `documents`.
    pub fn new(prepare: &'a Prepare, documents: Rows<'_>) -> Self {
        let (len, width) = (documents.len(), documents.width());
        let mut ready = vec![0.0; len.next_multiple_of(BLOCK_DOCUMENTS) * width];
        for (v, out) in documents.iter().zip(ready.chunks_exact_mut(width.max(1))) {
            prepare.fill(v, out);
        }
        let bias = match prepare.metric {
            Metric::L2 => ready.chunks_exact(width.max(1)).take(len).map(|v| (-dot(v, v) / 2.0) as f32).collect(),
            _ => Vec::new(),
        };
        Self { prepare, width, len, documents: ready, bias }
    }

    /// The same with `bias[i]` added to the scores of document i.
    pub fn with_bias(self, bias: Vec<f32>) -> Self {
        Self { bias, ..self }
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The documents of each block.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let len = self.len;
        (0..len).step_by(BLOCK_DOCUMENTS).map(move |from| from..(from + BLOCK_DOCUMENTS).min(len))
    }

    /// What `work` makes of each block of queries, in their order; blocks run in parallel.
    pub fn search<T: Send>(&self, queries: Rows<'_>, work: impl Fn(&mut Scores<'_>) -> Vec<T> + Sync) -> Vec<T> {
        let blocks: Vec<usize> = (0..queries.len()).step_by(BLOCK_ROWS).collect();
        let found = blocks
            .par_iter()
            .map_init(|| self.buffers(), |buffers, &first| work(&mut self.scores(queries, first, buffers)));
        found.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// Lets `work` see each block of queries with their `states`, one a query; blocks run in parallel.
    pub fn visit<S: Send>(&self, queries: Rows<'_>, states: &mut [S], work: impl Fn(&mut Scores<'_>, &mut [S]) + Sync) {
        states.par_chunks_mut(BLOCK_ROWS).enumerate().for_each_init(
            || self.buffers(),
            |buffers, (block, states)| work(&mut self.scores(queries, block * BLOCK_ROWS, buffers), states),
        );
    }

    fn buffers(&self) -> [Vec<f32>; 2] {
        [vec![0.0; BLOCK_ROWS * self.width], vec![0.0; BLOCK_ROWS * BLOCK_DOCUMENTS]]
    }

    /// The block of queries that begins at `first`, ready; nothing is scored yet.
    fn scores<'s>(&'s self, queries: Rows<'_>, first: usize, [ready, scores]: &'s mut [Vec<f32>; 2]) -> Scores<'s> {
        let asked = first..(first + BLOCK_ROWS).min(queries.len());
        for (i, out) in asked.clone().zip(ready.chunks_exact_mut(self.width.max(1))) {
            self.prepare.fill(queries.row(i), out);
        }
        ready[asked.len() * self.width..].fill(0.0);
        Scores { index: self, asked, ready, scores, documents: 0..0 }
    }
}

/// A document found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its index.
    pub document: usize,
    /// Its score.
    pub score: f32,
}

/// Scores of a block of queries.
pub struct Scores<'a> {
    index: &'a Index<'a>,
    /// The queries.
    pub asked: Range<usize>,
    ready: &'a [f32],
    scores: &'a mut [f32],
    documents: Range<usize>,
}

impl Scores<'_> {
    /// Computes the scores of a block of documents, one of [`Index::blocks`].
    pub fn score(&mut self, documents: Range<usize>) {
        let d = self.index.width;
        let factor = &self.index.documents[documents.start * d..(documents.start + BLOCK_DOCUMENTS) * d];
        multiply_block(self.ready, (d, BLOCK_DOCUMENTS), Factor::Transposed(factor), self.scores);
        if let Some(bias) = self.index.bias.get(documents.clone()) {
            for row in self.scores.chunks_exact_mut(BLOCK_DOCUMENTS).take(self.asked.len()) {
                row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
        }
        self.documents = documents;
    }

    /// The scores of a query with the documents last scored.
    pub fn of(&self, query: usize) -> &[f32] {
        &self.scores[(query - self.asked.start) * BLOCK_DOCUMENTS..][..self.documents.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, with_threads};

    #[test]
    fn the_nearest_are_those_of_a_sorted_list() {
        let d = 7;
        let mut random = Random(11);
        let mut pool = random.rows(2100, d);
        // Copies tie, and the lower index comes first.
        pool.copy_within(5 * d..6 * d, 2000 * d);
        let documents = Rows::new(&pool, d);
        for metric in [Metric::Cosine, Metric::CentredCosine, Metric::InnerProduct, Metric::L2] {
            let prepare = Prepare::new(metric, documents);
            let index = Index::new(&prepare, documents);
            let asked = Rows::new(&pool[..300 * d], d);
            let all = index.search(asked, |scores| {
                let mut all = vec![Vec::new(); scores.asked.len()];
                for block in index.blocks() {
                    scores.score(block);
                    for (query, all) in scores.asked.clone().zip(&mut all) {
                        all.extend_from_slice(scores.of(query));
                    }
                }
                all
            });
            let nearest = with_threads(2, || index.nearest(asked, 10, true));
            for (query, (nearest, all)) in nearest.iter().zip(&all).enumerate() {
                let mut sorted: Vec<usize> = (0..all.len()).filter(|&document| document != query).collect();
                sorted.sort_by(|&a, &b| all[b].total_cmp(&all[a]).then(a.cmp(&b)));
                let found: Vec<usize> = nearest.iter().map(|neighbour| neighbour.document).collect();
                assert_eq!(found, sorted[..10], "{metric:?}, query {query}");
            }
            assert_eq!(with_threads(1, || index.nearest(asked, 10, true)), nearest);
        }
    }

    #[test]
    fn fewer_documents_than_asked_for_are_all_found() {
        let rows = Rows::new(&[1.0, 0.0, 0.0, 1.0], 2);
        let prepare = Prepare::new(Metric::Cosine, rows);
        let index = Index::new(&prepare, rows);
        assert_eq!(index.nearest(rows, 5, false)[1].len(), 2);
        assert_eq!(index.nearest(rows, 5, true)[1], [Neighbour { document: 0, score: 0.0 }]);
    }
}
