//! Other formats to tables; what is in them is what numpy says (tests/data/make_imports.py).

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use serde_json::Value;

use crate::s3_server::Server;
use crate::tester::{World, columns, rows, table};

/// `tests/data/imports/<name>`.
fn sample(name: &str) -> String {
    format!("{}/tests/data/imports/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Rows by file, as numpy has them.
fn given() -> BTreeMap<String, Value> {
    let path = format!("{}/tests/data/imports.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(rows: &Value) -> Vec<Vec<f32>> {
    let number = |number: &Value| number.as_f64().unwrap() as f32;
    rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(number).collect()).collect()
}

/// The rows of column `embedding`, none of them NULL.
fn vectors(batch: &RecordBatch) -> Vec<Vec<f32>> {
    rows(batch.column_by_name("embedding").unwrap()).into_iter().map(Option::unwrap).collect()
}

/// The numbers of a column.
fn integers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// The texts of a column.
fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap().to_owned()).collect()
}

/// What a file becomes.
fn import(world: &World, name: &str, more: &[&str]) -> RecordBatch {
    let path = if world.exists(name) { name.to_owned() } else { sample(name) };
    world.run(&[&["import", &path, "-o", "out.parquet", "--overwrite"][..], more].concat()[..]).expect(0, &["rows of"]);
    world.read("out.parquet")
}

/// Fails unless a file is refused with these words, and nothing is left.
#[track_caller]
fn refused(world: &World, name: &str, more: &[&str], words: &[&str]) {
    let path = if world.exists(name) { name.to_owned() } else { sample(name) };
    let before = world.files("");
    world.run(&[&["import", &path, "-o", "no.parquet"][..], more].concat()[..]).expect(1, words);
    assert_eq!(world.files(""), before);
}

#[test]
fn every_format_has_the_rows_that_numpy_says() {
    let (world, given) = (World::new(), given());
    let kinds = ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"];
    let mut names: Vec<String> = kinds.iter().map(|kind| format!("{kind}.npy")).collect();
    names.extend(["fortran", "version2", "version3"].map(|name| format!("{name}.npy")));
    names.extend(["F32", "F16", "F64", "BF16"].map(|name| format!("{name}.safetensors")));
    names.extend(["stored.npz", "deflated.npz"].map(str::to_owned));
    names.extend(["fbin", "f16bin", "u8bin", "i8bin", "fvecs", "bvecs"].map(|name| format!("a.{name}")));
    for name in names {
        let batch = import(&world, &name, &[]);
        assert_eq!(vectors(&batch), numbers(&given[&name]), "{name}");
        assert_eq!(integers(&batch, "id"), (0..7).collect::<Vec<_>>(), "{name}");
        let halves = ["f2.npy", "F16.safetensors", "deflated.npz", "a.f16bin"].contains(&name.as_str());
        let item = if halves { DataType::Float16 } else { DataType::Float32 };
        let found = batch.column_by_name("embedding").unwrap().data_type();
        assert!(matches!(found, DataType::FixedSizeList(of, 5) if *of.data_type() == item), "{name}: {found}");
    }
    for name in ["several.npz", "several.safetensors"] {
        assert_eq!(vectors(&import(&world, name, &["--array", "b"])), numbers(&given[name]));
    }
}

