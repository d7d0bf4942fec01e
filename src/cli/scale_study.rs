//! `babelake scale-study`: what rescaling a layer of a transformer does to a head on its encodings.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};

use super::outputs::Outputs;
use super::print::{Format, Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use super::watch::watched;
use crate::kernel::head::train::Training;
use crate::lake::scale_study::encoder::Pooling;
use crate::lake::scale_study::{Request, Study, scale_study};
use crate::lake::{Inputs, Place, Progress};
use crate::report::scale_study::figure;

/// Rescale a transformer layer by layer and read its encodings by a head: Figure 2 of the paper
///
/// DIR holds config.json, tokenizer.json and model.safetensors of a BERT, RoBERTa, XLM-RoBERTa or CamemBERT. A linear head is trained on the
/// model's own encodings. Then the output of one layer at a time is multiplied by alpha (weight and bias of the normalisation that it
/// ends in; the embeddings are layer 0), and the same head reads what the last layer makes of it. On stdout: the share of test rows that get
/// their class, beside that of the model as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake scale-study --model roberta-base/ --data texts.parquet --max-tokens 128 --limit 500 --svg scale.svg
  babelake scale-study --model bert/ --data 'texts/*.parquet' --text body --label topic --split part --alpha 1,10,100 -o scale.parquet")]
pub struct Args {
    /// Folder of the model, as the transformers library saves it
    #[arg(long, value_name = "DIR")]
    model: String,
    /// Table of texts: a file, a folder or a pattern
    #[arg(long, value_name = "FILE")]
    data: String,
    /// Column of texts
    #[arg(long, value_name = "COLUMN", default_value = "text")]
    text: String,
    /// Column of each row's class
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    label: String,
    /// Column that says 'train' or 'test'; rows that say something else are left out
    #[arg(long, value_name = "COLUMN", default_value = "split")]
    split: String,
    /// Factors of a layer's output
    #[arg(long, value_name = "ALPHA,...", value_delimiter = ',', default_value = "0.25,0.5,1,2,4,8,16")]
    alpha: Vec<f64>,
    /// What a text's vector is: the mean of its tokens' vectors, or that of its first token
    #[arg(long, value_name = "mean|cls", default_value = "mean", value_parser = pooling)]
    pooling: Pooling,
    /// Tokens of a text at most [default: as many as the model reads]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Rows to train on, and rows to test on, at most; drawn by their places in the table
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// The head's ridge
    #[arg(long, default_value_t = 1e-4)]
    l2: f64,
    /// File to store a row for each layer and factor in, Parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// File to draw the accuracies in, SVG
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

fn pooling(name: &str) -> Result<Pooling, String> {
    match name {
        "mean" => Ok(Pooling::Mean),
        "cls" => Ok(Pooling::Cls),
        _ => Err("mean or cls is expected".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let data = Inputs::new(&args.data, &stores, runtime.handle())?;
    let place =
        |text: &Option<String>| text.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose();
    let is_read = |place: &Place| place.name().ends_with(".parquet") && data.covers(place);
    let places = [place(&args.output)?, place(&args.svg)?];
    let outputs = Outputs::new(places, is_read, "the tables of texts", args.overwrite)?;
    let request = Request {
        model: Place::new(&args.model, &stores, runtime.handle())?,
        data,
        text: args.text.clone(),
        label: args.label.clone(),
        split: args.split.clone(),
        alphas: args.alpha.clone(),
        pooling: args.pooling,
        max_tokens: args.max_tokens,
        limit: args.limit,
        training: Training { l2: args.l2, ..Training::default() },
    };
    let begin = Instant::now();
    let progress = Progress::default();
    let study = watched("texts", &progress, || scale_study(&request, &progress))?;
    let signals = Signals::listen(())?;
    outputs.store(&signals, |place| study.store(place, args.overwrite), || figure(&study))?;
    match args.format {
        Format::Table => print(&table(&study)?)?,
        format => print_batch(Options { format, max_rows: 0 }, study.to_batch()?, &runtime)?,
    }
    eprintln!("{} rows in {:.1} s{}", study.rows.len(), begin.elapsed().as_secs_f64(), outputs.names());
    Ok(ExitCode::SUCCESS)
}

/// Layers by factors for people, and what it is of.
fn table(study: &Study) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let (train, test) = study.counts;
    writeln!(text, "{}: {} layers after the embeddings; {} classes", study.model, study.layers - 1, study.classes)?;
    writeln!(text, "{train} rows to train on, {test} to test on; accuracy {:.3} unscaled\n", study.unscaled)?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let alphas = study.alphas.iter().map(|alpha| format!("α = {alpha}"));
    table.set_header(["rescaled".to_owned()].into_iter().chain(alphas));
    for layer in 0..study.layers {
        let name = if layer == 0 { "0, embeddings".to_owned() } else { layer.to_string() };
        let of_layer = study.rows.iter().filter(|row| row.layer == layer);
        table.add_row([name].into_iter().chain(of_layer.map(|row| format!("{:.3}", row.accuracy))));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{table}")?;
    Ok(text)
}
