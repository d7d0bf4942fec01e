//! What `fit` promises, on all ordered pairs of real encoders:
//!
//!     cargo bench --bench pairs -- regret|swaps|confidence FOLDER... [--seeds N]
//!
//! Every folder holds tables of encoders with the columns `id`, `split` (train, test) and `embedding`. For each ordered pair of a
//! folder and each of N draws (3) of 768 anchors from the train rows, measured on the first 3,000 test rows (pool: the same rows):
//!
//! - `regret`: how far the method that `best` chooses, by P@1 and by centred cosine, is behind the one of its list that
//!   hindsight would have chosen;
//! - `swaps`: what a tenth of the anchors costs whose target rows are exchanged among each other, with `--drop-suspects` and
//!   without, and how many of them it finds;
//! - `confidence`: the mean centred cosine of the test rows in the bottom and in the top tenth by `emb_confidence`.

use std::collections::BTreeMap;
use std::path::Path;

use babelake::column::best::{Against, candidates};
use babelake::column::suspects::check;
use babelake::column::{Best, By, Choice, Keys, Method, Side, Translator};
use babelake::kernel::Rows;
use babelake::kernel::block::Scratch;
use babelake::kernel::quality::similarities;
use babelake::kernel::retrieval::{Search, ranks};
use babelake::session::{Settings, context};
use datafusion::arrow::array::{AsArray, FixedSizeListArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Float32Type, Int64Type};

const ANCHORS: usize = 768;
const TEST_ROWS: usize = 3000;
const USAGE: &str = "pairs: name a table and the folders of encoder tables: \
                     cargo bench --bench pairs -- regret|swaps|confidence FOLDER... [--seeds N]";

type Failure = Box<dyn std::error::Error>;
/// The cells of a draw, and its numbers.
type Row = (String, Vec<f64>);

/// An encoder's rows by id: those to draw anchors from, and those to measure on.
struct Encoder {
    name: String,
    width: usize,
    train: (Vec<i64>, Vec<f32>),
    test: (Vec<i64>, Vec<f32>),
}

/// One draw of anchors of one pair.
struct Draw<'a> {
    source: &'a Encoder,
    target: &'a Encoder,
    keys: Keys,
    from: Vec<f32>,
    to: Vec<f32>,
    /// Target train rows that are no anchors.
    unseen: Vec<f32>,
}

/// A table: its header, and of each draw its cells and the numbers that the last lines are made of.
struct Table {
    header: &'static str,
    row: fn(&Draw<'_>) -> Result<Row, Failure>,
    summary: fn(&Runs) -> String,
}

/// The numbers of each draw, by pair.
#[derive(Default)]
struct Runs(BTreeMap<String, Vec<Vec<f64>>>);

impl Runs {
    fn all(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.0.values().flatten()
    }

    /// The mean over all draws of what `of` makes of each.
    fn mean(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        mean(&self.all().map(|row| of(row)).collect::<Vec<_>>())
    }

    /// The largest of the pairs' means, and of all draws.
    fn worst(&self, of: impl Fn(&[f64]) -> f64) -> [f64; 2] {
        let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::NEG_INFINITY, f64::max);
        let of_pairs = self.0.values().map(|rows| mean(&rows.iter().map(|row| of(row)).collect::<Vec<_>>()));
        [largest(&mut of_pairs.into_iter()), largest(&mut self.all().map(|row| of(row)))]
    }
}

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let table = match words.next().as_deref() {
        Some("regret") => REGRET,
        Some("swaps") => SWAPS,
        Some("confidence") => CONFIDENCE,
        _ => {
            println!("{USAGE}");
            return Ok(());
        }
    };
    let (mut folders, mut seeds) = (Vec::new(), 3);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => seeds = words.next().ok_or(USAGE)?.parse::<u64>()?,
            folder => folders.push(read(Path::new(folder))?),
        }
    }
    println!("| pair | seed | {}", table.header);
    println!("|---|---|{}", "---|".repeat(table.header.matches('|').count()));
    let mut runs = Runs::default();
    for seed in 1..=seeds {
        for encoders in &folders {
            for source in encoders {
                for target in encoders.iter().filter(|target| target.name != source.name) {
                    let (cells, of_row) = (table.row)(&Draw::new(source, target, seed))?;
                    let pair = format!("{} -> {}", source.name, target.name);
                    println!("| {pair} | {seed} | {cells} |");
                    runs.0.entry(pair).or_default().push(of_row);
                }
            }
        }
    }
    println!("{} pairs, {seeds} draws each; {}", runs.0.len(), (table.summary)(&runs));
    Ok(())
}