#[test]
fn what_is_no_array_of_rows_is_refused() {
    let world = World::new();
    refused(&world, "one.npy", &[], &["one.npy: holds an array of 1 dimensions, [5]"]);
    refused(&world, "three.npy", &[], &["3 dimensions, [7, 5, 1]", "a.reshape(len(a), -1)"]);
    refused(&world, "big_endian.npy", &[], &["type '>f4'", "astype('<f4')"]);
    refused(&world, "none.npy", &[], &["has no rows"]);
    refused(&world, "bad.npy", &[], &["bad.npy: column `embedding`, row 2: has a number that is NaN"]);
    refused(&world, "several.npz", &[], &["has several arrays: name one with --array: a, b"]);
    refused(&world, "several.npz", &["--array", "d"], &["has no array `d`: it has a, b, c"]);
    refused(&world, "several.npz", &["--array", "c"], &["array `c`: lies column by column", "np.ascontiguousarray"]);
    refused(&world, "stored.npz", &["--array", "labels"], &["array `labels`: holds an array of 1 dimensions"]);
    refused(&world, "several.safetensors", &[], &["has several tensors", "a (F32 [7, 5]), b (F32 [7, 5])"]);
    refused(&world, "F32.safetensors", &["--array", "bias"], &["tensor `bias` is F32 [5]"]);
    refused(&world, "F32.safetensors", &["--array", "x"], &["has no tensor `x`: it has bias"]);
    refused(&world, "f4.npy", &["--array", "x"], &["--array names an array of an npz"]);
    refused(&world, "word2vec.bin", &[], &["word2vec's binary format", "save_word2vec_format(binary=False)"]);
    refused(&world, "word2vec.bin", &["--format", "vec"], &["word2vec's binary format"]);
    refused(&world, "glove.txt", &[], &["name it with --format, npy, npz"]);
    refused(&world, "a.fbin", &["--format", "npy"], &["a.fbin: is no .npy file"]);
    refused(&world, "f4.npy", &["--format", "fbin"], &["it is of another format"]);
    refused(&world, "f4.npy", &["--format", "safetensors"], &["is no safetensors file"]);
    refused(&world, "f4.npy", &["--format", "npz"], &["is no .npz file"]);
    refused(&world, "f4.npy", &["--format", "fvecs"], &["its rows would have"]);
    refused(&world, "f4.npy", &["--format", "vec"], &["has no line of a word and numbers"]);
    refused(&world, "f4.npy", &["--format", "jsonl"], &["has no JSON object"]);
    refused(&world, "nowhere.npy", &[], &["nowhere.npy: there is no such file"]);
    world.run("import a.npy -o b.parquet --format zarr").expect(2, &["one of npy, npz"]);
}

#[test]
fn files_that_are_cut_off_or_empty_are_refused() {
    let world = World::new();
    let formats = [
        "f4.npy",
        "fortran.npy",
        "stored.npz",
        "deflated.npz",
        "a.fbin",
        "a.fvecs",
        "F32.safetensors",
        "gensim.vec",
        "glove.vec.gz",
        "a.jsonl.gz",
    ];
    for name in formats {
        let bytes = std::fs::read(sample(name)).unwrap();
        for (length, words) in [(0, "is empty"), (3, name), (bytes.len() / 2, name), (bytes.len() - 3, name)] {
            if length > 0 && name == "gensim.vec" && length == bytes.len() - 3 {
                // One digit less is a number all the same.
                continue;
            }
            std::fs::write(world.path(name), &bytes[..length]).unwrap();
            refused(&world, name, &[], &[words]);
        }
    }
    let bytes = std::fs::read(sample("a.fvecs")).unwrap();
    std::fs::write(world.path("a.fvecs"), &bytes[..bytes.len() - 3]).unwrap();
    refused(&world, "a.fvecs", &[], &["is cut off: 6 rows are there of 7"]);
    // A row of another width, and what is damaged within an archive.
    let row = 4 + 5 * 4;
    let mut other = bytes.clone();
    other[3 * row] = 4;
    other.truncate(bytes.len() - 4);
    std::fs::write(world.path("a.fvecs"), &other).unwrap();
    refused(&world, "a.fvecs", &[], &["column `embedding`, row 3: has 4 numbers, and the first row 5"]);
    let mut damaged = std::fs::read(sample("stored.npz")).unwrap();
    let at = damaged.windows(11).position(|bytes| bytes == b"vectors.npy").unwrap() + 200;
    damaged[at] ^= 1;
    std::fs::write(world.path("stored.npz"), &damaged).unwrap();
    refused(&world, "stored.npz", &[], &["`vectors.npy` is damaged: its checksum is another"]);
}

