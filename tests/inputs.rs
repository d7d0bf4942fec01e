//! What the input of a job may be: folders, patterns, lists of files, partitions; and what is no data.

use crate::tester::{World, table};

/// A translator in `t.parquet`, and these files of ten rows.
fn world(files: &[&str]) -> World {
    let world = World::new();
    world.fitted(4, 5);
    for (number, name) in (0..).zip(files) {
        world.write(name, &table(10 * number..10 * number + 10, 4, 3));
    }
    world
}

/// Translates to a new folder; the files in it.
#[track_caller]
fn translated(world: &World, arguments: &str) -> Vec<String> {
    if world.exists("out") {
        std::fs::remove_dir_all(world.path("out")).unwrap();
    }
    world.run(&format!("translate {arguments} --to out/ --translator t.parquet")).expect(0, &[]);
    world.data("out")
}

/// Fails, says `words`, and makes no output.
#[track_caller]
fn refused(world: &World, arguments: &str, words: &[&str]) {
    let to = if arguments.contains("--to") { "" } else { "--to new" };
    world.run(&format!("translate {arguments} {to} --translator t.parquet")).expect(1, words);
    assert!(!world.exists("new"));
}

#[test]
fn a_pattern_names_files_and_folders() {
    let world = world(&[
        "lake/2024-01/a.parquet",
        "lake/2024-01/deep/b.parquet",
        "lake/2024-01/_temporary/c.parquet",
        "lake/2024-02/a.parquet",
        "lake/2025-01/a.parquet",
        "lake/2024.parquet",
        "top_1.parquet",
        "top_2.parquet",
    ]);
    let of_2024 = ["2024-01/a.parquet", "2024-01/deep/b.parquet", "2024-02/a.parquet"];
    assert_eq!(translated(&world, "lake/2024-*/"), of_2024);
    assert_eq!(translated(&world, "lake/2024-0[12]"), of_2024);
    assert_eq!(translated(&world, "lake/2024*")[3..], ["2024.parquet"]);
    assert_eq!(translated(&world, "lake/2024*/*.parquet"), ["2024-01/a.parquet", "2024-02/a.parquet"]);
    assert_eq!(translated(&world, "lake/2024-01/**/b.parquet"), ["deep/b.parquet"]);
    assert_eq!(translated(&world, "lake/202?-01/a.parquet"), ["2024-01/a.parquet", "2025-01/a.parquet"]);
    assert_eq!(translated(&world, "top_*.parquet"), ["top_1.parquet", "top_2.parquet"]);
    let here = format!("file://{}/202?-02/", world.path("lake").display());
    assert_eq!(translated(&world, &here), ["2024-02/a.parquet"]);

    refused(&world, "lake/2023-*/", &["lake/2023-*/: no *.parquet file is named so", "lake/ has 5 others"]);
    refused(&world, "lake/[", &["lake/[: is no usable pattern"]);
    refused(&world, "s3://lake-*/x", &["s3://lake-*/x: names no bucket"]);
    // The output would be input of the next run; beside the pattern it is none.
    refused(&world, "lake/** --to lake/new", &["lake/new: is in the input folder lake/"]);
    world.ok("translate lake/2024* --to lake/out --translator t.parquet");

    // A fit reads the same tables.
    world.write("old/a_1.parquet", &table(0..30, 4, 1));
    world.write("old/a_2.parquet", &table(30..60, 4, 1));
    world.write("old/b.parquet", &table(0..60, 3, 1));
    world.run("fit --source old/a_*.parquet --target y.parquet --key id -o t2.parquet").expect(0, &[]);
    world
        .run("fit --source old/a_*.parquet --target y.parquet --key id -o old/a_t.parquet")
        .expect(1, &["old/a_t.parquet: is an input of this fit"]);
}

#[test]
fn a_name_that_is_there_is_no_pattern() {
    let world = world(&["lake/[a]*?/1.parquet", "lake/a/2.parquet"]);
    assert_eq!(translated(&world, "lake/[a]*?"), ["1.parquet"]);
    assert_eq!(translated(&world, "lake/[a]*"), ["a/2.parquet"]);
}

