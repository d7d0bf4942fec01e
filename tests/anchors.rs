//! `babelake anchors` and `fit --drop-suspects`: wrong pairs are found, and new ones asked for where none are.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use serde_json::Value;

use crate::tester::{World, columns, table, vector, vectors, with_id};

/// The rows of `table(keys, 6, 1)` in another space: rotated, scaled and shifted, with a little noise. Row i has the vector of
/// key `of(i)`.
fn twins(keys: std::ops::Range<i64>, of: impl Fn(i64) -> i64) -> RecordBatch {
    let keys: Vec<i64> = keys.collect();
    let values = keys.iter().flat_map(|&key| {
        let (x, noise) = (vector(of(key), 6, 1), vector(of(key), 6, 9));
        (0..6).map(move |i| 3.0 * x[(i + 1) % 6] + 2.0 + 0.2 * noise[i])
    });
    let values = values.collect();
    with_id(keys, vectors(values, 6, None))
}

/// Every tenth of 400 pairs has the twin of another.
fn mixed_up() -> World {
    let world = World::new();
    world.write("a.parquet", &table(0..400, 6, 1));
    world.write("b.parquet", &twins(0..400, |key| if key % 10 == 0 { (key + 130) % 400 } else { key }));
    world
}

fn integers(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn pairs_that_were_mixed_up_are_suspect() {
    let world = mixed_up();
    let run = world.ok("anchors check --source a.parquet --target b.parquet --key id -o pairs.parquet");
    let pairs = world.read("pairs.parquet");
    assert_eq!(pairs.num_rows(), 400);
    let suspect = pairs.column_by_name("suspect").unwrap().as_boolean().clone();
    let found: Vec<i64> = integers(&pairs, "id").into_iter().take(suspect.true_count()).collect();
    let right = found.iter().filter(|key| *key % 10 == 0).count();
    assert!(right >= 32 && found.len() - right <= 2, "{found:?}");
    assert!(run.stdout.contains(&format!("{} of 400 pairs are suspect: a residual above", found.len())));
    // The same ones whatever the order of the rows, as CSV without a word more.
    let b = world.read("b.parquet");
    world.write("parts/1.parquet", &b.slice(250, 150));
    world.write("parts/2.parquet", &b.slice(0, 250));
    let csv = |target: &str| {
        world.ok(&format!("anchors check --source a.parquet --target {target} --key id --format csv")).stdout
    };
    assert_eq!(csv("b.parquet"), csv("parts"));
    assert_eq!(csv("parts").lines().count(), found.len() + 1);
    let run = world.ok("anchors check --source a.parquet --target b.parquet --key id --where id%10<>0");
    assert!(run.stdout.contains(" of 360 pairs are suspect"), "{}", run.stdout);
}

#[test]
fn suspects_are_no_anchors_where_that_is_asked_for() {
    let world = mixed_up();
    // Asked are rows that are all right, and no anchors.
    let cosine = |options: &str| {
        let run = world.ok(&format!(
            "fit --source a.parquet --target b.parquet --key id -o t.parquet --overwrite --method linear --where id<300 \
             --eval-where \"id >= 300 AND id % 10 <> 0\" {options}"
        ));
        let found: Value = serde_json::from_str(&world.translator("t.parquet").diagnostics).unwrap();
        (found["quality"]["rows"][0]["centred_cosine"].as_f64().unwrap(), found, run.stdout)
    };
    let (with, found, _) = cosine("");
    assert_eq!((found["anchors"].as_i64(), &found["fit"]["suspects_dropped"]), (Some(300), &Value::Null));
    let (without, found, said) = cosine("--drop-suspects");
    let dropped = found["fit"]["suspects_dropped"].as_i64().unwrap();
    assert!((24..=32).contains(&dropped), "{dropped}");
    assert_eq!(found["anchors"].as_i64(), Some(300 - dropped));
    assert!(said.contains(&format!("suspect pairs: {dropped} left out")), "{said}");
    assert!(without > with, "{without} with wrong pairs left out, {with} with them");
}

/// A source of 3,000 rows with texts in two languages, of which nine in ten are French.
fn texts() -> RecordBatch {
    let keys: Vec<i64> = (0..3000).collect();
    let rows = table(keys.clone(), 6, 1);
    let language = |key: &i64| if key % 10 == 0 { "de" } else { "fr" };
    columns(vec![
        ("id", Arc::new(Int64Array::from(keys.clone())) as ArrayRef),
        ("lang", Arc::new(StringArray::from_iter_values(keys.iter().map(language)))),
        ("text", Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("text {key}"))))),
        ("embedding", rows.column(1).clone()),
    ])
}