#[test]
fn keys_come_from_beside() {
    let world = World::new();
    let keys = |more: &[&str]| import(&world, "f4.npy", more);
    assert_eq!(integers(&keys(&["--keys", &sample("keys.npy")]), "id"), (100..107).collect::<Vec<_>>());
    assert_eq!(integers(&keys(&["--id-column", "row"]), "row"), (0..7).collect::<Vec<_>>());
    world.file("keys.txt", "a\nb\n\nd e\r\ne\nf\ng");
    assert_eq!(
        texts(&keys(&["--keys", "keys.txt", "--id-column", "url"]), "url"),
        ["a", "b", "", "d e", "e", "f", "g"]
    );
    world.write("keys.parquet", &table(20..27, 2, 1));
    assert_eq!(integers(&keys(&["--keys", "keys.parquet"]), "id"), (20..27).collect::<Vec<_>>());
    let paths: Vec<String> = (0..7).map(|i| format!("img{i}")).collect();
    let path = arrow::array::StringArray::from(paths.clone());
    let captions = arrow::array::StringArray::from(vec!["x"; 7]);
    world.write(
        "two.parquet",
        &columns(vec![("caption", std::sync::Arc::new(captions)), ("path", std::sync::Arc::new(path))]),
    );
    assert_eq!(texts(&keys(&["--keys", "two.parquet:path"]), "path"), paths);

    refused(&world, "f4.npy", &["--keys", "two.parquet"], &["name one of caption, path (FILE:COLUMN)"]);
    refused(&world, "f4.npy", &["--keys", "two.parquet:x"], &["two.parquet: there is no column `x`"]);
    refused(&world, "f4.npy", &["--keys", "keys.parquet:embedding"], &["column `embedding` is", "no key"]);
    refused(&world, "f4.npy", &["--keys", "keys.txt:x"], &["is no Parquet file"]);
    refused(&world, "f4.npy", &["--keys", &sample("f4.npy")], &["shape [7, 5]: keys have one dimension"]);
    refused(&world, "f4.npy", &["--keys", "nowhere.npy"], &["nowhere.npy: there is no such file"]);
    refused(&world, "a.jsonl", &["--keys", "keys.txt"], &["--keys is for rows that nothing names"]);
    refused(&world, "f4.npy", &["--id-column", "embedding"], &["two columns would be called `embedding`"]);
    world.write("keys.parquet", &table(0..8, 2, 1));
    refused(&world, "f4.npy", &["--keys", "keys.parquet"], &["keys.parquet: has 8 keys for 7 rows"]);
    world.file("keys.txt", "a\nb\n");
    refused(&world, "f4.npy", &["--keys", "keys.txt"], &["keys.txt: has 2 lines, fewer than there are rows"]);
    world.file("keys.txt", "a\nb\nc\nd\ne\nf\ng\nh\n");
    refused(&world, "f4.npy", &["--keys", "keys.txt"], &["keys.txt: has more lines than there are rows, 7"]);
}

#[test]
fn bad_rows_go_with_their_keys() {
    let (world, bad) = (World::new(), sample("bad.npy"));
    let said = world.run(&["import", &bad, "-o", "out.parquet", "--keys", &sample("keys.npy"), "--skip-bad"][..]);
    said.expect(0, &["left out: ", "row 2: has a number", "row 5: ", "5 rows of 5 numbers, 2 bad ones left out"]);
    let batch = world.read("out.parquet");
    assert_eq!(integers(&batch, "id"), [100, 101, 103, 104, 106]);
    let all = numbers(&given()["f4.npy"]);
    assert_eq!(vectors(&batch), [0, 1, 3, 4, 6].map(|row| all[row].clone()));
}

