//! `babelake eval`: who asks, what is searched, and what the verdict goes by.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Float64Type;

use crate::tester::{Run, World, columns, poison, random, table, vector, vectors, with_id};

/// Documents by a model whose vectors are those of `seed`, with some noise of their own.
fn noisy(keys: std::ops::Range<i64>, width: usize, seed: u64, noise: f32) -> RecordBatch {
    let keys: Vec<i64> = keys.collect();
    let values = keys.iter().flat_map(|&key| {
        let other = vector(key, width, seed + 50);
        vector(key, width, seed).into_iter().zip(other).map(move |(x, n)| x + noise * n)
    });
    let values = values.collect();
    with_id(keys, vectors(values, width, None))
}

/// `old` of 5 numbers, `new` of 8, `same` as good a translation as can be, `near` a good one and `bad` none at all.
fn lake() -> World {
    let world = World::new();
    world.write("old.parquet", &table(0..300, 5, 1));
    world.write("new.parquet", &table(0..300, 8, 2));
    world.write("same.parquet", &table(0..310, 8, 2));
    world.write("near.parquet", &noisy(0..300, 8, 2, 0.05));
    world.write("bad.parquet", &table(0..300, 8, 3));
    world
}

const DOCUMENTS: &str = "eval --old-docs old.parquet --native new.parquet --key id --pool 200";

/// The cells of an option's line in the table.
fn cells(run: &Run, option: &str) -> Vec<String> {
    let line = run.stdout.lines().find(|line| line.starts_with(&format!("| {option} "))).unwrap();
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn number(cell: &str) -> f64 {
    cell.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_perfect_translation_wins_and_a_bad_one_does_not() {
    let world = lake();
    let run = world.ok(&format!("{DOCUMENTS} --translated same.parquet"));
    assert!(
        run.stdout.contains("translate, stored as: 200 queries by the target's model, 200 translated rows searched")
    );
    let as_is = cells(&run, "f32");
    assert_eq!(as_is[1..], ["32", "1.000 (1.000 to 1.000)", ""], "{}", run.stdout);
    let (int8, binary) = (cells(&run, "int8"), cells(&run, "binary"));
    assert!(
        int8[1] == "12" && binary[1] == "1" && number(&int8[2]) > 0.9 && number(&binary[2]) < 0.8,
        "{}",
        run.stdout
    );
    for option in ["re-embed", "translate"] {
        assert!(cells(&run, option)[3..6].iter().all(|cell| cell == "1.000 (1.000 to 1.000)"), "{}", run.stdout);
    }
    assert!(run.stdout.contains("documents: 200 of the 300 that are in old.parquet, same.parquet and new.parquet"));
    assert!(run.stdout.contains("queries: 200 of these documents, each without itself"), "{}", run.stdout);
    assert!(run.stdout.contains(", fitted 5 times on the documents searched"), "{}", run.stdout);
    assert!(run.stdout.contains("verdict: translate: the cheapest that keeps 0.9 of the nDCG@10"), "{}", run.stdout);
    assert!(run.stdout.contains("do-nothing: n/a, the models have vectors of different widths"), "{}", run.stdout);
    assert!(run.stderr.contains("only 200 documents are searched"), "{}", run.stderr);
    // Chance: 10 of the 199 others.
    assert!((number(&cells(&run, "mean-only")[3]) - 10.0 / 199.0).abs() < 0.02);

    let run = world.ok(&format!("{DOCUMENTS} --translated bad.parquet"));
    assert_eq!(cells(&run, "translate")[7], "no");
    assert!(run.stdout.contains("verdict: re-embed: nothing cheaper keeps 0.9"), "{}", run.stdout);
    // The old model is the new one: nothing to do.
    let run = world.ok("eval --old-docs new.parquet --translated bad.parquet --native new.parquet --key id");
    assert!(run.stdout.contains("verdict: stay: the cheapest"), "{}", run.stdout);
    assert_eq!(cells(&run, "do-nothing")[3], "1.000 (1.000 to 1.000)");
}

#[test]
fn the_order_of_rows_and_files_does_not_matter() {
    let world = lake();
    let whole = world.read("near.parquet");
    world.write("parts/b.parquet", &whole.slice(0, 101));
    world.write("parts/a.parquet", &whole.slice(101, 199));
    let one = world.ok(&format!("{DOCUMENTS} --translated near.parquet --format csv --seed 3"));
    let two = world.ok(&format!("{DOCUMENTS} --translated parts --format csv --seed 3"));
    assert_eq!(one.stdout, two.stdout);
    assert!(one.stderr.contains("verdict: "), "{}", one.stderr);
    let other = world.ok(&format!("{DOCUMENTS} --translated near.parquet --format csv --seed 4"));
    assert_ne!(one.stdout, other.stdout);
}

#[test]
fn judged_answers_are_what_counts() {
    let world = lake();
    // Query 1000 + i is the twin of document i, in both models.
    let asked = |width: usize, seed: u64, from: i64| {
        let keys: Vec<i64> = (from..60).collect();
        let values = keys.iter().flat_map(|&key| vector(key, width, seed)).collect();
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("q{key}"))));
        columns(vec![("q", names), ("embedding", Arc::new(vectors(values, width, None)) as ArrayRef)])
    };
    world.write("q_new.parquet", &asked(8, 2, 0));
    world.write("q_old.parquet", &asked(5, 1, 10));
    let qrels = |grades: [f64; 2]| {
        let names = (0..60).flat_map(|i| [format!("q{i}"), format!("q{i}")]);
        let documents = (0..60).flat_map(|i| [i, if i == 59 { 9999 } else { i + 100 }]);
        let grades = (0..60).flat_map(|_| grades);
        columns(vec![
            ("query", Arc::new(StringArray::from_iter_values(names)) as ArrayRef),
            ("doc", Arc::new(Int64Array::from_iter_values(documents))),
            ("grade", Arc::new(Float64Array::from_iter_values(grades))),
        ])
    };
    // The second one is not relevant.
    world.write("qrels.parquet", &qrels([2.0, 0.0]));
    let common = format!("{DOCUMENTS} --queries q_new.parquet --query-key q --qrels-columns query,doc,grade");
    let run = world.ok(&format!("{common} --qrels qrels.parquet --translated same.parquet"));
    assert!(run.stdout.contains("queries: 60 of 60 of q_new.parquet"), "{}", run.stdout);
    assert!(run.stdout.contains("truth: 60 of the 60 judgements above 0"), "{}", run.stdout);
    assert!(run.stdout.contains("fitted on 200 of the documents searched, which flatters it"), "{}", run.stdout);
    assert!(run.stdout.contains("stay: n/a, needs --old-queries"), "{}", run.stdout);
    assert_eq!(cells(&run, "re-embed")[5], "1.000 (1.000 to 1.000)");
    let run = world.ok(&format!(
        "{common} --qrels qrels.parquet --translated bad.parquet --old-queries q_old.parquet --format table"
    ));
    assert!(run.stdout.contains("queries: 50 of 50 of q_new.parquet that q_old.parquet holds, too"), "{}", run.stdout);
    assert!(run.stdout.contains("verdict: stay: "), "{}", run.stdout);
    assert!(run.stdout.contains("no better than the old one as far as these queries tell"), "{}", run.stdout);
    // The second one is found by chance alone: its twin's grade is a third of the best order's.
    world.write("qrels.parquet", &qrels([1.0, 1.0]));
    let run = world.ok(&format!("{common} --qrels qrels.parquet --translated same.parquet"));
    assert!(run.stdout.contains("truth: 119 of the 120 judgements above 0"), "{}", run.stdout);
    let recall = number(&cells(&run, "re-embed")[3]);
    assert!((0.5..0.65).contains(&recall), "{recall}");
}

