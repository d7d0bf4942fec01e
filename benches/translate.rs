//! `babelake translate` beside what it could be: the bare product, a copy job, and what users would write themselves.
//!
//!     PYTHON=python3 cargo bench --bench translate -- [768-768 ...] [--rows N] [--repeat N]
//!     PYTHON=python3 cargo bench --bench translate -- memory
//!
//! For every width a lake is made by seed: 4 files by pyarrow's defaults, uncompressed and as zstd, and a translator fitted from
//! two small tables. Then all jobs run one after the other, 5 rounds of them. Two tables come of it: what every job took, and the
//! ratios that we want to reach. A ratio is the median of the rounds' ratios; missing one is no failure.
//!
//! All jobs are processes of their own on one or two cores, which is also how many threads they are told to use; only the product
//! by faer runs in here. Our time is from the start of the process to its end; Python's is that of the work alone, without
//! start and imports. Files are in the page cache. Where Python was measured on one core and on two, the better counts.
//!
//! - Every job runs twice in a row, and the second run counts: the host of a virtual machine takes back memory that nobody has used
//!   for some seconds, and to touch it again costs up to a second for what a job and its files need.
//! - The bare product has the shape of the whole job, in memory, and writes where it has written before.
//! - The script reads batches by pyarrow, centres, normalises and multiplies by numpy, and writes by pyarrow; what it writes is
//!   compared with what `translate` writes.
//! - The engine's own functions can centre and normalise; a matrix they cannot multiply by.
//! - The naive ensemble makes every row's relative representation and averages what the pseudo-inverses of 8 pruned sets make of
//!   it. It runs on one of the files, and the fit is not in its time.
//!
//! `memory` makes lakes of 1 and of 10 GB instead, and a fit of 20,000 anchors, and tells the peak memory of each job; it takes a
//! while, and 30 GB of the disk for temporary files.
//!
//! `PYTHON` names a Python with numpy and pyarrow. Linux only. DuckDB is not among the jobs.

mod numbers;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use indicatif::HumanCount;
use rayon::prelude::*;

use numbers::numbers;

type Failure = Box<dyn std::error::Error>;

/// d_x, d_y and how many rows make a job of a second or two.
const SHAPES: [(usize, usize, usize); 5] =
    [(128, 128, 800_000), (384, 768, 160_000), (768, 768, 120_000), (1536, 1024, 50_000), (3072, 3072, 12_000)];
const FILES: usize = 4;
/// Twice the wider width, and no more than `babelake fit` takes unasked.
const MAX_ANCHORS: usize = 4096;
/// Pairs, width and subspaces of the fit that is measured.
const FIT: (usize, usize, usize) = (1000, 768, 16);
/// Rows of the lakes whose peak memory is told, 3 kB each, and files that they are in.
const LAKES: [(usize, usize); 2] = [(340_000, 4), (3_400_000, 40)];
/// Pairs and width of the fit whose peak memory is told.
const LARGE_FIT: (usize, usize) = (20_000, 1024);
/// Subspaces of the naive ensemble.
const OMEGA: usize = 8;
const DELTA: f64 = 0.7;
const PYTHON_SIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/translate.py");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Faer,
    Numpy,
    PyarrowCopy,
    SqlCopy,
    Script,
    Translate,
    SqlTranslate,
    EngineDirections,
    SqlDirections,
    Naive,
    PyarrowScan,
    EngineScan,
    SqlScan,
    NumpyFit,
    SqlFit,
}

/// A job on so many cores, of files with this codec, and into such files where it writes any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    job: Job,
    cores: usize,
    codec: &'static str,
}

const fn run(job: Job, cores: usize, codec: &'static str) -> Run {
    Run { job, cores, codec }
}

