//! `babelake translate --confidence-column`, and the list of rows to embed natively.

use arrow::array::{Array, AsArray, Float32Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Float32Type;
use babelake::kernel::block::Scratch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::tester::{World, poison, random, rows, table, vectors, with_id};

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
    world.fitted(3, 16384);
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
