//! What asks and what is searched.

use std::collections::{HashMap, HashSet};

use super::Request;
use crate::kernel::Rows;
use crate::kernel::ranking::{CUT, ranking};
use crate::kernel::search::{Index, Metric, Prepare};
use crate::lake::judgements::Judgements;
use crate::lake::matched::{Gathered, Matched};
use crate::lake::table::{At, Vectors};
use crate::{Error, Result};

/// Queries at most.
const MAX_QUERIES: usize = 10_000;

/// Queries and documents of one comparison; vectors are row-major.
pub struct Trial {
    /// Queries by the new model.
    pub new: Vec<f32>,
    /// The same by the old model.
    pub old: Option<Vec<f32>>,
    /// Documents: their places among those matched, in the order drawn, which decides between equal scores and knows nothing
    /// of relevance.
    pub documents: Vec<usize>,
    /// Documents by the new model.
    pub native: Vec<f32>,
    /// Documents translated.
    pub translated: Vec<f32>,
    /// Documents by the old model.
    pub old_documents: Vec<f32>,
    /// Where documents ask: each query's own, which is none of its answers.
    pub own: Option<Vec<usize>>,
    /// Rows without a vector in some table.
    pub nulls: usize,
    /// How many queries there are.
    count: usize,
    /// Each query's relevant documents with their grades, where they are judged.
    judged: Option<Vec<Vec<(usize, f64)>>>,
}