const PRODUCTS: [Run; 2] = [run(Job::Faer, 2, ""), run(Job::Numpy, 2, "")];
const COPY: Run = run(Job::PyarrowCopy, 2, "none");
const SCRIPTS: [Run; 2] = [run(Job::Script, 1, "none"), run(Job::Script, 2, "none")];
const TRANSLATE: Run = run(Job::Translate, 2, "none");
const TRANSLATE_ALONE: Run = run(Job::Translate, 1, "none");
const TRANSLATE_ZSTD: Run = run(Job::Translate, 2, "zstd");
const SQL: Run = run(Job::SqlTranslate, 2, "none");
const NAIVE: Run = run(Job::Naive, 2, "none");
const SCAN: Run = run(Job::SqlScan, 1, "none");
const PYARROW_SCAN: Run = run(Job::PyarrowScan, 1, "none");
const FITTED: Run = run(Job::SqlFit, 2, "");
const NUMPY_FITS: [Run; 2] = [run(Job::NumpyFit, 1, ""), run(Job::NumpyFit, 2, "")];

const RUNS: [Run; 21] = [
    run(Job::Faer, 1, ""),
    PRODUCTS[0],
    run(Job::Numpy, 1, ""),
    PRODUCTS[1],
    COPY,
    run(Job::PyarrowCopy, 2, "zstd"),
    run(Job::SqlCopy, 2, "none"),
    SCRIPTS[0],
    SCRIPTS[1],
    run(Job::Script, 2, "zstd"),
    TRANSLATE_ALONE,
    TRANSLATE,
    TRANSLATE_ZSTD,
    SQL,
    run(Job::SqlTranslate, 2, "zstd"),
    run(Job::EngineDirections, 2, "none"),
    run(Job::SqlDirections, 2, "none"),
    NAIVE,
    PYARROW_SCAN,
    run(Job::EngineScan, 1, "none"),
    SCAN,
];
const FIT_RUNS: [Run; 3] = [NUMPY_FITS[0], NUMPY_FITS[1], FITTED];

/// What we want to be: ours, at least so many times the better of the others.
struct Target {
    what: &'static str,
    shape: (usize, usize),
    ours: Run,
    theirs: &'static [Run],
    least: f64,
}

const fn target(what: &'static str, shape: (usize, usize), ours: Run, theirs: &'static [Run], least: f64) -> Target {
    Target { what, shape, ours, theirs, least }
}

const NARROW: (usize, usize) = (128, 128);
const USUAL: (usize, usize) = (768, 768);
const TARGETS: [Target; 10] = [
    target("translate over the better bare product", USUAL, TRANSLATE, &PRODUCTS, 0.8),
    target("translate, zstd in and out, over the better bare product", USUAL, TRANSLATE_ZSTD, &PRODUCTS, 0.6),
    target("translate over pyarrow's copy", NARROW, TRANSLATE, &[COPY], 1.5),
    target("translate over the script", NARROW, TRANSLATE, &SCRIPTS, 2.5),
    target("translate over the script", USUAL, TRANSLATE, &SCRIPTS, 2.5),
    target("translate over the naive ensemble, omega 8", USUAL, TRANSLATE, &[NAIVE], 10.0),
    target("SQL COPY over translate", USUAL, SQL, &[TRANSLATE], 0.8),
    target("sum of norms in SQL over pyarrow's reading, 1 core", USUAL, SCAN, &[PYARROW_SCAN], 4.0),
    target("fit irp, 1000 anchors, omega 16, delta 0.7, over numpy", USUAL, FITTED, &NUMPY_FITS, 5.0),
    target("translate, 2 cores over 1", USUAL, TRANSLATE, &[TRANSLATE_ALONE], 1.8),
];

#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    cpu: Option<f64>,
    peak_kb: Option<f64>,
}

/// Tables to work on, and what working on them took.
struct Lake<'a> {
    folder: &'a Path,
    shape: (usize, usize),
    rows: usize,
    runs: &'static [Run],
    /// Of every run, round by round.
    samples: Vec<Vec<Sample>>,
}

/// The operands of the bare product.
struct Operands {
    rows: Vec<f32>,
    matrix: Vec<f32>,
    out: Vec<f32>,
}

