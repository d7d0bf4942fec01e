//! `babelake translate`: a file or a folder of embeddings, translated.

use std::io::IsTerminal;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::print::print;
use super::signals::Signals;
use super::stores::StoreOptions;
use super::{GUARD, code_of};
use crate::Error;
use crate::lake::translate::{Codec, Column, Items, OnBad, Orphans, Outcome, Plan, Progress, Request, Settings, Why};
use crate::lake::{Inputs, Place};

/// Translate the embeddings of a Parquet file, or of all Parquet files in a folder
///
/// Every input file has its output file in the same place below OUT, with the same rows in the same order. The embedding
/// column is replaced by the translated vectors, all other columns are copied as they are, NULL rows stay NULL. An output appears whole
/// or not at all. Its footer says where it came from: see `babelake describe`.
///
/// Run it again at any time: it does what is left to do. Outputs of sources that have not changed are left alone, those of
/// sources that have are replaced; outputs of another translator, or of another tool, are refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake translate fr.parquet --to fr_as_en.parquet --translator fr_en.parquet
  babelake translate lake/fr/ --to lake/fr_as_en/ --translator fr_en.parquet
  babelake translate 'lake/fr/2024-*/' --to lake/fr_as_en/ --translator fr_en.parquet
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --filter \"year >= 2023\"
  babelake translate lake/ --to lake_en/ --translator fr_en.parquet --manifest files.txt
      only the files named, the way to translate a Delta or Iceberg table's current ones
  babelake translate s3://lake/fr/ --to s3://lake/fr_as_en/ --translator s3://lake/fr_en.parquet --dry-run

Everything is checked before the first file is written. Names that begin with _ or . are no data and are left out. A finished
job writes _SUCCESS into OUT, a started one removes it.")]
pub struct Args {
    /// Parquet file, folder of them, or a pattern in quotes, such as 'lake/2024-*/' or 'lake/lang=fr/**/*.parquet'. Below OUT
    /// files keep their paths below INPUT, or below the folder before the first wildcard
    input: String,
    /// Translate only the files that this text file names: a path a line, relative to INPUT or in full, or a URL
    #[arg(long, value_name = "FILE")]
    manifest: Option<String>,
    /// Translate only the partitions for which this SQL is true; its columns are the folders named column=value
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// Output: a file for a file, a folder for a folder
    #[arg(long, value_name = "OUT")]
    to: String,
    /// The translator, as `babelake fit` stores it
    #[arg(long, value_name = "FILE", required_unless_present = "columns")]
    translator: Option<String>,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]; or, in place of --translator
    /// and once for every column to translate, a column and its translator: --column title=t.parquet
    #[arg(long = "column", value_name = "NAME[=FILE]")]
    columns: Vec<String>,
    #[command(flatten)]
    written: Written,
    /// Replace outputs of another translator or another tool, too
    #[arg(long)]
    overwrite: bool,
    /// Translate files that are translations themselves: errors add up
    #[arg(long)]
    allow_chain: bool,
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
    stores: StoreOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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
#[derive(Debug, clap::Args)]
struct Written {
    /// What the numbers of the translated vectors are stored as [default: as in the input; f64 becomes f32]
    #[arg(long, value_enum)]
    items: Option<Numbers>,
    /// How the translated vectors are compressed; other columns stay as they are
    #[arg(long, value_enum, default_value_t = Compression::Keep)]
    compression: Compression,
    /// Keep the embedding column and put the translated vectors into a new column of this name after it
    #[arg(long, value_name = "NAME")]
    output_column: Option<String>,
    /// Add a column of this name that says in every row what the vectors are: encoder:translator digest
    #[arg(long, value_name = "NAME")]
    origin_column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Numbers {
    F32,
    F16,
    /// f32, a row's bytes in a FixedSizeBinary
    Binary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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
                Some(Numbers::Binary) => Items::Binary,
            },
            codec: match self.compression {
                Compression::Keep => Codec::Keep,
                Compression::Zstd => Codec::Zstd,
                Compression::None => Codec::None,
            },
            output_column: self.output_column.clone(),
            origin_column: self.origin_column.clone(),
        }
    }
}

