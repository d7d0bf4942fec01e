//! Every function beside the plain way to do the same: `cargo bench --bench functions [NAME ...]`.
//!
//! Both run in one process, alternating; the best of several runs counts, on one thread. The ratio is baseline time / our
//! time: above 1 we are faster. The baseline is the engine's own function where it has one, else a plain loop.

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
use tokio::runtime::Runtime;

use numbers::numbers;

const ROWS: usize = 16_384;
const ANCHORS: usize = 512;
const SOURCE: usize = 256;
const TARGET: usize = 256;
const RUNS: usize = 7;
/// Rows that are measured against each other.
const POOL: usize = 2048;

fn table(rows: usize, x: &[f32], y: &[f32]) -> RecordBatch {
    let column = |values: &[f32], width| -> Result<ArrayRef, arrow::error::ArrowError> {
        Ok(Arc::new(embedding::fixed(values.to_vec(), width, None, rows)?))
    };
    let field = |name, width| Field::new(name, Width::Fixed(width).data_type(), true);
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), field("x", SOURCE), field("y", TARGET)]);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let columns = [column(x, SOURCE), column(y, TARGET)].into_iter().collect::<Result<Vec<_>, _>>();
    RecordBatch::try_new(Arc::new(schema), std::iter::once(ids).chain(columns.unwrap_or_default()).collect())
        .unwrap_or_else(|error| fail(&error.to_string()))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}

struct Bench {
    runtime: Runtime,
    context: SessionContext,
    x: Vec<f32>,
    wanted: Vec<String>,
}

type Plain<'a> = Box<dyn Fn() -> f64 + 'a>;

enum Baseline<'a> {
    /// SQL with the engine's own functions.
    Engine(&'a str),
    /// A plain loop.
    Plain(Plain<'a>),
    /// There is no other way to compare with.
    None,
}

impl Bench {
    fn sql(&self, sql: &str) {
        let run = async { self.context.sql(sql).await?.collect().await };
        match self.runtime.block_on(run) {
            Ok(batches) => drop(black_box(batches)),
            Err(error) => fail(&format!("{sql}: {error}")),
        }
    }

    /// Runs both, alternating, and prints a line. `rows` is what a run works through.
    fn compare(&self, name: &str, rows: usize, sql: &str, baseline: &Baseline<'_>) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| wanted == name) {
            return;
        }
        let time = |run: &dyn Fn()| {
            let start = Instant::now();
            run();
            start.elapsed()
        };
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..RUNS {
            ours = ours.min(time(&|| self.sql(sql)));
            theirs = theirs.min(match baseline {
                Baseline::Engine(sql) => time(&|| self.sql(sql)),
                Baseline::Plain(run) => time(&|| {
                    black_box(run());
                }),
                Baseline::None => Duration::MAX,
            });
        }
        let rate = |time: Duration| format!("{:>12.0}", rows as f64 / time.as_secs_f64());
        let (theirs_rate, ratio) = match baseline {
            Baseline::None => ("-".to_owned(), "-".to_owned()),
            _ => (rate(theirs), format!("{:.2}", theirs.as_secs_f64() / ours.as_secs_f64())),
        };
        println!("{name:<16} {} {theirs_rate:>14} {ratio:>8}", rate(ours));
    }
}

/// `v M` with plain loops, summed up so that nothing is left out.
fn rows_times_matrix(rows: &[f32], width: usize, matrix: &[f32], columns: usize) -> f64 {
    let mut total = 0.0;
    for row in rows.chunks_exact(width) {
        for column in 0..columns {
            let dot: f32 = row.iter().enumerate().map(|(i, x)| x * matrix[i * columns + column]).sum();
            total += f64::from(dot);
        }
    }
    total
}

