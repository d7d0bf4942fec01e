//! `babelake fit`: a translator from two tables that hold some of the same rows.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use super::print::print;
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::column::describe::{best_table, compared, measured, quality_table, storage_table, stored_as};
use crate::column::{BEST, Choice, MethodOptions};
use crate::lake::fit::{ADVICE, DEFAULT_ANCHORS, Fit, HoldOut, MAX_ANCHORS, Request, fit, store};
use crate::lake::gate::Gate;
use crate::lake::{Inputs, Place};

/// Fit a translator from two tables that hold some of the same rows, and measure it
///
/// Rows of both tables that have the same key are pairs. A part of the pairs is held out, a translator is fitted on others,
/// and the table on stdout says how near the held-out rows come to the target encoder's own vectors. The translator stored
/// is then fitted on all pairs, and its confidence calibrated on them: see `babelake describe` and translate --confidence-column.
///
/// Read the table against its last rows: `mean-only` answers with the mean for every row, `do-nothing` leaves rows as they
/// are. Centred cosine and P@1 tell methods apart; plain cosine flatters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake fit --source fr.parquet --target en.parquet --key id -o fr_en.parquet
  babelake fit --source old/ --target new/ --key doc,chunk --group doc -o old_new.parquet
      a key of two columns; whole documents are held out, so that no chunk's neighbour is an anchor
  babelake fit --source 'old/2024-*/' --target new/ --key id -o old_new.parquet
      a table of the files that a pattern names
  babelake fit --source a.parquet --target b.parquet --key id -o a_b.parquet \\
      --where \"split = 'train'\" --anchors 768 --eval-where \"split = 'test'\"
  babelake fit --source old.parquet --target new.parquet --key id -o old_new.parquet --by accuracy --label class --head head.parquet
      the method whose translated rows the classifier in use reads best

The conditions and --group are over the columns of --source. Rows of --eval-where are asked for whether or not --where
selects them; the translator stored is fitted on the rows of --where (on all pairs where it is absent).")]
pub struct Args {
    /// Table of the encoder to translate from: a Parquet file, a folder of them, or a pattern such as 'old/2024-*/'
    #[arg(long)]
    source: String,
    /// Table of the encoder to translate to
    #[arg(long)]
    target: String,
    /// Column that names a row in both tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// File to store the translator in
    #[arg(short, long)]
    output: String,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,

    /// How to fit: best compares the others on pairs that their fits have not seen; parseval, procrustes, linear, ridge,
    /// l_ortho, affine, irp (inverse relative projection, the paper) [default: best]
    #[arg(long)]
    method: Option<String>,
    /// best: the measure to choose by, p_at_1, mrr, knn_overlap, centred_cosine or accuracy [default: p_at_1]
    #[arg(long, value_name = "MEASURE")]
    by: Option<String>,
    /// Column of --source with each row's class: the share of rows that the nearest class mean of native rows gives their own
    /// class is measured too, as accuracy
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Head of the target's space (emb_head, `babelake import-head`): accuracy is what it makes of translated rows, in place of the nearest class
    /// mean
    #[arg(long, value_name = "FILE", requires = "label")]
    head: Option<String>,
    /// irp: number of pruned subspaces that are averaged [default: 8]
    #[arg(long)]
    omega: Option<i64>,
    /// irp: smallest distance between kept anchors, in [0, 1) [default: 0.7]
    #[arg(long)]
    delta: Option<f64>,
    /// irp: space in which anchors are pruned, target or source [default: target]
    #[arg(long, value_name = "SPACE")]
    prune_space: Option<String>,
    /// irp: polar makes the matrix orthogonal [default: none]
    #[arg(long, value_name = "HOW")]
    orthogonalise: Option<String>,
    /// irp and ridge: the ridge, relative to the largest eigenvalue [default: 0 for irp, 0.01 for ridge]
    #[arg(long)]
    lambda: Option<f64>,
    /// Length of translated rows: mean_norm, median_norm, energy, source, unit or none [default: mean_norm]
    #[arg(long)]
    scale: Option<String>,
    /// Centre rows by the means of all rows of both tables instead of the anchors'
    #[arg(long)]
    corpus_mean: bool,
    /// Singular values up to this share of the largest are dropped [default: 1e-6]
    #[arg(long)]
    rcond: Option<f64>,
    /// A named set of settings that never changes: paper (irp, omega 8, delta 0.7)
    #[arg(long)]
    preset: Option<String>,
    /// Draws anchors, held-out rows, the pool, the folds of best and the subspaces of irp [default: 0, for best 1]
    #[arg(long)]
    seed: Option<u64>,
    /// What the translator must reach on held-out rows, such as 'p_at_1 >= 0.8'; the worse end of the 95 % interval decides.
    /// Where it does not, nothing is written and the exit code is 3. Measures: p_at_1, p_at_5, p_at_10, mrr, cosine,
    /// centred_cosine, knn_overlap, and with --label accuracy
    #[arg(long, value_name = "CONDITION")]
    gate: Option<Gate>,
    /// The gate is for the worst slice: held-out rows with one value in this column of --source, at least 100 of them
    #[arg(long, value_name = "COLUMN", requires = "gate")]
    slice: Option<String>,