#[test]
fn a_gate_that_is_not_met_is_exit_code_3_and_the_numbers_are_there() {
    let world = lake();
    let gate = |gate: &str, translated: &str, code: i32, words: &[&str]| {
        let line = format!("{DOCUMENTS} --translated {translated} --overwrite -o m.parquet --gate");
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.push(gate);
        world.run(arguments.as_slice()).expect(code, words)
    };
    let run =
        gate("recall_at_10 >= 0.9 * native", "same.parquet", 0, &["the gate recall_at_10 >= 0.9 * native is met"]);
    assert!(run.stdout.contains("verdict: translate: the gate is met, and nothing cheaper"), "{}", run.stdout);
    let run = gate("recall_at_10 >= 0.9 * native", "bad.parquet", 3, &["is not met", "embed again, or fit on more"]);
    assert!(run.stdout.contains("and the gate is not met"), "{}", run.stdout);
    let rows = world.read("m.parquet");
    let names = rows.column_by_name("option").unwrap().as_string::<i32>().clone();
    let names: Vec<&str> = names.iter().flatten().collect();
    assert_eq!(names[..6], ["re-embed", "translate", "query adapter", "stay", "mean-only", "do-nothing"]);
    let ways = [
        "f32",
        "f16",
        "int8",
        "binary",
        "binary, binary queries",
        "f32, first 4",
        "f32, first 2",
        "f32, first 1",
        "int8, first 4",
    ];
    assert_eq!(names[6..], ways.map(|way| format!("translate as {way}")));
    let number = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
    assert_eq!(number("ndcg_at_10").value(0), 1.0);
    assert!(number("recall_at_10").value(1) < 0.2);
    // A mean between its ends.
    let mean = number("recall_at_10").value(1);
    gate(&format!("recall_at_10 >= {mean}"), "bad.parquet", 3, &["is borderline"]);
    gate("p_at_1 >= 0.9", "same.parquet", 1, &["there is no such measure: mrr_at_10, ndcg_at_10, recall_at_10"]);
    gate("recall_at_10", "same.parquet", 2, &["MEASURE OP NUMBER"]);
}

