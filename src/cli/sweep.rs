//! `babelake sweep`: how the settings of the methods compare on held-out rows.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::bail;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use super::outputs::Outputs;
use super::print::{Format, Options, print, print_batch};
use super::signals::{Heed, Signals};
use super::stores::StoreOptions;
use super::watch::watched;
use crate::column::sweep::Grid;
use crate::column::{Method, MethodOptions};
use crate::lake::fit::HoldOut;
use crate::lake::sweep::{DEFAULT_ANCHORS, DEFAULT_QUERIES, MEASURES, Request, Spaces, Spread, Sweep, store, sweep};
use crate::lake::{Inputs, Place, Progress};
use crate::report::sensitivity::figure;

/// Compare every method, and every setting of irp, on rows that are held out
///
/// Of two tables the first one's rows are translated into the space of the second. Of a folder every Parquet file is the table of
/// an encoder, and all are translated into all others: the numbers are means over the ordered pairs. One row a setting on
/// stdout: cosine, centred cosine, P@1 and MRR as `babelake fit` measures them, the anchors that pruning keeps, the condition
/// number of what is inverted, and the seconds of the fit. With --label, the accuracy of a classification head, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake sweep fr.parquet en.parquet --key id
  babelake sweep encoders/ --key id --seeds 3 --intra -o sweep.parquet --svg sweep.svg
      all pairs of the encoders in a folder, and each into itself: Figure 3 of the paper
  babelake sweep encoders/ --key id --label label --seeds 3 --svg sweep.svg
      with the accuracy of heads that were trained on the targets' own rows: Figure 6
  babelake sweep a.parquet b.parquet --key id --method irp --omega 1,8,16 --delta 0.5,0.6,0.7
  babelake sweep a.parquet b.parquet --key id --where \"split = 'train'\" --eval-where \"split = 'test'\" --format csv

A setting found here is fitted with `babelake fit --method irp --omega O --delta D`. docs/sweep.md reads a table and a figure.")]
pub struct Args {
    /// The source's and the target's table, each a Parquet file, a folder or a pattern; or one folder whose files each are the
    /// table of an encoder
    #[arg(required = true, num_args = 1..=2, value_name = "TABLE")]
    tables: Vec<String>,
    /// Column that names a row in all tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Methods to compare: parseval, procrustes, linear, ridge, l_ortho, affine and irp (at every --omega and --delta)
    /// [default: all]
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',')]
    methods: Vec<String>,
    /// irp: numbers of pruned subspaces that are averaged [default: 1,2,4,8]
    #[arg(long = "omega", value_name = "OMEGA", value_delimiter = ',')]
    omegas: Vec<i64>,
    /// irp: smallest distances between kept anchors, in [0, 1) [default: 0,0.1,0.2 ... 0.9]
    #[arg(long = "delta", value_name = "DELTA", value_delimiter = ',', allow_negative_numbers = true)]
    deltas: Vec<f64>,
    /// How often anchors and the subspaces of irp are drawn; held-out rows stay the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// Translate every space into itself, too
    #[arg(long)]
    intra: bool,

    /// Column of a source that holds each row's class: a head trained on the target's own rows, those not held out, reads the translated ones
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,

    /// Embedding column of all tables [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// SQL over the columns of a source: the rows that may be anchors
    #[arg(long = "where", value_name = "SQL")]
    anchors_where: Option<String>,
    /// Anchors at most, drawn by key
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ANCHORS)]
    anchors: usize,
    /// SQL over the columns of a source: the rows held out to measure [default: a fifth, drawn by key]
    #[arg(long, value_name = "SQL")]
    eval_where: Option<String>,
    /// Held-out rows that are measured at most, drawn by key; `babelake fit` takes 10000
    #[arg(long, value_name = "N", default_value_t = DEFAULT_QUERIES)]
    queries: usize,

    /// File to store the table in, Parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// File to draw similarity, accuracy, condition number and kept anchors over delta in, SVG
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

