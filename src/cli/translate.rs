//! `babelake translate`: a file or a folder of embeddings, translated.

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::memory::MemoryOptions;
use super::print::print;
use super::record::{Account, Counts, Ending, Log, Record, RecordOptions, Standing};
use super::signals::{INTERRUPTED, Signals, TERMINATED};
use super::stores::StoreOptions;
use super::{DONE, FAILED, GUARD, RETRY, Watched};
use crate::Error;
#[cfg(feature = "delta")]
use crate::lake::translate::delta;
use crate::lake::translate::{
    BadRow, By, Codec, Column, Event, Items, Listed, OnBad, Orphans, Outcome, Plan, Progress, Reembed, Request,
    Settings, Why,
};
use crate::lake::{Inputs, Place};
use crate::session::stores::Stores;
#[cfg(feature = "delta")]
use {
    super::signals::Ended,
    super::watch::watched,
    crate::{lake, session},
    tokio::runtime::Runtime,
};

/// Translate the embeddings of a Parquet file, or of all Parquet files in a folder
///
/// Every input file has its output file in the same place below OUT, with the same rows in the same order. The embedding
/// column is replaced by the translated vectors, all other columns are copied as they are, NULL rows stay NULL. An output appears whole
/// or not at all. Its footer says where it came from: see `babelake describe`.
///
/// Run it again at any time: it does what is left to do. Outputs of sources that have not changed are left alone, those of
/// sources that have are replaced; outputs of another translator, or of another tool, are refused.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(after_help = "Examples:
  babelake translate fr.parquet --to fr_as_en.parquet --translator fr_en.parquet
  babelake translate lake/fr/ --to lake/fr_as_en/ --translator fr_en.parquet
  babelake translate 'lake/fr/2024-*/' --to lake/fr_as_en/ --translator fr_en.parquet
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --filter \"year >= 2023\"
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --manifest files.txt
      only the files named
  babelake translate lake/docs/ --to docs_en/ --translator fr_en.parquet --manifest lake/docs/metadata/00042-9f3c.metadata.json
      the current files of an Iceberg table. A folder that is a Delta table is translated into one, in builds with that feature
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --confidence-column confidence \\
      --reembed-list keys.parquet --below 0.4 --key id
      and a list of the rows to embed with the new model
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --items int8 --dimensions 512
      in fewer bits: what that costs is in the tables of `babelake fit` and `babelake eval`
  babelake translate s3://lake/fr/ --to s3://lake/fr_as_en/ --translator s3://lake/fr_en.parquet --dry-run

Everything is checked before the first file is written. Names that begin with _ or . are no data and are left out. A finished
job writes _SUCCESS into OUT, a started one removes it.")]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    job: JobArgs,
    /// The translator, as `babelake fit` stores it
    #[arg(long, value_name = "FILE", required_unless_present = "columns")]
    translator: Option<String>,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]; or, in place of --translator
    /// and once for every column to translate, a column and its translator: --column title=t.parquet
    #[arg(long = "column", value_name = "NAME[=FILE]")]
    columns: Vec<String>,
}

