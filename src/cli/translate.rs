//! `babelake translate`: a file or a folder of embeddings, translated.

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::record::{Account, Counts, Ending, Log, Record, RecordOptions, Standing};
use super::signals::{INTERRUPTED, Signals, TERMINATED};
use super::stores::StoreOptions;
use super::{DONE, FAILED};
use crate::lake::Place;
use crate::lake::translate::{Complete, Plan, Progress, Request};

/// Translate the embeddings of a Parquet file, or of all Parquet files in a folder
///
/// Every input file has its output file in the same place below OUT, with the same rows in the same order. The embedding
/// column is replaced by the translated vectors, all other columns are kept, NULL rows stay NULL. An output appears whole
/// or not at all. Its footer says where it came from: see `babelake describe`.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(after_help = "Examples:
  babelake translate fr.parquet --to fr_as_en.parquet --translator fr_en.parquet
  babelake translate lake/fr/ --to lake/fr_as_en/ --translator fr_en.parquet

Everything is checked before the first file is written. Names that begin with _ or . are no data and are left out.")]
pub struct Args {
    /// Parquet file, or folder of them
    input: String,
    /// Output: a file for a file, a folder for a folder
    #[arg(long, value_name = "OUT")]
    to: String,
    /// The translator, as `babelake fit` stores it
    #[arg(long, value_name = "FILE")]
    translator: String,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long)]
    column: Option<String>,
    /// Replace outputs that exist
    #[arg(long)]
    overwrite: bool,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    #[command(flatten)]
    #[serde(skip)]
    record: RecordOptions,
    // Settings of stores may be secrets, and a report is read by many.
    #[command(flatten)]
    #[serde(skip)]
    stores: StoreOptions,
}

/// Between two lines of progress where no bar is shown.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let name = args.to.trim_end_matches('/').rsplit('/').next().unwrap_or(&args.to);
    let name = name.strip_suffix(".parquet").unwrap_or(name);
    let job = Arc::new(Job {
        planned: OnceLock::new(),
        progress: Arc::default(),
        failed: Mutex::default(),
        args: args.clone(),
    });
    let record = Record::new("translate", name, &args.record, &args.stores, Arc::clone(&job) as _);
    record.run(|log, signals| job.run(log, signals))
}

/// A job under way.
struct Job {
    args: Args,
    planned: OnceLock<Planned>,
    progress: Arc<Progress>,
    failed: Mutex<Vec<Failed>>,
}

/// What is known once everything has been looked at.
struct Planned {
    files: usize,
    rows: u64,
    bytes: u64,
    translator: Used,
    begin: Instant,
}

/// The translator, as the report tells it.
#[derive(Serialize)]
struct Used {
    digest: String,
    source_encoder: String,
    target_encoder: String,
    method: String,
}

/// A file that could not be translated.
#[derive(Serialize)]
struct Failed {
    file: Option<String>,
    error: String,
}

/// What the report tells of the work, beyond what it tells of every command.
#[derive(Serialize)]
struct Work<'a> {
    settings: &'a Args,
    translator: Option<&'a Used>,
    rows_planned: u64,
    bytes_planned: u64,
    rows_per_second: f64,
    failed: &'a [Failed],
}

impl Job {
    fn run(&self, log: &Log, signals: &Signals) -> anyhow::Result<u8> {
        let args = &self.args;
        let runtime = super::runtime()?;
        let stores = args.stores.stores()?;
        let place = |text: &str| Place::new(text, &stores, runtime.handle());
        let plan = Plan::new(&Request {
            input: place(&args.input)?,
            output: place(&args.to)?,
            translator: place(&args.translator)?,
            column: args.column.clone(),
            overwrite: args.overwrite,
            threads: args.threads,
        })?;
        self.planned.get_or_init(|| Planned::of(&plan));
        let signal = Arc::new(OnceLock::new());
        let stoppable = signals.stoppable({
            let (progress, signal) = (Arc::clone(&self.progress), Arc::clone(&signal));
            move |code| {
                signal.set(code).ok();
                progress.stop.store(true, Ordering::Release);
            }
        });
        let complete = (!log.is_text()).then(|| {
            let (sender, receiver) = mpsc::channel();
            self.progress.listener.get_or_init(|| sender);
            receiver
        });
        let finished = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&plan, &self.progress, log, complete, &finished));
            let outcome = plan.run(&self.progress);
            finished.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            outcome
        });
        drop(stoppable);
        if let Some(error) = outcome.error {
            let failed = Failed { file: error.path().map(str::to_owned), error: error.to_string() };
            log.event("file", json!({ "state": "failed", "file": failed.file, "error": failed.error }));
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(failed);
            return Err(error.into());
        }
        Ok(if outcome.files < outcome.planned { signal.get().copied().unwrap_or(FAILED) } else { DONE })
    }
}

