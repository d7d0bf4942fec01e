//! `babelake fit`: which rows take part, what is held out, and that nothing else matters.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take_record_batch;
use serde_json::Value;

use crate::tester::{World, columns, random, table, vector, vectors, with_id};

fn diagnostics(world: &World, translator: &str) -> Value {
    serde_json::from_str(&world.translator(translator).diagnostics).unwrap()
}

/// A measure of the method's own row of the quality table.
fn measure(diagnostics: &Value, row: usize, name: &str) -> Option<f64> {
    diagnostics["quality"]["rows"][row][name].as_f64()
}

fn shuffled(batch: &RecordBatch, seed: u64) -> RecordBatch {
    let draws = random(seed, batch.num_rows());
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by(|&a, &b| draws[a as usize].total_cmp(&draws[b as usize]));
    take_record_batch(batch, &UInt32Array::from(order)).unwrap()
}

#[test]
fn the_order_of_rows_row_groups_and_files_do_not_matter() {
    let world = World::new();
    // Some rows without a twin, and more pairs than anchors: every draw matters.
    let (a, b) = (table(0..700, 12, 1), table(100..900, 10, 2));
    world.write("a1.parquet", &a);
    world.write("b1.parquet", &b);
    world.write_groups("a2.parquet", &shuffled(&a, 5), 64);
    let b = shuffled(&b, 6);
    world.write_groups("b2/part=1/x.parquet", &b.slice(0, 333), 50);
    world.write("b2/y.parquet", &b.slice(333, 467));
    let fit = |source: &str, target: &str, method: &str| {
        let out = format!("{source}_{method}.parquet");
        world.ok(&format!(
            "fit --source {source}.parquet --target {target} --key id -o {out} --source-name a --target-name b \
             --anchors 150 --seed 3 --method {method}"
        ));
        world.bytes(&out)
    };
    for method in ["best", "parseval", "irp", "procrustes", "linear", "ridge", "l_ortho", "affine"] {
        assert!(fit("a1", "b1.parquet", method) == fit("a2", "b2", method), "{method}");
    }
    let other = world.ok("fit --source a1.parquet --target b1.parquet --key id -o s.parquet --anchors 150 --seed 4");
    assert!(other.stdout.contains("anchors: 150 of 600"), "{}", other.stdout);
    assert_ne!(world.translator("s.parquet").keys_digest, world.translator("a1_parseval.parquet").keys_digest);
}

#[test]
fn a_fifth_is_held_out_and_the_pool_is_every_target_row() {
    for (pairs, held) in [(1100, 220), (500, 200), (300, 60), (5, 1)] {
        let world = World::new();
        world.write("a.parquet", &table(0..pairs, 4, 1));
        world.write("b.parquet", &table(0..pairs + 30, 4, 2));
        let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet");
        let found = diagnostics(&world, "t.parquet");
        let quality = &found["quality"];
        let ways = quality["storage"]["rows"].as_array();
        assert_eq!(ways.is_some(), held > 10, "{held} rows have no 10 others");
        if let Some(ways) = ways {
            assert_eq!((&ways[0]["name"], &ways[0]["change"]), (&"f32".into(), &0.0.into()));
            assert!(ways.iter().any(|way| way["name"] == "int8" && way["recall_at_10"].is_f64()));
        }
        assert_eq!(
            (quality["queries"].as_i64(), quality["pool"].as_i64(), quality["anchors"].as_i64()),
            (Some(held), Some(pairs + 30), Some(pairs - held))
        );
        // The translator stored is fitted on all of them.
        assert_eq!(
            (found["anchors"].as_i64(), found["fit"]["target_rows_without_twin"].as_i64()),
            (Some(pairs), Some(30))
        );
        assert_eq!(run.stderr.contains("the pool has only"), pairs + 30 < 1000, "{}", run.stderr);
        assert_eq!(measure(&found, 1, "centred_cosine"), Some(0.0));
    }
}

