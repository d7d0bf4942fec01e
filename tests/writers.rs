//! Embedding columns as pyarrow, pandas, Polars, DuckDB, Spark and Hugging Face datasets write them (`tests/data/make_writers.py`).

use std::path::{Path, PathBuf};

use crate::tester::{World, rows};

/// The files, without their extension. Those ending in `_half` hold vectors that f16 holds, too.
fn files() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/writers");
    let mut files: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    assert_eq!(files.len(), 20);
    files
}

#[test]
fn every_writer_s_file_is_translated_as_pyarrow_s() {
    let world = World::new();
    let path = |name: &str| files().into_iter().find(|(file, _)| file == name).unwrap().1.display().to_string();
    let fit = |source: &str, out: &str| {
        let rest = ["--key", "id", "--source-name", "a", "--target-name", "b", "--method", "procrustes", "-o", out];
        world.run(&[&["fit", "--source", source, "--target", &path("pyarrow")][..], &rest].concat()[..]).expect(0, &[]);
    };
    fit(&path("pyarrow"), "t.parquet");
    fit(&path("pyarrow_half"), "t_half.parquet");
    let translated = |file: &str, out: &str| {
        let rest = ["--to", out, "--translator", "t.parquet", "--items", "f32"];
        world.run(&[&["translate", file][..], &rest].concat()[..]).expect(0, &[]);
        rows(world.read(out).column_by_name("embedding").unwrap().as_ref())
    };
    let plain = translated(&path("pyarrow"), "plain.parquet");
    let halved = translated(&path("pyarrow_half"), "halved.parquet");
    assert_eq!(plain.len(), 300);

    for (name, file) in files() {
        let file = file.display().to_string();
        let (expected, known) =
            if name.ends_with("_half") { (&halved, "t_half.parquet") } else { (&plain, "t.parquet") };
        // Equal numbers, so equal bits: none of them is 0 or NaN.
        assert_eq!(&translated(&file, &format!("out_{name}.parquet")), expected, "{name}");
        fit(&file, &format!("t_{name}.parquet"));
        let digest = |name: &str| world.translator(name).digest;
        assert_eq!(digest(&format!("t_{name}.parquet")), digest(known), "{name}");

        // In SQL: row by row, and into a fit, for which a list without a width is cast.
        let column = if name == "pyarrow_bytes" { "embedding" } else { "CAST(embedding AS FLOAT[8])" };
        let sql = format!(
            "COPY (SELECT id, emb_translate(embedding, t) AS embedding FROM '{file}' CROSS JOIN 't.parquet' ORDER BY id) TO 'sql_{name}.parquet';
             SELECT CASE WHEN emb_norm(emb_mean({column})) > 0 THEN 'read' END AS mean FROM '{file}'"
        );
        let told = world.run(&["sql", "-c", &sql]).expect(0, &[]).stdout;
        assert!(told.contains("read"), "{name}: {told}");
        let found = rows(world.read(&format!("sql_{name}.parquet")).column_by_name("embedding").unwrap().as_ref());
        assert_eq!(&found, expected, "{name}");

        // The other commands that read tables.
        let nearest =
            ["nearest", "--of", &file, "--in", &file, "--key", "id", "--sample", "2", "--k", "1", "--format", "csv"];
        let told = world.run(&nearest).expect(0, &[]).stdout;
        assert_eq!(told.lines().count(), 3, "{name}: {told}");
        let told = world.run(&["inspect", &file]).expect(0, &[]).stdout;
        assert!(told.contains("| A     |     8 |     1 |  300 |"), "{name}: {told}");
        let sweep = ["sweep", &file, &path("pyarrow"), "--key", "id", "--method", "linear", "--format", "csv"];
        world.run(&sweep).expect(0, &[]);
        let told = world.run(&["describe", &file]).expect(0, &[]).stdout;
        assert!(told.contains("rows: 300") && told.contains("embedding"), "{name}: {told}");
    }
}

#[test]
fn the_numbers_are_numpy_s() {
    #[derive(serde::Deserialize)]
    struct Expected {
        first: Vec<f32>,
        sums: Vec<f64>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/writers");
    let expected: Expected =
        serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    let world = World::new();
    for (name, file) in files().into_iter().filter(|(name, _)| !name.ends_with("_half")) {
        let widened = format!("{name}.parquet");
        let sql = format!(
            "COPY (SELECT id, emb_rescale(embedding, 1) AS unit, emb_norm(embedding) AS norm FROM '{}' ORDER BY id) TO '{widened}'",
            file.display()
        );
        world.run(&["sql", "-c", &sql]).expect(0, &[]);
        let found = world.read(&widened);
        let norms = arrow::compute::cast(&found["norm"], &arrow::datatypes::DataType::Float64).unwrap();
        let norms = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&norms);
        for (row, unit) in rows(found["unit"].as_ref()).into_iter().enumerate() {
            let sum: f64 = unit.unwrap().iter().map(|x| f64::from(*x) * norms.value(row)).sum();
            assert!((sum - expected.sums[row]).abs() < 1e-5, "{name} {row}: {sum} {}", expected.sums[row]);
        }
        let first: f64 = expected.first.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((norms.value(0) - first).abs() < 1e-6, "{name}");
    }
}