    /// Embedding column of --source [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    source_column: Option<String>,
    /// Embedding column of --target [default: as for --source]
    #[arg(long, value_name = "COLUMN")]
    target_column: Option<String>,
    /// SQL over the columns of --source: the rows that may be anchors
    #[arg(long = "where", value_name = "SQL")]
    anchors_where: Option<String>,
    /// Anchors at most, drawn by key [default: all pairs, up to 4096; at most 20000]
    #[arg(long, value_name = "N")]
    anchors: Option<usize>,
    /// Leave out pairs that do not seem to belong together (`babelake anchors check` lists them)
    #[arg(long)]
    drop_suspects: bool,
    /// Hold out whole groups: rows of --source with one value in this column stay together
    #[arg(long, value_name = "COLUMN", conflicts_with = "eval_where")]
    group: Option<String>,
    /// SQL over the columns of --source: the rows held out to measure
    #[arg(long, value_name = "SQL")]
    eval_where: Option<String>,
    /// Name of the source encoder, stored with the translator [default: the file's or folder's name]
    #[arg(long, value_name = "NAME")]
    source_name: Option<String>,
    /// Name of the target encoder
    #[arg(long, value_name = "NAME")]
    target_name: Option<String>,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = |text: &str| Inputs::new(text, &stores, runtime.handle());
    let (source, target) = (inputs(&args.source)?, inputs(&args.target)?);
    let output = Place::new(&args.output, &stores, runtime.handle())?;
    for input in [&source, &target] {
        if input.covers(&output) {
            bail!("{}: is an input of this fit: name another output", output.shown());
        }
    }
    output.check_writable(args.overwrite)?;

