//! `babelake translate`: what becomes of the columns, of files as other tools write them (`tests/data`).

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, ListArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::schema::types::Type;
use serde_json::{Value, json};

use crate::tester::{World, columns, halves, random, rows, table, vectors};

/// Puts a file of `tests/data` into a world.
fn given(world: &World, name: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::copy(data, world.path(name)).unwrap();
}

/// A footer, with all it says of pages.
fn footer(world: &World, name: &str) -> ParquetMetaData {
    let file = std::fs::File::open(world.path(name)).unwrap();
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .with_metadata_options(Some(ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false)))
        .parse_and_finish(&file)
        .unwrap()
}

fn entry(metadata: &ParquetMetaData, key: &str) -> Option<String> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    entries.iter().find(|entry| entry.key == key)?.value.clone()
}

/// The schema with its metadata, as a reader sees it.
fn schema(world: &World, name: &str) -> Schema {
    let file = std::fs::File::open(world.path(name)).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().as_ref().clone()
}

fn fields(metadata: &ParquetMetaData) -> &[Arc<Type>] {
    metadata.file_metadata().schema_descr().root_schema().get_fields()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap()
}

#[track_caller]
fn others_are_equal(input: &RecordBatch, output: &RecordBatch) {
    for (field, values) in input.schema().fields().iter().zip(input.columns()).filter(|(f, _)| f.name() != "embedding")
    {
        assert_eq!(output.schema().field_with_name(field.name()).unwrap(), field.as_ref());
        assert_eq!(column(output, field.name()), values, "{}", field.name());
    }
}

#[test]
fn chunks_of_other_columns_are_copied_byte_by_byte() {
    let world = World::new();
    world.fitted(3, 5);
    for name in ["spark.parquet", "pandas.parquet", "datasets.parquet"] {
        given(&world, name);
        world.ok(&format!("translate {name} --to out_{name} --translator t.parquet"));
        let (input, output) = (footer(&world, name), footer(&world, &format!("out_{name}")));
        let (before, after) = (world.bytes(name), world.bytes(&format!("out_{name}")));
        assert_eq!(input.num_row_groups(), output.num_row_groups());
        assert_eq!(input.offset_index().is_some(), output.offset_index().is_some(), "{name}");
        assert_eq!(input.column_index().is_some(), output.column_index().is_some(), "{name}");
        for (group, (old, new)) in input.row_groups().iter().zip(output.row_groups()).enumerate() {
            assert_eq!((old.num_rows(), old.sorting_columns()), (new.num_rows(), new.sorting_columns()));
            for (leaf, (old, new)) in old.columns().iter().zip(new.columns()).enumerate() {
                let path = old.column_path().string();
                assert_eq!(path, new.column_path().string());
                if path.starts_with("embedding") {
                    continue;
                }
                let bytes = |chunk: &ColumnChunkMetaData, file: &[u8]| {
                    let (start, length) = chunk.byte_range();
                    file[start as usize..][..length as usize].to_vec()
                };
                assert!(bytes(old, &before) == bytes(new, &after), "{name}: {path}");
                assert_eq!(old.column_descr(), new.column_descr());
                assert_eq!(old.compression(), new.compression(), "{path}");
                assert_eq!(old.encodings_mask(), new.encodings_mask(), "{path}");
                assert_eq!(old.page_encoding_stats(), new.page_encoding_stats(), "{path}");
                assert_eq!(old.statistics(), new.statistics(), "{path}");
                assert_eq!(old.num_values(), new.num_values(), "{path}");
                assert_eq!(old.definition_level_histogram(), new.definition_level_histogram(), "{path}");
                assert_eq!(old.unencoded_byte_array_data_bytes(), new.unencoded_byte_array_data_bytes(), "{path}");
                let index = |metadata: &ParquetMetaData| Some(metadata.column_index()?[group][leaf].clone());
                assert_eq!(index(&input), index(&output), "{path}");
                let pages = |metadata: &ParquetMetaData, chunk: &ColumnChunkMetaData| {
                    let pages = metadata.offset_index()?[group][leaf].page_locations().clone();
                    let start = chunk.byte_range().0 as i64;
                    let place = |page: &parquet::file::page_index::offset_index::PageLocation| {
                        (page.offset - start, page.compressed_page_size, page.first_row_index)
                    };
                    Some(pages.iter().map(place).collect::<Vec<_>>())
                };
                assert_eq!(pages(&input, old), pages(&output, new), "{path}");
                let filter = |chunk: &ColumnChunkMetaData, file: &str| {
                    let file = std::fs::File::open(world.path(file)).unwrap();
                    let mut bits = Vec::new();
                    Sbbf::read_from_column_chunk(chunk, &file).unwrap()?.write_bitset(&mut bits).unwrap();
                    Some(bits)
                };
                assert_eq!(filter(old, name), filter(new, &format!("out_{name}")), "{path}");
            }
        }
        others_are_equal(&world.read(name), &world.read(&format!("out_{name}")));
        let values = rows(column(&world.read(&format!("out_{name}")), "embedding"));
        assert_eq!(values.iter().filter(|row| row.is_none()).count(), usize::from(name == "spark.parquet"));
        assert!(values.into_iter().flatten().all(|row| row.len() == 5));
    }
}

