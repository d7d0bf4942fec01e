//! What a command that a scheduler runs leaves for it: lines on stderr, a report, metrics, an exit code.
//!
//! All of them tell the same also when the command failed or was stopped. The report and the metrics are files that appear
//! whole or not at all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::signals::{GRACE, Heed, LAST, Signals};
use super::stores::StoreOptions;
use super::{DONE, error_text, exit_code};
use crate::lake::{Output, Place};
use crate::{Error, Result};
pub use log::Log;

mod log;
mod metrics;

/// Options of every command that a scheduler runs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "For schedulers")]
pub struct RecordOptions {
    /// Write what was done, how long it took and how it ended as JSON, also after an error or a signal
    #[arg(long, value_name = "FILE")]
    report: Option<String>,
    /// Write how it ended for the textfile collector of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics: Option<String>,
    /// What report and metrics call this job [default: the name of the pipeline or of the output]
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// What stderr is: text, or one JSON object a line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = log::Format::Text)]
    log: log::Format,
}

/// How a command ends.
pub struct Ending {
    /// The exit code.
    pub code: u8,
    /// What went wrong.
    pub error: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// After so long.
    pub took: Duration,
}

/// How the work of a command stands.
pub struct Standing {
    /// The last line: how things stand, and what the same command would do next.
    pub last_words: String,
    /// What the report tells of the work, an object.
    pub work: Value,
    /// Files, by what became of them.
    pub files: Counts,
    /// Rows, by what became of them.
    pub rows: Counts,
    /// Bytes read and written, by direction.
    pub bytes: Counts,
    /// Statements, by what became of them.
    pub statements: Counts,
}

/// Numbers by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// Work that can say how it stands at any moment, for a signal may end it at any moment.
pub trait Account: Send + Sync {
    /// How it stands when the command ends like that.
    fn standing(&self, ending: &Ending) -> Standing;
}

/// One run of a command.
pub struct Record {
    command: &'static str,
    job: String,
    options: RecordOptions,
    stores: StoreOptions,
    account: Arc<dyn Account>,
    log: Log,
    started: DateTime<Utc>,
    begin: Instant,
    /// Whether the command is ending already.
    closed: AtomicBool,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The layout of [`Document`].
const FORMAT: u32 = 1;

/// The report. `docs/report.md` describes it.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    tool_version: &'static str,
    command: &'a str,
    job: &'a str,
    started: String,
    ended: String,
    seconds: f64,
    exit_code: u8,
    error: Option<&'a str>,
    last_words: &'a str,
    files: &'a Counts,
    rows: &'a Counts,
    bytes: &'a Counts,
    #[serde(flatten)]
    work: &'a Value,
}

/// For how long a store that does not answer is asked to take the report.
const REPORT_RETRIES: Duration = Duration::from_secs(30);

impl Record {
    /// A run that begins now, of a job that is called `job` unless the options name it.
    pub fn new(
        command: &'static str,
        job: &str,
        options: &RecordOptions,
        stores: &StoreOptions,
        account: Arc<dyn Account>,
    ) -> Arc<Self> {
        let record = Self {
            command,
            job: options.job.clone().unwrap_or_else(|| job.to_owned()),
            log: Log::new(options.log),
            options: options.clone(),
            stores: stores.within(REPORT_RETRIES),
            account,
            started: Utc::now(),
            begin: Instant::now(),
            closed: AtomicBool::new(false),
        };
        let Record { job, .. } = &record;
        record.log.event("started", json!({ "command": command, "job": job, "tool_version": VERSION }));
        Arc::new(record)
    }