/// What every job that translates a lake takes, whatever its translator is.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct JobArgs {
    /// Parquet file, folder of them, or a pattern in quotes, such as 'lake/2024-*/' or 'lake/lang=fr/**/*.parquet'. Below OUT
    /// files keep their paths below INPUT, or below the folder before the first wildcard
    pub input: String,
    /// Translate only the files that this text file names: a path a line, relative to INPUT or in full, or a URL. Or the metadata
    /// file of an Iceberg table (*.metadata.json) in the folder INPUT: the files of its current snapshot
    #[arg(long, value_name = "FILE")]
    manifest: Option<String>,
    /// Translate only the partitions for which this SQL is true; its columns are the folders named column=value
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// Output: a file for a file, a folder for a folder
    #[arg(long, value_name = "OUT")]
    pub to: String,
    #[command(flatten)]
    #[serde(flatten)]
    written: Written,
    /// List the rows to embed natively, in a Parquet file: the keys of those whose confidence is below --below, in all files of
    /// the job, those that were translated before included
    #[arg(long, value_name = "FILE", requires_all = ["below", "key", "confidence_column"])]
    reembed_list: Option<String>,
    /// The confidence below which a row is on the list
    #[arg(long, value_name = "CONFIDENCE", value_parser = share, requires = "reembed_list")]
    below: Option<f64>,
    /// Column that names a row on the list; several, separated by commas, name it together
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "reembed_list")]
    key: Vec<String>,
    /// Replace outputs of another translator or another tool, too
    #[arg(long)]
    overwrite: bool,
    /// Translate files that are translations themselves: errors add up
    #[arg(long)]
    pub allow_chain: bool,
    /// Translate files, too, that are clearly of another encoder than the translator's source; without it such a file ends the job, exit code 4
    #[arg(long)]
    force: bool,
    /// Remove outputs whose source is gone, once the new ones are there
    #[arg(long)]
    delete_orphans: bool,
    /// Also where that is more than a tenth of OUT
    #[arg(long, requires = "delete_orphans")]
    yes: bool,
    /// What a row is that cannot be translated (another width, NaN): an error of its file, a NULL, or a reason to skip the file
    #[arg(long, value_enum, default_value_t = Bad::Error)]
    on_bad: Bad,
    /// Share of rows that may be bad before the job is given up (exit code 4), with --on-bad null or skip-file
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_bad: Option<f64>,
    /// Say what would be done and how long it would take, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    #[command(flatten)]
    #[serde(flatten)]
    memory: MemoryOptions,
    #[command(flatten)]
    #[serde(skip)]
    record: RecordOptions,
    // Settings of stores may be secrets, and a report is read by many.
    #[command(flatten)]
    #[serde(skip)]
    pub stores: StoreOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Bad {
    Error,
    Null,
    SkipFile,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// How the outputs are written.
#[derive(Debug, Clone, clap::Args, Serialize)]
struct Written {
    /// What the numbers of the translated vectors are stored as [default: as in the input; f64 becomes f32]
    #[arg(long, value_enum)]
    items: Option<Numbers>,
    /// Keep the first M numbers of every translated vector only
    #[arg(long, value_name = "M")]
    dimensions: Option<NonZero<usize>>,
    /// How the translated vectors are compressed; other columns stay as they are
    #[arg(long, value_enum, default_value_t = Compression::Keep)]
    compression: Compression,
    /// Keep the embedding column and put the translated vectors into a new column of this name after it
    #[arg(long, value_name = "NAME")]
    output_column: Option<String>,
    /// Add a column of this name with the confidence in every translated vector, 0 to 1: coverage by the anchors, not a probability
    #[arg(long, value_name = "NAME")]
    confidence_column: Option<String>,
    /// Add a column of this name that says in every row what the vectors are: encoder:translator digest
    #[arg(long, value_name = "NAME")]
    origin_column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Numbers {
    F32,
    /// Half precision
    F16,
    /// Eight-bit codes, and what a code of each row is worth in the column NAME_scale
    Int8,
    /// Signs, eight to a byte, as numpy's packbits(x > 0)
    Binary,
    /// f32, a row's bytes in a FixedSizeBinary
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Compression {
    Keep,
    Zstd,
    None,
}

impl Written {
    fn settings(&self) -> Settings {
        Settings {
            items: match self.items {
                None => Items::Source,
                Some(Numbers::F32) => Items::F32,
                Some(Numbers::F16) => Items::F16,
                Some(Numbers::Int8) => Items::Int8,
                Some(Numbers::Binary) => Items::Binary,
                Some(Numbers::Bytes) => Items::Bytes,
            },
            dimensions: self.dimensions.map(NonZero::get),
            codec: match self.compression {
                Compression::Keep => Codec::Keep,
                Compression::Zstd => Codec::Zstd,
                Compression::None => Codec::None,
            },
            output_column: self.output_column.clone(),
            confidence_column: self.confidence_column.clone(),
            origin_column: self.origin_column.clone(),
        }
    }
}

/// The columns to translate: one and --translator, or each with its own.
fn columns(args: &Args, places: &Places<'_>) -> crate::Result<Vec<Column>> {
    let file = |text: &str| Ok::<_, Error>(By::File(places.place(text)?));
    match (&args.translator, args.columns.as_slice()) {
        (Some(translator), []) => Ok(vec![Column { name: None, translator: file(translator)? }]),
        (Some(translator), [name]) => Ok(vec![Column { name: Some(name.clone()), translator: file(translator)? }]),
        (Some(_), _) => {
            let message = "--translator is for one column: give every column its own, --column NAME=FILE --column ...";
            Err(Error::Invalid(message.into()))
        }
        (None, columns) => columns
            .iter()
            .map(|column| match column.split_once('=') {
                Some((name, of)) if !name.is_empty() => {
                    Ok(Column { name: Some(name.to_owned()), translator: file(of)? })
                }
                _ => Err(Error::Invalid(format!(
                    "--column {column} has no translator: give --translator FILE, or --column NAME=FILE"
                ))),
            })
            .collect(),
    }
}

/// Between two lines of progress where no bar is shown.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let (of, settings) = (args.clone(), serde_json::to_value(args).unwrap_or_default());
    run_job("translate", &args.job, settings, move |places, _, _| Ok(columns(&of, places)?))
}

/// Gives the columns to translate and their translators, once stores can be reached.
type Columns = Box<dyn Fn(&Places<'_>, &Inputs, &Log) -> anyhow::Result<Vec<Column>> + Send + Sync>;

/// Names places.
pub struct Places<'a> {
    /// The stores.
    pub stores: &'a Stores,
    /// What they are reached on.
    pub runtime: &'a Handle,
}

impl Places<'_> {
    /// The place of this name.
    pub fn place(&self, text: &str) -> crate::Result<Place> {
        Place::new(text, self.stores, self.runtime)
    }
}

/// Runs a job: `settings` are told in its report.
pub fn run_job(
    command: &'static str,
    args: &JobArgs,
    settings: Value,
    columns: impl Fn(&Places<'_>, &Inputs, &Log) -> anyhow::Result<Vec<Column>> + Send + Sync + 'static,
) -> ExitCode {
    let name = args.to.trim_end_matches('/').rsplit('/').next().unwrap_or(&args.to);
    let name = name.strip_suffix(".parquet").unwrap_or(name);
    let job = Arc::new(Job {
        args: args.clone(),
        settings,
        columns: Box::new(columns),
        planned: OnceLock::new(),
        progress: Arc::default(),
        outcome: OnceLock::new(),
        #[cfg(feature = "delta")]
        delta: OnceLock::new(),
        #[cfg(feature = "delta")]
        begun: OnceLock::new(),
    });
    let record = Record::new(command, name, &args.record, &args.stores, Arc::clone(&job) as _);
    record.run(|log, signals| job.run(log, signals))
}

/// A job under way.
struct Job {
    args: JobArgs,
    settings: Value,
    columns: Columns,
    planned: OnceLock<Planned>,
    progress: Arc<Progress>,
    outcome: OnceLock<Outcome>,
    #[cfg(feature = "delta")]
    delta: OnceLock<Delta>,
    /// Whether rows of a Delta table are on their way.
    #[cfg(feature = "delta")]
    begun: OnceLock<()>,
}

/// What became of a Delta table.
#[cfg(feature = "delta")]
struct Delta {
    done: delta::Done,
    columns: Value,
    last_words: String,
}

/// A session for a job over a Delta table.
#[cfg(feature = "delta")]
fn delta_session(args: &JobArgs, stores: &Arc<Stores>) -> crate::Result<datafusion::prelude::SessionContext> {
    session::context(&session::Settings {
        partitions: args.threads.map(NonZero::get),
        memory: args.memory.memory,
        stores: Some(Arc::clone(stores)),
        ..Default::default()
    })
}

/// What is known once everything has been looked at.
struct Planned {
    total: usize,
    current: usize,
    changed: usize,
    left_out: usize,
    orphaned: usize,
    rows: u64,
    bytes: u64,
    /// As the report tells them.
    columns: Value,
    begin: Instant,
}

/// What the report tells of the work, beyond what it tells of every command.
#[derive(Serialize)]
struct Work<'a> {
    settings: &'a Value,
    columns: Option<&'a Value>,
    rows_planned: u64,
    bytes_planned: u64,
    rows_per_second: f64,
    failed: Vec<Unfit<'a>>,
    left_out: Vec<Unfit<'a>>,
    bad_rows: &'a [BadRow],
    orphaned: &'a [String],
    listed: Option<&'a Listed>,
}

/// A file without an output, and why.
#[derive(Serialize)]
struct Unfit<'a> {
    file: &'a str,
    error: String,
}

