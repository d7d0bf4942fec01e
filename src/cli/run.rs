//! `babelake run`: a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use indicatif::HumanCount;
use serde_json::json;

use super::memory::MemoryOptions;
use super::print::{Options, Printer, summary};
use super::record::{Account, Counts, Ending, Log, Record, RecordOptions, Standing};
use super::signals::{Ended, INTERRUPTED, Signals, TERMINATED};
use super::stores::{StoreOptions, assignment};
use super::{DONE, Watched, runtime};
use crate::pipeline::{Parameters, Report, Script, Statement, StatementReport, Watch, parameters, run as run_script};
use crate::{Result, session};

/// Runs a file of SQL statements with parameters, in order, up to the first error
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The pipeline: SQL, with minijinja tags for parameters and loops
    file: PathBuf,
    /// A value for a parameter of the pipeline
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    memory: MemoryOptions,
    #[command(flatten)]
    record: RecordOptions,
    #[command(flatten)]
    stores: StoreOptions,
}

const HELP: &str = "\
In a pipeline:
  {% set lake = lake | default('sample_data') %}    a parameter with a default
  {{ lake }}                                        its text as it is
  {{ lake | quote }}  {{ column | ident }}          as a SQL string, as a quoted name
  {% for lang in langs | split(',') %} ... {% endfor %}
Values are text: compare with text (mode == 'full'), compute after a filter (n | int).
COPY to what exists is an error unless OPTIONS (mode 'overwrite') or (mode 'append') is given.

Example:
  babelake run pipelines/translate.sql --set source=fr.parquet --set target=en.parquet --report run.json";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let path = args.file.display().to_string();
    let name = args.file.file_stem().map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned());
    let pipeline = Arc::new(Pipeline(Mutex::new(Report { file: path, ..Report::default() })));
    let record = Record::new("run", &name, &args.record, &args.stores, Arc::clone(&pipeline) as _);
    record.run(|log, signals| pipeline.run(args, log, signals))
}

/// A pipeline that runs.
struct Pipeline(Mutex<Report>);

impl Pipeline {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, args: &Args, log: &Log, signals: &Signals) -> anyhow::Result<u8> {
        let path = self.report().file.clone();
        let text = std::fs::read_to_string(&args.file).with_context(|| path.clone())?;
        let mut values = Parameters::new();
        for (name, value) in &args.set {
            if values.insert(name.clone(), value.clone()).is_some() {
                anyhow::bail!("--set {name} is given twice");
            }
        }
        let names = parameters(&path, &text)?;
        self.report().parameters = names.into_iter().map(|name| (name.clone(), values.get(&name).cloned())).collect();
        let script = Script::template(&path, &text, &values)?;

        let context = super::sql_session(&args.stores, &args.memory)?;
        let file = args.file.file_name().map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned());
        let under_way = UnderWay::default();
        let mut watch = Show { log, file, begun: (0, 0), under_way: &under_way, printer: Printer::new(args.options) };
        let runtime = runtime()?;
        let ended = std::thread::scope(|scope| {
            let teller = scope.spawn(|| under_way.tell(log, &context));
            let _watched = Watched { finished: &under_way.finished, watcher: teller.thread() };
            signals.until(&runtime, &context, run_script(&context, &script, &mut watch, Some(&self.0)))
        });
        match ended {
            Ended::Itself(result) => Ok(result.map(|()| DONE)?),
            Ended::Stopped(code) => {
                // Without waiting for what the workers still compute.
                runtime.shutdown_background();
                Ok(code)
            }
        }
    }
}

impl Account for Pipeline {
    fn standing(&self, ending: &Ending) -> Standing {
        let report = self.report();
        let (done, failed, total) = (report.done(), report.failed(), report.total);
        let sum = |of: fn(&StatementReport) -> Option<u64>| report.statements.iter().filter_map(of).sum::<u64>();
        let again = "none half-written; the same command begins again at the first";
        let last_words = match ending.code {
            DONE => format!("{done} of {total} statements done in {:.1} s", ending.took.as_secs_f64()),
            _ if total == 0 => "nothing was run".to_owned(),
            INTERRUPTED | TERMINATED => format!("stopped by a signal: {done} of {total} statements done, {again}"),
            _ => format!("{done} of {total} statements done, {again}"),
        };
        Standing {
            last_words,
            work: serde_json::to_value(&*report).unwrap_or_default(),
            files: Counts::from([("written", sum(|statement| statement.files))]),
            rows: Counts::from([("written", sum(|statement| statement.files.and(statement.rows)))]),
            bytes: Counts::from([("written", sum(|statement| statement.bytes))]),
            statements: Counts::from([
                ("done", done as u64),
                ("failed", failed as u64),
                ("not_done", total.saturating_sub(done + failed) as u64),
            ]),
        }
    }
}