#[test]
fn words_and_their_vectors() {
    let (world, given) = (World::new(), given());
    for name in ["gensim.vec", "fasttext.vec", "glove.txt", "glove.vec.gz"] {
        let batch = import(&world, name, &["--format", "vec"]);
        assert_eq!(vectors(&batch), numbers(&given[name]), "{name}");
        let last = if name.starts_with("glove") { ". . ." } else { "." };
        assert_eq!(texts(&batch, "word"), ["the", "café", "new\u{a0}york", "the", "1984", "日本", last], "{name}");
        assert_eq!(batch.num_columns(), 2);
    }
    std::fs::write(world.path("a.vec"), b"4 2\na 1 2\nb 3\nc 4 x\n\xff 5 6\n").unwrap();
    refused(&world, "a.vec", &[], &["a.vec: line 3: has 1 numbers after its word, and 2 are expected"]);
    let said = world.run("import a.vec -o a.parquet --skip-bad --id-column line");
    said.expect(
        0,
        &["line 4: number 2 of 2 is 'x'", "line 5: is no UTF-8", "1 rows of 2 numbers, 3 bad ones left out"],
    );
    let batch = world.read("a.parquet");
    assert_eq!((integers(&batch, "line"), texts(&batch, "word")), (vec![1], vec!["a".to_owned()]));
    world.file("a.vec", "5 2\na 1 2\nb 3 4\n");
    refused(&world, "a.vec", &[], &["says in its first line that it has 5 words, and has 2"]);
    world.file("a.vec", "a 1 2\nb 3 4\nc 5 NaN\n");
    refused(&world, "a.vec", &[], &["line 3: number 2 of 2 is 'NaN'"]);
    world.file("a.vec", "2 2\na x 2\nb 3\n");
    refused(&world, "a.vec", &["--skip-bad"], &["all its 2 rows are bad, the first one: a.vec: line 2"]);
}

#[test]
fn json_lines_become_columns() {
    let (world, given) = (World::new(), given());
    for name in ["a.jsonl", "a.jsonl.gz"] {
        let batch = import(&world, name, &[]);
        assert_eq!(vectors(&batch), numbers(&given[name]));
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "text", "score", "ok", "hash", "note", "embedding"]);
        assert_eq!(integers(&batch, "id"), (0..7).collect::<Vec<_>>());
        assert_eq!(texts(&batch, "text")[1], "text 1 é \"quoted\"");
        let scores: Vec<f64> = given["scores"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        // The numbers beside are parsed by serde_json, which may be off in the last place.
        let found = batch["score"].as_primitive::<Float64Type>().values().iter();
        assert!(found.zip(&scores).all(|(a, b)| (a - b).abs() <= f64::EPSILON * b.abs()), "{scores:?}");
        assert_eq!(batch["hash"].as_primitive::<UInt64Type>().value(6), (1 << 63) + 6);
        assert_eq!(batch["note"].null_count(), 6);
        assert_eq!(batch["ok"].as_boolean().true_count(), 4);
    }
    let said = world.run(&["import", &sample("a.jsonl"), "-o", "b.parquet"][..]);
    said.expect(0, &["left out, being lists or objects: tags"]);

    // The only list of numbers, a mark at the beginning, blank lines, members in another order or missing, no member beside it.
    world.file("a.jsonl", "\u{feff}{\"v\": [1, 2.5]}\r\n\n{\"v\":[3,4e0]}");
    let batch = import(&world, "a.jsonl", &[]);
    assert_eq!((vectors(&batch), integers(&batch, "id")), (vec![vec![1.0, 2.5], vec![3.0, 4.0]], vec![0, 2]));
    world.file(
        "a.jsonl",
        "{\"k\":1,\"v\":[1],\"vector\":[2]}\n{\"vector\":[3],\"v\":[4]}\n{\"k\":\"x\",\"v\":[5],\"vector\":[6]}\n",
    );
    let batch = import(&world, "a.jsonl", &["--column", "v", "--id-column", "row"]);
    assert_eq!((vectors(&batch), integers(&batch, "row")), (vec![vec![1.0], vec![4.0], vec![5.0]], vec![0, 1, 2]));
    assert_eq!(batch["k"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), None, Some("x")]);
    assert_eq!(vectors(&import(&world, "a.jsonl", &[])), [[2.0], [3.0], [6.0]]);
}

