//! `babelake import`: other formats to Parquet.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::bail;
use indicatif::HumanCount;

use super::signals::{Ended, Signals};
use super::stores::StoreOptions;
use super::watch::{Now, shown};
use crate::lake::Place;
use crate::lake::import::{Format, Import, Progress, Request};
use crate::session;

/// Make a Parquet table of embeddings in another format
///
/// Reads arrays of numpy (npy, npz), the files of search benchmarks (fvecs, bvecs, fbin, f16bin, u8bin, i8bin), word vectors (word2vec's
/// text, fastText, GloVe), tensors (safetensors) and JSON lines, the last ones and word vectors compressed by gzip or not. The table has
/// the vectors in a column `embedding`, and a column `id` of row numbers where the file names its rows in no other way. Memory does not
/// grow with the file, and the output appears when it is complete.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake import img_emb_0.npy -o img_emb_0.parquet --keys metadata_0.parquet:image_path
  babelake import vectors.npz -o vectors.parquet --array b32_img
  babelake import base.fbin -o s3://lake/base.parquet
  babelake import glove.840B.300d.txt --format vec -o glove.parquet --skip-bad
  babelake import export.jsonl.gz -o export.parquet --column vector

Formats and what becomes of their numbers: docs/import.md.")]
pub struct Args {
    /// The file, or its URL
    file: String,
    /// Parquet file to write
    #[arg(short, long)]
    output: String,
    /// npy, npz, fvecs, bvecs, fbin, f16bin, u8bin, i8bin, vec, safetensors or jsonl [default: as the file's name says]
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Array of an npz file, or tensor of a safetensors file [default: the only one that could be meant]
    #[arg(long, value_name = "NAME")]
    array: Option<String>,
    /// File of a key for every row: Parquet (a column of it), an npy file of integers, or a text of lines
    #[arg(long, value_name = "FILE[:COLUMN]")]
    keys: Option<String>,
    /// What the column of keys, or of row numbers, is called [default: id, or as in --keys]; of words and JSON lines: adds their numbers
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// Member of JSON lines that holds the vector [default: embedding, embeddings, vector, emb, or the only list of numbers]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Leave out bad lines, and rows with NaN or infinity, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    stores: StoreOptions,
}

fn format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|()| format!("one of {} is expected", Format::names()))
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place = |text: &str| Place::new(text, &stores, runtime.handle());
    let output = place(&args.output)?;
    let keys = args.keys.as_deref().map(file_and_column);
    let keys =
        keys.map(|(file, column)| Ok::<_, crate::Error>((place(file)?, column.map(str::to_owned)))).transpose()?;
    let request = Request {
        file: place(&args.file)?,
        format: args.format,
        array: args.array.clone(),
        keys,
        id_column: args.id_column.clone(),
        column: args.column.clone(),
        skip_bad: args.skip_bad,
    };
    let inputs = [Some(&request.file), request.keys.as_ref().map(|(file, _)| file)];
    if inputs.into_iter().flatten().any(|input| input.identity() == output.identity()) {
        bail!("{}: is an input of this import: name another output", output.shown());
    }
    output.check_writable(args.overwrite)?;
    let (begin, progress) = (Instant::now(), Arc::new(Progress::default()));
    let import = Import::open(&request, &progress)?;
    if !import.left_out().is_empty() {
        eprintln!("left out, being lists or objects: {}", import.left_out().join(", "));
    }
    let width = import.width();
    let settings = session::Settings { stores: Some(Arc::clone(&stores)), ..Default::default() };
    let context = session::context(&settings)?;
    let signals = Signals::listen(())?;
    let now = || {
        let (read, total) = (progress.bytes.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
        let message = format!("{} rows", HumanCount(progress.rows.load(Ordering::Relaxed)));
        let line = format!("{:.0} of {:.0} MB read, {message}", read as f64 / 1e6, total as f64 / 1e6);
        Now { done: read, total, message, line }
    };
    let ended = shown("{bar:30} {decimal_bytes}/{decimal_total_bytes}, {msg}, {eta} left", now, || {
        signals.until(&runtime, &context, import.write(&context, &output, args.overwrite))
    });
    match ended {
        Ended::Itself(written) => written?,
        Ended::Stopped(code) => {
            eprintln!("stopped by a signal; nothing was written");
            runtime.shutdown_background();
            return Ok(ExitCode::from(code));
        }
    }
    let (bad, rows) = (progress.bad(), HumanCount(progress.rows.load(Ordering::Relaxed)));
    bad.first.iter().for_each(|bad| eprintln!("left out: {bad}"));
    let told = bad.first.len() as u64;
    if bad.count > told {
        eprintln!("left out: and {} more", HumanCount(bad.count - told));
    }
    let left_out = if bad.count > 0 { format!(", {} bad ones left out", HumanCount(bad.count)) } else { String::new() };
    let (megabytes, seconds) = (progress.total.load(Ordering::Relaxed) as f64 / 1e6, begin.elapsed().as_secs_f64());
    eprintln!("{}: {rows} rows of {width} numbers{left_out}; {megabytes:.1} MB read in {seconds:.1} s", output.shown());
    Ok(ExitCode::SUCCESS)
}

/// `FILE:COLUMN`: what comes after the last colon is a column where it can be no part of a path.
fn file_and_column(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((file, column)) if !file.is_empty() && !column.is_empty() && !column.contains('/') => (file, Some(column)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_comes_after_the_last_colon() {
        for (text, file, column) in [
            ("k.parquet", "k.parquet", None),
            ("k.parquet:image path", "k.parquet", Some("image path")),
            ("s3://lake/k.parquet", "s3://lake/k.parquet", None),
            ("s3://lake/k.parquet:id", "s3://lake/k.parquet", Some("id")),
        ] {
            assert_eq!(file_and_column(text), (file, column));
        }
    }
}