fn main() -> Result<(), Failure> {
    let (mut wanted, mut most, mut rounds) = (Vec::new(), usize::MAX, 5);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut number = || words.next().ok_or_else(|| format!("{word}: how many?"));
        match word.as_str() {
            "--rows" => most = number()?.parse::<usize>()?.max(FILES),
            "--repeat" => rounds = number()?.parse::<usize>()?.max(1),
            "memory" => return memory(),
            _ => wanted.push(word),
        }
    }
    let is_wanted = |(source, target)| wanted.is_empty() || wanted.contains(&format!("{source}-{target}"));
    let shapes: Vec<_> = SHAPES.into_iter().filter(|(source, target, _)| is_wanted((*source, *target))).collect();
    if shapes.is_empty() {
        let known = SHAPES.map(|(source, target, _)| format!("{source}-{target}")).join(", ");
        return Err(format!("the widths are {known}").into());
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "Rows a second, CPU seconds (medians of {rounds} rounds) and peak memory of jobs over {FILES} files of vectors from width to \
         width; how many times the rows a second of the better bare product on 2 cores, and of the better script. Load of the machine \
         before: {}.\n",
        load.split(' ').next().unwrap_or_default()
    );

    let mut ratios = vec![None; TARGETS.len()];
    for (source, target, rows) in shapes {
        let folder = tempfile::tempdir()?;
        let rows = rows.min(most);
        let anchors = (2 * source.max(target)).min(MAX_ANCHORS);
        let lake = Lake::new(folder.path(), (source, target), (rows, FILES), anchors, &RUNS)?;
        lake.fit()?;
        lake.check()?;
        lake.measured(rounds)?.tell(&mut ratios);
    }
    if is_wanted(USUAL) {
        let (anchors, width, _) = FIT;
        let folder = tempfile::tempdir()?;
        Lake::new(folder.path(), (width, width), (FILES, FILES), anchors, &FIT_RUNS)?
            .measured(rounds)?
            .tell(&mut ratios);
    }

    println!("| what | widths | ratio | target | |\n|---|---|---|---|---|");
    for (Target { what, shape: (source, target), least, .. }, ratio) in TARGETS.iter().zip(ratios) {
        let (ratio, met) = match ratio {
            Some(ratio) => (format!("{ratio:.2}"), if ratio >= *least { "met" } else { "not met" }),
            None => ("-".to_owned(), "not measured"),
        };
        println!("| {what} | {source} -> {target} | {ratio} | {least:.1} | {met} |");
    }
    Ok(())
}

/// What jobs need at most, whatever there is to do.
fn memory() -> Result<(), Failure> {
    println!("| job | cores | seconds | peak MB |\n|---|---|---|---|");
    let tell = |what: &str, lake: &Lake, run: Run| {
        let Sample { seconds, peak_kb, .. } = lake.run(run)?;
        let peak = peak_kb.unwrap_or(f64::NAN) / 1024.0;
        println!("| {what} | {} | {seconds:.1} | {peak:.0} |", run.cores);
        Ok::<_, Failure>(())
    };
    for (rows, files) in LAKES {
        let folder = tempfile::tempdir()?;
        let lake = Lake::new(folder.path(), USUAL, (rows, files), 2 * USUAL.0, &[])?;
        lake.fit()?;
        for run in [TRANSLATE, TRANSLATE_ALONE, TRANSLATE_ZSTD, SQL] {
            let what = format!("{}, {} rows, {}", run.job.name(), HumanCount(rows as u64), run.codec);
            tell(&what, &lake, run)?;
        }
    }
    let (anchors, width) = LARGE_FIT;
    let folder = tempfile::tempdir()?;
    let lake = Lake::new(folder.path(), (width, width), (FILES, FILES), anchors, &[])?;
    let what = format!("fit irp, {} anchors of {width}, omega {}, delta {DELTA}", HumanCount(anchors as u64), FIT.2);
    tell(&what, &lake, FITTED)
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Faer => "bare product, faer",
            Self::Numpy => "bare product, numpy",
            Self::PyarrowCopy => "copy, pyarrow",
            Self::SqlCopy => "copy, babelake sql",
            Self::Script => "script, pyarrow and numpy",
            Self::Translate => "**babelake translate**",
            Self::SqlTranslate => "**babelake sql, COPY of emb_translate**",
            Self::EngineDirections => "centre and normalise, the engine's functions",
            Self::SqlDirections => "centre and normalise, ours",
            Self::Naive => "naive ensemble, omega 8",
            Self::PyarrowScan => "read the vectors, pyarrow",
            Self::EngineScan => "sum of norms, the engine's functions",
            Self::SqlScan => "sum of norms, ours",
            Self::NumpyFit => "fit irp, numpy",
            Self::SqlFit => "fit irp, emb_fit",
        }
    }
}

