//! `emb_nearest` of 10,000 queries in a million rows of 384 numbers, beside the bare matrix product of the same size, on all cores,
//! alternating: `cargo bench --bench nearest [-- ROWS]`. The best of several runs counts. Prints the times, the ratio (to stay
//! below 1.3), and the memory beyond the table's that the search took.

mod numbers;

use std::hint::black_box;
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

const ROWS: usize = 1_000_000;
const QUERIES: usize = 10_000;
const WIDTH: usize = 384;
const RUNS: usize = 2;
/// Rows of a batch, as scans give them.
const BATCH: usize = 2000;
/// Queries, and rows, that are multiplied at once.
const BLOCK: usize = 1024;

type Failure = Box<dyn std::error::Error>;

fn table(name: &str, rows: usize, seed: u64, context: &SessionContext) -> Result<(), Failure> {
    let field = Field::new("v", Width::Fixed(WIDTH).data_type(), true);
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), field]));
    let mut batches = Vec::new();
    for first in (0..rows).step_by(BATCH) {
        let values = numbers(BATCH * WIDTH, seed + first as u64);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first as i64..(first + BATCH) as i64));
        let vectors: ArrayRef = Arc::new(embedding::fixed(values, WIDTH, None, BATCH)?);
        batches.push(RecordBatch::try_new(Arc::clone(&schema), vec![ids, vectors])?);
    }
    let (even, odd): (Vec<_>, Vec<_>) = batches.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let partition = |part: Vec<(usize, RecordBatch)>| part.into_iter().map(|(_, batch)| batch).collect::<Vec<_>>();
    context.register_table(name, Arc::new(MemTable::try_new(schema, vec![partition(even), partition(odd)])?))?;
    Ok(())
}

/// All products of queries with a part of the rows, again and again until there have been as many as with all of them.
fn product(queries: &[f32], rows: &[f32], times: usize) -> f32 {
    let blocks: Vec<(usize, usize)> =
        (0..times).flat_map(|time| (0..QUERIES).step_by(BLOCK).map(move |first| (time, first))).collect();
    let block = |scores: &mut Vec<f32>, &(_, first): &(usize, usize)| {
        let count = BLOCK.min(QUERIES - first);
        scores.resize(count * BLOCK, 0.0);
        let mut sum = 0.0;
        for rows in rows.chunks_exact(BLOCK * WIDTH) {
            let rows = MatRef::from_row_major_slice(rows, BLOCK, WIDTH).transpose();
            let queries = MatRef::from_row_major_slice(&queries[first * WIDTH..(first + count) * WIDTH], count, WIDTH);
            matmul(
                MatMut::from_row_major_slice_mut(scores, count, BLOCK),
                Accum::Replace,
                queries,
                rows,
                1.0,
                Par::Seq,
            );
            sum += scores[0];
        }
        sum
    };
    blocks.par_iter().map_init(Vec::new, block).sum()
}

/// Memory of this process in MB, now or the most there has been.
fn memory(what: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().ok().map(|kb| kb >> 10)
}

fn main() -> Result<(), Failure> {
    let given = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok());
    let rows = given.unwrap_or(ROWS).next_multiple_of(16 * BATCH);
    let (runtime, context) = (Runtime::new()?, context(&Settings::default())?);
    table("queries", QUERIES, 1, &context)?;
    table("rows", rows, 77, &context)?;
    let sql = "SELECT emb_nearest(id, v, (SELECT emb_queries(id, v) FROM queries), {k: 10}) FROM rows";
    let before = memory("VmRSS");
    let run = || -> Result<Duration, Failure> {
        let start = Instant::now();
        black_box(runtime.block_on(async { context.sql(sql).await?.collect().await })?);
        Ok(start.elapsed())
    };
    let mut ours = run()?;
    let most = memory("VmHWM");
    let (queries, part) = (numbers(QUERIES * WIDTH, 1), numbers(16 * BLOCK * WIDTH, 2));
    let times = rows.div_ceil(16 * BLOCK);
    let mut bare = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(product(&queries, &part, times));
        // Of whole parts; the rows are not always.
        bare = bare.min(start.elapsed().mul_f64(rows as f64 / (times * 16 * BLOCK) as f64));
        ours = ours.min(run()?);
    }
    let (ours, bare) = (ours.as_secs_f64(), bare.as_secs_f64());
    println!("{QUERIES} queries, {rows} rows, {WIDTH} numbers");
    println!("emb_nearest {ours:.1} s; bare product by faer {bare:.1} s; ratio {:.2}", ours / bare);
    let more = before.zip(most).map_or_else(|| "unknown".to_owned(), |(before, most)| (most - before).to_string());
    println!("memory beyond the tables {more} MB");
    Ok(())
}
