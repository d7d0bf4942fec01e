//! Running statements.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;

use super::report::{Report, Small, StatementReport};
use super::script::{Script, Statement};
use crate::functions::wikimatrix::Count;
use crate::session::memory;
use crate::{Error, Result, session};

/// What a statement gave.
pub enum Outcome {
    /// Rows to show, of SELECT, SHOW, EXPLAIN and the like.
    Rows(SendableRecordBatchStream),
    /// COPY and INSERT: rows written. CREATE TABLE AS: rows stored.
    Written(u64),
    /// Nothing to show or count.
    Done,
}

/// Runs one statement; one that gives rows runs while they are read.
pub async fn execute(context: &SessionContext, sql: &str) -> Result<Outcome> {
    let plan = context.state().create_logical_plan(sql).await?;
    let created = match &plan {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) => Some(table.name.clone()),
        _ => None,
    };
    let writes = matches!(plan, LogicalPlan::Copy(_) | LogicalPlan::Dml(_));
    let frame = context.execute_logical_plan(plan).await?;
    if let Some(table) = created {
        let rows = context.table(table).await?.count().await?;
        return Ok(Outcome::Written(rows as u64));
    }
    if writes {
        let batches = frame.collect().await?;
        let counts = batches.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<UInt64Type>());
        return Ok(Outcome::Written(counts.flat_map(|count| count.values().iter()).sum()));
    }
    if frame.schema().fields().is_empty() {
        frame.collect().await?;
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Rows(frame.execute_stream().await?))
}

/// Sees a run as it goes.
pub trait Watch {
    /// A statement, the `index`th of `total` counted from 0, is about to run.
    fn started(&mut self, statement: &Statement, index: usize, total: usize);

    /// Something about the statement that was started last that a person wants to know.
    fn noted(&mut self, text: &str);

    /// Reads the rows of a statement to their end, or as far as they are wanted; returns how many there were.
    fn rows(&mut self, rows: SendableRecordBatchStream) -> impl Future<Output = Result<u64>>;

    /// The statement that was started last has ended, well or with an error.
    fn ended(&mut self, statement: &StatementReport) -> Result<()>;
}

/// Runs a script's statements in order; the first error ends it. The report, where one is wanted, is right at any moment,
/// also when this future is dropped.
pub async fn run(
    context: &SessionContext,
    script: &Script,
    watch: &mut impl Watch,
    report: Option<&Mutex<Report>>,
) -> Result<()> {
    let total = script.statements().len();
    change(report, |report| report.total = total);
    for (index, statement) in script.statements().iter().enumerate() {
        watch.started(statement, index, total);
        let mut ended =
            StatementReport { line: statement.line, statement: statement.head.clone(), ..StatementReport::default() };
        change(report, |report| report.statements.push(ended.clone()));
        let small = report.is_some().then(Small::default);
        let start = Instant::now();
        let (files, bytes) = session::written(context);
        let outcome = one(context, statement, watch, small.as_ref()).await;
        for (path, Count { read, broken, first_broken }) in session::lines(context).take() {
            if let Some(first) = first_broken {
                let message = "a line is margin, tab, sentence, tab, sentence";
                watch.noted(&format!(
                    "{path}: {broken} of {read} lines are broken and left out, line {first} the first ({message})"
                ));
            }
        }
        ended.seconds = Some(start.elapsed().as_secs_f64());
        let (files_now, bytes_now) = session::written(context);
        if files_now > files {
            (ended.files, ended.bytes) = (Some(files_now - files), Some(bytes_now - bytes));
        }
        match &outcome {
            Ok(rows) => {
                ended.rows = *rows;
                ended.result = small.and_then(|small| small.to_json());
            }
            Err(error) => ended.error = Some(error.to_string()),
        }
        change(report, |report| {
            if let Some(last) = report.statements.last_mut() {
                last.clone_from(&ended);
            }
        });
        let told = watch.ended(&ended);
        outcome.map_err(|error| script.locate(statement, error))?;
        told?;
    }
    Ok(())
}

fn change(report: Option<&Mutex<Report>>, change: impl FnOnce(&mut Report)) {
    if let Some(report) = report {
        change(&mut report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn one(
    context: &SessionContext,
    statement: &Statement,
    watch: &mut impl Watch,
    small: Option<&Small>,
) -> Result<Option<u64>, Error> {
    let plan = context.state().create_logical_plan(&statement.sql).await?;
    let fewer = memory::partitions(context, &plan).await?;
    if let Some(partitions) = fewer {
        let all = context.copied_config().target_partitions();
        watch.noted(&format!("{partitions} of {all} partitions, for its scans to fit into memory"));
    }
    let _partitions = fewer.map(|fewer| Fewer::new(context, fewer));
    Ok(match execute(context, &statement.sql).await? {
        Outcome::Rows(rows) => {
            let rows = match small {
                Some(small) => small.of(rows),
                None => rows,
            };
            Some(watch.rows(rows).await?)
        }
        Outcome::Written(rows) => Some(rows),
        Outcome::Done => None,
    })
}

/// While it lives, queries have fewer partitions.
struct Fewer<'a> {
    context: &'a SessionContext,
    before: usize,
}

impl<'a> Fewer<'a> {
    fn new(context: &'a SessionContext, partitions: usize) -> Self {
        let before = context.copied_config().target_partitions();
        set_partitions(context, partitions);
        Self { context, before }
    }
}

impl Drop for Fewer<'_> {
    fn drop(&mut self) {
        set_partitions(self.context, self.before);
    }
}

fn set_partitions(context: &SessionContext, partitions: usize) {
    context.state_ref().write().config_mut().options_mut().execution.target_partitions = partitions;
}
