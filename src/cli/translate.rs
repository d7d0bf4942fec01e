//! `babelake translate`: a file or a folder of embeddings, translated.

use std::io::IsTerminal;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::code_of;
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::lake::Place;
use crate::lake::translate::{Outcome, Plan, Progress, Request};

/// Translate the embeddings of a Parquet file, or of all Parquet files in a folder
///
/// Every input file has its output file in the same place below OUT, with the same rows in the same order. The embedding
/// column is replaced by the translated vectors, all other columns are kept, NULL rows stay NULL. An output appears whole
/// or not at all. Its footer says where it came from: see `babelake describe`.
#[derive(Debug, clap::Args)]
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
    stores: StoreOptions,
}

/// Between two lines of progress where no bar is shown.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place = |text: &str| Place::new(text, &stores, runtime.handle());
    let begin = Instant::now();
    let plan = Plan::new(&Request {
        input: place(&args.input)?,
        output: place(&args.to)?,
        translator: place(&args.translator)?,
        column: args.column.clone(),
        overwrite: args.overwrite,
        threads: args.threads,
    })?;
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
    let outcome = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&plan, &progress, &finished));
        let outcome = plan.run(&progress);
        finished.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        outcome
    });
    drop(stoppable);
    Ok(last_words(&outcome, signal.get().copied(), begin.elapsed()))
}

/// Says how the job ended and how the lake stands; the exit code.
fn last_words(outcome: &Outcome, signal: Option<u8>, took: Duration) -> ExitCode {
    let (done, planned) = (outcome.files, outcome.planned);
    if let Some(error) = &outcome.error {
        eprintln!("error: {error}");
    }
    if done < planned {
        let next = match outcome.error {
            Some(_) => "mend or remove the file named, then run the command again (--overwrite where files are done)",
            None => "stopped by a signal; the same command with --overwrite does it all again",
        };
        eprintln!("{done} of {planned} files done, none half-written; {next}");
        return match (&outcome.error, signal) {
            (Some(error), _) => code_of(error),
            (None, code) => code.map_or(ExitCode::FAILURE, ExitCode::from),
        };
    }
    let seconds = took.as_secs_f64();
    eprintln!(
        "{} rows in {done} file{}, {:.1} MB written in {seconds:.1} s",
        HumanCount(outcome.rows),
        if done == 1 { "" } else { "s" },
        outcome.bytes as f64 / 1e6
    );
    ExitCode::SUCCESS
}

/// Shows a bar on a terminal, a line now and then elsewhere.
fn watch(plan: &Plan, progress: &Progress, finished: &AtomicBool) {
    let done = || (progress.rows.load(Ordering::Relaxed), progress.files.load(Ordering::Relaxed));
    if std::io::stderr().is_terminal() {
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
        return;
    }
    let begin = Instant::now();
    let mut said = begin;
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
            said = Instant::now();
            let (rows, files) = done();
            let share = rows as f64 / plan.rows().max(1) as f64;
            let left = match rows {
                0 => String::new(),
                _ => format!(", {:.0} s left", begin.elapsed().as_secs_f64() * (1.0 / share - 1.0)),
            };
            eprintln!(
                "{} of {} rows, {files} of {} files{left}",
                HumanCount(rows),
                HumanCount(plan.rows()),
                plan.files()
            );
        }
    }
}