#[test]
fn too_few_pairs_are_fitted_and_not_measured() {
    let world = World::new();
    world.write("a.parquet", &table(0..4, 3, 1));
    world.write("b.parquet", &table(0..4, 5, 2));
    let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet");
    assert!(run.stderr.contains("nothing could be measured"), "{}", run.stderr);
    assert!(run.stderr.contains("fewer anchors (4) than dimensions (5)"), "{}", run.stderr);
    assert_eq!(diagnostics(&world, "t.parquet")["quality"], Value::Null);
}

#[test]
fn an_exact_rotation_is_found_and_the_dumb_answers_are_told_apart() {
    let world = World::new();
    // y = 3 (x with its numbers moved on by one) + 2: a rotation, a scale and a shift.
    let moved = |key: i64| {
        let x = vector(key, 6, 1);
        (0..6).map(|i| 3.0 * x[(i + 1) % 6] + 2.0).collect::<Vec<_>>()
    };
    let keys: Vec<i64> = (0..500).collect();
    world.write("a.parquet", &table(keys.clone(), 6, 1));
    let values = keys.iter().flat_map(|&key| moved(key)).collect();
    world.write("b.parquet", &with_id(keys, vectors(values, 6, None)));
    let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet --method parseval");
    assert!(run.stdout.contains("| parseval   |"), "{}", run.stdout);
    let found = diagnostics(&world, "t.parquet");
    // Unit directions of a cube's random points: near, not exact, for lengths are not kept.
    assert!(measure(&found, 0, "centred_cosine").unwrap() > 0.99);
    assert!(measure(&found, 0, "p_at_1").unwrap() > 0.9);
    assert!(measure(&found, 1, "cosine").unwrap() > 0.7, "the mean alone flatters");
    assert!(measure(&found, 1, "p_at_1").unwrap() < 0.05);
    assert!(measure(&found, 2, "centred_cosine").unwrap() < 0.5);
    // Another width: do-nothing does not apply.
    world.write("c.parquet", &table(0..500, 7, 2));
    let run = world.ok("fit --source a.parquet --target c.parquet --key id -o u.parquet");
    let line = run.stdout.lines().find(|line| line.contains("do-nothing")).unwrap();
    assert_eq!(line.matches("n/a").count(), 4);
}

/// Rows with a document, a chunk in it and a split; no column alone is a key but `id`.
fn chunks(width: usize, seed: u64) -> RecordBatch {
    let keys: Vec<i64> = (0..500).collect();
    let values = keys.iter().flat_map(|&key| vector(key, width, seed)).collect();
    let split = |key: &i64| if *key % 5 == 0 { "test" } else { "train" };
    columns(vec![
        ("doc", Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("d\"{}", key / 50)))) as ArrayRef),
        ("chunk", Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key % 50)))),
        ("split", Arc::new(StringArray::from_iter_values(keys.iter().map(split)))),
        ("embedding", Arc::new(vectors(values, width, None))),
    ])
}

#[test]
fn conditions_and_groups_choose_who_is_an_anchor_and_who_is_asked() {
    let world = World::new();
    world.write("a.parquet", &chunks(5, 1));
    world.write("b.parquet", &shuffled(&chunks(4, 2), 1));
    let fit = |options: &str| {
        world.ok(&format!(
            "fit --source a.parquet --target b.parquet --key doc,chunk -o t.parquet --overwrite {options}"
        ));
        let found = diagnostics(&world, "t.parquet");
        let number = |value: &Value| value.as_i64().unwrap();
        let quality = &found["quality"];
        (number(&quality["queries"]), number(&quality["anchors"]), number(&found["anchors"]))
    };
    // Ten documents of fifty: four of them make the 200 rows that 500 pairs hold out.
    assert_eq!(fit("--group doc"), (200, 300, 500));
    assert_eq!(fit("--where \"split = 'train'\"").2, 400);
    assert_eq!(fit("--eval-where chunk<10"), (100, 400, 500));
    assert_eq!(fit("--where chunk>=20 --eval-where chunk<10"), (100, 300, 300));
    assert_eq!(fit("--where chunk>=20 --eval-where chunk<30"), (300, 200, 300));
    assert_eq!(fit("--where chunk>=20 --eval-where chunk<10 --anchors 50"), (100, 50, 50));
    world.fails(
        "fit --source a.parquet --target b.parquet --key doc -o u.parquet",
        &["a.parquet: key 'd\"", "occurs more than once: a.parquet row"],
    );
}

