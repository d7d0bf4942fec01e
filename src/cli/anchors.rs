//! `babelake anchors`: the care of anchors.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use comfy_table::{CellAlignment, Table, presets};

use super::print::{Format, Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::kernel::bootstrap::Estimate;
use crate::lake::anchors::{CheckRequest, SAMPLE, SuggestRequest, Suggestion, check_pairs, suggest};
use crate::lake::fit::DEFAULT_ANCHORS;
use crate::lake::{Inputs, Place};

/// Care for anchors: which rows to embed next, which pairs do not belong together
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Box<Check>),
    Suggest(Box<Suggest>),
}

/// List pairs that do not seem to belong together: keys that were mixed up, texts that were changed in between
///
/// Each pair is translated by a fit that has not seen it. Suspect is one that is much farther from its own twin than pairs are
/// (residual: 1 - centred cosine, above the median by more than twice the robust deviation) and that has more than a tenth
/// of the other anchors nearer. A mix-up of two things that are alike cannot be seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake anchors check --source fr.parquet --target en.parquet --key id
  babelake anchors check --source old/ --target new/ --key id -o pairs.parquet    all pairs, with residual and rank
  babelake fit --source fr.parquet --target en.parquet --key id -o fr_en.parquet --drop-suspects")]
struct Check {
    /// Table of the encoder to translate from: a Parquet file, a folder of them, or a pattern such as 'old/2024-*/'
    #[arg(long)]
    source: String,
    /// Table of the encoder to translate to
    #[arg(long)]
    target: String,
    /// Column that names a row in both tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Embedding column of --source [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    source_column: Option<String>,
    /// Embedding column of --target [default: as for --source]
    #[arg(long, value_name = "COLUMN")]
    target_column: Option<String>,
    /// SQL over the columns of --source: the pairs to check
    #[arg(long = "where", value_name = "SQL")]
    anchors_where: Option<String>,
    /// Pairs at most, drawn by key as fit draws them
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ANCHORS)]
    anchors: usize,
    /// Draws pairs and folds
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Parquet file to store all pairs in
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

/// Say which rows to embed next, and whether more anchors would pay
///
/// Rows are chosen by farthest-point sampling: each is as far as can be from those before it and from rows that --target has
/// already, so that they cover what is in the source. Looked at are 10,000 rows at most, drawn by key. Their keys and columns go
/// to a Parquet file, the most wanted first: send the texts to the model, and store its vectors under the same keys.
///
/// With --target the table on stdout is a learning curve: parseval on 64, 128, 256, ... pairs, measured on a fifth of the
/// pairs that is held out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake anchors suggest --source old/ --key id --text title,body -o next.parquet
  babelake anchors suggest --source old/ --target new.parquet --key id --text body --stratify lang --count 500 -o next.parquet")]
struct Suggest {
    /// Table of the encoder to translate from: a Parquet file, a folder of them, or a pattern such as 'old/2024-*/'
    #[arg(long)]
    source: String,
    /// Table of the encoder to translate to, as far as there is one
    #[arg(long)]
    target: Option<String>,
    /// Column that names a row in both tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// How many rows [default: as many as there are pairs; without pairs twice the width, and 512 at least]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Columns of --source to write beside the key: what the model is to embed
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    text: Vec<String>,
    /// Each value of this column of --source has its share of the rows
    #[arg(long, value_name = "COLUMN")]
    stratify: Option<String>,
    /// Embedding column of --source [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    source_column: Option<String>,
    /// Embedding column of --target [default: as for --source]
    #[arg(long, value_name = "COLUMN")]
    target_column: Option<String>,
    /// SQL over the columns of --source: the rows that may be suggested, and the pairs of the learning curve
    #[arg(long = "where", value_name = "SQL")]
    rows_where: Option<String>,
    /// Draws the sample and what is held out
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Parquet file to store the rows in
    #[arg(short, long)]
    output: String,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check(args),
        Command::Suggest(args) => next(args),
    }
}

