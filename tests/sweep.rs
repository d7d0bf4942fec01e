//! `babelake sweep`: its numbers are those of `fit`, means are over what they say, and only its order of work differs.

use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::Value;

use crate::tester::{Run, World, table, vector, vectors, with_id};

/// Rows whose vectors are those of seed 1, mixed anew for every encoder, with noise of their own: translations find something.
fn encoder(world: &World, name: &str, rows: i64, width: usize, seed: u64) {
    let keys: Vec<i64> = (0..rows).collect();
    let mix = vector(0, 12 * width, seed);
    let row = |&key: &i64| {
        let (known, noise) = (vector(key, 12, 1), vector(key, width, seed));
        let mixed = |j: usize| known.iter().enumerate().map(|(i, x)| x * mix[i * width + j]).sum::<f32>();
        (0..width).map(|j| 0.5 + mixed(j) + 0.2 * noise[j]).collect::<Vec<_>>()
    };
    let values = keys.iter().flat_map(row).collect();
    world.write(name, &with_id(keys, vectors(values, width, None)));
}

/// A column of numbers by name; NULL is NaN.
fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().map(|x| x.unwrap_or(f64::NAN)).collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap().to_owned()).collect()
}

const MEASURES: [&str; 6] = ["cosine", "centred_cosine", "p_at_1", "mrr", "kept_anchors", "condition_number"];

#[test]
fn a_row_is_what_fit_says_of_its_setting() {
    let world = World::new();
    encoder(&world, "a.parquet", 900, 16, 2);
    encoder(&world, "b.parquet", 960, 20, 3);
    let options = "--key id --where \"id % 7 <> 3\" --eval-where \"id % 7 = 3\" --anchors 150";
    world.ok(&format!("sweep a.parquet b.parquet {options} --omega 3,1 --delta 0.5,0,0.3 -o s.parquet"));
    let swept = world.read("s.parquet");
    assert_eq!(texts(&swept, "method")[5..8], ["irp", "parseval", "procrustes"]);
    for (row, method) in texts(&swept, "method").iter().enumerate() {
        let (omega, delta) = (numbers(&swept, "omega")[row], numbers(&swept, "delta")[row]);
        let setting = match method.as_str() {
            "irp" => format!("--method irp --omega {omega} --delta {delta}"),
            // In the table of any method.
            "mean-only" | "do-nothing" => "--method linear".to_owned(),
            other => format!("--method {other}"),
        };
        world.ok(&format!("fit --source a.parquet --target b.parquet {options} {setting} -o t.parquet --overwrite"));
        // The translator measured is fitted on the rows of --where alone, as the one stored is.
        let found: Value = serde_json::from_str(&world.translator("t.parquet").diagnostics).unwrap();
        let rows = found["quality"]["rows"].as_array().unwrap();
        let quality = rows.iter().find(|row| row["name"] == **method).unwrap();
        for name in &MEASURES[..4] {
            let (got, want) = (numbers(&swept, name)[row], quality[*name].as_f64().unwrap_or(f64::NAN));
            let tolerance = if method == "irp" { 1e-6 } else { 1e-12 };
            let same = (got - want).abs() < tolerance || (got.is_nan() && want.is_nan());
            assert!(same, "{setting}, {name}: {got}, {want}");
        }
        if let Some(members) = found["members"].as_array() {
            let mean = |name: &str| members.iter().filter_map(|m| m[name].as_f64()).sum::<f64>() / members.len() as f64;
            assert_eq!(numbers(&swept, "kept_anchors")[row], mean("anchors"), "{setting}");
            let ratio = numbers(&swept, "condition_number")[row] / mean("condition_number");
            assert!((ratio - 1.0).abs() < 1e-6, "{setting}: {ratio}");
        }
    }
    assert!(numbers(&swept, "cosine_sd").iter().all(|x| x.is_nan()), "one run has no deviation");
}

#[test]
fn a_folder_is_all_ordered_pairs_and_every_seed() {
    let world = World::new();
    for (name, width, seed) in [("a", 10, 2), ("b", 14, 3), ("c", 10, 4)] {
        encoder(&world, &format!("lake/{name}.parquet"), 400, width, seed);
    }
    let options = "--key id --anchors 100 --omega 2 --delta 0.2,0.6 --method irp,linear";
    let run = world.ok(&format!("sweep lake/ {options} --seeds 2 --intra -o all.parquet"));
    assert!(run.stdout.contains("a, b, c: 9 ordered pairs; seeds: 2; anchors: 100"), "{}", run.stdout);
    let all = world.read("all.parquet");
    let spaces = texts(&all, "spaces");
    assert_eq!(spaces, [["intra"; 5], ["inter"; 5]].concat());
    let runs: Vec<i64> = all["runs"].as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(runs, [[6; 5], [12; 5]].concat());

    let mut pairs = Vec::new();
    for (from, to) in [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")] {
        let out = format!("{from}{to}.parquet");
        world.ok(&format!("sweep lake/{from}.parquet lake/{to}.parquet {options} --seeds 2 -o {out}"));
        pairs.push(world.read(&out));
    }
    for name in MEASURES {
        let want = |row: usize| {
            let found: Vec<f64> = pairs.iter().map(|pair| numbers(pair, name)[row]).filter(|x| !x.is_nan()).collect();
            found.iter().sum::<f64>() / found.len() as f64
        };
        for (row, got) in numbers(&all, name)[5..].iter().enumerate() {
            // Of do-nothing, the pairs of one width; no measure where there is none.
            assert!((got - want(row)).abs() < 1e-9 || got.is_nan() && want(row).is_nan(), "{name} of row {row}: {got}");
        }
    }
    assert!(numbers(&all, "cosine_sd")[..9].iter().all(|x| *x >= 0.0));
    // A space into itself, least squares: what is lost are lengths.
    assert!(numbers(&all, "p_at_1")[2] == 1.0 && numbers(&all, "centred_cosine")[4] > 1.0 - 1e-9);
}

