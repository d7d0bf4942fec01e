//! Tables of other formats (`tests/data/make_tables.py`): Iceberg's files by its metadata; Delta tables as sources and targets.

use std::path::Path;

use crate::tester::{World, copy};

/// Puts a folder of `tests/data` into a world.
fn given(world: &World, format: &str, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format).join(name);
    copy(&from, &world.path(name));
}

/// The answer to SQL as CSV, without its header.
fn answer(world: &World, sql: &str) -> String {
    let run = world.run(&["sql", "--format", "csv", "-c", sql]).expect(0, &[]);
    run.stdout.split_once('\n').unwrap().1.to_owned()
}

/// Whether every row `i` of the Parquet files at `from` has the translation of (i, i + 1/2, -i).
fn is_translated(world: &World, from: &str) {
    let off = format!(
        "SELECT count(*) FROM '{from}', 't.parquet' WHERE 1 - emb_cosine(embedding, \
         emb_translate([CAST(id AS FLOAT), CAST(id + 0.5 AS FLOAT), CAST(-id AS FLOAT)], t)) > 1e-6"
    );
    assert_eq!(answer(world, &off), "0\n");
}

#[test]
fn an_iceberg_table_is_the_files_of_its_current_snapshot() {
    let world = World::new();
    world.fitted(3, 5);
    // Iceberg has partition columns in the files, too, so that SQL reads one partition at a time.
    for (name, folder, ids) in [("plain", "data/", "20,20,39\n"), ("parted", "data/lang=fr/", "5,101,109\n")] {
        given(&world, "iceberg", name);
        world.ok(&format!(
            "translate {name} --manifest {name}/metadata/now.metadata.json --to out_{name} --translator t.parquet --force"
        ));
        let folder = format!("out_{name}/{folder}");
        assert_eq!(answer(&world, &format!("SELECT count(*), min(id), max(id) FROM '{folder}'")), ids);
        is_translated(&world, &folder);
    }
    assert_eq!(world.data("out_parted").len(), 2);

    // What is no longer in the table is an orphan.
    let mut files = world.data("plain/data");
    files.sort();
    assert_eq!(files.len(), 2);
    world.file("all.txt", &files.iter().map(|file| format!("data/{file}\n")).collect::<String>());
    world.ok("translate plain --manifest all.txt --to out_all --translator t.parquet --force");
    let now = "translate plain --manifest plain/metadata/now.metadata.json --to out_all --translator t.parquet --force";
    assert!(world.run(now).expect(4, &["orphaned"]).stderr.contains("data/"));
    world.ok(&format!("{now} --delete-orphans --yes"));
    assert_eq!(answer(&world, "SELECT count(*), min(id) FROM 'out_all/data/'"), "20,20\n");

    let fails = |input: &str, manifest: &str, words: &[&str]| {
        world.fails(&format!("translate {input} --manifest {manifest} --to no --translator t.parquet"), words);
        assert!(!world.exists("no"));
    };
    given(&world, "iceberg", "deletes");
    fails(
        "deletes",
        "deletes/metadata/now.metadata.json",
        &["deletes: is an Iceberg table with delete files", "rewrite_data_files"],
    );
    given(&world, "iceberg", "empty");
    fails("empty", "empty/metadata/now.metadata.json", &["now.metadata.json: the table has no rows"]);
    world.file("no.metadata.json", "{\"a\": 1}");
    fails("plain", "no.metadata.json", &["no.metadata.json: is no metadata of an Iceberg table"]);
    world.file("new.metadata.json", "{\"format-version\": 3, \"location\": \"file:///lake/plain\"}");
    fails("plain", "new.metadata.json", &["new.metadata.json: is of version 3 of Iceberg's format"]);
    fails("plain", "plain/metadata/none.metadata.json", &["none.metadata.json: there is no such file"]);
    // What the metadata name is not there.
    for file in world.files("plain/metadata").iter().filter(|name| name.starts_with("snap-")) {
        std::fs::write(world.path(&format!("plain/metadata/{file}")), "Obj").unwrap();
        fails("plain", "plain/metadata/now.metadata.json", &[file.as_str(), "is no manifest of an Iceberg table"]);
    }
    let words = ["there is no such file", "the Iceberg table's own folder"];
    fails("parted/data", "parted/metadata/now.metadata.json", &words);
}

