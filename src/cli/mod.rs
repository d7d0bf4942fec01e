//! The command line: one command a file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod describe;
mod fit;
mod translate;

/// Translates lakes of embeddings: one encoder's vectors become another's.
#[derive(Debug, Parser)]
#[command(name = "babelake", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fit(Box<fit::Args>),
    Translate(translate::Args),
    Describe(describe::Args),
}

/// Reads the arguments, runs the command, says what went wrong on stderr.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Fit(args) => fit::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Describe(args) => describe::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The runtime that requests to stores run on; commands themselves run outside of it.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
