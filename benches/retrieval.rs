//! `emb_retrieval` of 10,000 queries in 10,000 documents of 768 numbers, beside the bare matrix product of the same size, by us
//! and by numpy: `PYTHON=python3 cargo bench --bench retrieval`. All on all cores, alternating; the best of several runs counts.
//!
//! Prints the times, the ratios (to numpy, to stay below 1.3) and the most memory that was in use before the baselines ran (to
//! stay below 500 MB, the table included). `PYTHON` names a Python with numpy.

mod numbers;

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use babelake::column::{Width, embedding};
use babelake::session::{Settings, context};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use tokio::runtime::Runtime;

use numbers::numbers;

const ROWS: usize = 10_000;
const WIDTH: usize = 768;
const RUNS: usize = 3;
/// Queries that are multiplied at once, for each thread.
const BLOCK: usize = 256;

fn session() -> Result<SessionContext, Box<dyn std::error::Error>> {
    let context = context(&Settings::default())?;
    let field = |name| Field::new(name, Width::Fixed(WIDTH).data_type(), true);
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), field("q"), field("d")]));
    let mut batches = Vec::new();
    for first in (0..ROWS).step_by(2000) {
        let column = |seed: usize| -> Result<ArrayRef, arrow::error::ArrowError> {
            Ok(Arc::new(embedding::fixed(numbers(2000 * WIDTH, (first + seed) as u64), WIDTH, None, 2000)?))
        };
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first as i64..first as i64 + 2000));
        batches.push(RecordBatch::try_new(Arc::clone(&schema), vec![ids, column(1)?, column(2)?])?);
    }
    context.register_table("pairs", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
    Ok(context)
}

/// All scores, a block of queries at a time.
fn product(queries: &[f32], documents: &[f32]) -> f32 {
    let documents = MatRef::from_row_major_slice(documents, ROWS, WIDTH).transpose();
    let block = |scores: &mut Vec<f32>, queries: &[f32]| {
        let count = queries.len() / WIDTH;
        scores.resize(count * ROWS, 0.0);
        let out = MatMut::from_row_major_slice_mut(scores, count, ROWS);
        let queries = MatRef::from_row_major_slice(queries, count, WIDTH);
        matmul(out, Accum::Replace, queries, documents, 1.0, Par::Seq);
        scores[0]
    };
    queries.par_chunks(BLOCK * WIDTH).map_init(Vec::new, block).sum()
}

/// Seconds of the same product by numpy.
fn numpy() -> Result<f64, Box<dyn std::error::Error>> {
    let python = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned()))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/retrieval.py"))
        .args([ROWS, WIDTH, 4 * BLOCK, RUNS].map(|number| number.to_string()))
        .output()?;
    if !python.status.success() {
        return Err(format!("{}PYTHON names a Python with numpy", String::from_utf8_lossy(&python.stderr)).into());
    }
    Ok(String::from_utf8(python.stdout)?.trim().parse()?)
}

/// The most memory this process has had, in MB, where the system says.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<usize>().ok().map(|kb| kb >> 10)
}

fn time(run: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (runtime, context) = (Runtime::new()?, session()?);
    let ours = || {
        time(|| {
            let query = async { context.sql("SELECT emb_retrieval(id, q, d) FROM pairs").await?.collect().await };
            black_box(runtime.block_on(query)?);
            Ok(())
        })
    };
    let first = ours()?;
    let memory = peak();
    let (queries, documents) = (numbers(ROWS * WIDTH, 1), numbers(ROWS * WIDTH, 2));
    let (mut best, mut bare) = (first, Duration::MAX);
    let mut by_numpy = f64::INFINITY;
    for _ in 0..RUNS {
        by_numpy = by_numpy.min(numpy()?);
        bare = bare.min(time(|| {
            black_box(product(&queries, &documents));
            Ok(())
        })?);
        best = best.min(ours()?);
    }
    let (best, bare) = (best.as_secs_f64(), bare.as_secs_f64());
    println!("emb_retrieval {best:.2} s");
    println!("bare product by faer {bare:.2} s, ratio {:.2}", best / bare);
    println!("bare product by numpy {by_numpy:.2} s, ratio {:.2}", best / by_numpy);
    println!("peak memory {} MB", memory.map_or_else(|| "unknown".to_owned(), |mb| mb.to_string()));
    Ok(())
}