#[test]
fn keys_are_integers_of_any_size_or_strings() {
    let world = World::new();
    let (a, b) = (table(0..50, 4, 1), table(0..50, 3, 2));
    let texts = |batch: &RecordBatch| {
        let keys = StringArray::from_iter_values((0..batch.num_rows()).map(|key| format!("doc {key}")));
        columns(vec![("id", Arc::new(keys) as ArrayRef), ("embedding", batch.column(1).clone())])
    };
    let small = arrow::compute::cast(b.column(0), &arrow::datatypes::DataType::UInt16).unwrap();
    world.write("a.parquet", &a);
    world.write("b.parquet", &columns(vec![("id", small), ("embedding", b.column(1).clone())]));
    world.write("at.parquet", &texts(&a));
    world.write("bt.parquet", &texts(&b));
    for (a, b) in [("a", "b"), ("at", "bt")] {
        let run = world.ok(&format!("fit --source {a}.parquet --target {b}.parquet --key id -o {a}_{b}.parquet"));
        assert!(run.stdout.contains("pairs: 50 "), "{}", run.stdout);
    }
    world.fails(
        "fit --source a.parquet --target bt.parquet --key id -o x.parquet",
        &["bt.parquet", "key `id` is string, and in a.parquet it is integer", "CAST"],
    );
}

#[test]
fn null_embeddings_are_counted_and_are_no_anchors() {
    let world = World::new();
    let nulls = NullBuffer::from_iter((0..100).map(|row| row % 10 != 3));
    world.write("a.parquet", &with_id((0..100).collect(), vectors(random(1, 400), 4, Some(nulls))));
    world.write("b.parquet", &table(0..100, 3, 2));
    let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet");
    assert!(run.stdout.contains("pairs: 100 (10 with a NULL embedding)"), "{}", run.stdout);
    assert_eq!(diagnostics(&world, "t.parquet")["anchors"], 90);
}

#[test]
fn more_pairs_than_the_cap_are_said() {
    let world = World::new();
    world.write("a.parquet", &table(0..5000, 3, 1));
    world.write("b.parquet", &table(0..5000, 3, 2));
    let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet");
    assert!(run.stdout.contains("anchors: 4096 of 5000 (the default cap is 4096"), "{}", run.stdout);
    let run = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet --overwrite --anchors 20000");
    assert!(run.stdout.contains("anchors: 5000 of 5000"), "{}", run.stdout);
    world.fails("fit --source a.parquet --target b.parquet --key id -o u.parquet --anchors 20001", &["2 to 20000"]);
}

/// Of 60 pairs of two files; the order of rows is not that of their keys in either.
#[test]
fn every_method_is_fitted_by_the_command_as_by_sql() {
    let world = World::new();
    world.write("a.parquet", &shuffled(&table(0..60, 6, 1), 3));
    world.write("b.parquet", &shuffled(&table(0..80, 5, 2), 4));
    let means = "source_mean: (SELECT emb_mean(embedding) FROM 'a.parquet'), \
                 target_mean: (SELECT emb_mean(embedding) FROM 'b.parquet')";
    for (options, literal) in [
        ("", "method: 'best'"),
        ("--method parseval", "rcond: 1e-6"),
        ("--method procrustes", "method: 'procrustes'"),
        ("--method linear --scale source", "method: 'linear', scale: 'source'"),
        ("--method ridge --lambda 0.1", "method: 'ridge', lambda: 0.1"),
        ("--method l_ortho --scale unit", "method: 'l_ortho', scale: 'unit'"),
        ("--method affine", "method: 'affine'"),
        ("--preset paper --seed 3", "preset: 'paper', seed: 3"),
        (
            "--method irp --omega 3 --delta 0.2 --prune-space source --orthogonalise polar --lambda 0.01 --scale energy",
            "method: 'irp', omega: 3, delta: 0.2, prune_space: 'source', orthogonalise: 'polar', lambda: 0.01, scale: 'energy'",
        ),
        ("--method irp --corpus-mean --scale median_norm", &format!("method: 'irp', scale: 'median_norm', {means}")),
        ("--method parseval --corpus-mean", means),
    ] {
        world.ok(&format!(
            "fit --source a.parquet --target b.parquet --key id -o t.parquet --overwrite --source-name a --target-name b {options}"
        ));
        let sql = format!(
            "SELECT emb_fit(id, a.embedding, b.embedding, {{{literal}, calibrate: true, source_encoder: 'a', target_encoder: 'b'}})['digest'] \
             FROM 'b.parquet' b LEFT JOIN 'a.parquet' a USING (id)"
        );
        let run = world.ok(&format!("sql -c \"{sql}\""));
        let digest = world.translator("t.parquet").digest;
        assert!(run.stdout.contains(&digest), "{options}: {digest}\n{}", run.stdout);
    }
    for (options, words) in [
        ("--method procrusted", "'parseval', 'procrustes'"),
        ("--method linear --scale max", "'mean_norm'"),
        ("--scale unit", "give it `by` and `seed` alone"),
        ("--method linear --lambda 1", "`lambda` is an option of method 'irp' and 'ridge'"),
        ("--method ridge --prune-space source", "`prune_space` is an option of method 'irp'"),
        ("--prune-space source", "or name a method"),
    ] {
        world.fails(&format!("fit --source a.parquet --target b.parquet --key id -o u.parquet {options}"), &[words]);
    }
}

