//! What cannot be done is said, with the file, column and row in the message; the exit code is not 0 and no output is touched.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Float32Type};
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};

use crate::tester::{World, columns, random, table, vectors, with_id};

/// Runs what must fail and leave `out` as it is: absent, or the same bytes.
fn refused(world: &World, line: &str, out: &str, words: &[&str]) {
    let look = || (world.files(out), world.exists(out).then(|| std::fs::read(world.path(out)).ok()));
    let before = look();
    let run = world.fails(line, words);
    assert_eq!(run.code, Some(1), "{line}: {}", run.stderr);
    assert_eq!(look(), before, "{line} touched {out}");
    // Shown with `--nocapture`.
    println!("{line}\n    {}", run.stderr.trim_end().replace('\n', "\n    "));
}

fn embedding(column: ArrayRef) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..column.len() as i64);
    columns(vec![("id", Arc::new(ids)), ("embedding", column)])
}

/// A table of 20 rows of 4 numbers, one number of row 11 changed.
fn with_item(item: Option<f32>) -> RecordBatch {
    let mut values: Vec<Option<f32>> = random(1, 80).into_iter().map(Some).collect();
    values[4 * 11 + 2] = item;
    let field = Arc::new(arrow::datatypes::Field::new("item", DataType::Float32, true));
    let list = arrow::array::FixedSizeListArray::new(field, 4, Arc::new(Float32Array::from(values)), None);
    embedding(Arc::new(list))
}

/// A list column of 20 rows of 4 numbers, row 11 has 3.
fn ragged() -> RecordBatch {
    let rows = (0..20).map(|row| Some(vec![Some(row as f32 + 0.5); if row == 11 { 3 } else { 4 }]));
    embedding(Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows)))
}

/// The file `from` with a footer that has the first page before the file's beginning.
fn negative_offset(world: &World, from: &str, to: &str) {
    let file = std::fs::File::open(world.path(from)).unwrap();
    let mut footer = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap().into_builder();
    let groups = footer.take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter();
        let columns = columns.map(|column| {
            let column = column.into_builder().set_data_page_offset(-5);
            column.set_offset_index_offset(None).set_column_index_offset(None).build().unwrap()
        });
        group.set_column_metadata(columns.collect()).build().unwrap()
    });
    let footer = footer.set_row_groups(groups.collect()).build();
    let mut out = std::fs::File::create(world.path(to)).unwrap();
    out.write_all(b"PAR1").unwrap();
    ParquetMetaDataWriter::new(out, &footer).finish().unwrap();
}

