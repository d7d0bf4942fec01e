//! `babelake inspect`: which models a lake's vectors are of, and which files do not belong.

use std::fmt::Write as _;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use super::print::{Format, Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use super::watch::watched;
use crate::Error;
use crate::lake::inspect::{Found, Inspected, Request, inspect, letter};
use crate::lake::{Inputs, Place, Progress};

/// Group the files of a lake by the model that their vectors are of, and list those that differ
///
/// The first rows of every file are looked at, up to 2,048. Files are of one model where the rows of one vary in the directions of the
/// other's; a slice of a model's rows (one topic, one year) is still of that model. With --translator the files that are clearly not of its
/// source's encoder are named, and the exit code is 4 where there are any.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake inspect lake/
  babelake inspect lake/ --translator fr_en.parquet       what `babelake translate` would refuse
  babelake inspect lake/ --format csv > files.csv         every file, with width, norms, writer, where it came from

docs/inspect.md says how models are told apart, and which cannot be.")]
pub struct Args {
    /// The lake: a folder, a pattern, or a file
    #[arg(value_name = "LAKE")]
    lake: String,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// A translator, fitted by `babelake fit` on 200 anchors or more
    #[arg(long, value_name = "FILE")]
    translator: Option<String>,
    /// File to store a row for every file in, Parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    /// How stdout is written: a table of the models and of the files that differ; csv, json and the others have every file
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Files that the table lists at most.
const LISTED: usize = 50;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place =
        |text: &Option<String>| text.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose();
    let output = place(&args.output)?;
    let input = Inputs::new(&args.lake, &stores, runtime.handle())?;
    if let Some(output) = &output {
        if output.name().ends_with(".parquet") && input.covers(output) {
            anyhow::bail!("{}: would be a file of this lake: name another output", output.shown());
        }
        output.check_writable(args.overwrite)?;
    }
    let request = Request { input, column: args.column.clone(), translator: place(&args.translator)? };
    let progress = Progress::default();
    let inspected = watched("files", &progress, || inspect(&request, &progress))?;
    let signals = Signals::listen(())?;
    // What a signal interrupts here would stay staged beside the output.
    let stoppable = signals.stoppable(|_| eprintln!("storing the output; once more to stop at once"));
    if let Some(output) = &output {
        inspected.store(output, args.overwrite)?;
    }
    drop(stoppable);
    match args.format {
        Format::Table => print(&table(&inspected)?)?,
        format => print_batch(Options { format, max_rows: 0 }, inspected.to_batch()?, &runtime)?,
    }
    for error in &inspected.failed {
        eprintln!("error: {error}");
    }
    let foreign = inspected.foreign();
    if foreign > 0 {
        let message = format!("{foreign} of {} files are not of the translator's source", inspected.files.len());
        return Err(Error::Guard(message).into());
    }
    Ok(if inspected.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(inspected: &Inspected) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let count = |count: u64| HumanCount(count).to_string();
    let mut models = Table::new();
    models.load_preset(presets::ASCII_MARKDOWN);
    models.set_header(["model", "width", "files", "rows", "mean norm", "translated"]);
    for (place, model) in inspected.models.iter().enumerate() {
        models.add_row([
            letter(place),
            model.width.to_string(),
            count(model.files as u64),
            count(model.rows),
            format!("{:.3}", model.norm),
            model.translation.clone().unwrap_or_default(),
        ]);
    }
    for column in models.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{} files\n\n{models}", count(inspected.files.len() as u64))?;

    let of_translator = inspected.files.iter().any(|found| found.resemblance.is_some());
    let is_listed = |found: &&Found| match of_translator {
        true => found.resemblance.is_some_and(|found| found.is_other()),
        false => found.model != Some(0),
    };
    let listed: Vec<&Found> = inspected.files.iter().filter(is_listed).collect();
    if listed.is_empty() {
        let what = if of_translator {
            "All that can be judged are of the translator's source."
        } else {
            "All are of one model."
        };
        writeln!(text, "\n{what}")?;
        return Ok(text);
    }
    let mut files = Table::new();
    files.load_preset(presets::ASCII_MARKDOWN);
    files.set_header(["file", "model", "width", "rows", "norm", "written by", "translated or why"]);
    for found in listed.iter().take(LISTED) {
        let too_few = || format!("{} rows: too few to tell", found.looked_at);
        let why = match (&found.resemblance, &found.model) {
            (Some(resemblance), _) if of_translator => resemblance.to_string(),
            (_, None) => too_few(),
            _ => found.translation.clone().unwrap_or_default(),
        };
        files.add_row([
            found.path.clone(),
            found.model.map_or_else(|| "?".to_owned(), letter),
            found.width.map_or_else(|| "?".to_owned(), |width| width.to_string()),
            count(found.rows),
            format!("{:.3} ± {:.3}", found.norm, found.norm_deviation),
            found.writer.clone(),
            why,
        ]);
    }
    let what = if of_translator { "Not of the translator's source" } else { "Not of model A" };
    writeln!(text, "\n{what}:\n\n{files}")?;
    if listed.len() > LISTED {
        writeln!(text, "and {} more: --format csv lists all", listed.len() - LISTED)?;
    }
    Ok(text)
}