/// Tables of one encoder and of its rotation with some noise; keys below `far` have nothing to do with each other.
fn twins(world: &World, pairs: i64, far: i64) {
    let a = table(0..pairs, 8, 1);
    let rows = crate::tester::rows(a.column(1));
    let turned = (0..pairs).zip(rows).flat_map(|(key, row)| {
        let (row, noise) = (row.unwrap(), vector(key, 8, 9));
        (0..8)
            .map(move |i| if key < far { noise[i] } else { 3.0 * row[(i + 3) % 8] + 0.02 * noise[i] })
            .collect::<Vec<_>>()
    });
    let slices: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..pairs).map(|key| if key < far { "far" } else { "near" })));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..pairs));
    world.write("a.parquet", &columns(vec![("id", ids), ("slice", slices), ("embedding", Arc::clone(a.column(1)))]));
    world.write("b.parquet", &with_id((0..pairs).collect(), vectors(turned.collect(), 8, None)));
}

#[test]
fn the_default_is_the_best_method_and_the_same_as_in_sql() {
    let world = World::new();
    twins(&world, 300, 0);
    let said = world.ok("fit --source a.parquet --target b.parquet --key id -o t.parquet").stdout;
    assert!(said.contains("compared: by p_at_1, out of fold over 300 pairs in 10 folds, pool 30, seed 1"), "{said}");
    let compared = &diagnostics(&world, "t.parquet")["best"];
    let rows = compared["rows"].as_array().unwrap();
    let chosen = rows.iter().find(|row| row["chosen"] == true).unwrap();
    assert_eq!(chosen["name"].as_str().unwrap(), world.translator("t.parquet").method);
    assert_eq!(rows.last().unwrap()["name"], "do-nothing");
    assert!(rows.iter().all(|row| row["p_at_1"].as_f64() <= chosen["p_at_1"].as_f64().map(|p| p + 0.05)), "{rows:#?}");
    assert!(chosen["p_at_1_low"].as_f64().unwrap() > 0.9, "{chosen}");
    world.ok("sql -c \"COPY (SELECT emb_fit(id, a.embedding, b.embedding, {method: 'best', calibrate: true, source_encoder: 'a', \
         target_encoder: 'b'}) AS t FROM 'a.parquet' a JOIN 'b.parquet' b USING (id)) TO 'sql.parquet'\"");
    assert_eq!(world.translator("sql.parquet").digest, world.translator("t.parquet").digest);
    let named =
        format!("fit --source a.parquet --target b.parquet --key id -o named.parquet --method {}", chosen["name"]);
    if chosen["settings"].as_object().unwrap().len() == 1 {
        world.ok(&named.replace('"', ""));
        assert_eq!(world.translator("named.parquet").digest, world.translator("t.parquet").digest);
    }
}

