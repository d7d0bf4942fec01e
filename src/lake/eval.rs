//! The decision about a new model: embed the lake again, translate it, translate the queries instead, or stay.
//!
//! Every option answers the same queries from the same documents, so that differences between options are paired.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use self::trial::Trial;
use self::verdict::{Answer, decide};
use super::Place;
use super::condition::Condition;
use super::gate::{Gate, Judgement, Outcome};
use super::inputs::Inputs;
use super::judgements::{Judged, judgements};
use super::matched::Matched;
use super::output::write_table;
use super::storage::{self, Storage, Way};
use super::table::{At, Conditions, PoolDraw, Table, Vectors, pairs};
use crate::kernel::Rows;
use crate::kernel::bootstrap::Estimate;
use crate::kernel::ranking::MEASURES;
use crate::kernel::search::Metric;
use crate::{Error, Result, session};

mod adapter;
mod trial;
mod verdict;

pub use verdict::{ADAPTER, RE_EMBED, STAY, TRANSLATE};

/// Documents searched where nobody says how many.
pub const DEFAULT_POOL: usize = 10_000;
/// The share of the nDCG of native documents that an option has to keep where nobody says otherwise.
pub const DEFAULT_KEEP: f64 = 0.9;
/// In a smaller pool every option looks better than it is.
const SMALL_POOL: usize = 1000;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Request {
    /// Queries by the new model; where absent the documents themselves ask, each without itself among its answers.
    pub queries: Option<Inputs>,
    /// The same queries by the old model, for *stay*.
    pub old_queries: Option<Inputs>,
    /// Documents by the old model.
    pub old_documents: Inputs,
    /// The same, translated to the new model's space.
    pub translated: Inputs,
    /// Documents by the new model: some of the same.
    pub native: Inputs,
    /// Judgements of relevance; where absent the truth is the first 10 native documents.
    pub qrels: Option<Inputs>,
    /// The columns of query, document and grade in `qrels`.
    pub qrels_columns: [String; 3],
    /// The columns that name a document.
    pub key: Vec<String>,
    /// The columns that name a query.
    pub query_key: Vec<String>,
    /// The embedding column of old documents, translated documents and old queries; found where absent.
    pub old_column: Option<String>,
    /// The embedding column of queries and native documents; found where absent.
    pub new_column: Option<String>,
    /// SQL over the columns of the old documents: those that count.
    pub documents_where: Option<String>,
    /// A translator from the new model to the old one; fitted where absent.
    pub adapter: Option<Place>,
    /// Anchors of a fitted adapter at most.
    pub anchors: usize,
    /// Documents at most, but for those that are judged relevant.
    pub pool: usize,
    /// What nearness is.
    pub metric: Metric,
    /// The share of native documents' nDCG that an option has to keep, in (0, 1].
    pub keep: f64,
    /// What decides about translating in the place of `keep`.
    pub gate: Option<Gate>,
    /// Draws queries, documents, anchors and intervals.
    pub seed: u64,
}

/// How the options do.
#[derive(Debug)]
pub struct Evaluation {
    /// The options, dearest first, then the dumb answers.
    pub rows: Vec<Row>,
    /// What was compared: names and texts.
    pub facts: Vec<(&'static str, String)>,
    /// What a person should know before believing it.
    pub cautions: Vec<String>,
    /// The option to take.
    pub winner: &'static str,
    /// Why.
    pub verdict: String,
    /// What the gate says of translating, where there is one.
    pub gate: Option<Judgement>,
    /// What it costs to keep the translated documents in fewer bits.
    pub storage: Option<Storage>,
}

/// An option or a dumb answer.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Which queries ask: `new`, `old` or `adapted`.
    pub queries: &'static str,
    /// Which documents are searched: `native`, `translated`, `old` or `mean`.
    pub documents: &'static str,
    /// Its measures, those of [`MEASURES`]; or why there are none.
    pub measures: Result<[Estimate; 3], String>,
    /// Its nDCG as a share of that of native documents, of all but these themselves. The interval is that of the paired difference `nDCG - keep * nDCG of
    /// native documents`, so its lower end is at least `keep` exactly where that one is at least 0.
    pub share: Option<Estimate>,
    /// Whether it is good enough; of options cheaper than re-embedding.
    pub standing: Option<Outcome>,
}

