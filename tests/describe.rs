//! `babelake describe`: a file says what it is.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use babelake::column::{Decoder, Keys, Method, MethodOptions, Space};
use babelake::kernel::Rows;

use crate::tester::{World, random, table};

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found.starts_with(line)), "no line {line:?} in\n{text}");
    }
}

#[test]
fn a_translator_tells_how_it_was_made_and_how_good_it_is() {
    let world = World::new();
    let translator = world.fitted(6, 9);
    let digest = format!("digest: {}", translator.digest);
    let text = world.ok("describe t.parquet").stdout;
    let lines = [
        "kind: translator",
        "direction: x -> y",
        "widths: 6 -> 9",
        "method: parseval",
        "method source: Parseval frames: Fiorellino",
        "settings: {\"rcond\":1e-6}",
        "anchors: 60",
        "source frame: rank 6",
        "quality: 12 held-out rows (a fifth, drawn by key, seed 0) against a pool of 60",
        "| parseval ",
        "| mean-only ",
        &digest,
        "format: 1",
        "written by: babelake",
    ];
    has(&text, &lines);
    world.ok(
        "fit --source x.parquet --target y.parquet --key id -o irp.parquet --method irp --omega 3 --delta 0.5 --seed 9",
    );
    let text = world.ok("describe irp.parquet").stdout;
    has(
        &text,
        &["method source: Maiorca", "settings: {\"omega\":3,\"delta\":0.5,\"seed\":9", "subspaces: 3, anchors kept"],
    );
}

#[test]
fn spaces_and_decoders_are_known_by_their_type_whatever_the_column_s_name() {
    let world = World::new();
    let rows = random(1, 40 * 5);
    let space = Space::fit(&Keys::Int((0..40).collect()), Rows::new(&rows, 5), "en", None, false).unwrap();
    let method = Method::new(&MethodOptions::default(), "irp").unwrap();
    let decoder = Decoder::fit(&space, &method).unwrap();
    let store = |name: &str, value: ArrayRef| {
        let schema = Schema::new(vec![Field::new("whatever", value.data_type().clone(), false)]);
        world.write(name, &RecordBatch::try_new(Arc::new(schema), vec![value]).unwrap());
        world.ok(&format!("describe {name}")).stdout
    };
    let text = store("s.parquet", Arc::new(space.to_array().unwrap()));
    has(
        &text,
        &["kind: space", "encoder: en", "width: 5", "anchors: 40", "frame: anchors", "rank: 5", "condition number: "],
    );
    let text = store("d.parquet", Arc::new(decoder.to_array().unwrap()));
    has(&text, &["kind: decoder", "encoder: en", "width: 5", "method: irp", "subspaces: 8"]);
    world.fails(
        "translate s.parquet --to o.parquet --translator s.parquet",
        &["s.parquet: is a space, not a translator"],
    );
}

#[test]
fn a_translation_tells_its_origin_and_any_other_file_that_it_has_none() {
    let world = World::new();
    let translator = world.fitted(6, 9);
    world.write_groups("in/sub/a.parquet", &table(0..50, 6, 3), 20);
    world.ok("translate in --to out --translator t.parquet");
    let digest = format!("translator digest: {}", translator.digest);
    let text = world.ok("describe out/sub/a.parquet").stdout;
    has(
        &text,
        &["kind: translated embeddings", "direction: x -> y", "source file: sub/a.parquet", "rows: 50", &digest],
    );
    let text = world.ok("describe in/sub/a.parquet").stdout;
    has(
        &text,
        &[
            "kind: Parquet, no babelake lineage",
            "rows: 50",
            "row groups: 3",
            "embedding column: `embedding`, 6 numbers",
        ],
    );
}