impl<'a> Lake<'a> {
    /// Makes the tables.
    fn new(
        folder: &'a Path,
        shape: (usize, usize),
        (rows, files): (usize, usize),
        anchors: usize,
        runs: &'static [Run],
    ) -> Result<Self, Failure> {
        let numbers = [rows, files, shape.0, shape.1, anchors].map(|number| number.to_string());
        let job = python("make", [folder.display().to_string()].into_iter().chain(numbers));
        measure(2, &job)?;
        Ok(Self { folder, shape, rows, runs, samples: vec![Vec::new(); runs.len()] })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn fit(&self) -> Result<(), Failure> {
        let path = |name| self.path(name);
        let options = ["--key", "id", "--method", "parseval"].map(str::to_owned);
        let sides = ["fit".to_owned(), "--source".to_owned(), path("source.parquet"), "--target".to_owned()];
        let stored = [path("target.parquet"), "--output".to_owned(), path("translator.parquet")];
        measure(2, &babelake(sides.into_iter().chain(stored).chain(options)))?;
        Ok(())
    }

    /// Sees to it that we and the script make the same of the lake.
    fn check(&self) -> Result<(), Failure> {
        let path = |name| self.path(name);
        measure(2, &self.command(TRANSLATE))?;
        std::fs::rename(path("out"), path("ours"))?;
        measure(2, &self.command(SCRIPTS[1]))?;
        measure(2, &python("check", [path("ours"), path("out")]))?;
        std::fs::remove_dir_all(path("ours"))?;
        std::fs::remove_dir_all(path("out"))?;
        Ok(())
    }

    fn command(&self, run: Run) -> Vec<String> {
        let (files, out, codec) = (self.path(run.codec), self.path("out"), run.codec.to_owned());
        let path = |name| self.path(name);
        let (source, target, translator) = (path("source.parquet"), path("target.parquet"), path("translator.parquet"));
        let sql = |sql: String| babelake(["sql".to_owned(), "--command".to_owned(), sql]);
        let scan = |norm: &str| sql(format!("SELECT sum({norm}) FROM '{files}/'"));
        let copy = |columns: &str| {
            let codec = if codec == "none" { "uncompressed" } else { "zstd(1)" };
            let rows = format!("SELECT {columns} FROM '{files}/'");
            sql(format!("COPY ({rows}) TO '{out}/' STORED AS PARQUET OPTIONS (compression '{codec}')"))
        };
        // The engine's functions work on lists of doubles.
        let mean = |list: &str| format!("(SELECT {list} FROM '{translator}')");
        match run.job {
            Job::Faer => Vec::new(),
            Job::Numpy => python("sgemm", [self.rows, self.shape.0, self.shape.1].map(|number| number.to_string())),
            Job::PyarrowCopy => python("copy", [files, out, codec]),
            Job::SqlCopy => copy("*"),
            Job::Script => python("script", [files, out, codec, translator]),
            Job::Translate => {
                let threads = run.cores.to_string();
                let options = ["--to", &out, "--translator", &translator, "--threads", &threads].map(str::to_owned);
                babelake(["translate".to_owned(), files].into_iter().chain(options))
            }
            Job::SqlTranslate => {
                copy(&format!("id, emb_translate(embedding, (SELECT t FROM '{translator}')) AS embedding"))
            }
            Job::EngineDirections => {
                let mean = mean("CAST(t['source_mean'][1] AS DOUBLE[])");
                let away = format!("array_subtract(CAST(embedding AS DOUBLE[]), {mean})");
                copy(&format!("id, CAST(array_normalize({away}) AS FLOAT[]) AS embedding"))
            }
            Job::SqlDirections => {
                let mean = mean("t['source_mean'][1]");
                copy(&format!("id, emb_normalize(emb_center(embedding, {mean})) AS embedding"))
            }
            Job::Naive => {
                let ensemble = [OMEGA.to_string(), DELTA.to_string()];
                python("naive", [path("one"), out, codec, source, target].into_iter().chain(ensemble))
            }
            Job::PyarrowScan => python("scan", [files]),
            Job::EngineScan => scan("sqrt(inner_product(embedding, embedding))"),
            Job::SqlScan => scan("emb_norm(embedding)"),
            Job::NumpyFit => python("fit", [source, target, FIT.2.to_string(), DELTA.to_string()]),
            Job::SqlFit => {
                let options = format!("{{method: 'irp', omega: {}, delta: {DELTA}}}", FIT.2);
                let fit = format!("emb_fit(x.id, x.embedding, y.embedding, {options})");
                let pairs = format!("'{source}' x JOIN '{target}' y USING (id)");
                sql(format!("COPY (SELECT {fit} AS t FROM {pairs}) TO '{out}/' STORED AS PARQUET"))
            }
        }
    }

    /// What a job takes; what it writes is removed.
    fn run(&self, run: Run) -> Result<Sample, Failure> {
        let sample = measure(run.cores, &self.command(run))?;
        let out = self.path("out");
        if Path::new(&out).exists() {
            std::fs::remove_dir_all(out)?;
        }
        Ok(sample)
    }

    fn measured(mut self, rounds: usize) -> Result<Self, Failure> {
        let (source, target) = self.shape;
        let mut operands = Operands {
            rows: numbers(self.rows * source, 1),
            matrix: numbers(source * target, 2),
            out: vec![1.0; self.rows * target],
        };
        for _ in 0..rounds {
            for (index, run) in self.runs.iter().enumerate() {
                let mut once = || match run.job {
                    Job::Faer => operands.multiply(self.shape, run.cores),
                    _ => self.run(*run),
                };
                once()?;
                let sample = once()?;
                self.samples[index].push(sample);
            }
        }
        Ok(self)
    }

    /// Rows a second, round by round; of a fit, fits a second.
    fn rates(&self, run: Run) -> Option<Vec<f64>> {
        let index = self.runs.iter().position(|other| *other == run)?;
        let rows = match run.job {
            Job::Naive => self.rows / FILES,
            Job::NumpyFit | Job::SqlFit => 1,
            _ => self.rows,
        };
        Some(self.samples[index].iter().map(|sample| rows as f64 / sample.seconds).collect())
    }

    /// How many times the rate of the better of the others: the median of the rounds.
    fn ratio(&self, ours: Run, theirs: &[Run]) -> Option<f64> {
        let theirs = theirs.iter().filter_map(|run| self.rates(*run));
        let better = theirs.max_by(|a, b| median(a.iter().copied()).total_cmp(&median(b.iter().copied())))?;
        Some(median(self.rates(ours)?.iter().zip(better).map(|(ours, theirs)| ours / theirs)))
    }

    /// Prints the table, and keeps the ratios that we want to know.
    fn tell(&self, ratios: &mut [Option<f64>]) {
        let (source, target) = self.shape;
        if self.runs == FIT_RUNS {
            println!("fit, {} anchors, {source} -> {target}, omega {}, delta {DELTA}\n", FIT.0, FIT.2);
            println!("| job | cores | seconds | CPU s | peak MB |\n|---|---|---|---|---|");
        } else {
            println!("{source} -> {target}, {} rows\n", HumanCount(self.rows as u64));
            println!("| job | files | cores | rows/s | CPU s | peak MB | over product | over script |");
            println!("|---|---|---|---|---|---|---|---|");
        }
        for (run, samples) in self.runs.iter().zip(&self.samples) {
            let Run { job, cores, codec } = *run;
            let show = |number: Option<f64>, decimals| {
                number.map_or_else(|| "-".to_owned(), |number| format!("{number:.decimals$}"))
            };
            let cpu = samples.iter().map(|sample| sample.cpu).collect::<Option<Vec<_>>>();
            let cpu = show(cpu.map(|cpu| median(cpu.into_iter())), 2);
            let peak = samples.iter().filter_map(|sample| sample.peak_kb).reduce(f64::max);
            let peak = show(peak.map(|kb| kb / 1024.0), 0);
            let name = job.name();
            if self.runs == FIT_RUNS {
                let seconds = median(samples.iter().map(|sample| sample.seconds));
                println!("| {name} | {cores} | {seconds:.2} | {cpu} | {peak} |");
            } else {
                let rate = HumanCount(self.rates(*run).map_or(0.0, |rates| median(rates.into_iter())) as u64);
                let over = |theirs| show(self.ratio(*run, theirs), 2);
                let ratios = format!("{} | {}", over(&PRODUCTS), over(&SCRIPTS));
                println!("| {name} | {codec} | {cores} | {rate} | {cpu} | {peak} | {ratios} |");
            }
        }
        println!();
        for (target, ratio) in TARGETS.iter().zip(ratios).filter(|(target, _)| target.shape == self.shape) {
            *ratio = ratio.or(self.ratio(target.ours, target.theirs));
        }
    }
}

impl Operands {
    /// Every thread multiplies its share of the rows.
    fn multiply(&mut self, (k, n): (usize, usize), threads: usize) -> Result<Sample, Failure> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let share = (self.rows.len() / k).div_ceil(threads);
        let matrix = MatRef::from_row_major_slice(&self.matrix, k, n);
        let (rows, out) = (&self.rows, &mut self.out);
        let (begin, before) = (Instant::now(), cpu_seconds());
        pool.install(|| {
            rows.par_chunks(share * k).zip(out.par_chunks_mut(share * n)).for_each(|(rows, out)| {
                let count = rows.len() / k;
                let rows = MatRef::from_row_major_slice(rows, count, k);
                matmul(MatMut::from_row_major_slice_mut(out, count, n), Accum::Replace, rows, matrix, 1.0, Par::Seq);
            });
        });
        let seconds = begin.elapsed().as_secs_f64();
        black_box(&self.out);
        let cpu = cpu_seconds().zip(before).map(|(after, before)| after - before);
        Ok(Sample { seconds, cpu, peak_kb: None })
    }
}

