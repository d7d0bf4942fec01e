//! The command line: one command a file.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use clap::{Parser, Subcommand};
use datafusion::prelude::SessionContext;
use memory::MemoryOptions;
use stores::StoreOptions;
use tokio::runtime::Runtime;

use crate::lake::is_caught;
use crate::report::svg;
use crate::{Error, session};

mod anchors;
mod describe;
mod eval;
mod fit;
mod hub;
mod import;
mod import_head;
mod inspect;
mod memory;
mod nearest;
mod outputs;
mod print;
mod record;
mod run;
#[cfg(feature = "encode")]
mod scale_study;
mod signals;
mod sql;
mod stitch;
mod stores;
mod sweep;
mod translate;
mod watch;

/// Translates lakes of embeddings: turns one encoder's vectors into another's, and says how good that is.
#[derive(Parser)]
#[command(name = "babelake", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Fit(Box<fit::Args>),
    Translate(Box<translate::Args>),
    Eval(Box<eval::Args>),
    Anchors(anchors::Args),
    Describe(describe::Args),
    Sweep(sweep::Args),
    Hub(hub::Args),
    Stitch(Box<stitch::Args>),
    Import(Box<import::Args>),
    ImportHead(import_head::Args),
    Inspect(inspect::Args),
    #[cfg(feature = "encode")]
    ScaleStudy(Box<scale_study::Args>),
    Nearest(Box<nearest::Args>),
    Sql(sql::Args),
    Run(run::Args),
}

const EXAMPLES: &str = "\
Examples:
  babelake fit --source fr.parquet --target en.parquet --key id -o fr_en.parquet
  babelake translate fr/ --to fr_as_en/ --translator fr_en.parquet
  babelake eval --old-docs fr/ --translated fr_as_en/ --native en.parquet --key id
  babelake import base.npy -o base.parquet              other formats to tables: npy, fbin, JSON lines, ...
  babelake describe fr_en.parquet                       what it is, and how good
  babelake sweep fr.parquet en.parquet --key id         every method and setting compared on held-out rows
  babelake sql -c \"SELECT count(*) FROM 'fr_as_en/'\"   files and folders are tables; without -c type SQL
  babelake run pipelines/translate.sql                  a pipeline with its own defaults

Exit codes: 0 done, 1 failed and will fail again, 2 wrong usage, 3 the quality gate said no, 4 the data is not what it
should be, 75 a store failed within its retries: try again later, 130 and 143 stopped by a signal (a second one ends at once).";

/// Reads the arguments, runs the command, says what went wrong on stderr.
pub fn run() -> ExitCode {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_caught() {
            print(panic);
        }
    }));
    let result = match Cli::parse().command {
        Command::Fit(args) => fit::run(&args),
        Command::Translate(args) => return translate::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Anchors(args) => anchors::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Import(args) => import::run(&args),
        Command::ImportHead(args) => import_head::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Stitch(args) => stitch::run(&args),
        #[cfg(feature = "encode")]
        Command::ScaleStudy(args) => scale_study::run(&args),
        Command::Hub(args) => hub::run(&args),
        Command::Nearest(args) => nearest::run(&args),
        Command::Sql(args) => sql::run(args),
        Command::Run(args) => return run::run(&args),
    };
    result.unwrap_or_else(|error| {
        report_error(&error);
        ExitCode::from(exit_code(&error))
    })
}

/// The exit code of an error of whatever origin.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(error) if error.is_gate() => GATE,
        Some(Error::Guard(_)) => GUARD,
        Some(error) if error.is_passing() => RETRY,
        _ => FAILED,
    }
}

/// All is done.
const DONE: u8 = 0;
/// It failed, and will fail again.
const FAILED: u8 = 1;
/// The quality gate said no.
const GATE: u8 = 3;
/// The data guard said no.
const GUARD: u8 = 4;
/// The store failed within its retries. The number is `EX_TEMPFAIL` of sysexits.h.
const RETRY: u8 = 75;

fn report_error(error: &anyhow::Error) {
    eprintln!("error: {}", error_text(error));
}

/// An error, with those of its causes that its own text does not tell yet.
fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Tells a thread that watches some work when it is over, also where it panics: it would be waited for.
struct Watched<'a> {
    finished: &'a AtomicBool,
    watcher: &'a Thread,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.finished.store(true, Ordering::Relaxed);
        self.watcher.unpark();
    }
}

/// A session for SQL that a person writes: with figures as files.
fn sql_session(stores: &StoreOptions, memory: &MemoryOptions) -> anyhow::Result<SessionContext> {
    let settings = session::Settings { stores: Some(stores.stores()?), memory: memory.memory, ..Default::default() };
    let context = session::context(&settings)?;
    svg::register(&context)?;
    Ok(context)
}

/// The runtime that a command works on.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
