//! How far the method that `best` chooses is behind the one that hindsight would have chosen:
//!
//!     cargo bench --bench regret -- FOLDER...
//!
//! Every folder holds tables of encoders with the columns `id`, `split` (train, test) and `embedding`. Of all ordered pairs and
//! three draws of 768 anchors from the train rows, each method that `best` compares is fitted on the anchors and measured on the
//! first 3,000 test rows (pool: the same rows), and so is what `best` chose without having seen them.

use std::collections::BTreeMap;
use std::path::Path;

use babelake::column::best::{Against, candidates};
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
const SEEDS: [u64; 3] = [1, 2, 3];

type Failure = Box<dyn std::error::Error>;

/// An encoder's rows by id: those to draw anchors from, and those to measure on.
struct Encoder {
    name: String,
    width: usize,
    train: (Vec<i64>, Vec<f32>),
    test: (Vec<i64>, Vec<f32>),
}

fn main() -> Result<(), Failure> {
    let folders: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if folders.is_empty() {
        println!("regret: name the folders of encoder tables to measure: cargo bench --bench regret -- FOLDER...");
        return Ok(());
    }
    println!(
        "| pair | seed | chosen by p_at_1 | P@1 | best P@1 | by | regret | chosen by centred_cosine | cosine | best | by | regret |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut regrets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let folders = folders.iter().map(|folder| read(Path::new(folder))).collect::<Result<Vec<_>, _>>()?;
    for seed in SEEDS {
        for encoders in &folders {
            for source in encoders {
                for target in encoders.iter().filter(|target| target.name != source.name) {
                    let row = compare(source, target, seed)?;
                    for (measure, regret) in ["P@1", "centred cosine"].into_iter().zip(row.regrets) {
                        regrets.entry(measure).or_default().push(regret);
                    }
                    println!("| {} -> {} | {seed} | {} |", source.name, target.name, row.text);
                }
            }
        }
    }
    for (measure, regrets) in regrets {
        let worst = regrets.iter().fold(0.0f64, |worst, regret| worst.max(*regret));
        let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
        println!(
            "{measure}: {} runs, mean regret {:.2} points, worst {:.2} points",
            regrets.len(),
            100.0 * mean,
            100.0 * worst
        );
    }
    Ok(())
}

struct Row {
    text: String,
    regrets: [f64; 2],
}

fn compare(source: &Encoder, target: &Encoder, seed: u64) -> Result<Row, Failure> {
    let keys = Keys::Int(source.train.0.clone());
    let mut drawn = keys.drawn("anchors", seed);
    let others = drawn.split_off(ANCHORS.min(drawn.len()));
    let keys = keys.select(&drawn);
    let (from, to) = (anchors(source, &drawn), anchors(target, &drawn));

    let (d_x, d_y) = (source.width, target.width);
    let x = Side { rows: Rows::new(&from, d_x), encoder: &source.name, mean: None };
    let y = Side { rows: Rows::new(&to, d_y), encoder: &target.name, mean: None };
    let measured: Vec<(Method, [f64; 2])> = candidates(1)
        .into_iter()
        .map(|method| {
            let translator = Translator::fit_rows(&keys, &x, &y, &Choice::Method(method))?;
            Ok((method, measure(&translator, source, target)?))
        })
        .collect::<Result<_, Failure>>()?;
    let unseen = anchors(target, &others);
    let against = Against { unseen: Rows::new(&unseen, d_y), classes: None };
    let compared = Translator::compare(&keys, &x, &y, &against, &Best { by: By::PAt1, seed: 1 })?;
    let mut text = Vec::new();
    let mut regrets = [0.0; 2];
    for (at, by) in [By::PAt1, By::CentredCosine].into_iter().enumerate() {
        let chosen = compared.choose(by).method;
        let of = |method: &Method| format!("{} {}", method.name(), method.settings());
        let reached = measured.iter().find(|(method, _)| *method == chosen).ok_or("chosen from elsewhere")?.1[at];
        let (best, most) =
            measured.iter().fold((&chosen, reached), |(best, most), (method, found)| match found[at] > most {
                true => (method, found[at]),
                false => (best, most),
            });
        regrets[at] = most - reached;
        let points = 100.0 * regrets[at];
        text.push(format!("{} | {reached:.3} | {most:.3} | {} | {points:.1}", of(&chosen), of(best)));
    }
    Ok(Row { text: text.join(" | "), regrets })
}

fn anchors(encoder: &Encoder, drawn: &[usize]) -> Vec<f32> {
    Rows::new(&encoder.train.1, encoder.width).select(drawn)
}

/// P@1 and mean centred cosine on the test rows.
fn measure(translator: &Translator, source: &Encoder, target: &Encoder) -> Result<[f64; 2], Failure> {
    let (asked, natives) = (Rows::new(&source.test.1, source.width), Rows::new(&target.test.1, target.width));
    let mut translated = vec![0.0; asked.len() * target.width];
    let translation = translator.translation();
    translation
        .apply(asked.len(), |i| Some(asked.row(i)), &mut Scratch::default(), &mut translated)
        .map_err(|flaw| format!("row {} is not finite", flaw.row))?;
    let translated = Rows::new(&translated, target.width);
    let own: Vec<usize> = (0..asked.len()).collect();
    let ranks = ranks(translated, natives, &own, Search::default());
    let first = ranks.iter().filter(|rank| **rank == 1).count() as f64 / ranks.len() as f64;
    let cosines = similarities(translated, natives, &translator.target_mean).map(|[_, centred, _]| centred);
    Ok([first, cosines.sum::<f64>() / asked.len() as f64])
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
