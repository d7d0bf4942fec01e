//! `babelake describe`: what a file is.

use std::process::ExitCode;

use super::print::print;
use super::stores::StoreOptions;
use crate::lake::{Place, describe::describe};

/// Say what a file is: a space, decoder or translator; a translation and where it came from; or any other Parquet file
///
/// Lines `name: value` on stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake describe fr_en.parquet           a translator: direction, widths, method, quality on held-out rows, digest
  babelake describe lake/fr_as_en/0.parquet a translation: from which file, by which translator
  babelake describe lake/fr/0.parquet       any Parquet file: rows and embedding columns")]
pub struct Args {
    /// The file
    file: String,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let place = Place::new(&args.file, &*args.stores.stores()?, runtime.handle())?;
    print(&describe(&place)?)?;
    Ok(ExitCode::SUCCESS)
}
