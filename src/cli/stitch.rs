//! `babelake stitch`: heads of every encoder on the translated rows of all others.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use comfy_table::{CellAlignment, Table, presets};

use super::outputs::Outputs;
use super::print::{Format, Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use super::watch::watched;
use crate::column::MethodOptions;
use crate::kernel::head::train::Training;
use crate::lake::stitch::{Request, Spread, Stitched, stitch};
use crate::lake::{Inputs, Place, Progress};
use crate::report::stitch::figure;

/// Read translated rows by heads that were trained on other encoders: Table 2 and Figure 7 of the paper
///
/// Every Parquet file of FOLDER is the table of an encoder, with rows of the same keys. A classification head is trained on each
/// encoder's own training rows. On stdout: *zero-shot*, the share of test rows that the head of a space gives their class after they were
/// translated into it from another; *absolute*, without translation, for pairs of the same width; *non-stitch*, of the head's own
/// encoder. Means over the ordered pairs and seeds, and deviations over pairs and over seeds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake stitch 'sample_data/*.parquet' --key id --label label --anchors 300 --svg stitch.svg
  babelake stitch encoders/ --key id --label label --seeds 5 --method best,paper -o stitch.parquet
  babelake stitch encoders/ --key id --label class --method paper --modality image=vit,rexnet --modality text=bert")]
pub struct Args {
    /// Folder, or pattern, of the encoders' tables
    #[arg(value_name = "FOLDER")]
    tables: String,
    /// Column that names a row in all tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Column of each row's class
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// How to translate: methods of `babelake fit`, best (by accuracy) or paper (irp, omega 8, delta 0.7)
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',', default_value = "best,paper")]
    methods: Vec<String>,
    /// best: the measure to choose by
    #[arg(long, value_name = "MEASURE", default_value = "accuracy")]
    by: String,
    /// irp: number of pruned subspaces that are averaged [default: 8]
    #[arg(long)]
    omega: Option<i64>,
    /// irp: smallest distance between kept anchors, in [0, 1) [default: 0.7]
    #[arg(long)]
    delta: Option<f64>,
    /// Anchors, drawn by key among the rows to train on
    #[arg(long, value_name = "K", default_value_t = 768)]
    anchors: usize,
    /// How often anchors, the subspaces of irp and the heads' beginnings are drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// SQL over the columns of the first table: rows to train heads on, and to draw anchors from
    #[arg(long, value_name = "SQL", default_value = "split = 'train'")]
    train_where: String,
    /// SQL over the columns of the first table: rows to test on
    #[arg(long, value_name = "SQL", default_value = "split = 'test'")]
    test_where: String,
    /// Numbers in each of the heads' two hidden layers [default: no hidden layers]
    #[arg(long, value_name = "N")]
    hidden: Option<usize>,
    /// The heads' ridge
    #[arg(long, default_value_t = 1e-4)]
    l2: f64,
    /// Embedding column of all tables [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// What some encoders' inputs are: pairs across modalities stand apart in the figure
    #[arg(long, value_name = "NAME=ENCODER,...")]
    modality: Vec<String>,
    /// File to store a row for each pair, method and seed in, Parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// File to draw the pairs in, SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<String>,
    /// Replace outputs that exist
    #[arg(long)]
    overwrite: bool,
    /// How the table on stdout is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let tables = Inputs::new(&args.tables, &stores, runtime.handle())?;
    let place =
        |text: &Option<String>| text.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose();
    let is_read = |place: &Place| place.name().ends_with(".parquet") && tables.covers(place);
    let places = [place(&args.output)?, place(&args.svg)?];
    let outputs = Outputs::new(places, is_read, "the tables of the encoders", args.overwrite)?;
    let request = Request {
        tables,
        key: args.key.clone(),
        label: args.label.clone(),
        column: args.column.clone(),
        train_where: args.train_where.clone(),
        test_where: args.test_where.clone(),
        anchors: args.anchors,
        seeds: args.seeds,
        methods: args.methods.iter().map(|name| (name.clone(), method(args, name))).collect(),
        training: Training {
            hidden: args.hidden.map_or_else(Vec::new, |hidden| vec![hidden; 2]),
            l2: args.l2,
            ..Training::default()
        },
    };
    let begin = Instant::now();
    let progress = Progress::default();
    let stitched = watched("heads and pairs", &progress, || stitch(&request, &progress))?;
    let modalities = modalities(args, &stitched)?;
    let signals = Signals::listen(())?;
    let of = |name: &str| modalities.iter().find(|(of, _)| of == name).map(|(_, modality)| modality.clone());
    outputs.store(&signals, |place| stitched.store(place, args.overwrite), || figure(&stitched, of))?;
    match args.format {
        Format::Table => print(&table(&stitched)?)?,
        format => print_batch(Options { format, max_rows: 0 }, stitched.to_batch()?, &runtime)?,
    }
    eprintln!("{} rows in {:.1} s{}", stitched.rows.len(), begin.elapsed().as_secs_f64(), outputs.names());
    Ok(ExitCode::SUCCESS)
}