#[test]
fn json_lines_that_are_none_are_refused_or_left_out() {
    let world = World::new();
    let good = |i: usize| format!("{{\"id\": {i}, \"embedding\": [{i}, 0.5]}}\n");
    let bad = [
        ("{\"id\": 3, \"embedding\": [1, 2]", "line 4: is no JSON object"),
        ("{\"id\": 3, \"embedding\": [1, 2]} {\"id\": 4, \"embedding\": [1, 2]}", "line 4: is no JSON object"),
        ("[1, 2]", "line 4: is no JSON object"),
        ("{\"id\": 3}", "line 4: has no `embedding`"),
        ("{\"id\": 3, \"embedding\": null}", "line 4: has no `embedding`"),
        ("{\"id\": 3, \"embedding\": 1}", "line 4: `embedding` is no list of numbers"),
        ("{\"id\": 3, \"embedding\": [1, 2, 3]}", "line 4: `embedding` has 3 numbers, and 2 are expected"),
        ("{\"id\": 3, \"embedding\": [1, null]}", "line 4: `embedding`: number 2 is null"),
        ("{\"id\": 3, \"embedding\": [NaN, 1]}", "line 4: is no JSON object"),
        ("{\"id\": 3, \"embedding\": [1e39, 1]}", "line 4: `embedding` has a number beyond single precision"),
    ];
    let late = [
        ("{\"id\": \"x\", \"embedding\": [1, 2]}", "line 20001: "),
        ("{\"id\": 1.5, \"embedding\": [1, 2]}", "line 20001: "),
        ("{\"id\": \"a\nb\", \"embedding\": [1, 2]}", "line 20001: is no JSON object"),
    ];
    let before: String = (0..20_000).map(good).collect();
    for (line, words) in bad {
        world.file("a.jsonl", &format!("{}{}{}{line}\n{}", good(0), good(1), good(2), good(4)));
        refused(&world, "a.jsonl", &[], &["a.jsonl: ", words]);
        let said = world.run("import a.jsonl -o out.parquet --skip-bad --overwrite");
        said.expect(0, &["left out: a.jsonl: ", words, "4 rows of 2 numbers, 1 bad ones left out"]);
        assert_eq!(integers(&world.read("out.parquet"), "id"), [0, 1, 2, 4], "{line}");
    }
    for (line, words) in late {
        world.file("a.jsonl", &format!("{before}{line}\n{}", good(4)));
        refused(&world, "a.jsonl", &[], &["a.jsonl: ", words]);
        world.run("import a.jsonl -o out.parquet --skip-bad --overwrite").expect(0, &["20,001 rows of 2 numbers"]);
    }
    world.file("a.jsonl", "[{\"embedding\": [1]},\n{\"embedding\": [1]}]");
    refused(&world, "a.jsonl", &[], &["begins as a JSON array", "jq -c '.[]'"]);
    world.file("a.jsonl", "{\n  \"embedding\": [1]\n}\n");
    refused(&world, "a.jsonl", &[], &["an object on every line is read"]);
    world.file("a.jsonl", "{\"a\": [1], \"b\": [2]}\n");
    refused(&world, "a.jsonl", &[], &["has several members that are lists of numbers, a, b"]);
    refused(
        &world,
        "a.jsonl",
        &["--column", "c"],
        &["member `c` is no list of numbers in the first lines; members are a, b"],
    );
    world.file("a.jsonl", "{\"a\": 1}\n");
    refused(&world, "a.jsonl", &[], &["has no member that is a list of numbers"]);
}

#[test]
fn lines_of_several_pieces_keep_their_order() {
    let world = World::new();
    let padding = "x".repeat(1000);
    let line = |i: usize| format!("{{\"n\": {i}, \"text\": \"{padding}\", \"v\": [{i}]}}\n");
    let mut text: String = (0..20_000).map(line).collect();
    text += &format!("{{\"n\": 0, \"text\": \"{}\", \"v\": [1]}}\n", "y".repeat(22 << 20));
    text += &line(20_000);
    world.file("a.jsonl", &text);
    refused(&world, "a.jsonl", &[], &["a.jsonl: line 20001: is longer than"]);
    let batch = import(&world, "a.jsonl", &["--skip-bad"]);
    assert_eq!(integers(&batch, "n"), (0..=20_000).collect::<Vec<_>>());
    assert!(vectors(&batch).iter().enumerate().all(|(i, row)| row[0] == i as f32));
}