#[test]
fn names_stay_as_they_are_written() {
    let folders = [
        "lang=a%2Fb",
        "lang=a%20b",
        "lang=a b",
        "lang=a+b",
        "lang=a#1",
        "lang=a?b",
        "lang=é",
        "lang=e\u{301}",
        "lang=日本",
        "lang=a&b",
        "lang=a:b",
        "lang=a\\b",
        "lang=[x]",
        "lang=~",
        "lang=\"q\"",
        "lang='s'",
        "lang=",
        "lang=100%",
        "lang=%ZZ",
        "lang=a=b",
        "lang={x}",
        "lang=*",
        "lang=^|`<>;@$!(),",
        " x ",
        "lang=__HIVE_DEFAULT_PARTITION__",
        "a..b",
    ];
    let files: Vec<_> = folders.iter().map(|folder| format!("lake/{folder}/part #1 %20é.parquet")).collect();
    let world = world(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(translated(&world, "lake"), world.data("lake"));
    for folder in folders {
        world
            .run(&["translate", &format!("lake/{folder}"), "--to", "one", "--translator", "t.parquet", "--overwrite"])
            .expect(0, &[]);
        assert_eq!(world.data("one"), ["part #1 %20é.parquet"]);
        std::fs::remove_dir_all(world.path("one")).unwrap();
    }
}

#[test]
fn a_filter_is_over_the_partitions() {
    let world = world(&[
        "lake/lang=fr/year=2022/a.parquet",
        "lake/lang=fr/year=2023/a.parquet",
        "lake/lang=en/year=2023/a.parquet",
        "lake/lang=__HIVE_DEFAULT_PARTITION__/year=987/a.parquet",
        "lake/lang=a%2Fb/year=0009/a.parquet",
        "lake/rest.parquet",
        "upper/Lang=fr/a.parquet",
    ]);
    let filter = |sql: &str| translated(&world, &format!("lake --filter \"{sql}\""));
    assert_eq!(filter("lang = 'fr' AND year >= 2023"), ["lang=fr/year=2023/a.parquet"]);
    assert_eq!(filter("lang = 'a/b'"), ["lang=a%2Fb/year=0009/a.parquet"]);
    // As numbers, not as text; and '09' is the number 9.
    assert_eq!(filter("year < 2000").len(), 2);
    assert_eq!(filter("year = '09'"), ["lang=a%2Fb/year=0009/a.parquet"]);
    assert_eq!(filter("lang IS NULL"), ["lang=__HIVE_DEFAULT_PARTITION__/year=987/a.parquet", "rest.parquet"]);
    assert_eq!(filter("lang <> 'fr'").len(), 2);
    assert_eq!(filter("upper(lang) LIKE 'F%'").len(), 2);
    let both = translated(&world, "lake/lang=*/ --filter \"year = 2023\"");
    assert_eq!(both, ["lang=en/year=2023/a.parquet", "lang=fr/year=2023/a.parquet"]);

    let refused = |sql: &str, words: &[&str]| refused(&world, &format!("lake --filter \"{sql}\""), words);
    refused("month = 1", &["--filter month = 1: No field named month", "lang, year", "the partitions in lake"]);
    refused("lang = 'xx'", &["none of 6 files in lake fits; lang is NULL, 'a/b', 'en', 'fr'"]);
    refused("year", &["--filter year: is Int64, not a condition"]);
    refused("year >", &["--filter year >: "]);
    let upper = ["translate", "upper", "--to", "new", "--translator", "t.parquet", "--filter"];
    let filter = |sql| [&upper[..], &[sql]].concat();
    world.run(filter("Lang = 'fr'").as_slice()).expect(1, &["No field named lang", "\"Lang\""]);
    world.run(filter("\"Lang\" = 'fr'").as_slice()).expect(0, &[]);
    world
        .run("translate x.parquet --to o.parquet --translator t.parquet --filter a=1")
        .expect(1, &["x.parquet has no folders named `column=value`"]);
}

#[test]
fn a_manifest_names_the_files() {
    let world =
        world(&["lake/a.parquet", "lake/lang=a%20b/b.parquet", "lake/_c.pq", "lake/d.parquet", "other/e.parquet"]);
    // A link in the folder is in the folder.
    std::os::unix::fs::symlink(world.path("other/e.parquet"), world.path("lake/link.parquet")).unwrap();
    let full = |name: &str| world.path(name).display().to_string();
    let lines = [
        "# the current files\n\n./d.parquet\r",
        "a.parquet",
        &full("lake/link.parquet"),
        &format!("file://{}", full("lake/lang=a%20b/b.parquet")),
        "_c.pq",
    ];
    world.file("files.txt", &lines.join("\n"));
    translated(&world, "lake --manifest files.txt");
    let mut files = world.files("out");
    files.retain(|name| !name.starts_with("_babelake") && name != "_SUCCESS");
    assert_eq!(files, ["_c.pq", "a.parquet", "d.parquet", "lang=a%20b/b.parquet", "link.parquet"]);
    let fits = translated(&world, "lake/ --manifest files.txt --filter \"lang = 'a b'\"");
    assert_eq!(fits, ["lang=a%20b/b.parquet"]);

    let wrong = |line: &str, words: &str| {
        world.file("wrong.txt", &format!("a.parquet\n# x\n{line}\nnot there either\n"));
        refused(&world, "lake --manifest wrong.txt", &["wrong.txt: line 3: ", words]);
    };
    wrong("gone.parquet", "there is no file lake/gone.parquet (what is not in full is relative to lake)");
    wrong("lang=a%20b", "there is no file lake/lang=a%20b");
    wrong("./a.parquet", "./a.parquet is in line 1 already");
    wrong(&full("lake/a.parquet"), "is in line 1 already");
    wrong(&full("other/e.parquet"), "other/e.parquet is not in lake");
    wrong("../other/e.parquet", "../other/e.parquet is no usable path");
    wrong("s3://bucket/lake/a.parquet", "s3://bucket/lake/a.parquet is not in lake");
    world.file("empty.txt", "# nothing\n");
    refused(&world, "lake --manifest empty.txt", &["empty.txt: names no file"]);
    refused(&world, "lake --manifest x.parquet", &["x.parquet: is no text: a manifest has one path or URL a line"]);
    refused(&world, "lake --manifest none.txt", &["none.txt: there is no such file"]);
    refused(&world, "lake/* --manifest files.txt", &["lake/*: is a pattern: with --manifest"]);
    refused(&world, "x.parquet --manifest files.txt", &["x.parquet: is a file: with --manifest"]);
}

#[test]
fn a_part_of_the_input_makes_no_orphans() {
    let world = world(&["lake/lang=fr/a.parquet", "lake/lang=en/b.parquet"]);
    translated(&world, "lake");
    world.file("files.txt", "lang=fr/a.parquet\n");
    for part in ["lake --filter lang='fr'", "lake/* --filter lang='fr'", "lake --manifest files.txt", "lake/*fr"] {
        let line = format!("translate {part} --to out --translator t.parquet");
        world.run(&line).expect(0, &["0 written, 1 current"]);
        world.run(&format!("{line} --delete-orphans")).expect(1, &["--delete-orphans needs the whole input"]);
    }
    assert_eq!(world.data("out").len(), 2);
}

#[test]
fn tables_of_other_formats_are_refused() {
    let files = [
        "delta/lang=fr/a.parquet",
        "lake/ice/data/lang=fr/a.parquet",
        "hudi/a.parquet",
        "lake/plain/metadata/a.parquet",
        "plain/a.parquet",
    ];
    let world = world(&files);
    for name in ["delta/_delta_log/0.json", "lake/ice/metadata/v1.metadata.json", "hudi/.hoodie/hoodie.properties"] {
        std::fs::create_dir_all(world.path(name).parent().unwrap()).unwrap();
        world.file(name, "{}");
    }
    let sql = |sql: &str| world.run(&["sql", "--format", "csv", "-c", sql]);
    for (input, table, format) in [
        ("delta", "delta", "Delta Lake"),
        ("delta/lang=fr/", "delta/lang=fr/", "Delta Lake"),
        ("delta/lang=*/", "delta/", "Delta Lake"),
        ("lake", "lake/ice", "Iceberg"),
        ("lake/ice/data", "lake/ice/data", "Iceberg"),
        ("hudi", "hudi", "Hudi"),
    ] {
        // A Delta table is read where that is built in.
        if cfg!(feature = "delta") && format == "Delta Lake" {
            continue;
        }
        let words = format!("{table}: belongs to a");
        refused(&world, input, &[&words, format, "xport the table as plain Parquet"]);
        world
            .run(&format!("fit --source {input} --target y.parquet --key id -o new.parquet"))
            .expect(1, &[&words, format]);
        if input != "lake" && !input.contains('*') {
            sql(&format!("SELECT * FROM '{input}'")).expect(1, &[&words, format]);
        }
    }
    sql("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'hudi/'").expect(1, &["hudi: belongs to a Hudi table"]);
    for output in ["delta", "delta/lang=fr", "lake/ice/data/x=1/", "hudi/b.parquet"] {
        let words = format!("{output}: belongs to a");
        let input = if output.ends_with("parquet") { "plain/a.parquet" } else { "plain" };
        refused(&world, &format!("{input} --to {output}"), &[&words, "name another folder"]);
        for mode in ["", "OPTIONS (mode 'append')", "OPTIONS (mode 'overwrite')"] {
            let mode = if output.ends_with("parquet") && mode.contains("append") { "" } else { mode };
            sql(&format!("COPY (SELECT 1 AS x) TO '{output}' STORED AS PARQUET {mode}")).expect(1, &[&words]);
        }
    }
    assert_eq!([world.data("delta"), world.data("hudi")].concat(), ["lang=fr/a.parquet", "a.parquet"]);

    // What is read for certain is read: a file, the files of a list, a folder that has nothing to do with the table.
    assert_eq!(translated(&world, "hudi/a.parquet"), ["a.parquet"]);
    world.file("files.txt", "lang=fr/a.parquet\n");
    assert_eq!(translated(&world, "delta --manifest files.txt"), ["lang=fr/a.parquet"]);
    assert_eq!(translated(&world, "lake/plain"), ["metadata/a.parquet"]);
    assert_eq!(translated(&world, "lake/pl*/"), ["plain/metadata/a.parquet"]);
}

#[test]
fn sql_reads_the_partitions_of_a_folder_and_passes_over_hidden_names() {
    let world = world(&[
        "lake/lang=fr/a.parquet",
        "lake/lang=a%2Fb/b.parquet",
        "lake/lang=fr/_c.parquet",
        "lake/lang=fr/.d.parquet",
        "lake/_e.parquet",
        "lake/_temporary/lang=fr/f.parquet",
    ]);
    let rows = |sql: &str| world.run(&["sql", "--format", "csv", "-c", sql]).expect(0, &[]).stdout;
    let count = "SELECT count(*) AS n FROM";
    assert_eq!(rows("SELECT lang, count(*) AS n FROM 'lake/' GROUP BY lang ORDER BY lang"), "lang,n\na/b,10\nfr,10\n");
    assert_eq!(rows(&format!("{count} 'lake/' WHERE lang = 'a/b'")), "n\n10\n");
    assert_eq!(rows(&format!("{count} 'lake/lang=fr/*.parquet'")), "n\n10\n");
    let table = "CREATE EXTERNAL TABLE t STORED AS PARQUET PARTITIONED BY (lang) LOCATION 'lake/'";
    assert_eq!(rows(&format!("{table}; {count} t")), "n\n20\n");
    // Named itself it is read.
    assert_eq!(rows(&format!("{count} 'lake/lang=fr/_c.parquet'")), "n\n10\n");
}