#[test]
fn files_and_columns_that_cannot_be_used() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("good.parquet", &table(0..20, 4, 1));
    world.write("none.parquet", &columns(vec![("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]));
    world.write("text.parquet", &embedding(Arc::new(StringArray::from(vec!["a", "b"]))));
    world.write("wide.parquet", &table(0..20, 7, 1));
    world.write("reverse.parquet", &table(0..20, 5, 1));
    world.write("ragged.parquet", &ragged());
    world.write("nan.parquet", &with_item(Some(f32::NAN)));
    world.write("infinite.parquet", &with_item(Some(f32::NEG_INFINITY)));
    world.write("item.parquet", &with_item(None));
    let good = world.bytes("good.parquet");
    std::fs::write(world.path("cut.parquet"), &good[..good.len() / 2]).unwrap();
    std::fs::write(world.path("hello.parquet"), "hello, I am no Parquet file").unwrap();
    std::fs::write(world.path("zero.parquet"), "").unwrap();
    let mut damaged = good.clone();
    damaged[8..200].fill(0xA5);
    std::fs::write(world.path("damaged.parquet"), &damaged).unwrap();
    negative_offset(&world, "good.parquet", "negative.parquet");
    std::fs::create_dir(world.path("folder")).unwrap();

    let cases: [(&str, &[&str]); 17] = [
        ("missing.parquet", &["missing.parquet: there is no such file or folder"]),
        ("folder", &["folder: this folder has no *.parquet files"]),
        ("good.parquet --column vec", &["good.parquet: there is no column `vec`; its columns are `id`, `embedding`"]),
        ("good.parquet --column id", &["good.parquet: column `id`: Int64 is no embedding type"]),
        ("none.parquet", &["none.parquet: has no embedding column", "`id`"]),
        ("text.parquet", &["text.parquet: has no embedding column"]),
        (
            "wide.parquet",
            &["wide.parquet", "`embedding` has vectors of 7 numbers", "'x' (4 numbers) -> 'y' (5 numbers)"],
        ),
        ("reverse.parquet", &["vectors of 5 numbers", "look like vectors of 'y', the other direction", "'y' -> 'x'"]),
        ("ragged.parquet", &["ragged.parquet: column `embedding`, row 11: has 3 numbers, 4 were expected"]),
        (
            "nan.parquet",
            &["nan.parquet: column `embedding`, row 11: has an item that is NaN or infinite", "0 of 1 files done"],
        ),
        ("infinite.parquet", &["infinite.parquet: column `embedding`, row 11: has an item that is NaN or infinite"]),
        ("item.parquet", &["item.parquet: column `embedding`, row 11: has a NULL item"]),
        ("cut.parquet", &["cut.parquet: begins as a Parquet file and has no usable footer: it is cut off"]),
        ("hello.parquet", &["hello.parquet: is not a Parquet file"]),
        ("zero.parquet", &["zero.parquet: is empty"]),
        ("damaged.parquet", &["damaged.parquet: cannot be read"]),
        ("negative.parquet", &["negative.parquet: is damaged: its footer has a negative size or offset"]),
    ];
    for (input, words) in cases {
        refused(&world, &format!("translate {input} --to out.parquet --translator t.parquet"), "out.parquet", words);
        let file = input.split(' ').next().unwrap();
        let column = input.strip_prefix(file).unwrap().replace("--column", "--source-column");
        if !["wide.parquet", "reverse.parquet"].contains(&file) {
            let words = &words[..1];
            refused(
                &world,
                &format!("fit --source {file}{column} --target y.parquet --key id -o out.parquet"),
                "out.parquet",
                words,
            );
        }
    }
    for name in ["missing.parquet", "cut.parquet", "hello.parquet", "folder"] {
        refused(&world, &format!("describe {name}"), "out.parquet", &[name]);
    }
    assert!(world.files(".").iter().all(|name| !name.contains('#')), "{:?}", world.files("."));
}

#[test]
fn outputs_that_are_in_the_way() {
    let world = World::new();
    world.fitted(4, 5);
    for name in ["in/a.parquet", "in/sub/b.parquet", "other/a.parquet"] {
        world.write(name, &table(0..20, 4, 1));
    }
    std::fs::create_dir(world.path("full")).unwrap();
    std::fs::write(world.path("full/a.parquet"), "something else").unwrap();
    let translate = |what: &str, out: &str, words: &[&str]| {
        refused(&world, &format!("translate {what} --translator t.parquet"), out, words);
    };
    translate("in --to full", "full", &["full/a.parquet: exists and is no Parquet file", "--overwrite"]);
    translate("in/a.parquet --to full/a.parquet", "full", &["full/a.parquet: exists", "--overwrite"]);
    translate("in --to in --overwrite", "in", &["in: is in the input folder in"]);
    translate("in --to ./other/../in/sub --overwrite", "in", &["is in the input folder"]);
    translate("in/a.parquet --to in/a.parquet --overwrite", "in", &["is an input of this job"]);
    translate("in/a.parquet --to in --overwrite", "in", &["is an input of this job"]);
    translate("in/a.parquet --to t.parquet --overwrite", "t.parquet", &["t.parquet: is an input of this job"]);
    translate("in --to x.parquet --overwrite", "x.parquet", &["x.parquet: is a file, and the input is a folder"]);
    refused(
        &world,
        "fit --source x.parquet --target y.parquet --key id -o t.parquet",
        "t.parquet",
        &["t.parquet: exists", "--overwrite"],
    );
    refused(
        &world,
        "fit --source x.parquet --target y.parquet --key id -o y.parquet --overwrite",
        "y.parquet",
        &["is an input of this fit"],
    );
    refused(&world, "fit --source x.parquet --target y.parquet --key id -o full", "full", &["full: is a folder"]);

    world.ok("translate in --to done --translator t.parquet");
    translate("done --to twice", "twice", &["done/a.parquet: is itself a translation (to 'y')", "original"]);
    world.ok("translate in --to full --translator t.parquet --overwrite");
    // One file of another width: nothing is written, not even for the files before it.
    world.write("in/z.parquet", &table(0..20, 3, 1));
    translate("in --to new", "new", &["in/z.parquet", "vectors of 3 numbers"]);
}

#[test]
fn pairs_that_cannot_be_fitted() {
    let world = World::new();
    world.write("a.parquet", &table(0..20, 4, 1));
    world.write("b.parquet", &table(0..20, 5, 2));
    world.write("far.parquet", &table(100..120, 5, 2));
    world.write("one.parquet", &table(19..30, 5, 2));
    world.write("twice.parquet", &table((0..20).chain([7]), 5, 2));
    world.write("mixed/a.parquet", &table(0..20, 4, 2));
    world.write("mixed/b.parquet", &table(20..40, 6, 2));
    let keys: Int64Array = (0..20).map(|key| (key != 13).then_some(key)).collect();
    let b = table(0..20, 5, 2);
    world.write("null.parquet", &columns(vec![("id", Arc::new(keys) as ArrayRef), ("embedding", b.column(1).clone())]));
    let texts = StringArray::from_iter_values((0..20).map(|key| key.to_string()));
    world.write(
        "texts.parquet",
        &columns(vec![("id", Arc::new(texts) as ArrayRef), ("embedding", b.column(1).clone())]),
    );
    let floats = Float64Array::from_iter_values((0..20).map(f64::from));
    world.write(
        "floats.parquet",
        &columns(vec![("id", Arc::new(floats) as ArrayRef), ("embedding", b.column(1).clone())]),
    );
    world.write("same.parquet", &with_id((0..20).collect(), vectors(vec![1.5; 100], 5, None)));
    let nothing = arrow::buffer::NullBuffer::new_null(20);
    world.write("nothing.parquet", &with_id((0..20).collect(), vectors(vec![0.0; 100], 5, Some(nothing))));

    let cases: [(&str, &[&str]); 24] = [
        (
            "--target far.parquet",
            &["no key `id` is in both tables", "a.parquet has keys like 0", "far.parquet has keys like 100"],
        ),
        ("--target one.parquet", &["1 of 1 pairs can be an anchor", "at least two are needed"]),
        ("--target twice.parquet", &["twice.parquet: key 7 occurs more than once", "row 7", "row 20"]),
        ("--target null.parquet", &["null.parquet: column `id`, row 13: the key is NULL"]),
        ("--target texts.parquet", &["key `id` is string, and in a.parquet it is integer", "CAST"]),
        ("--target floats.parquet", &["floats.parquet: column `id`: Float64 cannot be a key"]),
        (
            "--target mixed",
            &["mixed/b.parquet: column `embedding` has vectors of 6 numbers, and mixed/a.parquet has 4"],
        ),
        ("--target same.parquet", &["target: 0 usable anchor(s)"]),
        ("--target nothing.parquet", &["0 of 20 pairs can be an anchor (20 have a NULL embedding)"]),
        ("--target b.parquet --key nr", &["a.parquet: there is no column `nr`"]),
        ("--target b.parquet --target-column vec", &["b.parquet: there is no column `vec`"]),
        ("--target b.parquet --method procrusted", &["method 'procrusted' is unknown"]),
        ("--target b.parquet --method irp --delta 1", &["delta 1 is outside [0, 1)"]),
        ("--target b.parquet --method irp --delta=-0.1", &["delta -0.1 is outside [0, 1)"]),
        ("--target b.parquet --method irp --omega 0", &["omega 0 is outside 1 to"]),
        ("--target b.parquet --method linear --omega 4", &["`omega` is an option of method 'irp'"]),
        ("--target b.parquet --preset best", &["preset 'best' is unknown"]),
        ("--target b.parquet --preset paper --delta 0.5", &["preset 'paper' never changes"]),
        ("--target b.parquet --method linear --rcond 2", &["rcond 2 is outside (0, 1)"]),
        ("--target b.parquet --where id", &["--where id: is Int64, not a condition"]),
        ("--target b.parquet --where \"split = 1\"", &["--where split = 1", "split", "a.parquet"]),
        ("--target b.parquet --where \"id >\"", &["--where id >"]),
        ("--target b.parquet --where id>100", &["no key `id` is in both tables", "a.parquet has no rows"]),
        ("--target b.parquet --group doc", &["a.parquet: there is no column `doc`"]),
    ];
    for (options, words) in cases {
        let key = if options.contains("--key") { "" } else { "--key id" };
        refused(&world, &format!("fit --source a.parquet {options} {key} -o t.parquet"), "t.parquet", words);
    }
    // The held and the streamed table are told apart by their sizes: both ways round.
    refused(
        &world,
        "fit --source twice.parquet --target a.parquet --key id -o t.parquet",
        "t.parquet",
        &["twice.parquet: key 7"],
    );
    // A key twice that takes no part is nobody's business.
    world.ok("fit --source twice.parquet --target a.parquet --key id -o t.parquet --where id<>7");

    let unknown =
        world.fails("fit --source a.parquet --target b.parquet --key id -o t.parquet --omgea 3", &["--omgea"]);
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn translators_that_cannot_be_used() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("in.parquet", &table(0..20, 4, 1));
    let stored = world.read("t.parquet");
    let value = stored.column(0).as_struct();
    let changed = |name: &str, field: &str, new: ArrayRef| {
        let (fields, mut arrays, nulls) = value.clone().into_parts();
        let index = fields.iter().position(|found| found.name() == field).unwrap();
        arrays[index] = new;
        let value = StructArray::new(fields, arrays, nulls);
        world.write(name, &RecordBatch::try_new(stored.schema(), vec![Arc::new(value)]).unwrap());
    };
    changed("newer.parquet", "format", Arc::new(Int32Array::from(vec![99])));
    changed("changed.parquet", "scale", Arc::new(Float64Array::from(vec![2.5])));
    let two = arrow::compute::concat_batches(&stored.schema(), [&stored, &stored]).unwrap();
    world.write("two.parquet", &two);

    let cases: [(&str, &[&str]); 5] = [
        ("newer.parquet", &["newer.parquet: translator has format 99, this babelake reads formats up to 1: update"]),
        ("changed.parquet", &["changed.parquet: the translator's digest is", "changed or damaged", "fit it again"]),
        ("two.parquet", &["two.parquet: has 2 rows"]),
        ("in.parquet", &["in.parquet: holds no translator", "babelake fit"]),
        ("gone.parquet", &["gone.parquet: there is no such file"]),
    ];
    for (translator, words) in cases {
        refused(
            &world,
            &format!("translate in.parquet --to out.parquet --translator {translator}"),
            "out.parquet",
            words,
        );
    }
    for (name, word) in [("newer.parquet", "format 99"), ("changed.parquet", "digest")] {
        refused(&world, &format!("describe {name}"), "out.parquet", &[name, word]);
    }
}