#[test]
fn threads_change_nothing_but_seconds() {
    let world = World::new();
    encoder(&world, "a.parquet", 500, 30, 2);
    encoder(&world, "b.parquet", 500, 24, 3);
    let swept = |threads: &str| {
        let line = "sweep a.parquet b.parquet --key id --anchors 200 --seeds 2 --overwrite -o s.parquet";
        let run: Run = world.command(line).env("RAYON_NUM_THREADS", threads).output().unwrap().into();
        run.expect(0, &[]);
        let batch = world.read("s.parquet");
        MEASURES.map(|name| [name.to_owned(), format!("{name}_sd")].map(|name| batch[name.as_str()].to_data()))
    };
    assert_eq!(swept("1"), swept("3"));
}

#[test]
fn the_table_the_figure_and_the_formats() {
    let world = World::new();
    encoder(&world, "a.parquet", 300, 8, 2);
    encoder(&world, "b.parquet", 300, 8, 3);
    let sweep = "sweep a.parquet b.parquet --key id --anchors 100 --omega 1,4 --delta 0,0.4";
    let run = world.ok(&format!("{sweep} --svg s.svg -o s.parquet"));
    assert!(run.stdout.contains("a -> b; seeds: 1; anchors: 100\nmeasured: 60 held-out rows"), "{}", run.stdout);
    assert!(run.stdout.contains("| irp        |     4 |   0.4 |"), "{}", run.stdout);
    let figure = world.text("s.svg");
    for text in ["<svg", "a → b, 100 anchors", "ω = 1", "ω = 4", "parseval", "condition number", "kept anchors"] {
        assert!(figure.contains(text), "no {text} in\n{figure}");
    }
    let json: Value = serde_json::from_str(&world.ok(&format!("{sweep} --format json")).stdout).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[3]["delta"]), (12, &Value::from(0.4)));
    let csv = world.ok(&format!("{sweep} --format csv")).stdout;
    assert!(csv.starts_with("spaces,method,omega,delta,runs,cosine,cosine_sd,"), "{csv}");
    assert_eq!(csv.lines().count(), 13);

    let bytes = (world.bytes("s.parquet"), world.bytes("s.svg"));
    world.run(&format!("{sweep} -o s.parquet")).expect(1, &["s.parquet: exists: give --overwrite"]);
    world.run(&format!("{sweep} --svg s.svg")).expect(1, &["s.svg: exists: give --overwrite"]);
    world.run(&format!("{sweep} -o a.parquet --overwrite")).expect(1, &["a.parquet: is among the tables"]);
    assert_eq!((world.bytes("s.parquet"), world.bytes("s.svg")), bytes);
}