impl Trial {
    /// Chooses queries and documents, by keys and the seed alone. All documents that are relevant to a query are searched.
    pub fn new(
        request: &Request,
        documents: &Matched<'_>,
        asking: Option<&Matched<'_>>,
        judged: Option<&Judgements>,
    ) -> Result<Self> {
        let keys = asking.map_or(&documents.keys, |asking| &asking.keys);
        let is_judged = |query: &usize| judged.is_none_or(|judged| !judged.relevant[*query].is_empty());
        let order = keys.drawn("queries", request.seed).into_iter().filter(is_judged);
        let asked = match asking {
            Some(asking) => asking.first(order, MAX_QUERIES)?,
            None => Gathered { rows: order.take(MAX_QUERIES).collect(), vectors: Vec::new(), nulls: 0 },
        };
        let mut required = HashSet::new();
        if let Some(judged) = judged {
            for &query in &asked.rows {
                required.extend(judged.relevant[query].iter().map(|(document, _)| *document));
                required.extend(asking.is_none().then_some(query));
            }
        }
        let drawn = documents.keys.drawn("pool", request.seed);
        let mut rank = vec![0; drawn.len()];
        drawn.iter().enumerate().for_each(|(place, &document)| rank[document] = place);
        let (first, others): (Vec<usize>, Vec<usize>) = drawn.into_iter().partition(|one| required.contains(one));
        let pool = documents.first(first.into_iter().chain(others), request.pool.max(required.len()))?;
        let mut order: Vec<usize> = (0..pool.rows.len()).collect();
        order.sort_by_key(|&i| rank[pool.rows[i]]);
        let searched: Vec<usize> = order.iter().map(|&i| pool.rows[i]).collect();
        if searched.len() <= CUT {
            return Err(Error::Invalid(format!(
                "{} documents with an embedding in all three tables: more than {CUT} are needed to rank the first {CUT}",
                searched.len()
            )));
        }
        let in_order = |table: usize| {
            let (vectors, _) = documents.tables[table];
            Rows::new(&pool.vectors[table], vectors.width()).select(&order)
        };
        let [native, translated, old_documents] = [0, 1, 2].map(in_order);

        let place: HashMap<usize, usize> = searched.iter().enumerate().map(|(i, &document)| (document, i)).collect();
        let mut trial = Self {
            new: Vec::new(),
            old: None,
            native,
            translated,
            old_documents,
            own: None,
            nulls: pool.nulls + asked.nulls,
            count: 0,
            judged: None,
            documents: searched,
        };
        // Where documents ask and nothing is judged, those that are searched do.
        let candidates: Vec<usize> = match (asking, judged) {
            (None, None) => trial.documents.iter().copied().take(MAX_QUERIES).collect(),
            _ => asked.rows.clone(),
        };
        let (mut chosen, mut own, mut relevant) = (Vec::new(), Vec::new(), Vec::new());
        for (i, query) in candidates.into_iter().enumerate() {
            let itself = if asking.is_none() { place.get(&query).copied() } else { None };
            if asking.is_none() && itself.is_none() {
                continue;
            }
            if let Some(judged) = judged {
                let there = judged.relevant[query].iter();
                let there = there.filter_map(|(document, grade)| Some((place.get(document).copied()?, *grade)));
                let mut there: Vec<(usize, f64)> = there.filter(|(document, _)| Some(*document) != itself).collect();
                if there.is_empty() {
                    continue;
                }
                there.sort_by_key(|(document, _)| *document);
                relevant.push(there);
            }
            chosen.push(i);
            own.extend(itself);
        }
        if chosen.is_empty() {
            let why = match judged {
                Some(_) => {
                    "no query has a document judged relevant that is in all tables: check --qrels, its columns and keys"
                }
                None => "no query has an embedding",
            };
            return Err(Error::Invalid(why.into()));
        }
        trial.count = chosen.len();
        trial.judged = judged.map(|_| relevant);
        match asking {
            Some(asking) => {
                let select = |(i, (vectors, _)): (usize, &(&Vectors<'_>, Vec<At>))| {
                    Rows::new(&asked.vectors[i], vectors.width()).select(&chosen)
                };
                let mut selected = asking.tables.iter().enumerate().map(select);
                trial.new = selected.next().unwrap_or_default();
                trial.old = selected.next();
            }
            None => {
                let [native, _, old] = [0, 1, 2].map(|table| documents.tables[table].0.width());
                trial.new = Rows::new(&trial.native, native).select(&own);
                trial.old = Some(Rows::new(&trial.old_documents, old).select(&own));
                trial.own = Some(own);
            }
        }
        Ok(trial)
    }

    /// Vectors of this trial as rows as wide as those of `like`.
    pub fn rows<'r>(&self, vectors: &'r [f32], like: &Vectors<'_>) -> Rows<'r> {
        Rows::new(vectors, like.width())
    }

    /// The first [`CUT`] documents for each query, best first.
    pub fn search(&self, metric: Metric, queries: Rows<'_>, documents: Rows<'_>) -> Vec<Vec<usize>> {
        let prepare = Prepare::new(metric, documents);
        // One more than that: a query's own document may be among them.
        let found = Index::new(&prepare, documents).nearest(queries, CUT + 1, false);
        let found = found.into_iter().map(|found| found.into_iter().map(|neighbour| neighbour.document));
        found.enumerate().map(|(query, found)| self.others(query, found)).collect()
    }

    /// What is found where all documents are the same.
    pub fn unranked(&self) -> Vec<Vec<usize>> {
        (0..self.count).map(|query| self.others(query, 0..self.documents.len())).collect()
    }

    fn others(&self, query: usize, found: impl Iterator<Item = usize>) -> Vec<usize> {
        let own = self.own.as_ref().map(|own| own[query]);
        found.filter(|document| Some(*document) != own).take(CUT).collect()
    }

    /// The truth: what is judged, or else what native documents give.
    pub fn relevant(&self, native: &[Vec<usize>]) -> Vec<Vec<(usize, f64)>> {
        let of_native = |found: &Vec<usize>| {
            let mut relevant: Vec<(usize, f64)> = found.iter().map(|&document| (document, 1.0)).collect();
            relevant.sort_by_key(|(document, _)| *document);
            relevant
        };
        self.judged.clone().unwrap_or_else(|| native.iter().map(of_native).collect())
    }

    /// Who asks, for people; `there` is how many queries there are in the table of queries, if there is one.
    pub fn asked(&self, request: &Request, there: Option<usize>) -> String {
        match (&request.queries, there) {
            (Some(queries), Some(there)) => {
                let of_both = match &request.old_queries {
                    Some(old) => format!(" that {} holds, too", old.shown()),
                    None => String::new(),
                };
                format!("{} of {there} of {}{of_both}", self.count, queries.shown())
            }
            _ => format!("{} of these documents, each without itself among its answers", self.count),
        }
    }
}

/// The measures of each query's ranking.
pub fn measures(found: &[Vec<usize>], relevant: &[Vec<(usize, f64)>]) -> Vec<[f64; 3]> {
    found.iter().zip(relevant).map(|(found, relevant)| ranking(found.iter().copied(), relevant)).collect()
}