fn unfit(files: &[(String, Error)]) -> Vec<Unfit<'_>> {
    files.iter().map(|(file, error)| Unfit { file, error: error.to_string() }).collect()
}

impl Job {
    fn run(&self, log: &Log, signals: &Signals) -> anyhow::Result<u8> {
        let begin = Instant::now();
        let args = &self.args;
        let runtime = super::runtime()?;
        let stores = args.stores.stores()?;
        let places = Places { stores: &stores, runtime: runtime.handle() };
        let place = |text: &str| places.place(text);
        let mut input = Inputs::new(&args.input, &stores, runtime.handle())?;
        if let Some(manifest) = &args.manifest {
            input = input.listed_in(place(manifest)?)?;
        }
        if let Some(sql) = &args.filter {
            input = input.filtered(sql.clone());
        }
        let columns = (self.columns)(&places, &input, log)?;
        #[cfg(feature = "delta")]
        let folder = input.folder().clone();
        let request = Request {
            input,
            output: place(&args.to)?,
            columns,
            settings: args.written.settings(),
            reembed: match (&args.reembed_list, args.below) {
                (Some(list), Some(below)) => Some(Reembed { list: place(list)?, below, key: args.key.clone() }),
                _ => None,
            },
            overwrite: args.overwrite,
            allow_chain: args.allow_chain,
            force: args.force,
            orphans: if args.delete_orphans { Orphans::Delete { yes: args.yes } } else { Orphans::List },
            on_bad: match args.on_bad {
                Bad::Error => OnBad::Error,
                Bad::Null => OnBad::Null,
                Bad::SkipFile => OnBad::SkipFile,
            },
            max_bad: args.max_bad,
            threads: args.threads,
            memory: args.memory.memory,
        };
        #[cfg(feature = "delta")]
        {
            let table = if args.manifest.is_none() { delta::table_at(&folder)? } else { None };
            if let Some(table) = table {
                return self.run_delta(
                    delta::Job::new(&request, table, delta_session(args, &stores)?)?,
                    &runtime,
                    log,
                    signals,
                );
            }
        }
        let plan = Plan::new(&request)?;
        self.planned.get_or_init(|| Planned::of(&plan));
        if args.dry_run {
            print(&preview(&plan, plan.estimate()?))?;
            return Ok(if plan.orphans().is_empty() { DONE } else { GUARD });
        }
        for Unfit { file, error } in unfit(plan.skipped()) {
            log.event("file", json!({ "state": "left_out", "file": file, "error": error }));
        }
        let signal = Arc::new(OnceLock::new());
        let stoppable = signals.stoppable({
            let (progress, signal) = (Arc::clone(&self.progress), Arc::clone(&signal));
            move |code| {
                signal.set(code).ok();
                progress.stop.store(true, Ordering::Release);
            }
        });
        let events = (!log.is_text()).then(|| {
            let (sender, receiver) = mpsc::channel();
            self.progress.listener.get_or_init(|| sender);
            receiver
        });
        let finished = AtomicBool::new(false);
        let goal = Goal { rows: plan.rows(), files: plan.files() };
        let mut outcome = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.watch(&goal, log, events, &finished));
            let _watched = Watched { finished: &finished, watcher: watcher.thread() };
            plan.run(&self.progress)
        });
        drop(stoppable);
        let error = outcome.error.take();
        let outcome = self.outcome.get_or_init(|| outcome);
        tell(log, outcome);
        let code = match signal.get() {
            Some(code) if outcome.done() < outcome.total => *code,
            _ if !outcome.failed.is_empty() => FAILED,
            _ if !outcome.orphans.is_empty() => GUARD,
            _ => DONE,
        };
        if error.is_some() || code != DONE {
            log.line(&self.did(begin.elapsed()));
        }
        error.map_or(Ok(code), |error| Err(error.into()))
    }

    /// Translates a Delta table.
    #[cfg(feature = "delta")]
    fn run_delta(&self, job: delta::Job, runtime: &Runtime, log: &Log, signals: &Signals) -> anyhow::Result<u8> {
        let begin = Instant::now();
        if self.args.dry_run {
            let current = if job.is_current() { "yes" } else { "no" };
            print(&format!("current: {current}\nrows: {}\n", HumanCount(job.rows() as u64)))?;
            return Ok(DONE);
        }
        self.begun.get_or_init(|| ());
        let progress = Arc::new(lake::Progress::default());
        let run = || signals.until(runtime, job.context(), job.run(Arc::clone(&progress)));
        let ended = if log.is_text() { watched("rows", &progress, run) } else { run() };
        let done = match ended {
            Ended::Itself(done) => done?,
            Ended::Stopped(code) => {
                log.line("stopped by a signal; the table is at its last version, and the same command begins again");
                return Ok(code);
            }
        };
        let written =
            if job.is_current() { "nothing to do".to_owned() } else { format!("{} rows", HumanCount(done.rows)) };
        let took = begin.elapsed().as_secs_f64();
        self.delta.get_or_init(|| Delta {
            done,
            columns: job.columns(),
            last_words: format!("{written}, version {} in {took:.1} s", done.version),
        });
        Ok(DONE)
    }

    /// Files, by what became of them.
    fn files(&self) -> Counts {
        let (planned, outcome, tally) = (self.planned.get(), self.outcome.get(), self.progress.tally());
        let planned = |count: fn(&Planned) -> usize| planned.map_or(0, count);
        let (failed, left_out) = if self.args.on_bad == Bad::SkipFile { (0, tally.failed) } else { (tally.failed, 0) };
        let counts = [
            ("planned", planned(|planned| planned.total)),
            ("written", tally.written),
            ("changed", planned(|planned| planned.changed)),
            ("current", planned(|planned| planned.current) + tally.current),
            ("read_again", tally.current),
            ("left_out", planned(|planned| planned.left_out) + left_out),
            ("failed", failed),
            ("orphaned", outcome.map_or(planned(|planned| planned.orphaned), |outcome| outcome.orphans.len())),
            ("removed", outcome.map_or(0, |outcome| outcome.removed)),
        ];
        counts.map(|(state, count)| (state, count as u64)).into()
    }

    /// What was done, in one line.
    fn did(&self, took: Duration) -> String {
        let (files, tally) = (self.files(), self.progress.tally());
        let count = |state| HumanCount(of(&files, state));
        let mut did = format!("{} written, {} current", count("written"), count("current"));
        for (state, what) in [("read_again", "read again"), ("left_out", "left out"), ("removed", "removed (orphaned)")]
        {
            if of(&files, state) > 0 {
                did += &format!(", {} {what}", count(state));
            }
        }
        let (rows, megabytes) = (HumanCount(tally.rows), tally.bytes as f64 / 1e6);
        format!("{did}; {rows} rows, {megabytes:.1} MB written in {:.1} s", took.as_secs_f64())
    }

    /// How the lake stands, and what the same command would do next.
    fn last_words(&self, ending: &Ending, files: &Counts) -> String {
        let count = |state| of(files, state);
        #[cfg(feature = "delta")]
        if self.begun.get().is_some() {
            return "no version was written; the same command begins again".to_owned();
        }
        if self.args.dry_run || count("planned") == 0 {
            return "nothing was written".to_owned();
        }
        let next = match ending.code {
            DONE => return self.did(ending.took),
            INTERRUPTED | TERMINATED => "stopped by a signal; the same command goes on from here",
            RETRY => "the same command goes on from here, when the store answers again",
            _ if ending.error.is_some() => "mend what is named above; the same command goes on from here",
            GUARD => "orphaned files are rows twice: --delete-orphans removes them",
            _ => "mend or remove the files named above; the same command goes on from here",
        };
        let (done, total) = (count("written") + count("current") + count("left_out"), count("planned"));
        format!("{} of {} files done, none half-written; {next}", HumanCount(done), HumanCount(total))
    }

    /// Shows a bar on a terminal, a line now and then elsewhere; tells machines of every file as well.
    fn watch(&self, goal: &Goal, log: &Log, events: Option<Receiver<Event>>, finished: &AtomicBool) {
        let done = || (self.progress.rows.load(Ordering::Relaxed), self.progress.files.load(Ordering::Relaxed));
        if log.is_terminal() {
            log.set_open(true);
            let bar = ProgressBar::new(goal.rows);
            let style = "{bar:30} {human_pos}/{human_len} rows, {msg}, {eta} left";
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            while !finished.load(Ordering::Relaxed) {
                let (rows, files) = done();
                bar.set_position(rows);
                bar.set_message(format!("{files}/{} files", goal.files));
                std::thread::park_timeout(Duration::from_millis(100));
            }
            bar.finish_and_clear();
            log.set_open(false);
            return;
        }
        let unfit = if self.args.on_bad == Bad::SkipFile { "left_out" } else { "failed" };
        let tell_files = || {
            for event in events.iter().flat_map(Receiver::try_iter) {
                let fields = match event {
                    Event::Written { file, rows, bytes } => {
                        json!({ "state": "written", "file": file, "rows": rows, "bytes": bytes })
                    }
                    Event::Failed { file, error } => json!({ "state": unfit, "file": file, "error": error }),
                };
                log.event("file", fields);
            }
        };
        let begin = Instant::now();
        let mut said = begin;
        while !finished.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(200));
            tell_files();
            if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
                said = Instant::now();
                let (rows, files) = done();
                let share = rows as f64 / goal.rows.max(1) as f64;
                let left = (rows > 0).then(|| begin.elapsed().as_secs_f64() * (1.0 / share - 1.0));
                log.line(&format!(
                    "{} of {} rows, {files} of {} files{}",
                    HumanCount(rows),
                    HumanCount(goal.rows),
                    goal.files,
                    left.map_or_else(String::new, |left| format!(", {left:.0} s left"))
                ));
                log.event(
                    "progress",
                    json!({
                        "rows": rows, "rows_planned": goal.rows, "files": files, "files_planned": goal.files,
                        "seconds_left": left.map(f64::round),
                    }),
                );
            }
        }
        tell_files();
    }
}

