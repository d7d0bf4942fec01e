//! Running statements.

use std::future::Future;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;

use super::report::{Report, StatementReport};
use super::script::{Script, Statement};
use crate::session::memory;
use crate::{Error, Result};

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

    /// The statement that was started last has ended well.
    fn finished(&mut self, rows: Option<u64>, time: Duration) -> Result<()>;
}

/// Runs a script's statements in order; the first error ends it. The report is complete also when this future is dropped.
pub async fn run(context: &SessionContext, script: &Script, watch: &mut impl Watch, report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    report.total = script.statements().len();
    for (index, statement) in script.statements().iter().enumerate() {
        watch.started(statement, index, report.total);
        report.statements.push(StatementReport {
            line: statement.line,
            statement: statement.head.clone(),
            rows: None,
            seconds: None,
            error: None,
        });
        let start = Instant::now();
        let outcome = one(context, statement, watch).await;
        let time = start.elapsed();
        report.seconds = begin.elapsed().as_secs_f64();
        if let Some(last) = report.statements.last_mut() {
            last.seconds = Some(time.as_secs_f64());
            match &outcome {
                Ok(rows) => last.rows = *rows,
                Err(error) => last.error = Some(error.to_string()),
            }
        }
        match outcome {
            Ok(rows) => watch.finished(rows, time)?,
            Err(error) => {
                let error = script.locate(statement, error);
                report.error = Some(error.to_string());
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn one(context: &SessionContext, statement: &Statement, watch: &mut impl Watch) -> Result<Option<u64>, Error> {
    let plan = context.state().create_logical_plan(&statement.sql).await?;
    let fewer = memory::partitions(context, &plan).await?;
    if let Some(partitions) = fewer {
        let all = context.copied_config().target_partitions();
        watch.noted(&format!("{partitions} of {all} partitions, for its scans to fit into memory"));
    }
    let _partitions = fewer.map(|fewer| Fewer::new(context, fewer));
    Ok(match execute(context, &statement.sql).await? {
        Outcome::Rows(rows) => Some(watch.rows(rows).await?),
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