#[test]
fn rows_of_several_batches_keep_their_order() {
    let world = World::new();
    // Column by column, more rows than are put together at a time.
    let (rows, width) = (600_000_usize, 30_usize);
    let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({rows}, {width}), }}");
    let mut bytes = [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    for column in 0..width {
        bytes.extend((0..rows).flat_map(|row| ((row * width + column) as f32).to_le_bytes()));
    }
    std::fs::write(world.path("a.npy"), &bytes).unwrap();
    let batch = import(&world, "a.npy", &[]);
    let list = batch["embedding"].as_fixed_size_list();
    let numbers = list.values().as_primitive::<arrow::datatypes::Float32Type>();
    assert_eq!((list.len(), list.value_length()), (rows, width as i32));
    assert!(numbers.values().iter().enumerate().all(|(i, number)| *number == i as f32));
    assert!(integers(&batch, "id").into_iter().eq(0..rows as i64));
}

#[test]
fn outputs_are_whole_or_not_there() {
    let world = World::new();
    world.file("here.parquet", "something");
    let path = sample("f4.npy");
    world.run(&["import", &path, "-o", "here.parquet"][..]).expect(1, &["here.parquet: exists: give --overwrite"]);
    world.run(&["import", &sample("bad.npy"), "-o", "here.parquet", "--overwrite"][..]).expect(1, &["row 2"]);
    assert_eq!((world.text("here.parquet").as_str(), world.files("")), ("something", vec!["here.parquet".to_owned()]));
    world.run(&["import", &path, "-o", &path, "--overwrite"][..]).expect(1, &["is an input of this import"]);
    // A name as the file system has it, with no extension.
    world.run(&["import", &path, "-o", "a%20 *b"][..]).expect(0, &["a%20 *b: 7 rows of 5 numbers"]);
    assert_eq!(vectors(&world.read("a%20 *b")), numbers(&given()["f4.npy"]));
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_nothing() {
    let world = World::new();
    // 8 GB of zeros that take no room: nothing reads them before the first line of progress is told.
    let (rows, width) = (2_600_000u32, 768u32);
    world.file("a.fbin", "");
    let mut file = std::fs::OpenOptions::new().write(true).open(world.path("a.fbin")).unwrap();
    file.write_all(&[rows.to_le_bytes(), width.to_le_bytes()].concat()).unwrap();
    file.set_len(8 + 4 * u64::from(rows) * u64::from(width)).unwrap();
    let mut child = world.command("import a.fbin -o out.parquet").stderr(std::process::Stdio::piped()).spawn().unwrap();
    let told = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut told = told.lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains(" MB read, ")), "no progress");
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.any(|line| line.contains("nothing was written")), "nothing is said");
    let code = child.wait().unwrap().code();
    assert_eq!((code, world.files("")), (Some(130), vec!["a.fbin".to_owned()]));
}

#[test]
fn files_may_be_in_a_store() {
    let (world, server, given) = (World::new(), Server::start(), given());
    for name in ["fortran.npy", "deflated.npz", "a.fbin", "a.jsonl.gz", "keys.npy"] {
        server.put(name, std::fs::read(sample(name)).unwrap());
    }
    for name in ["fortran.npy", "deflated.npz", "a.fbin", "a.jsonl.gz"] {
        let keys = if name == "a.jsonl.gz" { "" } else { "--keys s3://lake/keys.npy" };
        let line = format!("import s3://lake/{name} -o s3://lake/out/{name}.parquet {keys}");
        let run: crate::tester::Run = server.command(&world, &line).output().unwrap().into();
        run.expect(0, &["7 rows of 5 numbers"]);
        std::fs::write(world.path("out.parquet"), server.get(&format!("out/{name}.parquet")).unwrap()).unwrap();
        assert_eq!(vectors(&world.read("out.parquet")), numbers(&given[name]), "{name}");
    }
    let run: crate::tester::Run =
        server.command(&world, "import s3://lake/none.fbin -o s3://lake/x.parquet").output().unwrap().into();
    run.expect(1, &["s3://lake/none.fbin: there is no such file"]);
    assert!(server.keys("x").is_empty());
}
