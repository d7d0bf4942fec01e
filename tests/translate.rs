//! `babelake translate`: nothing but the embedding changes, and the bytes depend on the input alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Float32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Int8Type, Int32Type};
use babelake::column::Translator;
use babelake::kernel::block::Scratch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::tester::{Run, World, columns, halves, random, rows, table, vectors, with_id};

/// A table with columns of all sorts around an embedding whose every third row is NULL.
fn all_sorts(rows: usize, width: usize, seed: u64) -> RecordBatch {
    let nulls = NullBuffer::from_iter((0..rows).map(|row| row % 3 != 1));
    let text = StringArray::from_iter((0..rows).map(|row| (row % 5 != 0).then(|| format!("row {row} of {seed}"))));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|row| (row % 4 != 0).then(|| (0..row % 3).map(|tag| Some(tag as i32)).collect::<Vec<_>>())),
    );
    let nested = StructArray::from(vec![
        (Arc::new(Field::new("tags", tags.data_type().clone(), true)), Arc::new(tags) as ArrayRef),
        (Arc::new(Field::new("text", DataType::Utf8, true)), Arc::new(text.clone()) as ArrayRef),
    ]);
    let category: DictionaryArray<Int8Type> =
        (0..rows).map(|row| ["red", "green", "blue"].get(row % 4).copied()).collect();
    let time = TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| 1_700_000_000_000_000 + row as i64));
    columns(vec![
        ("id", Arc::new(Int64Array::from_iter_values((0..rows as i64).rev()))),
        ("text", Arc::new(text)),
        ("embedding", Arc::new(vectors(random(seed, rows * width), width, Some(nulls)))),
        ("nested", Arc::new(nested)),
        ("category", Arc::new(category)),
        ("time", Arc::new(time.with_timezone("Europe/Paris"))),
    ])
}

/// What the library says the embedding column becomes.
fn expected(translator: &Translator, input: &dyn Array) -> Vec<Option<Vec<f32>>> {
    let list = input.as_fixed_size_list();
    let floats = list.values().as_primitive::<Float32Type>().values();
    let width = translator.source_width;
    let mut out = vec![0.0; list.len() * translator.target_width];
    let row = |i: usize| list.is_valid(i).then(|| &floats[i * width..(i + 1) * width]);
    translator.translation().apply(list.len(), row, &mut Scratch::default(), &mut out).unwrap();
    let rows = out.chunks(translator.target_width).map(<[f32]>::to_vec).enumerate();
    rows.map(|(i, row)| list.is_valid(i).then_some(row)).collect()
}

#[test]
fn a_folder_keeps_its_layout_its_columns_and_the_order_of_rows() {
    let world = World::new();
    let translator = world.fitted(6, 9);
    for (name, rows) in [("in/a.parquet", 1000), ("in/lang=fr/year=2024/b.parquet", 17), ("in/empty.parquet", 0)] {
        world.write_groups(name, &all_sorts(rows, 6, rows as u64), 300);
    }
    for hidden in ["in/_temporary/c.parquet", "in/.d.parquet", "in/_SUCCESS"] {
        world.write(hidden, &all_sorts(3, 6, 1));
    }
    let run = world.ok("translate in --to out --translator t.parquet");
    assert!(run.stderr.contains("3 written, 0 current; 1,017 rows"), "{}", run.stderr);
    assert_eq!(world.data("out"), ["a.parquet", "empty.parquet", "lang=fr/year=2024/b.parquet"]);

    for name in world.data("out") {
        let (input, output) = (world.read(&format!("in/{name}")), world.read(&format!("out/{name}")));
        for (field, column) in
            input.schema().fields().iter().zip(input.columns()).filter(|(f, _)| f.name() != "embedding")
        {
            assert_eq!(output.schema().field_with_name(field.name()).unwrap(), field.as_ref());
            assert_eq!(output.column_by_name(field.name()).unwrap(), column, "{name} {}", field.name());
        }
        let names = |batch: &RecordBatch| batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&input), names(&output));
        let translated = output.column_by_name("embedding").unwrap();
        let item = Arc::new(Field::new("element", DataType::Float32, true));
        assert_eq!(translated.data_type(), &DataType::FixedSizeList(item, 9));
        assert_eq!(rows(translated), expected(&translator, input.column_by_name("embedding").unwrap()));
    }
}

