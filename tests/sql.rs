//! `babelake sql`.

use std::io::Read;

use crate::tester::{Run, World, table};

#[test]
fn sql_comes_from_arguments_files_and_pipes() {
    let tester = World::new();
    let ended =
        tester.run(&["sql", "--format", "csv", "-c", "CREATE VIEW v AS SELECT 1 AS a; ", "-c", "SELECT a FROM v"]);
    assert_eq!(ended.expect(0, &[]).stdout, "a\n1\n");
    tester.file("x.sql", "SELECT 1 AS a;\n-- ; \nSELECT 2 AS a");
    assert_eq!(tester.run(&["sql", "--format", "tsv", "-f", "x.sql"]).expect(0, &[]).stdout, "a\n1\na\n2\n");
    for args in [vec!["sql", "--format", "ndjson"], vec!["sql", "--format", "ndjson", "-f", "-"]] {
        let ended = tester.run_with_stdin(args.as_slice(), "SELECT 'x;y' AS a, make_array(1, NULL) AS b, NULL AS c");
        assert_eq!(ended.expect(0, &[]).stdout, "{\"a\":\"x;y\",\"b\":[1,null],\"c\":null}\n");
    }
    let ended = tester.run(&["sql", "--format", "json", "-c", "SELECT 1 AS a WHERE false"]).expect(0, &[]);
    assert_eq!(ended.stdout, "[]\n");
    let ended = tester.run(&["sql", "--format", "csv", "-c", "SELECT make_array(1.5, 2) AS a, 3 AS b WHERE false"]);
    assert_eq!(ended.expect(0, &[]).stdout, "a,b\n");
    let ended = tester.run(&["sql", "--format", "csv", "-c", "SELECT make_array(1.5, 2) AS a, 3 AS b"]).expect(0, &[]);
    assert_eq!(ended.stdout, "a,b\n\"[1.5, 2.0]\",3\n");
}

#[test]
fn the_first_error_ends_it_with_exit_code_1() {
    let tester = World::new();
    tester.file("x.sql", "SELECT 1 AS a;\n\nSELECT missing;\nSELECT 3;");
    let ended = tester.run(&["sql", "-f", "x.sql", "--format", "csv"]).expect(1, &["error: x.sql:3: ", "missing"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("a\n1\n", 1));
    tester.run_with_stdin(&["sql"], "SELEC 1;").expect(1, &["error: stdin:1: "]);
    tester.run(&["sql", "-c", "SELECT 1/0"]).expect(1, &["error: ", "Divide by zero"]);
    tester.run(&["sql", "-c", "SELECT * FROM 'none.parquet'"]).expect(1, &["error: none.parquet: no such file"]);
    tester
        .run(&["sql", "-c", "SELECT * FROM 'hdfs://b/x.parquet'"])
        .expect(1, &["error: hdfs://b/: the store `hdfs` is unknown: local paths, s3, gs"]);
    tester.run(&["sql", "-c", "SELECT 1", "-f", "x.sql"]).expect(2, &["cannot be used with"]);
    tester.file("cut.parquet", "PAR1 and then nothing");
    tester.run(&["sql", "-c", "SELECT * FROM 'cut.parquet'"]).expect(1, &["error: cut.parquet: ", "Parquet"]);
}

#[test]
fn a_table_is_short() {
    let tester = World::new();
    let sql = "SELECT value AS n FROM generate_series(1, 1437)";
    let ended = tester.run(&["sql", "-c", sql]).expect(0, &[]);
    assert_eq!(ended.stdout.lines().count(), 45);
    assert!(ended.stdout.ends_with("40 of 1,437 rows: --max-rows 0 shows all\n"), "{}", ended.stdout);
    assert_eq!(tester.run(&["sql", "-c", sql, "--max-rows", "0"]).expect(0, &[]).stdout.lines().count(), 1441);

    let sql =
        "SELECT arrow_cast(array_repeat(-0.123456, 768), 'FixedSizeList(768, Float32)') AS v, make_array(1.25) AS w,
               struct(array_repeat(1.0, 1437) AS m, repeat('x', 1000) AS d) AS s, make_array(make_array(1), NULL) AS l";
    let ended = tester.run(&["sql", "-c", sql]).expect(0, &[]);
    for cell in ["| [-0.123, -0.123, -0.123, ... 768 values] |", "| [1.25] |", "| [[1], NULL] |"] {
        assert!(ended.stdout.contains(cell), "{cell}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("{m: [1.0, 1.0, 1.0, ... 1,437 values], d: xxx"), "{}", ended.stdout);
    assert!(ended.stdout.lines().all(|line| line.len() < 320), "{}", ended.stdout);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let tester = World::new();
    let sql = "SELECT value FROM generate_series(1, 1000000000000)";
    let mut child = tester.command(&["sql", "--format", "csv", "-c", sql]).spawn().unwrap();
    let mut first = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"value\n");
    let ended: Run = child.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn help_teaches() {
    let tester = World::new();
    for args in [&["--help"][..], &["run", "--help"], &["sql", "--help"]] {
        let ended = tester.run(args).expect(0, &[]);
        assert!(ended.stdout.contains("  babelake run") || ended.stdout.contains("  babelake sql"), "{}", ended.stdout);
    }
    assert!(tester.run(&["--version"]).expect(0, &[]).stdout.starts_with("babelake 0."));
    tester.run(&[]).expect(2, &["Usage"]);
}

#[test]
fn our_functions_are_listed() {
    let run = World::new().run("sql --functions --format csv").expect(0, &[]);
    for name in ["emb_norm(v)", "emb_fit(key, source, target", "emb_translate(v, translator)"] {
        assert!(run.stdout.contains(name), "{}", run.stdout);
    }
}

#[test]
fn scans_have_fewer_partitions_where_memory_is_short() {
    let world = World::new();
    // Row groups of about 4 MB.
    for i in 0..3 {
        world.write_groups(&format!("lake/{i}.parquet"), &table(i * 4000..(i + 1) * 4000, 512, 3), 2000);
    }
    let query = "SELECT round(sum(emb_norm(embedding)), 2) AS n FROM 'lake/'";
    let run = |memory: &str| world.run(&["sql", "--format", "csv", "--memory", memory, "-c", query]);
    let plenty = run("2G").expect(0, &[]);
    assert_eq!(plenty.stderr, "");
    let short = run("12M").expect(0, &["note: 1 of ", "partitions, for its scans to fit into memory"]);
    assert_eq!(short.stdout, plenty.stdout);
    run("4M").expect(1, &["lake/", ".parquet: has a row group of which this query needs 4 MB at once", "--memory"]);
    // 4,000 vectors of 512 numbers twice.
    let groups = "SELECT id % 3 AS g, emb_retrieval(id, embedding, embedding) FROM 'lake/0.parquet' GROUP BY id % 3";
    let needs = ["the query holds", "bytes and needs", "more for", "--memory"];
    world.run(&["sql", "--memory", "10M", "-c", groups]).expect(1, &needs);
    world.run(&["sql", "--memory", "200M", "-c", groups]).expect(0, &[]);
    // Only what is read counts.
    world.run(&["sql", "--memory", "4M", "-c", "SELECT sum(id) FROM 'lake/'"]).expect(0, &[]);
    run("many").expect(2, &["expected a size such as 512M or 2G"]);
}
