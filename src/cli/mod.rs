//! The command line: one command a file.

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use crate::session;

mod describe;
mod fit;
mod print;
mod run;
mod sql;
mod translate;

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
    Translate(translate::Args),
    Describe(describe::Args),
    Sql(sql::Args),
    Run(run::Args),
}

const EXAMPLES: &str = "\
Examples:
  babelake fit --source fr.parquet --target en.parquet --key id -o fr_en.parquet
  babelake translate fr/ --to fr_as_en/ --translator fr_en.parquet
  babelake describe fr_en.parquet                       what it is, and how good
  babelake sql -c \"SELECT count(*) FROM 'fr_as_en/'\"   files and folders are tables; without -c type SQL
  babelake run pipelines/translate.sql                  a pipeline with its own defaults

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 and 143 stopped by a signal.";

/// Reads the arguments, runs the command, says what went wrong on stderr.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Fit(args) => fit::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Sql(args) => sql::run(args),
        Command::Run(args) => run::run(args),
    };
    result.unwrap_or_else(|error| {
        report_error(&error);
        ExitCode::FAILURE
    })
}

/// Prints an error once, with those of its causes that its own text does not tell yet.
fn report_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    eprintln!("error: {text}");
}

/// The runtime that a command works on.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// How a piece of work ended.
enum Ended<T> {
    Itself(T),
    /// A signal stopped it; what it had staged is removed. The command's exit code.
    Stopped(u8),
}

/// Works until the end, or until Ctrl-C or a request to terminate. A second signal ends the process at once.
async fn until_signal<T>(context: &SessionContext, work: impl Future<Output = T>) -> anyhow::Result<Ended<T>> {
    let mut signals = Signals::listen()?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    // In a task of its own, because work may keep this thread busy.
    let listener = tokio::spawn(async move {
        let code = signals.next().await;
        stop.send(code).ok();
        let code = signals.next().await;
        std::process::exit(code.into());
    });
    let ended = tokio::select! {
        result = work => Ended::Itself(result),
        Ok(code) = stopped => Ended::Stopped(code),
    };
    // The work is dropped by now; what it had staged goes with it.
    session::settled(context).await;
    listener.abort();
    Ok(ended)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        tokio::signal::ctrl_c().await.ok();
        130
    }
}