#[test]
fn the_footer_keeps_the_input_s_entries_and_tells_where_the_file_came_from() {
    let world = World::new();
    let translator = world.fitted(4, 3);
    let batch = table(0..5, 4, 3);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![KeyValue::new("owner".to_owned(), "search team".to_owned())]));
    let file = std::fs::File::create(world.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    world.ok("translate in.parquet --to out.parquet --translator t.parquet");

    let reader = SerializedFileReader::new(std::fs::File::open(world.path("out.parquet")).unwrap()).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let value = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap().value.clone().unwrap();
    assert_eq!(value("owner"), "search team");
    let lineage: serde_json::Value = serde_json::from_str(&value("babelake")).unwrap();
    let input = world.bytes("in.parquet");
    assert_eq!(
        lineage,
        serde_json::json!({
            "format": 1, "tool_version": env!("CARGO_PKG_VERSION"), "rows": 5, "bad_rows": 0,
            "source": {
                "path": "in.parquet", "bytes": input.len(), "digest": blake3::hash(&input).to_hex().as_str(),
                "hint": lineage["source"]["hint"],
            },
            "columns": [{
                "column": "embedding", "translator": translator.digest, "source_encoder": "x", "target_encoder": "y",
                "method": "parseval", "settings": {"rcond": 1e-6},
            }],
            "output": {},
        })
    );
    for column in reader.metadata().row_group(0).columns() {
        assert_eq!(column.compression(), Compression::SNAPPY, "{}", column.column_path());
        assert_eq!(column.dictionary_page_offset().is_some(), column.column_path().string() == "id");
    }
}

#[test]
fn the_bytes_do_not_depend_on_threads_nor_the_rows_on_row_groups() {
    let world = World::new();
    // 2,048 numbers out: a chunk is 4,096 rows, and this is three chunks.
    let translator = world.fitted(8, 2048);
    let batch = table(0..9000, 8, 3);
    world.write("big/big.parquet", &batch);
    world.write_groups("small/big.parquet", &batch, 700);
    for (input, threads) in [("big", 1), ("big", 2), ("big", 5), ("small", 2)] {
        world.ok(&format!("translate {input} --to {input}{threads} --translator t.parquet --threads {threads}"));
    }
    let one = world.bytes("big1/big.parquet");
    assert!(one == world.bytes("big2/big.parquet") && one == world.bytes("big5/big.parquet"));
    let (big, small) = (world.read("big1/big.parquet"), world.read("small2/big.parquet"));
    assert!(big.columns() == small.columns());
    assert!(rows(big.column(1)) == expected(&translator, batch.column(1)));
}

#[test]
fn every_form_of_embedding_is_read() {
    let world = World::new();
    world.fitted(4, 5);
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    // Quarters are exact in f16.
    let values: Vec<f32> = (0..16).map(|i| (i as f32 - 3.0) / 4.0).collect();
    let fixed: ArrayRef = Arc::new(vectors(values.clone(), 4, Some(nulls.clone())));
    let items = |data_type: DataType| cast(&Float32Array::from(values.clone()), &data_type).unwrap();
    let list = |data_type: DataType| -> ArrayRef {
        let item = Arc::new(Field::new("item", data_type.clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([4; 4]), items(data_type), Some(nulls.clone())))
    };
    let bytes = FixedSizeBinaryArray::new(16, Buffer::from_vec(values.clone()), Some(nulls.clone()));
    let forms: [(&str, ArrayRef); 6] = [
        ("fixed", fixed),
        ("list", list(DataType::Float32)),
        ("f16", list(DataType::Float16)),
        ("f64", list(DataType::Float64)),
        ("large", cast(&list(DataType::Float32), &DataType::new_large_list(DataType::Float32, true)).unwrap()),
        ("bytes", Arc::new(bytes)),
    ];
    for (name, form) in forms {
        for (schema, skip) in [("with", false), ("without", true)] {
            let batch = columns(vec![("embedding", form.clone())]);
            let file = std::fs::File::create(world.path(&format!("{name}_{schema}.parquet"))).unwrap();
            let options = ArrowWriterOptions::new().with_skip_arrow_metadata(skip);
            let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            world.ok(&format!(
                "translate {name}_{schema}.parquet --to out_{name}_{schema}.parquet --translator t.parquet"
            ));
            let out = world.read(&format!("out_{name}_{schema}.parquet"));
            let first = rows(world.read("out_fixed_with.parquet").column(0));
            let first = if name == "f16" { halves(&first) } else { first };
            assert_eq!(rows(out.column(0)), first, "{name} {schema}");
            assert!(out.column(0).is_null(1) && out.column(0).null_count() == 1);
        }
    }
}