impl Account for Job {
    fn standing(&self, ending: &Ending) -> Standing {
        #[cfg(feature = "delta")]
        if let Some(Delta { done, columns, last_words }) = self.delta.get() {
            return Standing {
                last_words: last_words.clone(),
                work: json!({ "settings": self.settings, "columns": columns, "version": done.version }),
                files: Counts::new(),
                rows: Counts::from([("written", done.rows)]),
                bytes: Counts::new(),
                statements: Counts::new(),
            };
        }
        let (planned, outcome, tally) = (self.planned.get(), self.outcome.get(), self.progress.tally());
        let seconds = planned.map_or(0.0, |planned| planned.begin.elapsed().as_secs_f64());
        let work = Work {
            settings: &self.settings,
            columns: planned.map(|planned| &planned.columns),
            rows_planned: planned.map_or(0, |planned| planned.rows),
            bytes_planned: planned.map_or(0, |planned| planned.bytes),
            rows_per_second: if seconds > 0.0 { (tally.rows as f64 / seconds).round() } else { 0.0 },
            failed: outcome.map_or_else(Vec::new, |outcome| unfit(&outcome.failed)),
            left_out: outcome.map_or_else(Vec::new, |outcome| unfit(&outcome.skipped)),
            bad_rows: outcome.map_or(&[], |outcome| &outcome.bad),
            orphaned: outcome.map_or(&[], |outcome| &outcome.orphans),
            listed: outcome.and_then(|outcome| outcome.listed.as_ref()),
        };
        let files = self.files();
        Standing {
            last_words: self.last_words(ending, &files),
            work: serde_json::to_value(work).unwrap_or_default(),
            files,
            rows: Counts::from([("written", tally.rows), ("bad", tally.bad_rows)]),
            bytes: Counts::from([("read", tally.read), ("written", tally.bytes)]),
            statements: Counts::new(),
        }
    }
}