/// Between two lines about a statement that takes long.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The statement that runs, for whoever waits for it.
#[derive(Default)]
struct UnderWay {
    /// Its line, and since when it runs.
    statement: Mutex<Option<(String, Instant)>>,
    finished: AtomicBool,
}

impl UnderWay {
    fn set(&self, statement: Option<String>) {
        let statement = statement.map(|statement| (statement, Instant::now()));
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = statement;
    }

    /// Tells every now and then that a statement still runs, and what it has read.
    fn tell(&self, log: &Log, context: &SessionContext) {
        let mut last = Instant::now();
        while !self.finished.load(Ordering::Relaxed) {
            std::thread::park_timeout(TELL_EVERY);
            let statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some((statement, begin)) = statement else { continue };
            if begin.max(last).elapsed() < TELL_EVERY {
                continue;
            }
            last = Instant::now();
            let (seconds, lines) = (begin.elapsed().as_secs(), session::lines(context).read());
            let read = if lines > 0 { format!(", {} lines read", HumanCount(lines)) } else { String::new() };
            let trained = session::training(context).now();
            let head = trained.map(|(step, loss)| format!(", training a head: step {step}, loss {loss:.4}"));
            log.line(&format!("{statement}  {seconds} s so far{read}{}", head.unwrap_or_default()));
            log.event(
                "progress",
                json!({
                    "statement": statement, "seconds": seconds, "lines_read": (lines > 0).then_some(lines),
                    "training_step": trained.map(|(step, _)| step), "training_loss": trained.map(|(_, loss)| loss),
                }),
            );
        }
    }
}

/// One line a statement on stderr, results on stdout.
struct Show<'a> {
    log: &'a Log,
    under_way: &'a UnderWay,
    /// The pipeline, without its folder.
    file: String,
    /// The place and the number of statements.
    begun: (usize, usize),
    printer: Printer,
}

impl Show<'_> {
    fn line(&self, line: usize, head: &str) -> String {
        let (number, total) = self.begun;
        format!("[{number}/{total}] {}:{line}  {head}", self.file)
    }

    fn event(&self, state: &str, line: usize, head: &str, ended: Option<&StatementReport>) {
        let (number, total) = self.begun;
        let mut fields = json!({
            "state": state, "number": number, "total": total, "file": self.file, "line": line, "statement": head,
        });
        if let (Some(ended), Some(fields)) = (ended, fields.as_object_mut()) {
            fields.extend([
                ("rows".to_owned(), ended.rows.into()),
                ("seconds".to_owned(), ended.seconds.into()),
                ("files".to_owned(), ended.files.into()),
                ("bytes".to_owned(), ended.bytes.into()),
            ]);
        }
        self.log.event("statement", fields);
    }
}

impl Watch for Show<'_> {
    fn started(&mut self, statement: &Statement, index: usize, total: usize) {
        self.begun = (index + 1, total);
        let line = self.line(statement.line, &statement.head);
        self.log.begin(&line);
        self.under_way.set(Some(line));
        self.event("started", statement.line, &statement.head, None);
    }

    fn noted(&mut self, text: &str) {
        self.log.warning(&format!("note: {text}"));
    }

    async fn rows(&mut self, rows: SendableRecordBatchStream) -> Result<u64> {
        self.printer.read(rows).await
    }

    fn ended(&mut self, statement: &StatementReport) -> Result<()> {
        self.under_way.set(None);
        let StatementReport { line, statement: head, error, .. } = statement;
        self.event(if error.is_some() { "failed" } else { "done" }, *line, head, Some(statement));
        if error.is_some() {
            return Ok(());
        }
        self.log.complete(&format!("{}  {}", self.line(*line, head), summary(statement)));
        self.printer.show()
    }
}