#[test]
fn what_cannot_be_compared_is_named_before_the_work() {
    let world = World::new();
    encoder(&world, "a.parquet", 300, 8, 2);
    encoder(&world, "lake/b.parquet", 300, 8, 3);
    world.write("c.parquet", &table(900..910, 8, 3));
    for (line, words) in [
        ("a.parquet --key id", &["a.parquet: is the only table here", "--intra"][..]),
        ("lake/ --key id", &["lake/b.parquet: is the only table here"]),
        ("a.parquet nowhere.parquet --key id", &["nowhere.parquet: there is no such file"]),
        ("a.parquet lake --key no", &["a.parquet", "`no`"]),
        ("a.parquet c.parquet --key id", &["no key `id` is in both tables"]),
        ("a.parquet lake --key id --eval-where id<0", &["a.parquet -> lake", "none can be held out"]),
        ("a.parquet lake --key id --omega 0", &["omega 0 is outside"]),
        ("a.parquet lake --key id --delta 0.5,-0.1", &["delta -0.1 is outside"]),
        ("a.parquet lake --key id --method procrusted", &["method 'procrusted' is unknown"]),
        ("a.parquet lake --key id --method linear --omega 8", &["settings of irp"]),
        ("a.parquet lake --key id --method linear --svg s.svg", &["--svg draws irp over delta"]),
        ("a.parquet lake --key id --delta 0.5 --svg s.svg", &["two --delta"]),
        ("a.parquet lake --key id --anchors 1", &["1 anchors are asked for"]),
        ("a.parquet lake --key id --queries 0", &["0 held-out rows are asked for"]),
        ("a.parquet lake --key id --seeds 0", &["0 seeds"]),
        ("a.parquet lake --key id --where id=1", &["a.parquet -> lake", "of 1 pairs none can be held out"]),
        (
            "a.parquet lake --key id --where id=1 --eval-where id>9",
            &["a.parquet -> lake", "0 usable anchor(s) of 1", "at least two"],
        ),
    ] {
        let run = world.run(&format!("sweep {line}")).expect(1, words);
        assert_eq!(run.stdout, "", "{line}");
    }
    assert!(!world.exists("s.svg"));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_and_nothing_is_written() {
    let world = World::new();
    encoder(&world, "a.parquet", 2000, 200, 2);
    let line = "sweep a.parquet --intra --key id --anchors 1500 --omega 512 --seeds 100 -o s.parquet --svg s.svg";
    let mut child = world.command(line).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let told = Instant::now();
    while child.try_wait().unwrap().is_none() && told.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().ok();
    let ended: Run = child.wait_with_output().unwrap().into();
    ended.expect(130, &["stopped by a signal; nothing was written"]);
    assert_eq!(world.files("."), ["a.parquet"]);
}

#[test]
fn classes_are_read_by_heads_of_the_targets() {
    let world = World::new();
    let sample = |name: &str| format!("{}/sample_data/digits_{name}.parquet", env!("CARGO_MANIFEST_DIR"));
    let (a, b) = (sample("mlp_a"), sample("mlp_b"));
    let options = ["--key", "id", "--where", "split = 'train'", "--eval-where", "split = 'test'", "--anchors", "300"];
    let settings = ["--omega", "1,4", "--delta", "0.3,0.5,0.7", "--method", "irp,linear", "--label", "label"];
    let outputs = ["-o", "s.parquet", "--svg", "s.svg"];
    let run = world.run(&[&["sweep", &a, &b][..], &options, &settings, &outputs].concat()[..]).expect(0, &[]);
    // A linear head of scikit-learn reads 0.980 of the native test rows (sample_data/README.md).
    let native: f64 = run.stdout.split_once("on their own rows: ").unwrap().1.lines().next().unwrap().parse().unwrap();
    assert!((native - 0.980).abs() < 0.01, "{native}");
    for text in ["cosine and accuracy ", "condition number and kept anchors "] {
        assert!(run.stdout.contains(text), "no {text} in {}", run.stdout);
    }
    let swept = world.read("s.parquet");
    let accuracy = numbers(&swept, "accuracy");
    assert_eq!(texts(&swept, "method")[6..], ["linear", "mean-only", "do-nothing"]);
    // Linear is nearly native, and the mean is of one class.
    assert!(accuracy[6] > 0.93 && accuracy[7] < 0.2 && accuracy[8].is_nan(), "{accuracy:?}");
    // What the pipeline of SQL statements says of a setting: stitching with the same head.
    let sql = format!(
        "SELECT avg(CASE WHEN emb_classify(emb_translate(embedding, t), (SELECT emb_head(id, embedding, label) FROM '{b}' WHERE split = 'train')) = label
             THEN 1.0 ELSE 0 END) AS accuracy FROM '{a}' CROSS JOIN 't.parquet' WHERE split = 'test'"
    );
    let fit = ["--method", "irp", "--omega", "4", "--delta", "0.5", "-o", "t.parquet"];
    world.run(&[&["fit", "--source", &a, "--target", &b][..], &options, &fit].concat()[..]).expect(0, &[]);
    let csv = world.run(&["sql", "--format", "csv", "-c", &sql]).expect(0, &[]).stdout;
    let stitched: f64 = csv.lines().last().unwrap().parse().unwrap();
    assert!((stitched - accuracy[4]).abs() < 0.004, "{stitched} {accuracy:?}");
    let figure = world.text("s.svg");
    assert!(figure.contains(">accuracy<") && figure.contains(">native<") && !figure.contains(">centred cosine<"));

    let without = ["--label", "digit"];
    world.run(&[&["sweep", &a, &b][..], &options, &without].concat()[..]).expect(1, &["digit"]);
    let unknown = [
        "--key",
        "id",
        "--where",
        "split = 'train' AND label < 5",
        "--eval-where",
        "split = 'test'",
        "--label",
        "label",
    ];
    world.run(&[&["sweep", &a, &b][..], &unknown].concat()[..]).expect(
        1,
        &["is none that the head knows: it knows 0, 1, 2, 3, 4; a class of the held-out rows is not among the others"],
    );
    let one = ["--key", "id", "--where", "label = 3", "--eval-where", "split = 'test'", "--label", "label"];
    world
        .run(&[&["sweep", &a, &b][..], &one].concat()[..])
        .expect(1, &["one class, '3': a head tells at least two classes apart"]);
}