const REGRET: Table = Table {
    header: "chosen by p_at_1 | P@1 | best P@1 | by | regret | chosen by centred_cosine | cosine | best | by | regret |",
    row: regret,
    summary: |runs| {
        let of = |at: usize, name: &str| {
            let points = |row: &[f64]| 100.0 * row[at];
            let [pair, draw] = runs.worst(points);
            let mean = runs.mean(points);
            format!("{name}: mean regret {mean:.2} points, worst pair {pair:.2}, worst draw {draw:.2}")
        };
        format!("{}; {}; {}", of(0, "P@1"), of(1, "centred cosine"), of(2, "always parseval, P@1"))
    },
};

fn regret(draw: &Draw<'_>) -> Result<Row, Failure> {
    let (x, y) = draw.sides(&draw.from, &draw.to);
    let measured: Vec<(Method, [f64; 2])> = candidates(1)
        .into_iter()
        .map(|method| {
            let translator = Translator::fit_rows(&draw.keys, &x, &y, &Choice::Method(method))?;
            Ok((method, measure(&translator, draw)?))
        })
        .collect::<Result<_, Failure>>()?;
    let against = Against { unseen: Rows::new(&draw.unseen, draw.target.width), classes: None };
    let compared = Translator::compare(&draw.keys, &x, &y, &against, &Best { by: By::PAt1, seed: 1 })?;
    let (mut cells, mut regrets) = (Vec::new(), Vec::new());
    for (at, by) in [By::PAt1, By::CentredCosine].into_iter().enumerate() {
        let chosen = compared.choose(by).method;
        let reached = measured.iter().find(|(method, _)| *method == chosen).ok_or("chosen from elsewhere")?.1[at];
        let (best, most) =
            measured.iter().fold((&chosen, reached), |(best, most), (method, found)| match found[at] > most {
                true => (method, found[at]),
                false => (best, most),
            });
        regrets.push(most - reached);
        let points = 100.0 * (most - reached);
        cells.push(format!("{} | {reached:.3} | {most:.3} | {} | {points:.1}", named(&chosen), named(best)));
    }
    // Parseval is the first of the list.
    let most = measured.iter().map(|(_, found)| found[0]).fold(0.0, f64::max);
    regrets.push(most - measured[0].1[0]);
    Ok((cells.join(" | "), regrets))
}

/// The method and what is not the default of its settings.
fn named(method: &Method) -> String {
    let settings = method.settings();
    let told = ["omega", "delta", "lambda"].into_iter().filter_map(|name| Some((name, settings.get(name)?)));
    told.fold(method.name().to_owned(), |text, (name, value)| format!("{text} {name} {value}"))
}

const SWAPS: Table = Table {
    header: "P@1 | swapped, suspects dropped | costs | swapped, nothing dropped | precision | recall |",
    row: swaps,
    summary: |runs| {
        let [clean, dropped, kept, precision, recall] = std::array::from_fn(|at| runs.mean(|row| row[at]));
        let [pair, draw] = runs.worst(|row| 100.0 * (row[0] - row[1]));
        format!(
            "P@1 {clean:.4}; a tenth swapped, suspects dropped {dropped:.4}: costs {:.2} points, worst pair {pair:.2}, worst draw \
             {draw:.2}; nothing dropped {kept:.4}; swaps are found with precision {precision:.2}, recall {recall:.2}",
            100.0 * (clean - dropped)
        )
    },
};