#[test]
fn the_column_is_found_or_named() {
    let world = World::new();
    world.fitted(4, 5);
    let batch = table(0..3, 4, 3);
    let (id, embedding) = (batch.column(0).clone(), batch.column(1).clone());
    world.write("only.parquet", &columns(vec![("id", id.clone()), ("title_emb", embedding.clone())]));
    world.write("two.parquet", &columns(vec![("a", embedding.clone()), ("b", embedding)]));
    world.ok("translate only.parquet --to o1.parquet --translator t.parquet");
    world.fails("translate two.parquet --to o2.parquet --translator t.parquet", &["`a`, `b`", "--column"]);
    world.ok("translate two.parquet --to o2.parquet --translator t.parquet --column b");
    let out = world.read("o2.parquet");
    assert_eq!(rows(out.column(1)), rows(world.read("o1.parquet").column(1)));
    assert_eq!(out.column(0), world.read("two.parquet").column(0));
}

#[test]
fn a_bad_row_costs_its_file_and_no_other() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("in/a.parquet", &table(0..10, 4, 3));
    let mut values = random(9, 40);
    values[4 * 7] = f32::NAN;
    world.write("in/b.parquet", &columns(vec![("embedding", Arc::new(vectors(values, 4, None)))]));
    let run = world.fails(
        "translate in --to out --translator t.parquet --threads 1",
        &["in/b.parquet: column `embedding`, row 7", "NaN", "1 of 2 files done, none half-written"],
    );
    assert_eq!(run.code, Some(1));
    assert_eq!(world.data("out"), ["a.parquet"]);
    assert_eq!(world.read("out/a.parquet").num_rows(), 10);
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_a_whole_lake() {
    let world = World::new();
    world.fitted(8, 2048);
    world.write("in/0000.parquet", &table(0..3000, 8, 3));
    for i in 1..400 {
        std::fs::hard_link(world.path("in/0000.parquet"), world.path(&format!("in/{i:04}.parquet"))).unwrap();
    }
    let mut command = world.command("translate in --to out --translator t.parquet");
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while world.data("out").len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "no output appeared");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let told = Instant::now();
    let run = Run::from(child.wait_with_output().unwrap());
    assert!(told.elapsed() < Duration::from_secs(5));
    assert_eq!(run.code, Some(143), "{}", run.stderr);
    let done = world.data("out");
    assert!(run.stderr.contains(&format!("{} of 400 files done, none half-written", done.len())), "{}", run.stderr);
    for name in done {
        assert_eq!(world.read(&format!("out/{name}")).num_rows(), 3000, "{name}");
    }
}

/// The memory promise, with large and small row groups and with wide vectors:
/// `cargo test --release -- --ignored --nocapture gigabyte`.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "writes 6 GB and takes minutes"]
fn a_gigabyte_of_vectors_takes_little_memory() {
    for (width, rows, group) in [(256, 1_000_000, 1 << 20), (256, 1_000_000, 8192), (4096, 60_000, 1 << 20)] {
        let world = World::new();
        world.write("x.parquet", &table(0..4, width, 1));
        world.write("y.parquet", &table(0..4, width, 2));
        world.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet");
        let schema = table(0..1, width, 1).schema();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
        let file = std::fs::File::create(world.path("in.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
        let part = rows / 100;
        for first in (0..rows).step_by(part) {
            let keys = (first as i64..(first + part) as i64).collect();
            writer.write(&with_id(keys, vectors(random(first as u64, part * width), width, None))).unwrap();
        }
        writer.close().unwrap();
        let begin = Instant::now();
        let mut child = world.command("translate in.parquet --to out.parquet --translator t.parquet").spawn().unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        let (mut peak, mut busy) = (0u64, 0u64);
        while child.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM"));
            peak = peak.max(line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0));
            // Time on a core and time in the queue for one: what a machine without other work would give.
            let threads = std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
            let stat = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
            let wanted =
                |stat: String| stat.split_whitespace().take(2).filter_map(|x| x.parse::<u64>().ok()).sum::<u64>();
            busy = busy.max(stat.map(wanted).sum());
            std::thread::sleep(Duration::from_millis(20));
        }
        let wall = begin.elapsed().as_secs_f64();
        println!(
            "{rows} x {width}, row groups of {group}: {} MB resident at most, {wall:.1} s, {:.2} cores wanted",
            peak / 1000,
            busy as f64 / 1e9 / wall
        );
        assert!(child.wait().unwrap().success() && peak > 0 && peak < 1_000_000);
    }
}