impl Planned {
    fn of(plan: &Plan) -> Self {
        Self {
            total: plan.total(),
            current: plan.current(),
            changed: plan.count(|why| *why == Why::Changed),
            left_out: plan.skipped().len(),
            orphaned: plan.orphans().len(),
            rows: plan.rows(),
            bytes: plan.bytes(),
            columns: serde_json::to_value(plan.columns()).unwrap_or_default(),
            begin: Instant::now(),
        }
    }
}

fn of(counts: &Counts, name: &str) -> u64 {
    counts.get(name).copied().unwrap_or(0)
}

/// Tells of files and rows that need somebody's eye: people of some of them, machines of those that they do not know yet.
fn tell(log: &Log, outcome: &Outcome) {
    let list = |what: &str, lines: &mut dyn Iterator<Item = String>, count: usize| {
        for line in lines.take(LISTED) {
            log.line(&format!("{what}: {line}"));
        }
        if count > LISTED {
            log.line(&format!("{what}: and {} more", HumanCount((count - LISTED) as u64)));
        }
    };
    let why = |files: &[(String, Error)]| files.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>();
    list("left out", &mut why(&outcome.skipped).into_iter(), outcome.skipped.len());
    let bad = outcome.bad.iter().map(|bad| format!("{}: row {}: {}", bad.file, bad.row, bad.reason));
    list("NULL now", &mut bad.into_iter(), outcome.bad.len());
    list("orphaned (its source is gone)", &mut outcome.orphans.iter().cloned(), outcome.orphans.len());
    list("error", &mut why(&outcome.failed).into_iter(), outcome.failed.len());
    if let Some(Listed { list, rows, of, below }) = &outcome.listed {
        log.line(&format!("{list}: {} of {} rows have a confidence below {below}", HumanCount(*rows), HumanCount(*of)));
        log.event("list", json!({ "file": list, "rows": rows, "of": of, "below": below }));
    }
    for bad in &outcome.bad {
        log.event("row", json!({ "state": "null", "file": bad.file, "row": bad.row, "error": bad.reason }));
    }
    for file in &outcome.orphans {
        log.event("file", json!({ "state": "orphaned", "file": file }));
    }
}

/// Lines of a kind that are shown.
const LISTED: usize = 20;

/// What there is to do.
struct Goal {
    rows: u64,
    files: usize,
}

/// What a job would do, line by line.
fn preview(plan: &Plan, seconds: f64) -> String {
    let unsure = plan.count(|why| matches!(why, Why::Unsure(_)));
    let lines = [
        ("new", plan.count(|why| *why == Why::New)),
        ("changed", plan.count(|why| *why == Why::Changed)),
        ("replaced", plan.count(|why| *why == Why::Replaced)),
        ("to be read again", unsure),
        ("current", plan.current()),
        ("left out", plan.skipped().len()),
        ("orphaned", plan.orphans().len()),
    ];
    let mut text: String =
        lines.iter().map(|(name, count)| format!("{name}: {}\n", HumanCount(*count as u64))).collect();
    text += &format!("rows: {}\nbytes: {}\n", HumanCount(plan.rows()), HumanCount(plan.bytes()));
    text + &format!("estimated hours: {:.2}\n", seconds / 3600.0)
}
