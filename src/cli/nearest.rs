//! `babelake nearest`: the rows of a table nearest to those of another, to be read.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::Watched;
use super::print::{Options, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::kernel::search::Metric;
use crate::lake::nearest::{Request, nearest};
use crate::lake::{Inputs, Place};

/// List the rows of one table that are nearest to each row of another: search across languages, to be read
///
/// Exact: every query is compared with every row. Both tables hold vectors of one space, such as translated French ones and English
/// ones. The searched table is read once, a part at a time; ties go to the lower key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake nearest --of fr_as_en.parquet --in en.parquet --key id --sample 10 --k 5 --text text
  babelake nearest --of fr_as_en/ --in en/ --key id --where \"id in (17, 42)\" --metric centred_cosine --text text
  babelake nearest --of fr_as_en/ --in en/ --key id --k 10 -o neighbours.parquet

In SQL: emb_nearest, see docs/functions.md.")]
pub struct Args {
    /// Table of the vectors that ask: a Parquet file, a folder of them, or a pattern such as 'fr/2024-*/'
    #[arg(long)]
    of: String,
    /// Table that is searched
    #[arg(long = "in", value_name = "TABLE")]
    searched: String,
    /// Column that names a row in both tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Rows found for each query
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    k: u64,
    /// What nearness is: cosine, centred_cosine (the mean of the searched table is taken from both sides), inner_product, or l2
    #[arg(long, default_value = "cosine", value_parser = metric)]
    metric: Metric,
    /// SQL over the columns of --of: the rows that ask
    #[arg(long = "where", value_name = "SQL")]
    of_where: Option<String>,
    /// Rows that ask at most, drawn by key [default: all, up to 100,000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    sample: Option<u64>,
    /// Draws them
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Column of both tables to show beside the keys
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// Column of --of to show, where it is another
    #[arg(long, value_name = "COLUMN")]
    of_text: Option<String>,
    /// Embedding column of --of [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    of_column: Option<String>,
    /// Embedding column of --in [default: as for --of]
    #[arg(long, value_name = "COLUMN")]
    in_column: Option<String>,
    /// Parquet file to store the rows in, instead of printing them
    #[arg(short, long)]
    output: Option<String>,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    stores: StoreOptions,
}

fn metric(name: &str) -> Result<Metric, String> {
    let known = Metric::ALL.map(|(name, _)| name).join(", ");
    Metric::named(name).ok_or_else(|| format!("one of {known} is expected"))
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = |text: &str| Inputs::new(text, &stores, runtime.handle());
    let request = Request {
        of: inputs(&args.of)?,
        searched: inputs(&args.searched)?,
        key: args.key.clone(),
        of_column: args.of_column.clone(),
        searched_column: args.in_column.clone(),
        of_where: args.of_where.clone(),
        sample: args.sample.map(usize::try_from).transpose()?,
        seed: args.seed,
        k: usize::try_from(args.k)?,
        metric: args.metric,
        text: [args.of_text.clone().or_else(|| args.text.clone()), args.text.clone()],
    };
    let output = args.output.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose()?;
    if let Some(output) = &output {
        if [&request.of, &request.searched].into_iter().any(|input| input.covers(output)) {
            bail!("{}: is an input of this search: name another output", output.shown());
        }
        output.check_writable(args.overwrite)?;
    }
    let (done, finished) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&done, &finished));
        let _watched = Watched { finished: &finished, watcher: watcher.thread() };
        nearest(&request, &done)
    })?;
    let nulls = if found.nulls > 0 { format!(" ({} more are NULL)", found.nulls) } else { String::new() };
    eprintln!("{} queries{nulls}, {} rows searched", HumanCount(found.queries as u64), HumanCount(found.searched));
    match &output {
        Some(output) => {
            let signals = Signals::listen(())?;
            // What a signal interrupts here would stay staged beside the output.
            let stoppable = signals.stoppable(|_| eprintln!("storing the rows; once more to stop at once"));
            found.store(output, args.overwrite)?;
            drop(stoppable);
            eprintln!("{}: {} rows", output.shown(), HumanCount(found.rows.num_rows() as u64));
        }
        None => print_batch(args.options, found.rows, &runtime)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Between two looks at how far the search is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows how many rows have been searched, on a terminal.
fn watch(done: &AtomicU64, finished: &AtomicBool) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{human_pos} rows searched, {elapsed}") {
        bar.set_style(style);
    }
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(LOOK_EVERY);
        bar.set_position(done.load(Ordering::Relaxed));
    }
    bar.finish_and_clear();
}