fn method(args: &Args, name: &str) -> MethodOptions {
    let irp = name == "irp";
    match name {
        "paper" => MethodOptions { preset: Some(name.to_owned()), ..MethodOptions::default() },
        name => MethodOptions {
            method: Some(name.to_owned()),
            by: (name == "best").then(|| args.by.clone()),
            omega: args.omega.filter(|_| irp),
            delta: args.delta.filter(|_| irp),
            ..MethodOptions::default()
        },
    }
}

/// Encoders and their modalities.
fn modalities(args: &Args, stitched: &Stitched) -> anyhow::Result<Vec<(String, String)>> {
    let mut modalities = Vec::new();
    for given in &args.modality {
        let Some((modality, encoders)) = given.split_once('=') else {
            bail!("--modality {given}: NAME=ENCODER,ENCODER is expected");
        };
        for encoder in encoders.split(',') {
            if !stitched.encoders.iter().any(|known| known == encoder) {
                bail!(
                    "--modality {given}: there is no encoder '{encoder}': {} are there",
                    stitched.encoders.join(", ")
                );
            }
            modalities.push((encoder.to_owned(), modality.to_owned()));
        }
    }
    Ok(modalities)
}

/// Table 2 for people, and what it is of.
fn table(stitched: &Stitched) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let (train, test, anchors) = stitched.counts;
    let pairs = stitched.encoders.len() * (stitched.encoders.len() - 1);
    writeln!(text, "{}: {pairs} ordered pairs; {} classes", stitched.encoders.join(", "), stitched.classes)?;
    writeln!(text, "{train} rows to train on, {anchors} anchors among them, {test} to test on\n")?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["method", "accuracy", "mean", "± over pairs", "± over seeds", "pairs"]);
    let cells = |spread: Spread| {
        let Spread { mean, over_pairs, over_seeds, pairs: of } = spread;
        [format!("{mean:.3}"), format!("{over_pairs:.3}"), format!("{over_seeds:.3}"), format!("{of} of {pairs}")]
    };
    let mut add = |method: &str, measure: &str, spread: Option<Spread>| {
        let none = || ["n/a", "n/a", "n/a", &format!("0 of {pairs}")].map(str::to_owned);
        let cells = spread.map_or_else(none, cells);
        table.add_row([method.to_owned(), measure.to_owned()].into_iter().chain(cells));
    };
    for (place, name) in stitched.methods.iter().enumerate() {
        add(name, "zero-shot", stitched.spread(place, |row| Some(row.zero_shot)));
    }
    add("", "absolute", stitched.spread(0, |row| row.absolute));
    add("", "non-stitch", stitched.spread(0, |row| Some(row.non_stitch)));
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{table}")?;
    Ok(text)
}