/// The columns to translate: one and --translator, or each with its own.
fn columns(args: &Args, place: &impl Fn(&str) -> crate::Result<Place>) -> crate::Result<Vec<Column>> {
    match (&args.translator, args.columns.as_slice()) {
        (Some(translator), []) => Ok(vec![Column { name: None, translator: place(translator)? }]),
        (Some(translator), [name]) => Ok(vec![Column { name: Some(name.clone()), translator: place(translator)? }]),
        (Some(_), _) => {
            let message = "--translator is for one column: give every column its own, --column NAME=FILE --column ...";
            Err(Error::Invalid(message.into()))
        }
        (None, columns) => columns
            .iter()
            .map(|column| match column.split_once('=') {
                Some((name, file)) if !name.is_empty() => {
                    Ok(Column { name: Some(name.to_owned()), translator: place(file)? })
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
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place = |text: &str| Place::new(text, &stores, runtime.handle());
    let mut input = Inputs::new(&args.input, &stores, runtime.handle())?;
    if let Some(manifest) = &args.manifest {
        input = input.listed_in(place(manifest)?)?;
    }
    if let Some(sql) = &args.filter {
        input = input.filtered(sql.clone());
    }
    let begin = Instant::now();
    let plan = Plan::new(&Request {
        input,
        output: place(&args.to)?,
        columns: columns(args, &place)?,
        settings: args.written.settings(),
        overwrite: args.overwrite,
        allow_chain: args.allow_chain,
        orphans: if args.delete_orphans { Orphans::Delete { yes: args.yes } } else { Orphans::List },
        on_bad: match args.on_bad {
            Bad::Error => OnBad::Error,
            Bad::Null => OnBad::Null,
            Bad::SkipFile => OnBad::SkipFile,
        },
        max_bad: args.max_bad,
        threads: args.threads,
    })?;
    if args.dry_run {
        print(&preview(&plan, plan.estimate()?))?;
        return Ok(if plan.orphans().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(GUARD) });
    }
    let progress = Arc::new(Progress::default());
    let signal = Arc::new(OnceLock::new());
    let signals = Signals::listen()?;
    let stoppable = signals.stoppable({
        let (progress, signal) = (Arc::clone(&progress), Arc::clone(&signal));
        move |code| {
            signal.set(code).ok();
            progress.stop.store(true, Ordering::Release);
        }
    });

    let finished = AtomicBool::new(false);
    let goal = Goal { rows: plan.rows(), files: plan.files() };
    let outcome = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&goal, &progress, &finished));
        let outcome = plan.run(&progress);
        finished.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        outcome
    });
    drop(stoppable);
    Ok(last_words(&outcome, signal.get().copied(), begin.elapsed()))
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

/// Says how the job ended and how the lake stands; the exit code.
fn last_words(outcome: &Outcome, signal: Option<u8>, took: Duration) -> ExitCode {
    let list = |what: &str, lines: &mut dyn Iterator<Item = String>, count: usize| {
        for line in lines.take(LISTED) {
            eprintln!("{what}: {line}");
        }
        if count > LISTED {
            eprintln!("{what}: and {} more", HumanCount((count - LISTED) as u64));
        }
    };
    let why = |files: &[(String, Error)]| files.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>();
    list("left out", &mut why(&outcome.skipped).into_iter(), outcome.skipped.len());
    let bad = outcome.bad.iter().map(|bad| format!("{}: row {}: {}", bad.file, bad.row, bad.reason));
    list("NULL now", &mut bad.into_iter(), outcome.bad.len());
    list("orphaned (its source is gone)", &mut outcome.orphans.iter().cloned(), outcome.orphans.len());
    list("error", &mut why(&outcome.failed).into_iter(), outcome.failed.len());
    if let Some(error) = &outcome.error {
        eprintln!("error: {error}");
    }

    let (done, total) = (outcome.done(), outcome.total);
    let count = |count: usize| HumanCount(count as u64);
    let mut did = format!("{} written, {} current", count(outcome.written), count(outcome.current));
    for (number, what) in
        [(outcome.reread, "read again"), (outcome.skipped.len(), "left out"), (outcome.removed, "removed (orphaned)")]
    {
        if number > 0 {
            did += &format!(", {} {what}", count(number));
        }
    }
    eprintln!(
        "{did}; {} rows, {:.1} MB written in {:.1} s",
        HumanCount(outcome.rows),
        outcome.bytes as f64 / 1e6,
        took.as_secs_f64()
    );
    let stopped = signal.filter(|_| done < total);
    let (code, next) = match (&outcome.error, stopped) {
        (Some(error), _) => (code_of(error), "mend what is named above; the same command goes on from here"),
        (None, Some(code)) => (ExitCode::from(code), "stopped by a signal; the same command goes on from here"),
        (None, None) if !outcome.failed.is_empty() => {
            (ExitCode::FAILURE, "mend or remove the files named above; the same command goes on from here")
        }
        (None, None) if !outcome.orphans.is_empty() => {
            (ExitCode::from(GUARD), "orphaned files are rows twice: --delete-orphans removes them")
        }
        (None, None) => return ExitCode::SUCCESS,
    };
    eprintln!("{} of {} files done, none half-written; {next}", count(done), count(total));
    code
}

/// Lines of a kind that are shown.
const LISTED: usize = 20;

/// What there is to do.
struct Goal {
    rows: u64,
    files: usize,
}

/// Shows a bar on a terminal, a line now and then elsewhere.
fn watch(goal: &Goal, progress: &Progress, finished: &AtomicBool) {
    let done = || (progress.rows.load(Ordering::Relaxed), progress.files.load(Ordering::Relaxed));
    if std::io::stderr().is_terminal() {
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
        return;
    }
    let begin = Instant::now();
    let mut said = begin;
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
            said = Instant::now();
            let (rows, files) = done();
            let share = rows as f64 / goal.rows.max(1) as f64;
            let left = match rows {
                0 => String::new(),
                _ => format!(", {:.0} s left", begin.elapsed().as_secs_f64() * (1.0 / share - 1.0)),
            };
            eprintln!("{} of {} rows, {files} of {} files{left}", HumanCount(rows), HumanCount(goal.rows), goal.files);
        }
    }
}
