//! What translated vectors in fewer bits cost a search: the usual ways to keep them, side by side.

use serde_json::{Value, json};

use crate::kernel::Rows;
use crate::kernel::bootstrap::{Estimate, estimates};
use crate::kernel::quantize::Kept;
use crate::kernel::ranking::{CUT, ranking};
use crate::kernel::search::{Index, Metric, Prepare};

/// Queries that ask every way at most, the first ones.
pub const MAX_QUERIES: usize = 2000;

/// The ways, and what was searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// Queries.
    pub queries: usize,
    /// Documents searched.
    pub documents: usize,
    /// The ways; the first is to keep vectors as they are.
    pub ways: Vec<Way>,
}

/// A way to keep vectors and what it comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// What numbers become.
    pub name: String,
    /// Bytes of a vector.
    pub bytes: usize,
    /// Of [`crate::kernel::ranking::MEASURES`].
    pub measures: [Estimate; 3],
    /// How much of recall@10 it gains or loses, query by query.
    pub change: Estimate,
}

impl Storage {
    /// Of vectors of this width, where `measures` gives those of every query among documents that are kept a way; `None`
    /// without queries.
    pub fn new(width: usize, documents: usize, seed: u64, measures: impl Fn(Kept) -> Vec<[f64; 3]>) -> Option<Self> {
        let mut plain: Option<Vec<[f64; 3]>> = None;
        let mut ways = Vec::new();
        for kept in Kept::usual(width) {
            let found = measures(kept);
            let plain = plain.get_or_insert_with(|| found.clone());
            let row = |(mine, plain): (&[f64; 3], &[f64; 3])| [mine[0], mine[1], mine[2], mine[0] - plain[0]];
            let rows: Vec<[f64; 4]> = found.iter().zip(plain.iter()).map(row).collect();
            let [recall, ndcg, mrr, change] = estimates(&rows, seed)?;
            let measures = [recall, ndcg, mrr];
            ways.push(Way { name: kept.name(width), bytes: kept.bytes(), measures, change });
        }
        Some(Self { queries: plain.map_or(0, |plain| plain.len()), documents, ways })
    }

    /// Of translated rows that are asked for by the native ones: the truth is each native row's first 10 among the others.
    /// `None` where there are not more than that.
    pub fn of_translated(translated: Rows<'_>, natives: Rows<'_>, seed: u64) -> Option<Self> {
        let (width, documents) = (natives.width(), natives.len());
        if documents <= CUT + 1 {
            return None;
        }
        let asking = natives.first(MAX_QUERIES);
        let nearest = |metric, queries: Rows<'_>, documents: Rows<'_>| -> Vec<Vec<usize>> {
            let found = Index::new(&Prepare::new(metric, documents), documents).nearest(queries, CUT, true);
            found.iter().map(|found| found.iter().map(|one| one.document).collect()).collect()
        };
        let relevant = |mut found: Vec<usize>| {
            found.sort_unstable();
            found.into_iter().map(|document| (document, 1.0)).collect::<Vec<_>>()
        };
        let truth: Vec<_> = nearest(Metric::Cosine, asking, natives).into_iter().map(relevant).collect();
        Self::new(width, documents, seed, |kept| {
            let (queries, documents) = (kept.queries(asking), kept.documents(translated));
            let found = nearest(
                kept.metric(Metric::Cosine),
                Rows::new(&queries, kept.dimensions),
                Rows::new(&documents, kept.dimensions),
            );
            found.into_iter().zip(&truth).map(|(found, relevant)| ranking(found, relevant)).collect()
        })
    }

    /// For a translator's diagnostics, see [`crate::column::describe::storage_table`].
    pub fn to_json(&self) -> Value {
        let row = |way: &Way| {
            let mut row = json!({ "name": way.name, "bytes": way.bytes });
            for (name, Estimate { mean, low, high }) in [("recall_at_10", way.measures[0]), ("change", way.change)] {
                row[name] = mean.into();
                row[format!("{name}_low")] = low.into();
                row[format!("{name}_high")] = high.into();
            }
            row
        };
        let rows: Vec<Value> = self.ways.iter().map(row).collect();
        json!({ "queries": self.queries, "documents": self.documents, "rows": rows })
    }
}