/// Compares. Depends on keys, vectors, settings and the seed alone, not on the order of rows or their files.
pub fn eval(request: &Request) -> Result<Evaluation> {
    request.check()?;
    let open = |inputs: &Option<Inputs>| inputs.as_ref().map(Table::open).transpose();
    let (old, translated) = (Table::open(&request.old_documents)?, Table::open(&request.translated)?);
    let (native, qrels) = (Table::open(&request.native)?, open(&request.qrels)?);
    let (queries, old_queries) = (open(&request.queries)?, open(&request.old_queries)?);
    let (by_old, by_new) = (request.old_column.as_deref(), request.new_column.as_deref());
    let (old_vectors, native_vectors) = (old.vectors(by_old)?, native.vectors(by_new)?);
    let translated_vectors = of_width(translated.vectors(by_old)?, &native_vectors)?;
    let query_vectors = match &queries {
        Some(table) => Some(of_width(table.vectors(by_new)?, &native_vectors)?),
        None => None,
    };
    let old_query_vectors = match &old_queries {
        Some(table) => Some(of_width(table.vectors(by_old)?, &old_vectors)?),
        None => None,
    };

    let session = session::context(&session::Settings::default())?;
    let condition = request.documents_where.as_deref();
    let evaluate = condition.map(|sql| Condition { option: "--where", sql, session: &session });
    let conditions = Conditions { evaluate, ..Conditions::default() };
    let pairs = pairs(&old, &native, &request.key, &conditions, PoolDraw { size: 0, seed: 0 })?;
    let found = translated.find(&request.key, &pairs.keys, (&old, &request.key))?;
    let selected = |pair: &usize| condition.is_none() || pairs.evaluate[*pair];
    let common: Vec<usize> = (0..pairs.len()).filter(selected).filter(|&pair| found[pair].is_some()).collect();
    if common.is_empty() {
        return Err(Error::file(
            translated.shown(),
            format!(
                "has none of the {} keys that {} and {} have in common{}: the three must hold some of the same documents",
                pairs.len(),
                old.shown(),
                native.shown(),
                if condition.is_some() { " and --where selects" } else { "" },
            ),
        ));
    }
    let of = |rows: &[At]| common.iter().map(|&pair| rows[pair]).collect::<Vec<_>>();
    let documents = Matched {
        keys: pairs.keys.select(&common),
        tables: vec![
            (&native_vectors, of(&pairs.target)),
            (&translated_vectors, common.iter().filter_map(|&pair| found[pair]).collect()),
            (&old_vectors, of(&pairs.source)),
        ],
    };
    let asking = match (&queries, &query_vectors) {
        (Some(table), Some(vectors)) => {
            let by_old = old_queries.as_ref().zip(old_query_vectors.as_ref());
            Some(Matched::queries((table, vectors), by_old, &request.query_key)?)
        }
        _ => None,
    };
    let judged = match &qrels {
        Some(qrels) => {
            let of_documents = Judged { table: &old, key: &request.key, keys: &documents.keys };
            let of_queries = match (&queries, &asking) {
                (Some(table), Some(asking)) => Judged { table, key: &request.query_key, keys: &asking.keys },
                _ => of_documents,
            };
            let columns = request.qrels_columns.each_ref().map(String::as_str);
            Some(judgements(qrels, columns, of_queries, of_documents)?)
        }
        None => None,
    };
    let trial = Trial::new(request, &documents, asking.as_ref(), judged.as_ref())?;
    let searched: HashSet<usize> = trial.documents.iter().map(|&document| common[document]).collect();
    let outside: Vec<usize> = (0..pairs.len()).filter(|pair| !searched.contains(pair)).collect();
    let at = |rows: &[At]| outside.iter().map(|&pair| rows[pair]).collect::<Vec<_>>();
    let outside = Matched {
        keys: pairs.keys.select(&outside),
        tables: vec![(&native_vectors, at(&pairs.target)), (&old_vectors, at(&pairs.source))],
    };
    let (adapted, of_adapter) = adapter::adapt(request, &trial, &documents, &outside)?;

    let (new, native_rows) = (trial.rows(&trial.new, &native_vectors), trial.rows(&trial.native, &native_vectors));
    let translated_rows = trial.rows(&trial.translated, &native_vectors);
    let old_rows = trial.rows(&trial.old_documents, &old_vectors);
    let native_found = trial.search(request.metric, new, native_rows);
    let relevant = trial.relevant(&native_found);
    let answer = |name, queries, documents, found: Result<Vec<Vec<usize>>, String>| Answer {
        name,
        queries,
        documents,
        measures: found.map(|found| trial::measures(&found, &relevant)),
    };
    let search = |queries: Rows<'_>, documents: Rows<'_>| trial.search(request.metric, queries, documents);
    let search_if = |queries: Option<Rows<'_>>, why: &str| match queries {
        Some(queries) => Ok(search(queries, old_rows)),
        None => Err(why.to_owned()),
    };
    let adapted = trial.rows(&adapted, &old_vectors);
    let old_asking = trial.old.as_deref().map(|rows| trial.rows(rows, &old_vectors));
    let untranslated = (old_vectors.width() == native_vectors.width()).then_some(new);
    let answers = [
        answer(RE_EMBED, "new", "native", Ok(native_found)),
        answer(TRANSLATE, "new", "translated", Ok(search(new, translated_rows))),
        answer(ADAPTER, "adapted", "old", Ok(search(adapted, old_rows))),
        answer(STAY, "old", "old", search_if(old_asking, "needs --old-queries, the queries by the old model")),
        answer("mean-only", "new", "mean", Ok(trial.unranked())),
        answer("do-nothing", "new", "old", search_if(untranslated, "the models have vectors of different widths")),
    ];

    let nulls = match trial.nulls {
        0 => String::new(),
        nulls => format!(" ({nulls} passed over, whose embedding is NULL somewhere)"),
    };
    let mut facts = vec![
        (
            "documents",
            format!(
                "{} of the {} that are in {}, {} and {}{}{nulls}",
                trial.documents.len(),
                common.len(),
                old.shown(),
                translated.shown(),
                native.shown(),
                if condition.is_some() { " and that --where selects" } else { "" },
            ),
        ),
        ("queries", trial.asked(request, asking.as_ref().map(|asking| asking.keys.len()))),
    ];
    facts.push(match (&qrels, &judged) {
        (Some(qrels), Some(judged)) => {
            ("truth", format!("{} of the {} judgements above 0 in {}", judged.counted, judged.found, qrels.shown()))
        }
        _ => (
            "truth",
            "the first 10 native documents, so re-embed reaches 1 by construction, and stay says how far the old model \
             ranks alike, not how good it is"
                .to_owned(),
        ),
    });
    facts.push((ADAPTER, of_adapter));
    let mut cautions = Vec::new();
    if trial.documents.len() < SMALL_POOL {
        cautions.push(format!(
            "only {} documents are searched: every option looks better than in a lake; embed more of it with the new model",
            trial.documents.len()
        ));
    }
    if condition.is_none() {
        cautions.push(
            "documents that were anchors of the translator flatter translate: leave them out with --where, \
             such as --where \"split = 'test'\""
                .to_owned(),
        );
    }
    let asking = new.first(storage::MAX_QUERIES);
    let storage = Storage::new(new.width(), trial.documents.len(), request.seed, |kept| {
        let (queries, documents) = (kept.queries(asking), kept.documents(translated_rows));
        let (queries, documents) = (Rows::new(&queries, kept.dimensions), Rows::new(&documents, kept.dimensions));
        trial::measures(&trial.search(kept.metric(request.metric), queries, documents), &relevant)
    });
    let mut evaluation = decide(request, answers, judged.is_some())?;
    evaluation.facts = facts;
    evaluation.storage = storage;
    evaluation.cautions.extend(cautions);
    Ok(evaluation)
}

