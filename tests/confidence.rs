//! `babelake translate --confidence-column`, and the list of rows to embed natively.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float32Array, Int16Array, RecordBatch, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float32Type, Int64Type};
use babelake::kernel::block::Scratch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::tester::{World, columns, poison, random, rows, table, vector, vectors, with_id};

/// An entry of a footer as JSON.
fn note(world: &World, name: &str, key: &str) -> Value {
    let file = std::fs::File::open(world.path(name)).unwrap();
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().file_metadata().clone();
    let entries = metadata.key_value_metadata().unwrap();
    serde_json::from_str(entries.iter().find(|entry| entry.key == key).unwrap().value.as_ref().unwrap()).unwrap()
}

fn confidences(batch: &RecordBatch, name: &str) -> Float32Array {
    batch.column_by_name(name).unwrap().as_primitive::<Float32Type>().clone()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn confidence_is_a_column_beside_the_vectors() {
    let world = World::new();
    let translator = world.fitted(6, 9);
    let nulls = NullBuffer::from_iter((0..700).map(|row| row % 5 != 2));
    let values = random(8, 700 * 6);
    let input = with_id((0..700).collect(), vectors(values, 6, Some(nulls)));
    world.write_groups("in.parquet", &input, 300);
    world.ok("translate in.parquet --to plain.parquet --translator t.parquet");
    world.ok(
        "translate in.parquet --to out.parquet --translator t.parquet --confidence-column sure --origin-column origin",
    );
    let (plain, output) = (world.read("plain.parquet"), world.read("out.parquet"));
    assert_eq!(names(&output), ["id", "embedding", "sure", "origin"]);
    assert_eq!(output.columns()[..2], *plain.columns());
    let given = rows(input.column(1));
    let row = |i: usize| given[i].as_deref();
    let want = translator.confidence().unwrap().apply(700, row, &mut Scratch::default()).unwrap();
    let want: Float32Array = (0..700).map(|i| row(i).map(|_| want[i] as f32)).collect();
    assert_eq!(confidences(&output, "sure"), want);
    assert_eq!(want.null_count(), 140);
    assert!(want.iter().flatten().any(|x| x > 0.0 && x < 1.0));
    let lineage = note(&world, "out.parquet", "babelake");
    assert_eq!(lineage["output"], json!({"confidence_column": "sure", "origin_column": "origin"}));
    // In SQL the same to the last bit that the column has.
    let run = world.ok(
        "sql -c \"SELECT count(*) AS n FROM 'out.parquet' o JOIN 'in.parquet' i USING (id) WHERE o.sure IS NOT DISTINCT FROM \
         CAST(emb_confidence(i.embedding, (SELECT t FROM 't.parquet')) AS FLOAT)\"",
    );
    assert!(run.stdout.contains("700"), "{}", run.stdout);
}

#[test]
fn a_row_group_that_is_split_has_the_same_confidences() {
    let world = World::new();
    // 64 kB a row out: a part is 512 rows.
    world.write("x.parquet", &table(0..60, 3, 1));
    world.write("y.parquet", &table(0..60, 16384, 2));
    world.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet --method parseval");
    let input = table(0..1200, 3, 4);
    world.write_groups("one.parquet", &input, 1200);
    world.write_groups("many.parquet", &input, 100);
    for name in ["one", "many"] {
        world.ok(&format!(
            "translate {name}.parquet --to {name}_out.parquet --translator t.parquet --confidence-column c"
        ));
    }
    let sure = |name: &str| confidences(&world.read(name), "c");
    let (one, many) = (sure("one_out.parquet"), sure("many_out.parquet"));
    assert_eq!((&one, one.len()), (&many, 1200));
}

#[test]
fn bad_rows_have_no_confidence_and_notes_of_other_tools_name_the_column() {
    let world = World::new();
    world.fitted(3, 5);
    let good = table(0..20, 3, 4);
    world.write("in.parquet", &with_id((0..20).collect(), poison(good.column(1), 7)));
    world.ok("translate in.parquet --to out.parquet --translator t.parquet --confidence-column c --on-bad null");
    let sure = confidences(&world.read("out.parquet"), "c");
    assert_eq!((0..20).filter(|&row| sure.is_null(row)).collect::<Vec<_>>(), [7]);

    for name in ["pandas.parquet", "datasets.parquet"] {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        std::fs::copy(data, world.path(name)).unwrap();
        world.ok(&format!("translate {name} --to out_{name} --translator t.parquet --confidence-column c"));
    }
    let last = note(&world, "out_pandas.parquet", "pandas")["columns"].as_array().unwrap().last().cloned();
    let float =
        json!({"name": "c", "field_name": "c", "pandas_type": "float32", "numpy_type": "float32", "metadata": null});
    assert_eq!(last, Some(float));
    let features = &note(&world, "out_datasets.parquet", "huggingface")["info"]["features"];
    assert_eq!(features["c"], json!({"dtype": "float32", "_type": "Value"}));
}

#[test]
fn the_column_is_a_setting_and_its_mistakes_are_told_before_anything_is_written() {
    let world = World::new();
    world.fitted(3, 5);
    world.write("in/a.parquet", &table(0..20, 3, 4));
    let fails = |options: &str, words: &[&str]| {
        world.fails(&format!("translate in --to no --translator t.parquet {options}"), words);
        assert!(!world.exists("no"));
    };
    fails("--confidence-column id", &["there is a column `id`", "--confidence-column"]);
    fails("--confidence-column c --origin-column c", &["there is a column `c`", "--origin-column"]);
    world.fails(
        "translate in --to no --column embedding=t.parquet --column id=t.parquet --confidence-column c",
        &["--confidence-column", "one at a time"],
    );
    let run = world.ok("fit --source x.parquet --target y.parquet --key id -o few.parquet --anchors 40");
    assert!(run.stderr.contains("fewer than 50 anchors: confidence is not calibrated"), "{}", run.stderr);
    world.fails(
        "translate in --to no --translator few.parquet --confidence-column c",
        &["few.parquet", "not calibrated: fit it again"],
    );
    assert!(!world.exists("no"));

    world.ok("translate in --to out --translator t.parquet --confidence-column c");
    let again = world.ok("translate in --to out --translator t.parquet --confidence-column c");
    assert!(again.stderr.contains("0 written, 1 current"), "{}", again.stderr);
    world.fails(
        "translate in --to out --translator t.parquet",
        &["belongs to another translation", "confidence_column"],
    );
}

/// What a list says, and what the confidences in `out` say that it should: file, key and confidence of the rows below `below`.
fn list_and_outputs(world: &World, below: f32) -> [Vec<(String, i64, f32)>; 2] {
    let list = world.read("keys.parquet");
    assert_eq!(names(&list), ["id", "file", "confidence"]);
    let (files, sure) = (list.column(1).as_string::<i32>(), confidences(&list, "confidence"));
    let ids = list.column(0).as_primitive::<Int64Type>();
    let listed = (0..list.num_rows()).map(|row| (files.value(row).to_owned(), ids.value(row), sure.value(row)));
    let outputs = world.data("out").into_iter().flat_map(|name| {
        let batch = world.read(&format!("out/{name}"));
        let (ids, sure) =
            (batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().clone(), confidences(&batch, "c"));
        let low = sure.iter().enumerate().filter_map(|(row, sure)| Some((row, sure.filter(|sure| *sure < below)?)));
        low.map(|(row, sure)| (name.clone(), ids.value(row), sure)).collect::<Vec<_>>()
    });
    [listed.collect(), outputs.collect()]
}

/// A translator in `t.parquet` to three numbers that are those of the source, and noise as loud as its fourth.
fn of_noisy_pairs(world: &World) {
    let keys: Vec<i64> = (0..400).collect();
    let noisy = |key: &i64| {
        let (x, noise) = (vector(*key, 4, 1), vector(*key, 3, 77));
        (0..3).map(|i| x[i] + 2.0 * x[3] * noise[i]).collect::<Vec<_>>()
    };
    let values = keys.iter().flat_map(noisy).collect();
    world.write("x.parquet", &table(keys.clone(), 4, 1));
    world.write("y.parquet", &with_id(keys, vectors(values, 3, None)));
    world.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet");
}

#[test]
fn rows_to_embed_natively_are_listed_from_all_outputs_of_the_job() {
    let world = World::new();
    of_noisy_pairs(&world);
    let nulls = NullBuffer::from_iter((0..300).map(|row| row % 7 != 3));
    let some_null = with_id((0..300).collect(), vectors(random(8, 1200), 4, Some(nulls)));
    world.write_groups("in/b.parquet", &some_null, 100);
    world.write("in/part=1/a.parquet", &table(300..500, 4, 9));
    world.write("in/empty.parquet", &table(0..0, 4, 9));
    let job = "translate in --to out --translator t.parquet --confidence-column c --reembed-list keys.parquet --key id";
    let run = world.ok(&format!("{job} --below 0.75"));
    let [listed, outputs] = list_and_outputs(&world, 0.75);
    assert!(listed == outputs && (20..400).contains(&listed.len()), "{}", listed.len());
    let said = format!("keys.parquet: {} of 500 rows have a confidence below 0.75", listed.len());
    assert!(run.stderr.contains(&said), "{said}\n{}", run.stderr);

    // Nothing is left to do, and the list is that of the lake all the same; with another limit another one.
    let before = world.bytes("keys.parquet");
    let again = world.ok(&format!("{job} --below 0.75"));
    assert!(again.stderr.contains("0 written, 3 current"), "{}", again.stderr);
    assert!(world.bytes("keys.parquet") == before);
    world.ok(&format!("{job} --below 0.6"));
    let [fewer, outputs] = list_and_outputs(&world, 0.6);
    assert!(fewer == outputs && fewer.len() < listed.len());

    // A new file, and one that has changed.
    world.write("in/new.parquet", &table(600..640, 4, 9));
    world.write("in/part=1/a.parquet", &table(300..420, 4, 10));
    world.ok(&format!("{job} --below 0.75"));
    let [listed, outputs] = list_and_outputs(&world, 0.75);
    assert!(listed == outputs && listed.iter().any(|(file, ..)| file == "new.parquet"));

    // A file that cannot be translated: no new list.
    let before = world.bytes("keys.parquet");
    world.write("in/worse.parquet", &with_id((0..20).collect(), poison(table(0..20, 4, 1).column(1), 3)));
    world.run(&format!("{job} --below 0.1")).expect(1, &["worse.parquet"]);
    assert!(world.bytes("keys.parquet") == before);
}

#[test]
fn a_list_of_a_file_has_keys_of_several_columns() {
    let world = World::new();
    world.fitted(4, 5);
    let rows = table(0..60, 4, 9);
    let text = StringViewArray::from_iter_values((0..60).map(|row| format!("d{}", row / 10)));
    let chunk = Int16Array::from_iter_values((0..60).map(|row| row % 10));
    let input =
        columns(vec![("doc", Arc::new(text)), ("chunk", Arc::new(chunk)), ("embedding", rows.column(1).clone())]);
    world.write("in.parquet", &input);
    world.ok(
        "translate in.parquet --to out.parquet --translator t.parquet --confidence-column c --reembed-list keys.parquet \
         --key doc,chunk --below 1",
    );
    let list = world.read("keys.parquet");
    assert_eq!(names(&list), ["doc", "chunk", "file", "confidence"]);
    assert_eq!((list.num_rows(), list.column(0).as_string::<i32>().value(59)), (60, "d5"));
    assert_eq!(list.column(1).as_primitive::<Int64Type>().value(59), 9);
    assert_eq!(list.column(2).as_string::<i32>().value(0), "in.parquet");
}

#[test]
fn mistakes_with_a_list_are_told_before_anything_is_written() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("in/a.parquet", &table(0..60, 4, 9));
    world.file("precious.parquet", "somebody's");
    let fails = |options: &str, words: &[&str]| {
        world.fails(&format!("translate in --to out --translator t.parquet {options}"), words);
        assert!(!world.exists("out") && world.text("precious.parquet") == "somebody's");
    };
    fails("--reembed-list k.parquet --below 0.3 --key id", &["--confidence-column"]);
    fails("--confidence-column c --reembed-list k.parquet --key id", &["--below"]);
    fails("--confidence-column c --below 0.3", &["--reembed-list"]);
    let list = |place: &str, key: &str| format!("--confidence-column c --reembed-list {place} --below 0.3 --key {key}");
    fails(&list("k.parquet", "doc"), &["there is no column `doc`"]);
    fails(&list("k.parquet", "embedding"), &["column `embedding` is", "a key is an integer or a string"]);
    fails(&list("k.parquet", "file"), &["--key file"]);
    fails(&list("precious.parquet", "id"), &["precious.parquet", "--overwrite"]);
    fails(&list("t.parquet", "id"), &["is a translator of this job"]);
    fails(&list("in/k.parquet", "id"), &["is among the files of this job"]);
    fails(&list("out/k.parquet", "id"), &["is among the files of this job"]);
    world.ok(&format!("translate in --to out --translator t.parquet --overwrite {}", list("precious.parquet", "id")));
    assert_eq!(names(&world.read("precious.parquet")), ["id", "file", "confidence"]);
}