fn swaps(draw: &Draw<'_>) -> Result<Row, Failure> {
    let width = draw.target.width;
    let count = draw.keys.len() / 10;
    // Drawn by key; each gets the target row of the next.
    let swapped: Vec<usize> = draw.keys.drawn("swaps", 1).into_iter().take(count).collect();
    let mut wrong = draw.to.clone();
    for (i, &row) in swapped.iter().enumerate() {
        let other = swapped[(i + 1) % count];
        wrong[row * width..][..width].copy_from_slice(&draw.to[other * width..][..width]);
    }
    let all: Vec<usize> = (0..draw.keys.len()).collect();
    let (x, y) = draw.sides(&draw.from, &wrong);
    let checked = check(&draw.keys, &x, &y, 0)?;
    let (suspects, kept): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&pair| checked.is_suspect(pair));
    let found = suspects.iter().filter(|pair| swapped.contains(pair)).count() as f64;
    let reached = |to: &[f32], pairs: &[usize]| -> Result<f64, Failure> {
        let (from, to) = (x.rows.select(pairs), Rows::new(to, width).select(pairs));
        let (keys, (x, y)) = (draw.keys.select(pairs), draw.sides(&from, &to));
        let against = Against { unseen: Rows::new(&draw.unseen, width), classes: None };
        let best = Best { by: By::PAt1, seed: 1 };
        let method = Translator::compare(&keys, &x, &y, &against, &best)?.choose(best.by).method;
        Ok(measure(&Translator::fit_rows(&keys, &x, &y, &Choice::Method(method))?, draw)?[0])
    };
    let (clean, dropped, nothing) = (reached(&draw.to, &all)?, reached(&wrong, &kept)?, reached(&wrong, &all)?);
    let (precision, recall) = (found / (suspects.len() as f64).max(1.0), found / count as f64);
    let points = 100.0 * (clean - dropped);
    let cells = format!("{clean:.3} | {dropped:.3} | {points:.1} | {nothing:.3} | {precision:.2} | {recall:.2}");
    Ok((cells, vec![clean, dropped, nothing, precision, recall]))
}

const CONFIDENCE: Table = Table {
    header: "parseval: bottom tenth | top tenth | best: method | bottom tenth | top tenth |",
    row: confidence,
    summary: |runs| {
        let apart = |at: usize| runs.all().filter(|row| row[at] >= 0.05).count();
        let all = runs.all().count();
        format!("at least 0.05 apart: parseval {} of {all}, best {} of {all}", apart(0), apart(1))
    },
};

fn confidence(draw: &Draw<'_>) -> Result<Row, Failure> {
    let (x, y) = draw.sides(&draw.from, &draw.to);
    let against = Against { unseen: Rows::new(&draw.unseen, draw.target.width), classes: None };
    let best = Best { by: By::PAt1, seed: 1 };
    let parseval = candidates(1)[0];
    let chosen = Translator::compare(&draw.keys, &x, &y, &against, &best)?.choose(best.by).method;
    let (source, target) = Translator::anchors(&draw.keys, &x, &y)?;
    let mut tenths = Vec::new();
    for method in [parseval, chosen] {
        let translator = Translator::fit_calibrated(&source, &target, &Choice::Method(method))?;
        let asked = Rows::new(&draw.source.test.1, draw.source.width);
        let confidences = translator
            .confidence()?
            .apply(asked.len(), |i| Some(asked.row(i)), &mut Scratch::default())
            .map_err(|flaw| format!("row {} is not finite", flaw.row))?;
        let translated = translate(&translator, draw)?;
        let natives = Rows::new(&draw.target.test.1, draw.target.width);
        let cosines: Vec<f64> =
            similarities(Rows::new(&translated, draw.target.width), natives, &translator.target_mean)
                .map(|[_, centred, _]| centred)
                .collect();
        let mut order: Vec<usize> = (0..cosines.len()).collect();
        order.sort_by(|&a, &b| confidences[a].total_cmp(&confidences[b]));
        let tenth = order.len() / 10;
        let of = |rows: &[usize]| mean(&rows.iter().map(|&row| cosines[row]).collect::<Vec<_>>());
        tenths.push([of(&order[..tenth]), of(&order[order.len() - tenth..])]);
    }
    let [[low, high], [low_best, high_best]] = [tenths[0], tenths[1]];
    let cells = format!("{low:.3} | {high:.3} | {} | {low_best:.3} | {high_best:.3}", named(&chosen));
    Ok((cells, vec![high - low, high_best - low_best]))
}