/// What --omega and --delta are where they are not given.
const OMEGAS: [i64; 4] = [1, 2, 4, 8];
const DELTAS: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Methods without a grid.
const OTHERS: [&str; 6] = ["parseval", "procrustes", "linear", "ridge", "l_ortho", "affine"];

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let measured = Arc::new(AtomicBool::new(false));
    let signals = Signals::listen(Unwritten(Arc::clone(&measured)))?;
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = args.tables.iter().map(|text| Inputs::new(text, &stores, runtime.handle()));
    let tables = inputs.collect::<Result<Vec<_>, _>>()?;
    let place =
        |text: &Option<String>| text.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose();
    let is_read = |place: &Place| {
        let is_of = |table: &Inputs| {
            let is_table = place.name().ends_with(".parquet") || table.folder().identity() == place.identity();
            is_table && table.covers(place)
        };
        tables.iter().any(is_of)
    };
    let places = [place(&args.output)?, place(&args.svg)?];
    let outputs = Outputs::new(places, is_read, "the tables of this sweep", args.overwrite)?;
    let request = Request {
        tables,
        key: args.key.clone(),
        column: args.column.clone(),
        anchors_where: args.anchors_where.clone(),
        anchors: args.anchors,
        hold_out: args.eval_where.clone().map_or(HoldOut::Keys, HoldOut::Where),
        queries: args.queries,
        grid: grid(args)?,
        methods: others(args)?,
        seeds: args.seeds,
        intra: args.intra,
        label: args.label.clone(),
    };
    if outputs.has_figure() && request.grid.as_ref().is_none_or(|grid| grid.deltas().len() < 2) {
        bail!("--svg draws irp over delta: compare irp at two --delta at least, or drop --svg");
    }

    let begin = Instant::now();
    let progress = Progress::default();
    let swept = watched("settings", &progress, || sweep(&request, &progress))?;
    measured.store(true, Ordering::Relaxed);
    outputs.store(&signals, |place| store(&swept, place, args.overwrite), || figure(&swept))?;
    match args.format {
        Format::Table => print(&table(&swept)?)?,
        format => print_batch(Options { format, max_rows: 0 }, swept.to_batch()?, &runtime)?,
    }
    let (settings, seconds) = (HumanCount(swept.rows.len() as u64), begin.elapsed().as_secs_f64());
    eprintln!("{settings} settings in {seconds:.1} s{}", outputs.names());
    Ok(ExitCode::SUCCESS)
}

/// Nothing is written before all is measured, so a signal may end the process at once. Knows whether all is.
struct Unwritten(Arc<AtomicBool>);

impl Heed for Unwritten {
    fn forced(&self, _code: u8) {
        if !self.0.load(Ordering::Relaxed) {
            let after_bar = if std::io::stderr().is_terminal() { "\n" } else { "" };
            eprintln!("{after_bar}stopped by a signal; nothing was written");
        }
    }
}

/// Whether a method is to be compared.
fn asked(args: &Args, method: &str) -> bool {
    args.methods.is_empty() || args.methods.iter().any(|asked| asked == method)
}

fn grid(args: &Args) -> anyhow::Result<Option<Grid>> {
    let given = |omegas: bool| if omegas { !args.omegas.is_empty() } else { !args.deltas.is_empty() };
    if !asked(args, "irp") {
        if given(true) || given(false) {
            bail!("--omega and --delta are settings of irp, which --method leaves out: add irp to it, or drop them");
        }
        return Ok(None);
    }
    let omegas = if given(true) { &args.omegas } else { &OMEGAS[..] };
    let deltas = if given(false) { &args.deltas } else { &DELTAS[..] };
    Ok(Some(Grid::new(omegas, deltas)?))
}