impl Request {
    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Invalid(message));
        if self.pool == 0 {
            return wrong("--pool 0: at least some documents have to be searched".into());
        }
        if !(2..=super::fit::MAX_ANCHORS).contains(&self.anchors) {
            return wrong(format!("--anchors {}: from 2 to {} can be had", self.anchors, super::fit::MAX_ANCHORS));
        }
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return wrong(format!(
                "--keep {} is outside (0, 1]: the share of native documents' nDCG to keep",
                self.keep
            ));
        }
        if self.qrels.is_some() && (self.key.len() > 1 || self.query_key.len() > 1) {
            return wrong(
                "judgements name a document and a query by one column each: with --qrels, give --key and --query-key one \
                 column"
                    .into(),
            );
        }
        if self.old_queries.is_some() && self.queries.is_none() {
            return wrong("--old-queries are the queries of --queries by the old model: give --queries, too".into());
        }
        Ok(())
    }
}

/// These vectors, which have to be as wide as `like`.
fn of_width<'a>(vectors: Vectors<'a>, like: &Vectors<'_>) -> Result<Vectors<'a>> {
    if vectors.width() == like.width() {
        return Ok(vectors);
    }
    Err(Error::file(
        vectors.table().shown(),
        format!(
            "has vectors of {} numbers, and {} has {}: both must be of one model's space",
            vectors.width(),
            like.table().shown(),
            like.width()
        ),
    ))
}

