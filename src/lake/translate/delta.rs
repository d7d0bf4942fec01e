//! A Delta table translated into another one: its rows as they stand, in one commit that says what they came from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use deltalake_core::protocol::SaveMode;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::{is_translation, other_width, recipe};
use super::rewrite::check_columns;
use super::{Codec, Items, OnBad, Orphans, Request};
use crate::column::Embeddings;
use crate::column::stored::TOOL_VERSION;
use crate::kernel::fingerprint::MOST_ROWS;
use crate::lake::file::vector_column;
use crate::lake::guard::check_model;
use crate::lake::lineage::{Translation, Work};
use crate::lake::{Place, Progress};
use crate::session::delta::{Delta, How, can_be_at};
use crate::{Error, Result};

/// The newest layout of [`Lineage`].
const FORMAT: u32 = 1;

/// What a commit says of the rows that it wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lineage {
    format: u32,
    tool_version: String,
    source: Origin,
    #[serde(flatten)]
    work: Work,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chain: Vec<Translation>,
}

/// The table that rows came from, and which version of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    /// The table's own id.
    table: String,
    version: u64,
}

/// A job whose source, target and translators have been checked; nothing is written yet.
pub struct Job {
    context: SessionContext,
    source: Delta,
    target: Delta,
    lineage: Lineage,
    sql: String,
    current: bool,
    rows: usize,
}

/// What a job has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Rows written; none where the target was current.
    pub rows: u64,
    /// The target's version.
    pub version: u64,
}

/// The Delta table at `place`, where there is one.
pub fn table_at(place: &Place) -> Result<Option<Delta>> {
    if !can_be_at(&place.url()?) {
        return Ok(None);
    }
    Ok(Some(place.delta_table()?).filter(Delta::exists))
}