impl Planned {
    fn of(plan: &Plan) -> Self {
        let translator = plan.translator();
        Self {
            files: plan.files(),
            rows: plan.rows(),
            bytes: plan.bytes(),
            translator: Used {
                digest: translator.digest.clone(),
                source_encoder: translator.source_encoder.clone(),
                target_encoder: translator.target_encoder.clone(),
                method: translator.method.clone(),
            },
            begin: Instant::now(),
        }
    }
}

impl Account for Job {
    fn standing(&self, ending: &Ending) -> Standing {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let Progress { complete_rows, read, bytes, files, .. } = self.progress.as_ref();
        let (rows, read, written, done) =
            (count(complete_rows), count(read), count(bytes), files.load(Ordering::Relaxed));
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = self.planned.get();
        let seconds = planned.map_or(0.0, |planned| planned.begin.elapsed().as_secs_f64());
        let work = Work {
            settings: &self.args,
            translator: planned.map(|planned| &planned.translator),
            rows_planned: planned.map_or(0, |planned| planned.rows),
            bytes_planned: planned.map_or(0, |planned| planned.bytes),
            rows_per_second: if seconds > 0.0 { (rows as f64 / seconds).round() } else { 0.0 },
            failed: &failed,
        };
        let files = Counts::from([
            ("planned", planned.map_or(0, |planned| planned.files as u64)),
            ("written", done as u64),
            ("failed", failed.len() as u64),
        ]);
        Standing {
            last_words: last_words(&files, rows, written, ending),
            work: serde_json::to_value(work).unwrap_or_default(),
            files,
            rows,
            bytes: Counts::from([("read", read), ("written", written)]),
            statements: Counts::new(),
        }
    }
}

/// How the lake stands, and what to do next.
fn last_words(files: &Counts, rows: u64, bytes: u64, ending: &Ending) -> String {
    let count = |state| files.get(state).copied().unwrap_or(0);
    let (planned, written) = (count("planned"), count("written"));
    match ending.code {
        DONE => format!(
            "{} rows in {written} file{}, {:.1} MB written in {:.1} s",
            HumanCount(rows),
            if written == 1 { "" } else { "s" },
            bytes as f64 / 1e6,
            ending.took.as_secs_f64()
        ),
        _ if planned == 0 => "nothing was written".to_owned(),
        INTERRUPTED | TERMINATED => format!(
            "{written} of {planned} files done, none half-written; stopped by a signal; the same command with --overwrite \
             does it all again"
        ),
        _ => format!(
            "{written} of {planned} files done, none half-written; mend or remove the file named, then run the command \
             again (--overwrite where files are done)"
        ),
    }
}

/// Shows a bar on a terminal, a line now and then elsewhere; tells machines of every file as well.
fn watch(plan: &Plan, progress: &Progress, log: &Log, complete: Option<Receiver<Complete>>, finished: &AtomicBool) {
    let done = || (progress.rows.load(Ordering::Relaxed), progress.files.load(Ordering::Relaxed));
    if log.is_terminal() {
        log.set_open(true);
        let bar = ProgressBar::new(plan.rows());
        let style = "{bar:30} {human_pos}/{human_len} rows, {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        while !finished.load(Ordering::Relaxed) {
            let (rows, files) = done();
            bar.set_position(rows);
            bar.set_message(format!("{files}/{} files", plan.files()));
            std::thread::park_timeout(Duration::from_millis(100));
        }
        bar.finish_and_clear();
        log.set_open(false);
        return;
    }
    let tell_complete = || {
        for Complete { file, rows, bytes } in complete.iter().flat_map(Receiver::try_iter) {
            log.event("file", json!({ "state": "written", "file": file, "rows": rows, "bytes": bytes }));
        }
    };
    let begin = Instant::now();
    let mut said = begin;
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        tell_complete();
        if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
            said = Instant::now();
            let (rows, files) = done();
            let share = rows as f64 / plan.rows().max(1) as f64;
            let left = (rows > 0).then(|| begin.elapsed().as_secs_f64() * (1.0 / share - 1.0));
            log.line(&format!(
                "{} of {} rows, {files} of {} files{}",
                HumanCount(rows),
                HumanCount(plan.rows()),
                plan.files(),
                left.map_or_else(String::new, |left| format!(", {left:.0} s left"))
            ));
            log.event(
                "progress",
                json!({
                    "rows": rows, "rows_planned": plan.rows(), "files": files, "files_planned": plan.files(),
                    "seconds_left": left.map(f64::round),
                }),
            );
        }
    }
    tell_complete();
}