#[cfg(feature = "delta")]
mod delta {
    use std::process::Stdio;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{answer, given, is_translated};
    use crate::s3_server::Server;
    use crate::tester::{World, rows, table};

    /// The actions of a version's commit.
    fn commit(world: &World, table: &str, version: u64) -> Vec<Value> {
        let text = world.text(&format!("{table}/_delta_log/{version:020}.json"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn versions(world: &World, table: &str) -> usize {
        world.files(&format!("{table}/_delta_log")).iter().filter(|name| name.ends_with(".json")).count()
    }

    fn info(world: &World, table: &str, version: u64) -> Value {
        let actions = commit(world, table, version);
        actions.into_iter().find_map(|action| action.get("commitInfo").cloned()).unwrap()
    }

    #[test]
    fn a_table_is_read_as_it_stands() {
        let world = World::new();
        world.write("y.parquet", &table(0..40, 5, 2));
        for (name, found) in [("plain", "36,4,39\n"), ("parted", "36,4,39\n"), ("deleted", "27,1,28\n")] {
            given(&world, "delta", name);
            assert_eq!(answer(&world, &format!("SELECT count(*), min(id), max(id) FROM '{name}/'")), found);
            assert_eq!(
                answer(&world, &format!("SELECT count(*) FROM '{name}/' WHERE id IN (0, 7, 29)")).trim(),
                match name {
                    "deleted" => "0",
                    _ => "2",
                }
            );
            assert_eq!(
                answer(
                    &world,
                    &format!("SELECT count(*) FROM '{name}/' WHERE lang = 'fr' AND emb_norm(embedding) > 0")
                )
                .trim(),
                match name {
                    "deleted" => "13",
                    _ => "18",
                }
            );
        }
        world.ok("fit --source plain --target y.parquet --key id -o t.parquet");
        world.ok("fit --source parted --target y.parquet --key id -o t2.parquet");
        assert_eq!(world.bytes("t.parquet").len() > 1000, world.bytes("t2.parquet").len() > 1000);
        world.fails(
            "fit --source deleted --target y.parquet --key id -o t3.parquet",
            &["deleted: is a Delta table with deletion vectors", "read it by SQL"],
        );
    }

    #[test]
    fn a_table_is_translated_in_one_commit_that_says_what_of() {
        let world = World::new();
        let translator = world.fitted(3, 5);
        for (name, count) in [("plain", 36), ("parted", 36), ("deleted", 27)] {
            given(&world, "delta", name);
            let line =
                format!("translate {name} --to out_{name} --translator t.parquet --force --origin-column origin");
            let dry = world.ok(&format!("{line} --dry-run"));
            assert!(dry.stdout.contains(&format!("rows: {count}")), "{}", dry.stdout);
            assert!(!world.exists(&format!("out_{name}")));
            world.ok(&line);
            let out = format!("out_{name}/");
            assert_eq!(
                answer(&world, &format!("SELECT count(*), count(DISTINCT origin) FROM '{out}'")),
                format!("{count},1\n")
            );
            is_translated(&world, &out);
            let said = &info(&world, &format!("out_{name}"), 0)["babelake"];
            assert_eq!(said["columns"][0]["translator"], json!(translator.digest));
            assert_eq!(said["source"]["version"], json!(versions(&world, name) - 1));
            assert!(!world.exists(&format!("out_{name}/_babelake_unfinished")));
            // Nothing to do.
            let again = world.ok(&line);
            assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
            assert_eq!(versions(&world, &out), 1);
            // The source has changed: a new version, in place of the old rows.
            world.run(&["sql", "-c", &format!("COPY (SELECT 100 AS id, 'fr' AS lang, [CAST(100 AS FLOAT), CAST(100.5 AS FLOAT), CAST(-100 AS FLOAT)] AS embedding) TO '{name}/' STORED AS DELTA OPTIONS (mode 'append')")]).expect(0, &[]);
            world.ok(&line);
            assert_eq!(
                answer(&world, &format!("SELECT count(*), max(id) FROM '{out}'")),
                format!("{},100\n", count + 1)
            );
            assert_eq!(versions(&world, &out), 2);
            is_translated(&world, &out);
        }
        let partitions = world.files("out_parted");
        assert!(partitions.iter().any(|name| name.starts_with("lang=fr/")), "{partitions:?}");

        let fails =
            |line: &str, words: &[&str]| world.fails(&format!("translate {line} --translator t.parquet"), words);
        fails("out_plain --to no", &["out_plain: is itself a translation (to 'y')", "--allow-chain"]);
        // Also when its rows have been changed since.
        let more = "COPY (SELECT * FROM 'out_plain/' LIMIT 1) TO 'out_plain/' STORED AS DELTA OPTIONS (mode 'append')";
        world.run(&["sql", "-c", more]).expect(0, &[]);
        fails("out_plain --to no", &["out_plain: is itself a translation (to 'y')", "--allow-chain"]);
        fails("plain --to out_plain --force", &["out_plain: is a Delta table whose rows another job"]);
        world.file("file.txt", "");
        fails("plain --to file.txt --force", &["file.txt: is a file, and the output is a Delta table"]);
        fails("plain --to parted/x --force", &["parted/x: belongs to a Delta Lake table"]);
        for to in ["plain", "plain/out", "."] {
            fails(&format!("plain --to {to} --force"), &["is the input of this job, or in its folder"]);
        }
        fails("parted --to out_parted/lang=fr --force", &["out_parted/lang=fr: belongs to a Delta Lake table"]);
        fails("plain/*.parquet --to no --force", &["a pattern or --filter is for files"]);
        world
            .run("translate plain --to no --column embedding=t.parquet --column embedding=t.parquet")
            .expect(1, &["named twice"]);
        fails(
            "plain --to out_deleted --force",
            &["out_deleted: is a Delta table whose rows another job", "--overwrite"],
        );
        fails("plain --to no --items int8", &["plain: is a Delta table, and --items is for files"]);
        fails("plain --to no --output-column id --force", &["there is a column `id`"]);
        fails("plain --to no --column lang", &["lang", "no embedding type"]);
        world.write("folder/x.parquet", &table(0..5, 3, 1));
        fails("plain --to folder --force", &["folder: is a folder with files, such as `x.parquet`"]);
        world.write("a.parquet", &table(0..60, 4, 1));
        world.write("b.parquet", &table(0..60, 2, 2));
        world.ok("fit --source a.parquet --target b.parquet --key id -o four.parquet");
        world.fails(
            "translate plain --to no --translator four.parquet",
            &["plain: column `embedding` has vectors of 3 numbers"],
        );
        assert!(!world.exists("no"));
        world.ok("translate plain --to out_deleted --translator t.parquet --force --overwrite");
        assert_eq!(answer(&world, "SELECT count(*) FROM 'out_deleted/'"), "37\n");
    }

    #[test]
    fn sql_writes_tables() {
        let world = World::new();
        world.write("x.parquet", &table(0..500, 4, 1));
        let sql = |sql: &str| world.run(&["sql", "-c", sql]);
        sql("COPY (SELECT *, id % 3 AS part FROM 'x.parquet') TO 't/' STORED AS DELTA PARTITIONED BY (part)")
            .expect(0, &[]);
        assert_eq!(
            answer(&world, "SELECT part, count(*) FROM 't/' GROUP BY part ORDER BY part"),
            "0,167\n1,167\n2,166\n"
        );
        let again = "COPY (SELECT *, id % 3 AS part FROM 'x.parquet' WHERE id < 10) TO 't/' STORED AS DELTA";
        sql(again).expect(1, &["t/: is a Delta table: add OPTIONS (mode 'append')"]);
        sql(&format!("{again} OPTIONS (mode 'append')")).expect(0, &[]);
        assert_eq!(answer(&world, "SELECT count(*) FROM 't/'"), "510\n");
        sql(&format!("{again} OPTIONS (mode 'overwrite')")).expect(0, &[]);
        assert_eq!(answer(&world, "SELECT count(*) FROM 't/'"), "10\n");
        sql(&format!("{again} OPTIONS (made 'up')")).expect(1, &["option `made` is unknown"]);
        let parted = format!("{again} PARTITIONED BY (id) OPTIONS (mode 'append')");
        sql(&parted).expect(1, &["t/: is a Delta table parted by (part)"]);
        assert!(world.files("t").iter().any(|name| name.starts_with("part=")));
        world.write("folder/x.parquet", &table(0..5, 3, 1));
        for (to, words) in [
            ("folder/", "folder/: is a folder with files, such as `x.parquet`"),
            ("t/part=0/", "t/part=0/: belongs to a Delta Lake table"),
            ("folder/*.parquet", "is a pattern"),
            ("t/x/y/", "t/x/y/: belongs to a Delta Lake table"),
        ] {
            sql(&format!("COPY (SELECT 1 AS id) TO '{to}' STORED AS DELTA")).expect(1, &[words]);
        }
        sql("SELECT * FROM 't/*.parquet'").expect(1, &["t/"]);
        assert_eq!(answer(&world, "SELECT count(*) FROM 't'"), "10\n");
        for data_type in ["UInt8", "Float16", "List(UInt16)"] {
            let cast = format!("COPY (SELECT arrow_cast(NULL, '{data_type}') AS id) TO 'u/' STORED AS DELTA");
            sql(&cast).expect(1, &["u/: column `id` is", "which a Delta table cannot hold"]);
        }
        // The query's own error, with its exit code.
        let nan = "SELECT 1 AS id, [CAST('NaN' AS FLOAT), CAST(1 AS FLOAT)] AS embedding";
        sql(&format!("COPY (SELECT id, emb_normalize(embedding) AS v FROM ({nan})) TO 'n/' STORED AS DELTA"))
            .expect(1, &["emb_normalize", "NaN"]);
        // A query that fails commits nothing.
        let fails = "COPY (SELECT id, emb_translate(embedding, (SELECT t FROM 'none.parquet')) AS embedding FROM 'x.parquet') TO 't/' STORED AS DELTA OPTIONS (mode 'append')";
        sql(fails).expect(1, &["none.parquet"]);
        sql("COPY (SELECT CAST('x' AS BIGINT) AS id FROM 'x.parquet') TO 'u/' STORED AS DELTA").expect(1, &[]);
        assert_eq!(versions(&world, "t"), 3);
        assert!(!world.exists("u/_delta_log"));
        let before = world.read("x.parquet");
        sql("COPY (SELECT * FROM 'x.parquet') TO 'v/' STORED AS DELTA").expect(0, &[]);
        sql("COPY (SELECT id, embedding FROM 'v/' ORDER BY id) TO 'back.parquet'").expect(0, &[]);
        assert_eq!(rows(world.read("back.parquet").column(1)), rows(before.column(1)));
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let world = World::new();
        world.write("x.parquet", &table(0..2000, 64, 1));
        world
            .run(&["sql", "-c", "COPY (SELECT * FROM 'x.parquet' WHERE id < 0) TO 't/' STORED AS DELTA"])
            .expect(0, &[]);
        // Additions are tried again after each other's.
        let append = |i: i32| {
            let sql = format!(
                "COPY (SELECT {i} * 10000 + id AS id, embedding FROM 'x.parquet') TO 't/' STORED AS DELTA OPTIONS (mode 'append')"
            );
            world.command(&["sql", "-c", &sql]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let writers: Vec<_> = (0..4).map(append).collect();
        for writer in writers {
            let ended = writer.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        assert_eq!(answer(&world, "SELECT count(*), count(DISTINCT id) FROM 't/'"), "8000,8000\n");

        // Of those that create a table one gets through, of those that replace all rows one at a time; the others say so, and
        // nothing is mixed.
        world.write("y.parquet", &table(0..2000, 8, 2));
        world.ok("fit --source x.parquet --target y.parquet --key id -o a.parquet --method parseval");
        world.ok("fit --source x.parquet --target y.parquet --key id -o b.parquet --method linear");
        let translate = |by: &str| {
            let line = format!("translate t --to out --translator {by}.parquet --overwrite --origin-column origin");
            world.command(&line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        for _ in 0..2 {
            let mut done = 0;
            for writer in [translate("a"), translate("b"), translate("a"), translate("b")] {
                let ended = writer.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&ended.stderr);
                done += u32::from(ended.status.success());
                let lost =
                    ended.status.code() == Some(75) && said.contains("somebody else has changed the Delta table");
                assert!(ended.status.success() || lost, "{said}");
            }
            assert!(done > 0);
            let all = "SELECT count(*), count(DISTINCT id), count(DISTINCT origin) FROM 'out/'";
            assert_eq!(answer(&world, all), "8000,8000,1\n");
        }
    }

    #[test]
    fn a_killed_job_leaves_the_last_version() {
        let world = World::new();
        world.fitted(8, 512);
        world.write("x.parquet", &table(0..4000, 8, 3));
        let copy = |rows: u32, mode: &str| {
            let sql = format!(
                "COPY (SELECT * FROM 'x.parquet' WHERE id < {rows}) TO 'in/' STORED AS DELTA OPTIONS (mode '{mode}')"
            );
            world.run(&["sql", "-c", &sql]).expect(0, &[]);
        };
        copy(100, "append");
        let line = "translate in --to out --translator t.parquet";
        // Before there is a version, too.
        let mut killed = 0;
        for (version, rows) in [(0, 100u32), (1, 4000)] {
            copy(rows, "overwrite");
            for delay in [0, 20, 60, 120, 200, 300, 420] {
                let mut job = world.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(delay));
                job.kill().unwrap();
                if job.wait().unwrap().success() {
                    break;
                }
                killed += 1;
                if world.exists("out/_delta_log/00000000000000000000.json") {
                    let count = answer(&world, "SELECT count(*), count(DISTINCT id) FROM 'out/'");
                    assert!(count == "100,100\n" || count == "4000,4000\n", "{count}");
                } else {
                    assert_eq!(version, 0);
                }
            }
            world.ok(line);
            assert_eq!(answer(&world, "SELECT count(*), count(DISTINCT id) FROM 'out/'"), format!("{rows},{rows}\n"));
        }
        assert!(killed > 0);
        is_current(&world, line);
    }

    fn is_current(world: &World, line: &str) {
        assert!(world.ok(line).stderr.contains("nothing to do"));
    }

    #[test]
    fn a_table_in_an_object_store_is_translated_there() {
        let world = World::new();
        world.fitted(3, 5);
        let server = Server::start();
        given(&world, "delta", "parted");
        server.put_files(&world, "parted");
        server.put_files(&world, "t.parquet");
        let line = "translate s3://lake/parted --to s3://lake/out --translator s3://lake/t.parquet --force";
        let ran = server.command(&world, line).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let keys = server.keys("out/");
        assert!(keys.iter().any(|key| key == "out/_delta_log/00000000000000000000.json"), "{keys:?}");
        let sql = [
            "sql",
            "--format",
            "csv",
            "-c",
            "SELECT lang, count(*) AS n FROM 's3://lake/out/' GROUP BY lang ORDER BY lang",
        ];
        let ran = server.command(&world, &sql).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "lang,n\nen,18\nfr,18\n");
    }
}