/// Target rows that are no anchors are searched, and the same ones by the command, by `emb_fit` of an outer join and by
/// `emb_translator` of a target space that has them.
#[test]
fn methods_are_compared_among_target_rows_that_no_fit_has_seen() {
    let world = World::new();
    twins(&world, 900, 0);
    let fit = "fit --source a.parquet --target b.parquet --key id --source-name a --target-name b --eval-where id<0";
    let said = world.ok(&format!("{fit} --where id<200 -o t.parquet")).stdout;
    assert!(said.contains("by p_at_1, out of fold over 200 pairs in 10 folds, pool 720, seed 1"), "{said}");
    let compared = &diagnostics(&world, "t.parquet")["best"];
    assert_eq!(compared["unseen"], 700);

    let joined = "FROM 'b.parquet' b LEFT JOIN (SELECT * FROM 'a.parquet' WHERE id < 200) a USING (id)";
    world.ok(&format!(
        "sql -c \"COPY (SELECT emb_fit(id, a.embedding, b.embedding, {{method: 'best', calibrate: true, source_encoder: 'a', \
         target_encoder: 'b'}}) AS t {joined}) TO 'sql.parquet'\""
    ));
    assert_eq!(world.translator("sql.parquet").digest, world.translator("t.parquet").digest);
    assert_eq!(&diagnostics(&world, "sql.parquet")["best"], compared);
    // Its spaces' means are those of all their rows: the numbers differ, the rows that are searched do not.
    world
        .ok("sql -c \"COPY (SELECT emb_translator((SELECT emb_space(id, embedding) FROM 'a.parquet' WHERE id < 200), \
         (SELECT emb_space(id, embedding) FROM 'b.parquet'), {method: 'best'}) AS t) TO 'spaces.parquet'\"");
    assert_eq!(diagnostics(&world, "spaces.parquet")["best"]["unseen"], 700);

    let shuffled = joined.replace("'b.parquet' b", "(SELECT * FROM 'b.parquet' ORDER BY random()) b");
    world.ok(&format!(
        "sql -c \"COPY (SELECT emb_fit(id, a.embedding, b.embedding, {{method: 'best'}}) AS t {shuffled}) TO 'x.parquet'\""
    ));
    assert_eq!(&diagnostics(&world, "x.parquet")["best"], compared, "whatever the order");
}

#[test]
fn the_best_method_by_accuracy_needs_classes() {
    let world = World::new();
    twins(&world, 600, 0);
    let a = world.read("a.parquet");
    let vectors = crate::tester::rows(a.column_by_name("embedding").unwrap());
    let class = |row: &Vec<f32>| if row[0] > row[1] { "dog" } else { "cat" };
    let classes = vectors.iter().map(|row| row.as_ref().map(class));
    let labels: ArrayRef = Arc::new(classes.clone().collect::<StringArray>());
    let gaps: ArrayRef =
        Arc::new(classes.enumerate().map(|(i, class)| class.filter(|_| i != 7)).collect::<StringArray>());
    let of = |name: &str| Arc::clone(a.column_by_name(name).unwrap());
    let named = vec![("id", of("id")), ("class", labels), ("gaps", gaps), ("embedding", of("embedding"))];
    world.write("a.parquet", &columns(named));

    let fit = "fit --source a.parquet --target b.parquet --key id -o t.parquet";
    let said = world.ok(&format!("{fit} --by accuracy --label class --gate \"accuracy >= 0.7\"")).stdout;
    assert!(said.contains("by accuracy, out of fold over 600 pairs"), "{said}");
    let found = diagnostics(&world, "t.parquet");
    let rows = found["best"]["rows"].as_array().unwrap();
    let chosen = rows.iter().find(|row| row["chosen"] == true).unwrap()["accuracy"].as_f64().unwrap();
    assert!(rows.iter().all(|row| row["accuracy"].as_f64() <= Some(chosen + 0.02)), "{rows:#?}");
    let [own, mean_only] = [0, 1].map(|row| measure(&found, row, "accuracy").unwrap());
    assert!(own > 0.8 && own > mean_only + 0.2, "{own} {mean_only}");
    let classes: Vec<&str> = vectors.iter().flatten().map(class).collect();
    let dogs = classes.iter().filter(|class| **class == "dog").count() as f64 / 600.0;
    let held_out = 1.96 * (0.25f64 / 200.0).sqrt() + 0.05;
    assert!((mean_only - dogs.max(1.0 - dogs)).abs() < held_out, "the mean is of the most frequent class: {mean_only}");

    let line = |more: &str| format!("{fit} --overwrite {more}");
    world.run(&line("--gate \"accuracy >= 0.99\" --label class")).expect(3, &["accuracy is"]);
    world.run(&line("--gate \"knn_overlap >= 0.01\" --method procrustes")).expect(0, &["is met"]);
    world.run(&line("--by accuracy")).expect(1, &["--label"]);
    world.run(&line("--gate \"accuracy >= 0.5\"")).expect(1, &["--label"]);
    world.run(&line("--label gaps")).expect(1, &["a.parquet row 7", "`gaps` is NULL", "IS NOT NULL"]);
    world.run(&line("--label embedding")).expect(1, &["--label `embedding`", "numbers or strings"]);
    world.run(&line("--label klass")).expect(1, &["no column `klass`"]);
    let sql = "SELECT emb_fit(id, a.embedding, b.embedding, {method: 'best', by: 'accuracy'}) FROM 'a.parquet' a JOIN 'b.parquet' b USING (id)";
    world.run(&format!("sql -c \"{sql}\"")).expect(1, &["--label COLUMN"]);
}