impl Job {
    /// Checks everything that can be checked before a row is translated.
    pub fn new(request: &Request, source: Delta, context: SessionContext) -> Result<Self> {
        refuse(request)?;
        let recipe = recipe(request)?;
        let runtime = request.output.runtime().clone();
        let rows = runtime.block_on(source.rows())?;
        let (schema, shown) = (rows.schema(), source.shown().to_owned());
        if request.output.look()?.is_some() {
            let message = "is a file, and the output is a Delta table: name a folder";
            return Err(Error::Exists { path: request.output.shown().to_owned(), message: message.to_owned() });
        }
        let target = request.output.delta_table()?;
        let (input, output) = (request.input.folder(), &request.output);
        if output.is_within(input) || input.is_within(output) {
            let message = "is the input of this job, or in its folder, or around it: name another folder";
            return Err(Error::Exists { path: target.shown().to_owned(), message: message.to_owned() });
        }

        let settings = &recipe.settings;
        let columns = recipe.steps.iter().map(|step| vector_column(&schema, &shown, step.column.as_deref()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        check_columns(&columns, &schema, &shown, settings)?;
        let into = settings.output_column.as_deref();
        let translation = |(step, column): (&super::rewrite::Step, &crate::lake::file::VectorColumn)| {
            Translation::new(&step.translator, &column.name, into)
        };
        let work = Work {
            columns: recipe.steps.iter().zip(&columns).map(translation).collect(),
            output: request.output_settings(),
        };
        let (table_id, version) = source.version().ok_or_else(|| Error::file(&shown, "has no version"))?;
        // Whatever was done to its rows since, they are a translation.
        let before = runtime.block_on(source.lineages())?.into_iter().map(|info| lineage(&shown, info));
        let before = before.collect::<Result<Vec<_>>>()?.into_iter().flatten().next();
        let chain = match before {
            None => Vec::new(),
            Some(before) if request.allow_chain => before.chain.into_iter().chain(before.work.columns).collect(),
            Some(before) => return Err(Error::file(shown, is_translation(before.work.columns.last()))),
        };
        let tool_version = TOOL_VERSION.to_owned();
        let lineage_now =
            Lineage { format: FORMAT, tool_version, source: Origin { table: table_id, version }, work, chain };
        let current = if target.exists() {
            let found = runtime.block_on(target.lineage())?;
            let found = found.map(|info| lineage(target.shown(), info)).transpose()?.flatten();
            let found = found
                .filter(|found| found.source.table == lineage_now.source.table && found.work.is(&lineage_now.work));
            if found.is_none() && !request.overwrite {
                let message = "is a Delta table whose rows another job, or another tool, has written: give --overwrite to replace \
                               them in a new version";
                return Err(Error::Exists { path: target.shown().to_owned(), message: message.to_owned() });
            }
            found.is_some_and(|found| found.source == lineage_now.source)
        } else {
            runtime.block_on(target.check_free())?;
            false
        };

        context.register_table("source", rows)?;
        for (i, step) in recipe.steps.iter().enumerate() {
            let value: ArrayRef = Arc::new(step.translator.to_array()?);
            context.register_batch(format!("t{i}"), RecordBatch::try_from_iter([("t", value)])?)?;
        }
        for (column, step) in columns.iter().zip(&recipe.steps) {
            let (translator, width) = (&step.translator, step.translator.source_width);
            let name = quoted(&column.name);
            let sample = format!("SELECT {name} FROM source WHERE {name} IS NOT NULL LIMIT {MOST_ROWS}");
            let batches = runtime.block_on(async { context.sql(&sample).await?.collect().await })?;
            let views = batches.iter().map(|batch| {
                let widths =
                    Embeddings::widths(batch.column(0)).map_err(|flaw| Error::file(&shown, flaw.to_string()))?;
                match widths.iter().find(|found| **found != width) {
                    Some(found) if widths.contains(&width) => Err(Error::file(
                        &shown,
                        format!(
                            "column `{}` has a row of {found} numbers among those of {width}: delete it, or set it NULL",
                            column.name
                        ),
                    )),
                    Some(found) => Err(Error::file(&shown, other_width(translator, column, *found))),
                    None => Embeddings::sift(batch.column(0), width)
                        .map(|(view, _)| view)
                        .map_err(|flaw| Error::file(&shown, flaw.to_string())),
                }
            });
            let views = views.collect::<Result<Vec<_>>>()?;
            if recipe.guard {
                let rows = views.iter().flat_map(|view| (0..view.len()).filter_map(|row| view.row(row)));
                check_model(translator, (&shown, &column.name), rows)?;
            }
        }
        let mut select = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            let name = quoted(field.name());
            let step = columns.iter().position(|column| column.index == index);
            if step.is_none() || into.is_some() {
                select.push(name.clone());
            }
            if let Some(step) = step {
                let new = quoted(into.unwrap_or(field.name()));
                select.push(format!("emb_translate({name}, (SELECT t FROM t{step})) AS {new}"));
            }
        }
        if let (Some(name), [column]) = (&settings.confidence_column, columns.as_slice()) {
            select.push(format!("emb_confidence({}, (SELECT t FROM t0)) AS {}", quoted(&column.name), quoted(name)));
        }
        if let Some(name) = &settings.origin_column {
            select.push(format!("'{}' AS {}", recipe.origin().replace('\'', "''"), quoted(name)));
        }
        let sql = format!("SELECT {} FROM source", select.join(", "));
        let counted = runtime.block_on(async { context.sql("SELECT count(*) FROM source").await?.collect().await })?;
        let count = counted.first().and_then(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>());
        let rows = count.map_or(0, |count| usize::try_from(count.value(0)).unwrap_or(0));
        Ok(Self { context, source, target, lineage: lineage_now, sql, current, rows })
    }

    /// Rows of the source.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the target's rows are those of this version of the source by this work.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// The session that it runs in.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Translates all rows and commits them, unless the target is current. `progress` counts rows.
    pub async fn run(&self, progress: Arc<Progress>) -> Result<Done> {
        if self.current {
            let version = self.target.version().map_or(0, |(_, version)| version);
            return Ok(Done { rows: 0, version });
        }
        progress.total.store(self.rows, Ordering::Relaxed);
        let rows = self.context.sql(&self.sql).await?;
        let schema = Arc::new(rows.schema().as_arrow().clone());
        let parts = rows.execute_stream_partitioned().await?.into_iter().map(|part| {
            let progress = Arc::clone(&progress);
            let counted = part.inspect_ok(move |batch| {
                progress.done.fetch_add(batch.num_rows(), Ordering::Relaxed);
            });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), counted.boxed())) as _
        });
        let how = How {
            mode: if self.target.exists() { SaveMode::Overwrite } else { SaveMode::ErrorIfExists },
            partition_columns: self.source.partition_columns(),
            info: serde_json::to_value(&self.lineage).unwrap_or_default(),
        };
        let written = self.target.write(&schema, parts.collect(), &self.context.state(), how).await;
        let (rows, version) = written.map_err(|error| match error {
            // Of a row: the engine knows no table.
            Error::Engine(_) => Error::file(
                self.source.shown(),
                format!("{error} (NaN is found by WHERE array_has(column, CAST('NaN' AS FLOAT)) in SQL)"),
            ),
            error => error,
        })?;
        Ok(Done { rows, version })
    }

    /// What is done, for a report.
    pub fn columns(&self) -> Value {
        json!(self.lineage.work.columns)
    }
}

/// What a commit of the table at `shown` says; `None` where it is none of a translation.
fn lineage(shown: &str, info: Value) -> Result<Option<Lineage>> {
    if info["format"].as_u64().is_some_and(|format| format > u64::from(FORMAT)) {
        return Err(Error::file(shown, "a newer babelake has written the Delta table's rows: update this one"));
    }
    Ok(serde_json::from_value(info).ok())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An error where options say what cannot be done with a Delta table.
fn refuse(request: &Request) -> Result<()> {
    let settings = &request.settings;
    let of_files = [
        ("--items", !matches!(settings.items, Items::Source | Items::F32)),
        ("--dimensions", settings.dimensions.is_some()),
        ("--compression", settings.codec != Codec::Keep),
        ("--reembed-list", request.reembed.is_some()),
        ("--delete-orphans", request.orphans != Orphans::List),
        ("--on-bad", request.on_bad != OnBad::Error),
        ("--max-bad", request.max_bad.is_some()),
        ("a pattern or --filter", !request.input.is_whole()),
    ];
    match of_files.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Error::Invalid(format!(
            "{}: is a Delta table, and {option} is for files: leave it out, write what is wanted by SQL (COPY ... STORED AS \
             DELTA), or translate its current files as files (--manifest)",
            request.input.shown()
        ))),
        None => Ok(()),
    }
}