#[test]
fn the_schema_is_the_input_s_but_for_the_vectors() {
    let world = World::new();
    world.fitted(3, 5);
    for name in ["spark.parquet", "pandas.parquet"] {
        given(&world, name);
        world.ok(&format!("translate {name} --to out_{name} --translator t.parquet"));
        let (input, output) = (footer(&world, name), footer(&world, &format!("out_{name}")));
        let (old, new) = (fields(&input), fields(&output));
        // The same up to the numbers: names, field ids, nesting.
        assert_eq!(old, new, "{name}");
        assert_eq!(input.file_metadata().schema_descr().name(), output.file_metadata().schema_descr().name());
        let stored = entry(&input, "ARROW:schema");
        assert_eq!(stored.is_some(), entry(&output, "ARROW:schema").is_some(), "{name}");
    }
    // No Arrow schema, no width: as the writer of the input wanted it.
    let spark = schema(&world, "out_spark.parquet");
    assert!(matches!(spark.field_with_name("embedding").unwrap().data_type(), DataType::List(_)));

    let (old, new) = (schema(&world, "pandas.parquet"), schema(&world, "out_pandas.parquet"));
    for (old, new) in old.fields().iter().zip(new.fields()).filter(|(old, _)| old.name() != "embedding") {
        assert_eq!(old, new);
    }
    let (old, new) = (old.field_with_name("embedding").unwrap(), new.field_with_name("embedding").unwrap());
    let DataType::FixedSizeList(item, 3) = old.data_type() else { panic!("{old}") };
    let mut metadata = old.metadata().clone();
    metadata.insert("ARROW:extension:metadata".to_owned(), r#"{"shape":[5]}"#.to_owned());
    assert_eq!(old.metadata()["ARROW:extension:metadata"], r#"{"shape":[3]}"#);
    let tensor = Field::new("embedding", DataType::FixedSizeList(item.clone(), 5), false).with_metadata(metadata);
    assert_eq!(new, &tensor);
}

#[test]
fn notes_of_other_tools_stay_and_say_the_new_width() {
    let world = World::new();
    world.fitted(3, 5);
    for name in ["pandas.parquet", "datasets.parquet"] {
        given(&world, name);
        world
            .ok(&format!("translate {name} --to out_{name} --translator t.parquet --items f16 --origin-column origin"));
    }
    let (input, output) = (footer(&world, "pandas.parquet"), footer(&world, "out_pandas.parquet"));
    let keys = |metadata: &ParquetMetaData| -> Vec<String> {
        metadata.file_metadata().key_value_metadata().unwrap().iter().map(|entry| entry.key.clone()).collect()
    };
    assert_eq!([keys(&input), vec!["babelake".to_owned()]].concat(), keys(&output));
    assert_eq!(entry(&output, "owner").as_deref(), Some("search team"));
    let note = |metadata: &ParquetMetaData, key: &str| -> Value {
        serde_json::from_str(&entry(metadata, key).unwrap()).unwrap()
    };
    let mut expected = note(&input, "pandas");
    let columns = expected["columns"].as_array_mut().unwrap();
    columns.push(json!({
        "name": "origin", "field_name": "origin", "pandas_type": "unicode", "numpy_type": "object", "metadata": null,
    }));
    assert_eq!(note(&output, "pandas"), expected);

    let (input, output) = (footer(&world, "datasets.parquet"), footer(&world, "out_datasets.parquet"));
    let mut expected = note(&input, "huggingface");
    let features = expected["info"]["features"].as_object_mut().unwrap();
    features["embedding"] = json!({"feature": {"dtype": "float16", "_type": "Value"}, "length": 5, "_type": "List"});
    features.insert("origin".to_owned(), json!({"dtype": "string", "_type": "Value"}));
    assert_eq!(note(&output, "huggingface"), expected);
    // The Arrow schema holds the notes once more.
    assert_eq!(
        schema(&world, "out_datasets.parquet").metadata()["huggingface"],
        entry(&output, "huggingface").unwrap()
    );
}

#[test]
fn a_row_group_that_is_split_keeps_values_types_and_codecs() {
    let world = World::new();
    // 64 kB a row out: a part is 512 rows, and the 600 rows of `_one` are two.
    world.fitted(3, 16384);
    let translate = |name: &str| {
        given(&world, name);
        world.ok(&format!("translate {name} --to out_{name} --translator t.parquet --compression none"));
    };
    for name in ["spark", "pandas", "datasets"] {
        let one = format!("{name}_one.parquet");
        translate(&one);
        let (input, output) = (footer(&world, &one), footer(&world, &format!("out_{one}")));
        for group in output.row_groups() {
            for (old, new) in input.row_group(0).columns().iter().zip(group.columns()) {
                let path = old.column_path().string();
                if path.starts_with("embedding") {
                    assert_eq!(new.compression(), Compression::UNCOMPRESSED);
                    continue;
                }
                assert_eq!(old.column_descr(), new.column_descr());
                let codec = match old.compression() {
                    Compression::LZ4 => Compression::LZ4_RAW,
                    codec => codec,
                };
                assert_eq!(new.compression(), codec, "{path}");
                // The writer has no dictionaries of these in pages of the first version.
                let fixed = old.column_type() == Physical::FIXED_LEN_BYTE_ARRAY;
                let dictionary = |chunk: &ColumnChunkMetaData| chunk.dictionary_page_offset().is_some();
                assert_eq!(dictionary(old) && !fixed, dictionary(new), "{path}");
                for delta in [Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_BYTE_ARRAY, Encoding::BYTE_STREAM_SPLIT] {
                    let has = |chunk: &ColumnChunkMetaData| chunk.encodings().any(|encoding| encoding == delta);
                    assert_eq!(has(old), has(new), "{path}");
                }
                assert_eq!(old.bloom_filter_offset().is_some(), new.bloom_filter_offset().is_some(), "{path}");
            }
        }
        assert_eq!(output.num_row_groups(), 2);
        others_are_equal(&world.read(&one), &world.read(&format!("out_{one}")));
    }
    translate("spark.parquet");
    assert_eq!(footer(&world, "out_spark.parquet").num_row_groups(), 3);
    assert_eq!(world.read("out_spark.parquet").columns(), world.read("out_spark_one.parquet").columns());
    let int96 = footer(&world, "out_spark_one.parquet");
    assert_eq!(int96.file_metadata().schema_descr().column(1).physical_type(), Physical::INT96);
}

#[test]
fn numbers_are_stored_as_in_the_source_or_as_told() {
    let world = World::new();
    world.fitted(4, 6);
    let numbers = Float32Array::from((0..40).map(|i| i as f32 / 4.0).collect::<Vec<_>>());
    let list = |data_type: DataType| -> ArrayRef {
        let item = Arc::new(Field::new("element", data_type.clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([4; 10]);
        Arc::new(ListArray::new(item, offsets, cast(&numbers, &data_type).unwrap(), None))
    };
    let bytes = arrow::array::FixedSizeBinaryArray::new(16, numbers.values().inner().clone(), None);
    world.write("f16.parquet", &columns(vec![("embedding", list(DataType::Float16))]));
    world.write("f32.parquet", &columns(vec![("embedding", list(DataType::Float32))]));
    world.write("f64.parquet", &columns(vec![("embedding", list(DataType::Float64))]));
    world.write("bytes.parquet", &columns(vec![("embedding", Arc::new(bytes))]));
    let list = |data_type| DataType::FixedSizeList(Arc::new(Field::new("element", data_type, true)), 6);
    let own = DataType::FixedSizeList(Arc::new(Field::new("element", DataType::Float32, false)), 6);
    let cases = [
        ("f32", "", list(DataType::Float32)),
        ("f16", "", list(DataType::Float16)),
        ("f64", "", list(DataType::Float32)),
        ("bytes", "", DataType::FixedSizeBinary(24)),
        ("f16", "--items f32", list(DataType::Float32)),
        ("f32", "--items f16", list(DataType::Float16)),
        ("f32", "--items bytes", DataType::FixedSizeBinary(24)),
        ("bytes", "--items f32", own),
    ];
    let mut first = None;
    for (i, (input, options, data_type)) in cases.into_iter().enumerate() {
        world.ok(&format!("translate {input}.parquet --to {i}.parquet --translator t.parquet {options}"));
        let output = world.read(&format!("{i}.parquet"));
        assert_eq!(output.column(0).data_type(), &data_type, "{input} {options}");
        let output = rows(output.column(0));
        let first = first.get_or_insert_with(|| output.clone());
        if matches!(&data_type, DataType::FixedSizeList(item, _) if item.data_type() == &DataType::Float16) {
            assert_eq!(output, halves(first), "{input} {options}");
        } else {
            assert_eq!(&output, first, "{input} {options}");
        }
    }
    for (option, codec) in [
        ("none", Compression::UNCOMPRESSED),
        ("keep", Compression::SNAPPY),
        ("zstd", Compression::ZSTD(Default::default())),
    ] {
        given(&world, "spark.parquet");
        world.write("x.parquet", &table(0..60, 3, 1));
        world.ok("fit --source x.parquet --target y.parquet --key id -o t3.parquet --overwrite");
        world.ok(&format!(
            "translate spark.parquet --to {option}.parquet --translator t3.parquet --compression {option}"
        ));
        for column in footer(&world, &format!("{option}.parquet")).row_group(0).columns() {
            let vector = column.column_path().string().starts_with("embedding");
            assert_eq!(column.compression(), if vector { codec } else { Compression::SNAPPY });
        }
    }
}

#[test]
fn vectors_in_fewer_bits_are_codes_and_signs_of_the_first_numbers() {
    let world = World::new();
    world.write("x.parquet", &table(0..300, 3, 1));
    world.write("y.parquet", &table(0..300, 13, 2));
    world.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet --method parseval");
    let mut nulls = 0;
    for name in ["datasets.parquet", "pandas.parquet", "spark.parquet"] {
        given(&world, name);
        let translate = |out: &str, options: &str| {
            world.ok(&format!(
                "translate {name} --to {out} --translator t.parquet --overwrite --confidence-column sure {options}"
            ));
            world.read(out)
        };
        let plain = translate("plain.parquet", "");
        let first = |dimensions: usize| -> Vec<Option<Vec<f32>>> {
            let cut = |row: Option<Vec<f32>>| row.map(|row| row[..dimensions].to_vec());
            rows(column(&plain, "embedding")).into_iter().map(cut).collect()
        };
        nulls += first(1).iter().filter(|row| row.is_none()).count();
        assert_eq!(rows(column(&translate("first.parquet", "--dimensions 4"), "embedding")), first(4));

        for (options, dimensions) in [("--items int8", 13), ("--items int8 --dimensions 7", 7)] {
            let coded = translate("coded.parquet", options);
            let (codes, scales) = (column(&coded, "embedding"), column(&coded, "embedding_scale"));
            let place = |name: &str| coded.schema().index_of(name).unwrap();
            assert_eq!(place("embedding_scale"), place("embedding") + 1);
            let scales = scales.as_primitive::<Float32Type>();
            let codes = rows(&cast(codes, &DataType::new_list(DataType::Float32, true)).unwrap());
            for (row, (codes, numbers)) in codes.iter().zip(first(dimensions)).enumerate() {
                let (Some(codes), Some(numbers)) = (codes, &numbers) else {
                    assert!(codes.is_none() && numbers.is_none() && scales.is_null(row));
                    continue;
                };
                let scale = scales.value(row);
                assert!(codes.iter().any(|code| code.abs() == 127.0) && codes.len() == dimensions);
                let far = |(code, x): (&f32, &f32)| (code * scale - x).abs() > 0.50001 * scale;
                assert!(!codes.iter().zip(numbers).any(far), "{name}, row {row}");
            }
            assert_eq!(column(&coded, "sure"), column(&plain, "sure"));
        }
        let signs = translate("signs.parquet", "--items binary");
        let of_file = signs.schema().field_with_name("embedding").unwrap().data_type().clone();
        if name != "spark.parquet" {
            assert!(matches!(of_file, DataType::FixedSizeList(item, 2) if item.data_type() == &DataType::UInt8));
        }
        let bytes = rows(&cast(column(&signs, "embedding"), &DataType::new_list(DataType::Float32, true)).unwrap());
        for (bytes, numbers) in bytes.iter().zip(first(13)) {
            let bits = bytes
                .as_ref()
                .map(|bytes| -> Vec<bool> { (0..13).map(|i| bytes[i / 8] as u8 >> (7 - i % 8) & 1 == 1).collect() });
            assert_eq!(bits, numbers.map(|numbers| numbers.iter().map(|x| *x > 0.0).collect()));
        }
        assert!(signs.column_by_name("embedding_scale").is_none());
        others_are_equal(&world.read(name), &translate("beside.parquet", "--items int8 --output-column new"));
    }

    assert!(nulls > 0);
    translate_wide(&world);
    let note =
        |file: &str, key: &str| -> Value { serde_json::from_str(&entry(&footer(&world, file), key).unwrap()).unwrap() };
    world.ok("translate datasets.parquet --to d.parquet --translator t.parquet --items int8");
    world.ok("translate pandas.parquet --to p.parquet --translator t.parquet --items int8");
    let features = &note("d.parquet", "huggingface")["info"]["features"];
    assert_eq!(features["embedding"]["feature"]["dtype"], json!("int8"));
    assert_eq!(features["embedding_scale"], json!({"dtype": "float32", "_type": "Value"}));
    let columns = note("p.parquet", "pandas")["columns"].clone();
    assert!(columns.as_array().unwrap().iter().any(|column| column["name"] == "embedding_scale"));
    world.ok("describe d.parquet");
    let words = ["d.parquet: has no embedding column", "`embedding` has codes or signs"];
    world.fails("translate d.parquet --to no.parquet --translator t.parquet --allow-chain", &words);
    let lineage: Value = serde_json::from_str(&entry(&footer(&world, "d.parquet"), "babelake").unwrap()).unwrap();
    assert_eq!(lineage["output"]["items"], json!("int8"));

    let fails = |options: &str, words: &[&str]| {
        world.fails(&format!("translate datasets.parquet --to no.parquet --translator t.parquet {options}"), words);
        assert!(!world.exists("no.parquet"));
    };
    fails("--dimensions 14", &["--dimensions 14", "13 numbers"]);
    fails(
        "--items int8 --confidence-column embedding_scale",
        &["there is a column `embedding_scale`", "--output-column"],
    );
    world.fails(
        "translate d.parquet --to no.parquet --translator t.parquet --column embedding --allow-chain",
        &["no embedding type"],
    );
}

/// A code is a byte, a sign a bit, whatever the row groups.
fn translate_wide(world: &World) {
    world.write("x8.parquet", &table(0..1000, 8, 1));
    world.write("y512.parquet", &table(0..1000, 512, 2));
    world.ok("fit --source x8.parquet --target y512.parquet --key id -o wide.parquet --method parseval");
    for (items, most) in [("f32", 2100), ("int8", 560), ("binary", 80)] {
        world.ok(&format!(
            "translate x8.parquet --to {items}.parquet --translator wide.parquet --compression none --items {items}"
        ));
        let metadata = footer(world, &format!("{items}.parquet"));
        let of_vectors = |chunk: &&ColumnChunkMetaData| chunk.column_path().string().starts_with("embedding");
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns()).filter(of_vectors);
        let bytes: i64 = chunks.map(|chunk| chunk.compressed_size()).sum();
        assert!(bytes / 1000 < most, "{items}: {bytes}");
    }
}

#[test]
fn a_number_beyond_f16_is_an_error_that_names_the_row() {
    let world = World::new();
    world.write("x.parquet", &table(0..60, 3, 1));
    let large: Vec<f32> = random(2, 60 * 4).into_iter().map(|x| 1e6 * x).collect();
    let keys = arrow::array::Int64Array::from_iter_values(0..60);
    world.write("y.parquet", &columns(vec![("id", Arc::new(keys)), ("embedding", Arc::new(vectors(large, 4, None)))]));
    world.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet");
    world.ok("translate x.parquet --to out.parquet --translator t.parquet");
    let words = ["x.parquet: column `embedding`, row ", "beyond f16", "--items f32"];
    world.fails("translate x.parquet --to half.parquet --translator t.parquet --items f16", &words);
    assert!(!world.exists("half.parquet"));
}

#[test]
fn several_columns_are_translated_in_one_pass() {
    let world = World::new();
    world.fitted(3, 5);
    std::fs::rename(world.path("t.parquet"), world.path("ta.parquet")).unwrap();
    world.fitted(4, 2);
    std::fs::rename(world.path("t.parquet"), world.path("tb.parquet")).unwrap();
    let (a, b) = (table(0..50, 3, 3), table(0..50, 4, 4));
    let (id, a, b) = (a.column(0).clone(), a.column(1).clone(), b.column(1).clone());
    world.write_groups("in.parquet", &columns(vec![("a", a), ("id", id), ("b", b)]), 20);
    world.ok("translate in.parquet --to both.parquet --column b=tb.parquet --column a=ta.parquet --origin-column from");
    world.ok("translate in.parquet --to a.parquet --translator ta.parquet --column a");
    world.ok("translate a.parquet --to b.parquet --translator tb.parquet --column b --allow-chain");
    let (both, one_by_one) = (world.read("both.parquet"), world.read("b.parquet"));
    assert_eq!(both.columns()[..3], *one_by_one.columns());
    let origin = |file: &str| format!("y:{}", &world.translator(file).digest[..16]);
    let origin = format!("{},{}", origin("tb.parquet"), origin("ta.parquet"));
    let names = cast(both.column(3), &DataType::Utf8).unwrap();
    assert!(names.as_string::<i32>().iter().all(|name| name == Some(&origin)));

    let fails = |options: &str, words: &[&str]| {
        world.fails(&format!("translate in.parquet --to no.parquet {options}"), words);
        assert!(!world.exists("no.parquet"));
    };
    fails("--column a --column b --translator ta.parquet", &["--column NAME=FILE"]);
    fails("--column a", &["--column a has no translator", "--translator"]);
    fails("--column a=ta.parquet --column a=ta.parquet", &["column `a` is named twice"]);
    fails("--column a=ta.parquet --column b=ta.parquet", &["column `b` has vectors of 4 numbers", "3 numbers"]);
    fails("--column a=ta.parquet --column b=tb.parquet --output-column c", &["--output-column", "one at a time"]);
}

#[test]
fn the_source_column_can_be_kept_beside_the_new_one() {
    let world = World::new();
    world.fitted(3, 5);
    for name in ["spark.parquet", "pandas.parquet", "datasets.parquet"] {
        given(&world, name);
        world.ok(&format!("translate {name} --to old_{name} --translator t.parquet"));
        world.ok(&format!("translate {name} --to new_{name} --translator t.parquet --output-column translated"));
        let (input, output) = (footer(&world, name), footer(&world, &format!("new_{name}")));
        let names =
            |metadata: &ParquetMetaData| fields(metadata).iter().map(|f| f.name().to_owned()).collect::<Vec<_>>();
        let mut expected = names(&input);
        let place = expected.iter().position(|name| name == "embedding").unwrap();
        expected.insert(place + 1, "translated".to_owned());
        assert_eq!(names(&output), expected);
        assert!(!fields(&output)[place + 1].get_basic_info().has_id());
        let (before, old, new) =
            (world.read(name), world.read(&format!("old_{name}")), world.read(&format!("new_{name}")));
        assert_eq!(rows(column(&new, "translated")), rows(column(&old, "embedding")), "{name}");
        for (field, values) in before.schema().fields().iter().zip(before.columns()) {
            assert_eq!(new.schema().field_with_name(field.name()).unwrap(), field.as_ref());
            assert_eq!(column(&new, field.name()), values);
        }
    }
    let note =
        |file: &str, key: &str| -> Value { serde_json::from_str(&entry(&footer(&world, file), key).unwrap()).unwrap() };
    let features = &note("new_datasets.parquet", "huggingface")["info"]["features"];
    let names: Vec<_> = features.as_object().unwrap().keys().collect();
    assert_eq!(names, ["text", "embedding", "translated", "label"]);
    assert_eq!((&features["embedding"]["length"], &features["translated"]["length"]), (&json!(3), &json!(5)));
    let columns = &note("new_pandas.parquet", "pandas")["columns"];
    let named = columns.as_array().unwrap().iter().position(|column| column["name"] == "embedding").unwrap();
    assert_eq!(columns[named + 1]["name"], "translated");

    let fails = |options: &str, words: &[&str]| {
        world.fails(&format!("translate spark.parquet --to no.parquet --translator t.parquet {options}"), words);
    };
    fails("--output-column price", &["spark.parquet: there is a column `price`", "--output-column"]);
    fails("--origin-column price", &["spark.parquet: there is a column `price`", "--origin-column"]);
    fails("--output-column x --origin-column x", &["there is a column `x`", "--origin-column"]);
}

#[test]
fn bad_rows_become_null_where_that_is_asked_for() {
    let world = World::new();
    world.fitted(2, 3);
    let good = [Some(0.5), Some(-1.0)];
    let list = |rows: &[&[Option<f32>]]| {
        ListArray::from_iter_primitive::<Float32Type, _, _>(rows.iter().map(|row| Some(row.to_vec())))
    };
    let bad: [&[Option<f32>]; 4] = [&[Some(1.0)], &[Some(1.0), None], &[Some(1.0), Some(f32::NAN)], &[]];
    let mut all: Vec<&[Option<f32>]> = vec![&good; 12];
    for (i, row) in [1, 5, 6, 11].into_iter().enumerate() {
        all[row] = bad[i];
    }
    let embedding = list(&all);
    let field = Field::new("embedding", embedding.data_type().clone(), false);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(embedding)]).unwrap();
    world.write_groups("in.parquet", &batch, 6);
    world.fails(
        "translate in.parquet --to out.parquet --translator t.parquet",
        &["row 1: has 1 numbers, 2 were expected"],
    );
    let run = world.ok("translate in.parquet --to out.parquet --translator t.parquet --on-bad null");
    for words in
        ["row 1: has 1 numbers", "row 5: has a NULL item", "row 6: has an item that is NaN", "row 11: has 0 numbers"]
    {
        assert!(run.stderr.contains(words), "{words} is not in\n{}", run.stderr);
    }
    let output = world.read("out.parquet");
    assert!(output.schema().field(0).is_nullable());
    let translated = rows(output.column(0));
    let nulls: Vec<usize> = (0..12).filter(|&row| translated[row].is_none()).collect();
    assert_eq!(nulls, [1, 5, 6, 11]);
    assert!(translated.iter().flatten().all(|row| row == translated[0].as_ref().unwrap()));
    let lineage: Value = serde_json::from_str(&entry(&footer(&world, "out.parquet"), "babelake").unwrap()).unwrap();
    assert_eq!((&lineage["bad_rows"], &lineage["output"]), (&json!(4), &json!({"on_bad": "null"})));
}