#[test]
fn a_gate_that_says_no_writes_nothing() {
    let world = World::new();
    twins(&world, 1500, 700);
    let fit = "fit --source a.parquet --target b.parquet --key id --method procrustes -o t.parquet";
    for (gate, words) in [
        ("--gate 'p_at_1 >= 0.9'", "is not met"),
        ("--gate 'p_at_1 >= 0.25' --slice slice", "slice = 'far'"),
        ("--gate 'mrr >= 0.1' --slice id", "no slice of `id` has 100 held-out rows"),
        ("--gate 'p_at_1 >= 0.9' --eval-where 'id > 5000'", "no pairs could be held out"),
    ] {
        let line = format!("{fit} {gate}").replace('\'', "\"");
        world.run(&line).expect(3, &[words]);
        assert!(!world.exists("t.parquet"), "{gate}");
    }
    // The mean meets it, and the interval's lower end does not.
    let found = world.ok(&fit.replace("t.parquet", "free.parquet"));
    let p_at_1 = measure(&diagnostics(&world, "free.parquet"), 0, "p_at_1").unwrap();
    assert!(found.stdout.contains("procrustes"));
    let refused =
        world.run(&format!("{fit} --gate \"p_at_1 >= {p_at_1}\"")).expect(3, &["borderline", "embed the lake again"]);
    assert!(refused.stdout.contains("t.parquet: not written") && !world.exists("t.parquet"), "{}", refused.stdout);

    world.run(&format!("{fit} --gate \"p_at_1 >= 0.3\"")).expect(0, &["is met"]);
    assert_eq!(world.bytes("t.parquet"), world.bytes("free.parquet"));
    let line = |gate: &str| format!("{fit} --overwrite --gate \"{gate}\"");
    world.run(&line("recall >= 0.3")).expect(1, &["there is no such measure", "p_at_1"]);
    world.run(&line("p_at_1 = 0.3")).expect(2, &["has none of >="]);
}

#[test]
fn a_requirement_in_sql_ends_a_pipeline_with_the_gate_s_code() {
    let world = World::new();
    world.file("x.sql", "CREATE TABLE m AS SELECT 0.4 AS p;\nSELECT emb_require(p >= {{ least }}, 'P@1 is ' || p) FROM m;\nCOPY m TO 'm.csv';");
    world.run("run x.sql --set least=0.5").expect(3, &["x.sql:2: P@1 is 0.4"]);
    assert!(!world.exists("m.csv"));
    world.run("run x.sql --set least=0.3").expect(0, &[]);
    assert!(world.exists("m.csv"));
    world.run("sql -c \"SELECT emb_require(1 > 2, 'no')\"").expect(3, &["no"]);
}