impl Evaluation {
    /// The rows as a table, after them those of the ways to keep translated documents (`translate as int8`); what was not
    /// measured is NULL.
    pub fn table(&self) -> Result<RecordBatch> {
        let ways: Vec<&Way> = self.storage.iter().flat_map(|storage| &storage.ways).collect();
        let text = |of: fn(&Row) -> &'static str, of_ways: &'static str| -> ArrayRef {
            let ways = ways.iter().map(|_| of_ways);
            Arc::new(StringArray::from_iter_values(self.rows.iter().map(of).chain(ways)))
        };
        let names = self.rows.iter().map(|row| row.name.to_owned());
        let names = names.chain(ways.iter().map(|way| format!("{TRANSLATE} as {}", way.name)));
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("option".into(), Arc::new(StringArray::from_iter_values(names))),
            ("queries".into(), text(|row| row.queries, "new")),
            ("documents".into(), text(|row| row.documents, "translated")),
        ];
        let mut estimates =
            |name: &str, of: &dyn Fn(&Row) -> Option<Estimate>, of_way: &dyn Fn(&Way) -> Option<Estimate>| {
                for (i, end) in ["", "_low", "_high"].into_iter().enumerate() {
                    let number = |Estimate { mean, low, high }| [mean, low, high][i];
                    let numbers = self.rows.iter().map(of).chain(ways.iter().map(|way| of_way(way)));
                    let numbers: Float64Array = numbers.map(|estimate| estimate.map(number)).collect();
                    columns.push((format!("{name}{end}"), Arc::new(numbers)));
                }
            };
        for (i, name) in MEASURES.iter().enumerate() {
            estimates(name, &|row| row.measures.as_ref().ok().map(|measures| measures[i]), &|way| {
                Some(way.measures[i])
            });
        }
        estimates("ndcg_share", &|row| row.share, &|_| None);
        let standing = self.rows.iter().map(|row| row.standing.map(Outcome::name));
        let standing: StringArray = standing.chain(ways.iter().map(|_| None)).collect();
        columns.push(("standing".into(), Arc::new(standing)));
        let winner = self.rows.iter().map(|row| row.name == self.winner).chain(ways.iter().map(|_| false));
        columns.push(("winner".into(), Arc::new(winner.map(Some).collect::<BooleanArray>())));
        let nullable = |(name, column): (String, ArrayRef)| {
            let is_number = *column.data_type() == DataType::Float64 || name == "standing";
            (name, column, is_number)
        };
        Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(nullable))?)
    }

    /// Stores the table; see [`Place::check_writable`] for what is not replaced.
    pub fn store(&self, place: &Place, overwrite: bool) -> Result<()> {
        write_table(place, &self.table()?, overwrite)
    }
}