fn check(args: &Check) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = |text: &str| Inputs::new(text, &stores, runtime.handle());
    let request = CheckRequest {
        source: inputs(&args.source)?,
        target: inputs(&args.target)?,
        key: args.key.clone(),
        source_column: args.source_column.clone(),
        target_column: args.target_column.clone(),
        anchors_where: args.anchors_where.clone(),
        anchors: args.anchors,
        seed: args.seed,
    };
    let output = args.output.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose()?;
    if let Some(output) = &output {
        if [&request.source, &request.target].into_iter().any(|input| input.covers(output)) {
            bail!("{}: is an input of this check: name another output", output.shown());
        }
        output.check_writable(args.overwrite)?;
    }
    let found = check_pairs(&request)?;
    if let Some(output) = &output {
        let signals = Signals::listen(())?;
        // What a signal interrupts here would stay staged beside the output.
        let stoppable = signals.stoppable(|_| eprintln!("storing the pairs; once more to stop at once"));
        found.store(output, args.overwrite)?;
        drop(stoppable);
    }
    let (checked, suspects) = (&found.checked, found.checked.suspects());
    let summary = format!(
        "{suspects} of {} pairs are suspect: a residual above {:.3} (the median is {:.3}) and a rank above {}\n",
        found.keys.len(),
        checked.residual_above,
        checked.median,
        checked.rank_above
    );
    match args.options.format {
        Format::Table => print(&summary)?,
        _ => eprint!("{summary}"),
    }
    if suspects > 0 || args.options.format != Format::Table {
        print_batch(args.options, found.table()?.slice(0, suspects), &runtime)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn next(args: &Suggest) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = |text: &String| Inputs::new(text, &stores, runtime.handle());
    let request = SuggestRequest {
        source: inputs(&args.source)?,
        target: args.target.as_ref().map(inputs).transpose()?,
        key: args.key.clone(),
        source_column: args.source_column.clone(),
        target_column: args.target_column.clone(),
        rows_where: args.rows_where.clone(),
        stratify: args.stratify.clone(),
        columns: args.text.clone(),
        count: args.count,
        seed: args.seed,
    };
    let output = Place::new(&args.output, &stores, runtime.handle())?;
    if std::iter::once(&request.source).chain(&request.target).any(|input| input.covers(&output)) {
        bail!("{}: is an input of this suggestion: name another output", output.shown());
    }
    output.check_writable(args.overwrite)?;
    let suggestion = suggest(&request)?;
    let signals = Signals::listen(())?;
    // What a signal interrupts here would stay staged beside the output.
    let stoppable = signals.stoppable(|_| eprintln!("storing the rows; once more to stop at once"));
    suggestion.store(&output, args.overwrite)?;
    drop(stoppable);
    print(&report(&suggestion, &args.output)?)?;
    Ok(ExitCode::SUCCESS)
}

fn report(suggestion: &Suggestion, output: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if !suggestion.curve.points.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["anchors", "P@1", "MRR", "centred cosine"]);
        for point in &suggestion.curve.points {
            let cell = |Estimate { mean, low, high }: Estimate| format!("{mean:.3} ({low:.3} to {high:.3})");
            table.add_row(std::iter::once(point.anchors.to_string()).chain(point.measures.map(cell)));
        }
        table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        writeln!(text, "parseval, measured on {} pairs that are held out\n\n{table}\n", suggestion.curve.held_out)?;
    }
    writeln!(text, "{}", suggestion.advice())?;
    let looked = match suggestion.candidates {
        candidates if candidates > SAMPLE => format!("{} of {candidates}", suggestion.sampled),
        _ => format!("{}", suggestion.sampled),
    };
    let rows = suggestion.rows.num_rows();
    writeln!(text, "{output}: {rows} rows to embed, chosen from {looked} without a twin")?;
    Ok(text)
}