    let request = Request {
        source_name: args.source_name.clone().unwrap_or_else(|| source.folder().stem().to_owned()),
        target_name: args.target_name.clone().unwrap_or_else(|| target.folder().stem().to_owned()),
        source,
        target,
        key: args.key.clone(),
        source_column: args.source_column.clone(),
        target_column: args.target_column.clone(),
        anchors_where: args.anchors_where.clone(),
        anchors: args.anchors,
        hold_out: match (&args.group, &args.eval_where) {
            (Some(column), _) => HoldOut::Groups(column.clone()),
            (None, Some(sql)) => HoldOut::Where(sql.clone()),
            (None, None) => HoldOut::Keys,
        },
        method: method(args)?,
        label: args.label.clone(),
        head: args.head.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose()?,
        drop_suspects: args.drop_suspects,
        gate: args.gate.clone(),
        slice: args.slice.clone(),
        corpus_mean: args.corpus_mean,
        seed: args.seed.unwrap_or(0),
    };
    if matches!(request.method, Choice::Best(_)) {
        eprintln!(
            "comparing the methods on pairs that their fits have not seen; minutes with thousands of wide anchors"
        );
    }
    let fitted = fit(&request)?;
    if let Some(judgement) = &fitted.judgement {
        if let Err(refused) = judgement.require(ADVICE) {
            print(&report(&fitted, args, &request, false)?)?;
            return Err(refused.into());
        }
        eprintln!("{judgement}");
    }
    let signals = Signals::listen(())?;
    // What a signal interrupts here would stay staged beside the output.
    let stoppable = signals.stoppable(|_| eprintln!("storing the translator; once more to stop at once"));
    store(&fitted.translator, &output, args.overwrite)?;
    drop(stoppable);
    print(&report(&fitted, args, &request, true)?)?;
    for caution in &fitted.cautions {
        eprintln!("caution: {caution}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The method of the options. The seed is that of irp and of the comparison too; the others have none.
fn method(args: &Args) -> anyhow::Result<Choice> {
    let drawn = args.preset.is_some() || matches!(args.method.as_deref(), None | Some("irp" | BEST));
    let options = MethodOptions {
        preset: args.preset.clone(),
        method: args.method.clone(),
        by: args.by.clone(),
        omega: args.omega,
        delta: args.delta,
        seed: args.seed.filter(|_| drawn).map(i64::try_from).transpose()?,
        prune_space: args.prune_space.clone(),
        orthogonalise: args.orthogonalise.clone(),
        lambda: args.lambda,
        scale: args.scale.clone(),
        rcond: args.rcond,
    };
    Ok(Choice::new(&options, BEST)?)
}

fn report(fitted: &Fit, args: &Args, request: &Request, stored: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let translator = &fitted.translator;
    let count = |name: &str| fitted.found[name].as_u64().unwrap_or(0);
    writeln!(
        text,
        "{} ({}) -> {} ({}), method {}",
        request.source_name, translator.source_width, request.target_name, translator.target_width, translator.method
    )?;
    writeln!(
        text,
        "pairs: {} ({} with a NULL embedding); without twin: {} source rows, {} target rows",
        count("pairs"),
        count("pairs_with_a_null_embedding"),
        count("source_rows_without_twin"),
        count("target_rows_without_twin")
    )?;
    let (anchors, candidates) = (count("anchors"), count("pairs_that_may_be_anchors"));
    match args.anchors {
        Some(_) => writeln!(text, "anchors: {anchors} of {candidates}")?,
        None if candidates > DEFAULT_ANCHORS as u64 => writeln!(
            text,
            "anchors: {anchors} of {candidates} (the default cap is {DEFAULT_ANCHORS}; --anchors N takes up to {MAX_ANCHORS})"
        )?,
        None => writeln!(text, "anchors: {anchors}")?,
    }
    if let Some(dropped) = fitted.found["suspects_dropped"].as_u64() {
        writeln!(text, "suspect pairs: {dropped} left out")?;
    }
    let diagnostics: Value = serde_json::from_str(&translator.diagnostics).unwrap_or_default();
    if let Some(table) = best_table(&diagnostics["best"]) {
        writeln!(text, "compared: {}\n\n{table}\n", compared(&diagnostics["best"]))?;
    }
    if let Some((quality, table)) = fitted.quality.as_ref().and_then(with_table) {
        writeln!(text, "measured: {}\n\n{table}\n", measured(quality))?;
        if let Some(table) = storage_table(&quality["storage"]) {
            writeln!(text, "stored as: {}\n\n{table}\n", stored_as(&quality["storage"]))?;
        }
    }
    if !stored {
        writeln!(text, "{}: not written", args.output)?;
        return Ok(text);
    }
    writeln!(text, "{}: translator {}", args.output, &translator.digest.get(..16).unwrap_or_default())?;
    Ok(text)
}

fn with_table(quality: &Value) -> Option<(&Value, String)> {
    Some((quality, quality_table(quality)?))
}
