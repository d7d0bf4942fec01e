//! A sweep of 4 omegas x 8 deltas, 1,000 anchors of 768 numbers, beside the plain numpy loop (`benches/sweep.py`) and beside one
//! fit after the other: `cargo bench --bench sweep`. All on all cores, each once, measuring included.
//!
//! Prints the times and how much longer the others take (numpy: at least 5 times). `PYTHON` names a Python with numpy.

mod numbers;

use std::error::Error;
use std::process::Command;
use std::time::Instant;

use babelake::column::sweep::{Fitted, Grid, Matched};
use babelake::column::{KeyedAnchors, Keys};
use babelake::kernel::block::Scratch;
use babelake::kernel::decoder::Ensemble;
use babelake::kernel::quality::similarity;
use babelake::kernel::retrieval::{Search, ranks};
use babelake::kernel::svd::{DEFAULT_RCOND, round};
use babelake::kernel::translate::Translation;
use babelake::kernel::{Rows, translator};

use numbers::numbers;

const ANCHORS: usize = 1000;
const QUERIES: usize = 1000;
const WIDTH: usize = 768;
const OMEGAS: [usize; 4] = [1, 2, 4, 8];
const DELTAS: [f64; 8] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
/// Topics that rows are about: rows of one are near each other.
const TOPICS: usize = 60;

/// Rows of all distances, so that pruning is gradual: each its topic and more or less of its own.
fn rows(noise: u64) -> Vec<f32> {
    let (topics, own) = (numbers(TOPICS * WIDTH, 1), numbers((ANCHORS + QUERIES) * WIDTH, noise));
    let row = |i: usize| {
        let share = 0.2 + 1.8 * (i * 37 % 101) as f32 / 101.0;
        let topic = i * 7 % TOPICS;
        (0..WIDTH).map(move |j| (topic, share, j))
    };
    let all = (0..ANCHORS + QUERIES).flat_map(row);
    all.zip(own).map(|((topic, share, j), own)| 0.3 + topics[topic * WIDTH + j] + share * own).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    // The target's rows are the source's with something of their own.
    let source = rows(2);
    let target: Vec<f32> = source.iter().zip(numbers(source.len(), 3)).map(|(x, own)| x + 0.3 * own).collect();
    let (x, queries) = source.split_at(ANCHORS * WIDTH);
    let (y, natives) = target.split_at(ANCHORS * WIDTH);
    let measure = |translation: &Translation<'_>| -> Result<f64, babelake::Error> {
        let (queries, natives) = (Rows::new(queries, WIDTH), Rows::new(natives, WIDTH));
        let mut answers = vec![0.0; QUERIES * WIDTH];
        let flaw = translation.apply(QUERIES, |i| Some(queries.row(i)), &mut Scratch::default(), &mut answers);
        flaw.map_err(|flaw| babelake::Error::Invalid(format!("row {} is not finite", flaw.row)))?;
        let answers = Rows::new(&answers, WIDTH);
        let own: Vec<usize> = (0..QUERIES).collect();
        let ranks = ranks(answers, natives, &own, Search::default());
        std::hint::black_box(ranks);
        Ok(similarity(answers, natives, translation.target_mean).map_or(0.0, |found| found.cosine))
    };
    let keys = Keys::Int((0..ANCHORS as i64).collect());
    let anchors = |rows| KeyedAnchors::fit(&keys, Rows::new(rows, WIDTH), "", None);

    let begin = Instant::now();
    let (source, target) = (anchors(x)?, anchors(y)?);
    let grid = Grid::new(&OMEGAS.map(|omega| omega as i64), &DELTAS)?;
    let taken = |fitted: &Fitted<'_>| Ok((fitted.kept_anchors, measure(&fitted.translation)?));
    let found = Matched::new(&source, &target)?.irp(&grid, 0, taken)?;
    let (ours, total) = (begin.elapsed().as_secs_f64(), found.iter().map(|found| found.1).sum::<f64>());
    let kept: Vec<String> = found[found.len() - DELTAS.len()..].iter().map(|found| format!("{:.0}", found.0)).collect();
    println!("anchors kept at delta 0, 0.1, ...: {}", kept.join(", "));
    println!("sweep {ours:.1} s");

    let starts = target.starts(OMEGAS[OMEGAS.len() - 1], 0);
    let folder = tempfile::tempdir()?;
    for (name, rows) in [("source", x), ("target", y), ("queries", queries), ("natives", natives)] {
        std::fs::write(folder.path().join(name), rows.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let list = |items: Vec<String>| items.join(",");
    let python = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned()))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/sweep.py"))
        .arg(folder.path())
        .arg(WIDTH.to_string())
        .arg(list(OMEGAS.iter().map(ToString::to_string).collect()))
        .arg(list(DELTAS.iter().map(ToString::to_string).collect()))
        .arg(list(starts.iter().map(ToString::to_string).collect()))
        .output()?;
    if !python.status.success() {
        return Err(format!("{}PYTHON names a Python with numpy", String::from_utf8_lossy(&python.stderr)).into());
    }
    let said = String::from_utf8(python.stdout)?;
    let numbers: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    if let [seconds, sum] = numbers[..] {
        report("numpy", seconds, sum, ours, total);
    }

    let begin = Instant::now();
    let mut alone = 0.0;
    for (omega, delta) in grid.settings() {
        let ensemble = Ensemble { starts: &starts[..omega], delta, lambda: 0.0, rcond: DEFAULT_RCOND };
        let fitted = translator::irp(source.unit(), target.unit(), target.unit(), &ensemble)?;
        alone += measure(&Translation {
            source_mean: &source.mean,
            matrix: &round(fitted.matrix.as_ref()),
            target_mean: &target.mean,
            scale: target.scale,
            length: Default::default(),
            unit_output: false,
        })?;
    }
    report("one fit after the other", begin.elapsed().as_secs_f64(), alone, ours, total);
    Ok(())
}

fn report(name: &str, seconds: f64, sum: f64, ours: f64, total: f64) {
    let difference = (sum / total - 1.0).abs();
    println!("{name} {seconds:.1} s, {:.1} times as long; cosines differ by {difference:.0e}", seconds / ours);
}