#[test]
fn rows_to_embed_next_come_with_their_texts() {
    let world = World::new();
    world.write_groups("a.parquet", &texts(), 700);
    let run = world.ok("anchors suggest --source a.parquet --key id --text text -o next.parquet");
    assert!(run.stdout.contains("0 pairs are too few for a learning curve"), "{}", run.stdout);
    assert!(run.stdout.contains("next.parquet: 512 rows to embed, chosen from 3000 without a twin"), "{}", run.stdout);
    let next = world.read("next.parquet");
    let names: Vec<String> = next.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "text"]);
    let (keys, of_rows) = (integers(&next, "id"), next.column(1).as_string::<i32>());
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 512);
    assert!(keys.iter().zip(of_rows).all(|(key, text)| text == Some(&format!("text {key}"))));
    // The first of more are the same ones, and files do not matter.
    world.write("parts/x.parquet", &texts().slice(1000, 2000));
    world.write("parts/y.parquet", &texts().slice(0, 1000));
    world.ok("anchors suggest --source parts --key id --count 40 -o few.parquet");
    assert_eq!(integers(&world.read("few.parquet"), "id"), keys[..40]);
}

#[test]
fn rows_that_have_a_twin_are_not_suggested_and_the_curve_says_what_more_would_bring() {
    let world = World::new();
    world.write("a.parquet", &texts());
    world.write("b.parquet", &twins(0..1000, |key| key));
    let run = world.ok(
        "anchors suggest --source a.parquet --target b.parquet --key id --stratify lang --count 200 -o next.parquet",
    );
    assert!(run.stdout.contains("parseval, measured on 200 pairs that are held out"), "{}", run.stdout);
    let points = ["64", "128", "256", "400", "512", "800"];
    assert!(points.iter().all(|point| run.stdout.contains(&format!("| {point:>7} |"))), "{}", run.stdout);
    // Six dimensions are known from 64 pairs.
    assert!(run.stdout.contains("more anchors hardly pay: from 400 to 800 anchors"), "{}", run.stdout);
    let next = world.read("next.parquet");
    let keys = integers(&next, "id");
    assert!(keys.len() == 200 && keys.iter().all(|key| *key >= 1000), "{keys:?}");
    let german = |keys: &[i64]| keys.iter().filter(|key| *key % 10 == 0).count();
    assert_eq!(german(&keys), 20);
    assert!((9..=11).contains(&german(&keys[..100])), "any first part has its share");
    let run = world.ok(
        "anchors suggest --source a.parquet --target b.parquet --key id --where id>=2990 --count 500 -o few.parquet",
    );
    assert!(run.stdout.contains("few.parquet: 10 rows to embed"), "{}", run.stdout);
}

#[test]
fn bad_input_is_named() {
    let world = mixed_up();
    world.write("few.parquet", &table(0..19, 6, 1));
    world.write("other.parquet", &table(1000..1020, 6, 1));
    for (line, words) in [
        ("check --source a.parquet --target few.parquet --key id", &["19 pairs are too few"][..]),
        ("check --source a.parquet --target other.parquet --key id", &["no key `id` is in both tables"]),
        ("check --source a.parquet --target b.parquet --key key", &["a.parquet: there is no column `key`"]),
        ("check --source a.parquet --target b.parquet --key id --anchors 1", &["--anchors 1: from 2"]),
        ("check --source a.parquet --target b.parquet --key id -o a.parquet", &["is an input of this check"]),
        (
            "suggest --source a.parquet --target b.parquet --key id -o x.parquet",
            &["a.parquet: has no row that could be"],
        ),
        ("suggest --source a.parquet --key id --text body -o x.parquet", &["a.parquet: there is no column `body`"]),
        ("suggest --source a.parquet --key id --stratify lang -o x.parquet", &["a.parquet: there is no column `lang`"]),
        ("suggest --source a.parquet --key id --count 0 -o x.parquet", &["--count 0"]),
        ("suggest --source a.parquet --key id -o a.parquet", &["is an input of this suggestion"]),
    ] {
        world.fails(&format!("anchors {line}"), words);
    }
}