fn main() {
    let wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let settings = Settings { partitions: Some(1), ..Settings::default() };
    let context = context(&settings).unwrap_or_else(|error| fail(&error.to_string()));
    let runtime = Runtime::new().unwrap_or_else(|error| fail(&error.to_string()));
    let (x, y) = (numbers(ROWS * SOURCE, 1), numbers(ROWS * TARGET, 2));
    let batch = table(ROWS, &x, &y);
    let batches = (0..ROWS).step_by(2048).map(|row| batch.slice(row, 2048)).collect();
    let memory = MemTable::try_new(batch.schema(), vec![batches]).unwrap_or_else(|error| fail(&error.to_string()));
    if let Err(error) = context.register_table("t", Arc::new(memory)) {
        fail(&error.to_string());
    }
    let bench = Bench { runtime, context, x, wanted };
    bench.sql(&format!(
        "CREATE TABLE made AS SELECT emb_space(id, x) AS sx, emb_space(id, y) AS sy, emb_decoder(emb_space(id, y)) AS d,
                                     emb_fit(id, x, y, {{calibrate: true}}) AS t
         FROM t WHERE id < {ANCHORS}"
    ));
    bench.sql("CREATE TABLE codes AS SELECT emb_relative(x, (SELECT sx FROM made), 512) AS r FROM t");

    println!("{ROWS} rows, {SOURCE} -> {TARGET}, {ANCHORS} anchors, one thread");
    println!("{:<16} {:>12} {:>14} {:>8}", "function", "rows/s", "baseline", "ratio");
    let engine = Baseline::Engine;
    // The engine's list functions work on lists of doubles, and some only if they are cast first.
    bench.compare("emb_norm", ROWS, "SELECT emb_norm(x) FROM t", &engine("SELECT sqrt(inner_product(x, x)) FROM t"));
    bench.compare(
        "emb_normalize",
        ROWS,
        "SELECT emb_normalize(x) FROM t",
        &engine("SELECT array_normalize(CAST(x AS DOUBLE[])) FROM t"),
    );
    let rescaled = engine("SELECT array_scale(array_normalize(CAST(x AS DOUBLE[])), 2.0) FROM t");
    bench.compare("emb_rescale", ROWS, "SELECT emb_rescale(x, 2.0) FROM t", &rescaled);
    bench.compare(
        "emb_center",
        ROWS,
        "SELECT emb_center(x, y) FROM t",
        &engine("SELECT array_subtract(CAST(x AS DOUBLE[]), CAST(y AS DOUBLE[])) FROM t"),
    );
    bench.compare(
        "emb_cosine",
        ROWS,
        "SELECT emb_cosine(x, y) FROM t",
        &engine("SELECT 1 - cosine_distance(x, y) FROM t"),
    );
    let sum = Baseline::Plain(Box::new(|| {
        let mut sum = vec![0.0f64; SOURCE];
        for row in bench.x.chunks_exact(SOURCE) {
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(*x));
        }
        sum.iter().sum()
    }));
    bench.compare("emb_mean", ROWS, "SELECT emb_mean(x) FROM t", &sum);

    let matrix = numbers(SOURCE * ANCHORS, 3);
    let loops = |columns: usize| {
        let (x, matrix) = (&bench.x, &matrix);
        Baseline::Plain(Box::new(move || rows_times_matrix(x, SOURCE, matrix, columns)))
    };
    bench.compare("emb_translate", ROWS, "SELECT emb_translate(x, (SELECT t FROM made)) FROM t", &loops(TARGET));
    let translated = engine("SELECT emb_translate(x, (SELECT t FROM made)) FROM t");
    bench.compare("emb_confidence", ROWS, "SELECT emb_confidence(x, (SELECT t FROM made)) FROM t", &translated);
    bench.compare("emb_relative", ROWS, "SELECT emb_relative(x, (SELECT sx FROM made), 512) FROM t", &loops(ANCHORS));
    bench.compare("emb_decode", ROWS, "SELECT emb_decode(r, (SELECT d FROM made)) FROM codes", &loops(ANCHORS));

    // Scalar functions remember their last fits: a random seed makes every run a new one.
    let anchors = format!("FROM t WHERE id < {ANCHORS}");
    let paper = "{method: 'irp', omega: 8, delta: 0.7, seed: CAST(random() * 1e9 AS BIGINT)}";
    bench.compare("emb_space", ANCHORS, &format!("SELECT emb_space(id, x) {anchors}"), &Baseline::None);
    bench.compare("emb_fit", ANCHORS, &format!("SELECT emb_fit(id, x, y) {anchors}"), &Baseline::None);
    let nested = format!("SELECT emb_translator(sx, sy, {paper}) FROM made");
    bench.compare("emb_translator", ANCHORS, &nested, &Baseline::None);
    let decoder = format!("SELECT emb_decoder(sy, {paper}) FROM made");
    bench.compare("emb_decoder", ANCHORS, &decoder, &Baseline::None);
    let unit = numbers(ANCHORS * SOURCE, 4);
    let all_pairs = Baseline::Plain(Box::new(|| {
        let rows: Vec<&[f32]> = unit.chunks_exact(SOURCE).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).sum::<f64>()).sum()
    }));
    let prune = "SELECT emb_prune(sx, {delta: 0.9, seed: CAST(random() * 1e9 AS BIGINT)}) FROM made";
    bench.compare("emb_prune", ANCHORS, prune, &all_pairs);

    let pairs_of = |rows: usize| {
        let rows: Vec<&[f32]> = bench.x[..rows * SOURCE].chunks_exact(SOURCE).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        Baseline::Plain(Box::new(move || {
            let count = |(i, a): (usize, &&[f32])| rows.iter().filter(|b| dot(a, b) >= dot(a, rows[i])).count();
            rows.iter().enumerate().map(count).sum::<usize>() as f64
        }))
    };
    let measure = |call: &str| format!("SELECT {call} FROM t WHERE id < {POOL}");
    bench.compare("emb_retrieval", POOL, &measure("emb_retrieval(id, x, y)"), &pairs_of(POOL));
    bench.compare("emb_knn_overlap", POOL, &measure("emb_knn_overlap(id, x, y)"), &pairs_of(POOL));
    let mixed = "emb_mixed(id, x, y, CASE WHEN id % 2 = 0 THEN 'native' ELSE 'translated' END)";
    bench.compare("emb_mixed", POOL, &measure(mixed), &pairs_of(POOL));
    bench.compare("emb_queries", POOL, &measure("emb_queries(id, x)"), &Baseline::None);
    let nearest = measure("emb_nearest(id, y, (SELECT emb_queries(id, x) FROM t WHERE id < 2048))");
    bench.compare("emb_nearest", POOL, &nearest, &pairs_of(POOL));
    let cosines = format!("SELECT avg(cosine_distance(x, y)) FROM t WHERE id < {POOL}");
    bench.compare("emb_similarity", POOL, &measure("emb_similarity(id, x, y)"), &Baseline::Engine(&cosines));
    let products = Baseline::Plain(Box::new(|| {
        let mut sums = vec![0.0f64; SOURCE * SOURCE];
        for row in bench.x.chunks_exact(SOURCE) {
            for (sums, a) in sums.chunks_exact_mut(SOURCE).zip(row) {
                sums.iter_mut().zip(row).for_each(|(sum, b)| *sum += f64::from(*a) * f64::from(*b));
            }
        }
        sums.iter().sum()
    }));
    bench.compare("emb_cka", ROWS, "SELECT emb_cka(x, y) FROM t", &products);
    bench.compare("emb_svcca", ROWS, "SELECT emb_svcca(x, y) FROM t", &products);
    let case = engine("SELECT CASE WHEN id >= 0 THEN true ELSE false END FROM t");
    let head = "SELECT emb_head(id, x, id % 10) FROM t WHERE id < 2048";
    bench.compare("emb_head", POOL, head, &Baseline::None);
    bench.sql(&format!("CREATE TABLE heads AS {}", head.replace(") FROM", ") AS h FROM")));
    for name in ["emb_classify", "emb_logits", "emb_probabilities"] {
        bench.compare(name, ROWS, &format!("SELECT {name}(x, (SELECT h FROM heads)) FROM t"), &loops(10));
    }
    let norms = "SELECT avg(sqrt(inner_product(x, x))), stddev(sqrt(inner_product(x, x))) FROM t";
    bench.compare("emb_scale", ROWS, "SELECT emb_scale(x) FROM t", &engine(norms));
    bench.compare("emb_require", ROWS, "SELECT emb_require(id >= 0, 'no') FROM t", &case);
    bench.compare("emb_describe", 1, "SELECT emb_describe((SELECT t FROM made))", &Baseline::None);
}