#[test]
fn rows_without_a_vector_are_passed_over() {
    let world = lake();
    let nulls = NullBuffer::from_iter((0..300).map(|row| row % 3 != 1));
    world.write("holes.parquet", &with_id((0..300).collect(), vectors(random(4, 2400), 8, Some(nulls))));
    let run = world.ok("eval --old-docs old.parquet --native new.parquet --key id --translated holes.parquet");
    assert!(run.stdout.contains("documents: 200 of the 300"), "{}", run.stdout);
    assert!(run.stdout.contains("(100 passed over, whose embedding is NULL somewhere)"), "{}", run.stdout);
    let run = world.ok(
        "eval --old-docs old.parquet --native new.parquet --key id --translated holes.parquet --where id>=150 --format json",
    );
    assert!(run.stdout.starts_with(r#"[{"option":"re-embed","queries":"new","documents":"native","recall_at_10":1.0"#));
}

#[test]
fn bad_input_is_named() {
    let world = lake();
    world.write("other.parquet", &table(1000..1300, 8, 2));
    world.write("few.parquet", &table(0..8, 8, 2));
    world.write("adapter.parquet", &table(0..8, 8, 2));
    let twice: Vec<i64> = (0..299).chain([0]).collect();
    world.write("twice.parquet", &with_id(twice, vectors(random(4, 2400), 8, None)));
    let whole = world.read("new.parquet");
    world.write("nan.parquet", &with_id((0..300).collect(), poison(whole.column(1), 7)));
    let qrels = |document: ArrayRef, grade: ArrayRef| {
        columns(vec![
            ("query", Arc::new(Int64Array::from(vec![1, 1])) as ArrayRef),
            ("document", document),
            ("grade", grade),
        ])
    };
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1, 1]));
    let none: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    world.write("j_twice.parquet", &qrels(ones.clone(), ones.clone()));
    world.write("j_null.parquet", &qrels(ones.clone(), none));
    world.write("j_text.parquet", &qrels(texts, ones.clone()));
    let far: ArrayRef = Arc::new(Int64Array::from(vec![7000, 7001]));
    world.write("j_far.parquet", &qrels(far, ones));
    for (options, words) in [
        ("--translated old.parquet", &["old.parquet: has vectors of 5 numbers, and new.parquet has 8"][..]),
        ("--translated other.parquet", &["other.parquet: has none of the 300 keys that old.parquet and new.parquet"]),
        ("--translated few.parquet", &["8 documents with an embedding", "more than 10 are needed"]),
        ("--translated twice.parquet", &["twice.parquet: key 0 occurs more than once"]),
        ("--translated nan.parquet --where id<100", &["nan.parquet: column `embedding`, row 7"]),
        ("--translated same.parquet --old-column x", &["old.parquet: there is no column `x`"]),
        ("--translated same.parquet --where id<0", &["and --where selects"]),
        (
            "--translated same.parquet --queries old.parquet",
            &["old.parquet: has vectors of 5 numbers, and new.parquet has 8"],
        ),
        ("--translated same.parquet --queries new.parquet --old-queries new.parquet", &["and old.parquet has 5"]),
        ("--translated same.parquet --queries new.parquet --query-key q", &["new.parquet: there is no column `q`"]),
        ("--translated same.parquet --old-queries old.parquet", &["give --queries, too"]),
        ("--translated same.parquet --qrels new.parquet", &["new.parquet: there is no column `query`"]),
        ("--translated same.parquet --qrels j_twice.parquet", &["document 1 is judged twice for query 1"]),
        ("--translated same.parquet --qrels j_null.parquet", &["j_null.parquet: column `grade`, row 1: is NULL"]),
        ("--translated same.parquet --qrels j_text.parquet", &["key `document` is string", "CAST"]),
        ("--translated same.parquet --qrels j_far.parquet", &["no query has a document judged relevant"]),
        ("--translated same.parquet --qrels j_far.parquet --qrels-columns a,b", &["name three columns"]),
        ("--translated same.parquet --adapter new.parquet", &["new.parquet: holds no translator"]),
        ("--translated same.parquet --keep 0", &["--keep 0 is outside (0, 1]"]),
        ("--translated same.parquet --metric dot", &["cosine, centred_cosine, inner_product, l2 are known"]),
        ("--translated same.parquet -o new.parquet", &["new.parquet: is an input of this evaluation"]),
    ] {
        world.fails(&format!("{DOCUMENTS} --overwrite {options}"), words);
    }
    // A translator the wrong way round.
    world.ok("fit --source old.parquet --target new.parquet --key id -o t.parquet");
    world.fails(
        &format!("{DOCUMENTS} --translated same.parquet --adapter t.parquet"),
        &["t.parquet: translates 5 numbers to 8", "fit it with --source new.parquet --target old.parquet"],
    );
    world.ok("fit --source new.parquet --target old.parquet --key id -o back.parquet --method ridge");
    let run = world.ok(&format!("{DOCUMENTS} --translated same.parquet --adapter back.parquet"));
    assert!(run.stdout.contains("query adapter: back.parquet, method ridge"), "{}", run.stdout);
}