fn others(args: &Args) -> anyhow::Result<Vec<Method>> {
    let method =
        |name: &str| Method::new(&MethodOptions { method: Some(name.to_owned()), ..MethodOptions::default() }, name);
    for name in &args.methods {
        method(name)?;
    }
    Ok(OTHERS.into_iter().filter(|name| asked(args, name)).map(method).collect::<Result<_, _>>()?)
}

/// The table for people, and what it is of.
fn table(sweep: &Sweep) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let range = |(least, most): (usize, usize)| {
        if least == most { HumanCount(most as u64).to_string() } else { format!("{least} to {most}") }
    };
    let what = match sweep.encoders.as_slice() {
        [source, target] if sweep.pairs == 1 => format!("{source} -> {target}"),
        encoders => format!("{}: {} ordered pairs", encoders.join(", "), sweep.pairs),
    };
    writeln!(text, "{what}; seeds: {}; anchors: {}", sweep.seeds, range(sweep.anchors))?;
    writeln!(
        text,
        "measured: {} held-out rows ({}) against a pool of {}\n",
        range(sweep.queries),
        sweep.held_out,
        range(sweep.pool)
    )?;
    let spread = sweep.rows.iter().any(|row| row.runs > 1);
    let mixed = sweep.rows.iter().any(|row| row.spaces != sweep.rows[0].spaces);
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let is_measured = |measure: &usize| MEASURES[*measure] != "accuracy" || sweep.native_accuracy.is_some();
    let measured: Vec<usize> = (0..MEASURES.len()).filter(is_measured).collect();
    let names = measured.iter().map(|&measure| match MEASURES[measure] {
        "p_at_1" => "P@1".to_owned(),
        "mrr" => "MRR".to_owned(),
        name => name.replace('_', " "),
    });
    let first = ["spaces", "method", "omega", "delta"].into_iter().skip(usize::from(!mixed));
    table.set_header(first.map(str::to_owned).chain(names));
    for row in &sweep.rows {
        let setting = [row.omega.map(|omega| omega.to_string()), row.delta.map(|delta| delta.to_string())];
        let first = [row.spaces.name().to_owned(), row.method.to_owned()].into_iter().skip(usize::from(!mixed));
        let measures = measured.iter().map(|&measure| cell(row.measures[measure], MEASURES[measure], spread));
        table.add_row(first.chain(setting.map(Option::unwrap_or_default)).chain(measures));
    }
    for column in table.column_iter_mut().skip(1 + usize::from(mixed)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{table}")?;
    if let Some(native) = sweep.native_accuracy {
        writeln!(text, "\naccuracy of the heads on their own rows: {}", cell(Some(native), "accuracy", spread))?;
    }
    for spaces in [Spaces::Intra, Spaces::Inter] {
        let of = |pair: [&str; 2]| {
            let found = sweep.correlation(spaces, pair)?;
            Some(format!("{} and {} {found:.2}", pair[0].replace('_', " "), pair[1].replace('_', " ")))
        };
        let found: Vec<String> = CORRELATED.into_iter().filter_map(of).collect();
        if !found.is_empty() {
            let which = if mixed { format!(", {}", spaces.name()) } else { String::new() };
            writeln!(text, "Pearson's correlations over the settings of irp{which}: {}", found.join("; "))?;
        }
    }
    Ok(text)
}

/// What the paper correlates.
const CORRELATED: [[&str; 2]; 2] = [["cosine", "accuracy"], ["condition_number", "kept_anchors"]];

/// A measure as `mean` or `mean ± deviation`.
fn cell(measure: Option<Spread>, name: &str, spread: bool) -> String {
    let Some(found) = measure else { return "n/a".to_owned() };
    let digits = match name {
        "kept_anchors" | "condition_number" => 1,
        "seconds" => 2,
        _ => 3,
    };
    // A condition number may have any size.
    let number = |x: f64| if x < 1e6 { format!("{x:.digits$}") } else { format!("{x:.1e}") };
    match found.deviation {
        Some(deviation) if spread => format!("{} ± {}", number(found.mean), number(deviation)),
        _ => number(found.mean),
    }
}