/// What this process has used, where the system says: hundredths of a second in user and in system mode, counted from the end of
/// its name.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
    Some(ticks.map(str::parse::<f64>).sum::<Result<f64, _>>().ok()? / 100.0)
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn python(job: &str, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    [interpreter(), PYTHON_SIDE.to_owned(), job.to_owned()].into_iter().chain(arguments).collect()
}

fn babelake(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    [env!("CARGO_BIN_EXE_babelake").to_owned()].into_iter().chain(arguments).collect()
}

/// Runs a command on so many cores. What a job in Python says of its own time counts, not the time of its process.
fn measure(cores: usize, command: &[String]) -> Result<Sample, Failure> {
    let runner = Command::new(interpreter())
        .arg(PYTHON_SIDE)
        .arg("run")
        .arg(cores.to_string())
        .args(command)
        .output()
        .map_err(|error| format!("{}: {error}; PYTHON names a Python with numpy and pyarrow", interpreter()))?;
    let said = String::from_utf8_lossy(&runner.stdout);
    if !runner.status.success() {
        return Err(format!("{}{said}{}", String::from_utf8_lossy(&runner.stderr), command.join(" ")).into());
    }
    let numbers = |line: Option<&str>| -> Result<Vec<f64>, Failure> {
        Ok(line.unwrap_or_default().split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    };
    let mut lines = said.lines();
    let [seconds, cpu, peak_kb] = numbers(lines.next())?[..] else {
        return Err(format!("not measured: {said}").into());
    };
    let of_process = Sample { seconds, cpu: Some(cpu), peak_kb: Some(peak_kb) };
    let in_python = command.first().is_some_and(|program| *program == interpreter());
    match numbers(lines.next().filter(|_| in_python))?[..] {
        [seconds, cpu] => Ok(Sample { seconds, cpu: Some(cpu), ..of_process }),
        _ => Ok(of_process),
    }
}