    /// Does the work, which returns its exit code, and ends the command.
    pub fn run(self: Arc<Self>, work: impl FnOnce(&Log, &Signals) -> anyhow::Result<u8>) -> ExitCode {
        let all = || self.check().and_then(|()| work(&self.log, &Signals::listen(Arc::clone(&self))?));
        // Whoever waits for the report waits for it after a bug, too.
        let result = catch_unwind(AssertUnwindSafe(all))
            .unwrap_or_else(|_| Err(anyhow!("this is a bug: please report it with what is said above")));
        while self.closed.swap(true, Ordering::AcqRel) {
            // A signal is ending the process.
            std::thread::park();
        }
        let mut ending = match result {
            Ok(code) => self.ending(code, None),
            Err(error) => self.ending(exit_code(&error), Some(error_text(&error))),
        };
        if let Some(error) = &ending.error {
            self.log.error(error);
        }
        let standing = self.account.standing(&ending);
        let code = ending.code;
        for write in [Self::write_metrics, Self::write_report] {
            let Err(error) = write(&self, &ending, &standing) else { continue };
            let text = error_text(&error);
            // What was found out before the work is told already.
            if ending.error.as_ref() != Some(&text) {
                self.log.error(&text);
            }
            if ending.code == DONE {
                ending.code = exit_code(&error);
            }
        }
        if ending.code != code {
            // What comes of this is told already.
            self.write_metrics(&ending, &standing).ok();
        }
        self.finished(&ending, &standing);
        ExitCode::from(ending.code)
    }

    /// Finds out before the work what would be found out after it.
    fn check(&self) -> anyhow::Result<()> {
        let mut files = [&self.options.report, &self.options.metrics].into_iter().flatten();
        files.try_for_each(|file| self.at(file, |_| Ok(())))
    }

    fn ending(&self, code: u8, error: Option<String>) -> Ending {
        Ending { code, error, at: Utc::now(), took: self.begin.elapsed() }
    }

    fn write_report(&self, ending: &Ending, standing: &Standing) -> anyhow::Result<()> {
        let Some(file) = &self.options.report else { return Ok(()) };
        let document = Document {
            format: FORMAT,
            tool_version: VERSION,
            command: self.command,
            job: &self.job,
            started: rfc3339(self.started),
            ended: rfc3339(ending.at),
            seconds: ending.took.as_secs_f64(),
            exit_code: ending.code,
            error: ending.error.as_deref(),
            last_words: &standing.last_words,
            files: &standing.files,
            rows: &standing.rows,
            bytes: &standing.bytes,
            work: &standing.work,
        };
        self.write(file, &(serde_json::to_string_pretty(&document)? + "\n"))
    }

    fn write_metrics(&self, ending: &Ending, standing: &Standing) -> anyhow::Result<()> {
        let Some(file) = &self.options.metrics else { return Ok(()) };
        self.write(file, &metrics::text(self.command, &self.job, ending, standing)?)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        self.at(file, |place| {
            let mut output = Output::new(place);
            let written = output.write_all(text.as_bytes());
            written.map_err(|source| Error::Io { path: file.to_owned(), source })?;
            output.complete().map(drop)
        })
    }

    /// At a place that may be written to. On threads and connections of its own: those of the work may all be busy, or hang.
    fn at(&self, file: &str, act: impl FnOnce(&Place) -> Result<()>) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let stores = self.stores.stores()?;
        let place = Place::new(file, &stores, runtime.handle())?;
        place.check_writable(true)?;
        Ok(act(&place)?)
    }

    fn finished(&self, ending: &Ending, standing: &Standing) {
        self.log.line(&standing.last_words);
        self.log.event(
            "finished",
            json!({
                "exit_code": ending.code,
                "seconds": ending.took.as_secs_f64(),
                "files": standing.files,
                "rows": standing.rows,
                "bytes": standing.bytes,
                "last_words": standing.last_words,
            }),
        );
    }
}

impl Heed for Arc<Record> {
    fn asked(&self) {
        self.log.warning("stopping; a second signal stops at once");
    }

    fn grace(&self, _code: u8) -> Duration {
        GRACE
    }

    fn forced(&self, code: u8) {
        if self.closed.swap(true, Ordering::AcqRel) {
            // It is ending by itself.
            std::thread::sleep(LAST);
            return;
        }
        let ending = self.ending(code, None);
        let standing = self.account.standing(&ending);
        let (record, end) = (Arc::clone(self), Arc::new((ending, standing)));
        let (written, wait) = mpsc::channel();
        let shared = Arc::clone(&end);
        std::thread::spawn(move || {
            let (ending, standing) = shared.as_ref();
            record.write_report(ending, standing).ok();
            record.write_metrics(ending, standing).ok();
            written.send(()).ok();
        });
        wait.recv_timeout(LAST).ok();
        let (ending, standing) = end.as_ref();
        self.finished(ending, standing);
    }
}

/// The time as reports and log lines tell it.
fn now() -> String {
    rfc3339(Utc::now())
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