impl<'a> Draw<'a> {
    fn new(source: &'a Encoder, target: &'a Encoder, seed: u64) -> Self {
        let keys = Keys::Int(source.train.0.clone());
        let mut drawn = keys.drawn("anchors", seed);
        let others = drawn.split_off(ANCHORS.min(drawn.len()));
        let of = |encoder: &Encoder, rows: &[usize]| Rows::new(&encoder.train.1, encoder.width).select(rows);
        Self {
            keys: keys.select(&drawn),
            from: of(source, &drawn),
            to: of(target, &drawn),
            unseen: of(target, &others),
            source,
            target,
        }
    }

    fn sides<'r>(&'r self, from: &'r [f32], to: &'r [f32]) -> (Side<'r>, Side<'r>) {
        let side = |encoder: &'r Encoder, rows| Side {
            rows: Rows::new(rows, encoder.width),
            encoder: &encoder.name,
            mean: None,
        };
        (side(self.source, from), side(self.target, to))
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// P@1 and mean centred cosine on the test rows.
fn measure(translator: &Translator, draw: &Draw<'_>) -> Result<[f64; 2], Failure> {
    let translated = translate(translator, draw)?;
    let translated = Rows::new(&translated, draw.target.width);
    let natives = Rows::new(&draw.target.test.1, draw.target.width);
    let own: Vec<usize> = (0..natives.len()).collect();
    let ranks = ranks(translated, natives, &own, Search::default());
    let first = ranks.iter().filter(|rank| **rank == 1).count() as f64 / ranks.len() as f64;
    let cosines = similarities(translated, natives, &translator.target_mean).map(|[_, centred, _]| centred);
    Ok([first, cosines.sum::<f64>() / natives.len() as f64])
}

/// The test rows translated.
fn translate(translator: &Translator, draw: &Draw<'_>) -> Result<Vec<f32>, Failure> {
    let asked = Rows::new(&draw.source.test.1, draw.source.width);
    let mut translated = vec![0.0; asked.len() * draw.target.width];
    translator
        .translation()
        .apply(asked.len(), |i| Some(asked.row(i)), &mut Scratch::default(), &mut translated)
        .map_err(|flaw| format!("row {} is not finite", flaw.row))?;
    Ok(translated)
}

fn read(folder: &Path) -> Result<Vec<Encoder>, Failure> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let session = context(&Settings::default())?;
    let mut encoders = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
        let rows = |split: &str, limit: usize| -> Result<(Vec<i64>, Vec<f32>, usize), Failure> {
            let sql = format!(
                "SELECT id, embedding FROM '{}' WHERE split = '{split}' ORDER BY id LIMIT {limit}",
                path.display()
            );
            let batches = runtime.block_on(async { session.sql(&sql).await?.collect().await })?;
            let batch = concat_batches(&batches[0].schema(), &batches)?;
            let list: &FixedSizeListArray = batch.column(1).as_fixed_size_list();
            let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
            let values = list.values().as_primitive::<Float32Type>().values().to_vec();
            Ok((ids, values, usize::try_from(list.value_length())?))
        };
        let (train, test) = (rows("train", usize::MAX >> 1)?, rows("test", TEST_ROWS)?);
        encoders.push(Encoder {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            width: train.2,
            train: (train.0, train.1),
            test: (test.0, test.1),
        });
    }
    Ok(encoders)
}
