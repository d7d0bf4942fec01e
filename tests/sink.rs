//! COPY and INSERT write everything or nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use babelake::session::{Settings, context, settled};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListViewArray, RecordBatch, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

fn session() -> SessionContext {
    context(&Settings::default()).unwrap()
}

async fn run(session: &SessionContext, sql: &str) -> Result<(), String> {
    let frame = session.sql(sql).await.map_err(|e| babelake::Error::from(e).to_string())?;
    frame.collect().await.map_err(|e| babelake::Error::from(e).to_string()).map(drop)
}

async fn number(session: &SessionContext, sql: &str) -> i64 {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Everything under a folder, staged files and empty folders included, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(format!("{}/", path.display()), Vec::new());
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Division by zero in the last of 20,000 rows, which the writers see only after the rows before it.
const FAILS_AT_ITS_END: &str = "SELECT value AS id, 1 / (20000 - value) AS x FROM generate_series(1, 20000)";

#[tokio::test]
async fn a_query_that_fails_at_its_last_row_leaves_what_was_there() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    run(&session, &format!("COPY (SELECT 7 AS id, 7 AS x) TO '{root}/one.parquet'")).await.unwrap();
    run(&session, &format!("COPY (SELECT 7 AS id, 7 AS x) TO '{root}/many/' STORED AS PARQUET")).await.unwrap();
    let table = format!("CREATE EXTERNAL TABLE t (id BIGINT, x BIGINT) STORED AS PARQUET LOCATION '{root}/many/'");
    run(&session, &table).await.unwrap();
    std::fs::create_dir(temp.path().join("empty")).unwrap();
    let before = files(temp.path());
    assert_eq!(before.len(), 4);
    // Too large to be held in memory: staged on the disk.
    let large = format!("SELECT *, repeat('x', 1000) AS text FROM ({FAILS_AT_ITS_END})");

    for statement in [
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/one.parquet' OPTIONS (mode 'overwrite')"),
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/many/' STORED AS PARQUET OPTIONS (mode 'overwrite')"),
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/many/' STORED AS PARQUET OPTIONS (mode 'append')"),
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/new.csv'"),
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/new/' STORED AS JSON"),
        format!("COPY ({large}) TO '{root}/new/and/newer/' STORED AS CSV"),
        format!("COPY ({large}) TO '{root}/new/and/newer/one.csv'"),
        format!("COPY ({large}) TO '{root}/empty/' STORED AS JSON"),
        format!("COPY ({FAILS_AT_ITS_END}) TO '{root}/parts/' STORED AS ARROW PARTITIONED BY (x)"),
        format!("INSERT INTO t {FAILS_AT_ITS_END}"),
    ] {
        let message = run(&session, &statement).await.unwrap_err();
        assert!(message.contains("Divide by zero"), "{statement}: {message}");
        settled(&session).await;
        assert_eq!(files(temp.path()), before, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let session = session();
    let endless = "SELECT value, repeat('x', 1000) FROM generate_series(1, 1000000000000)";
    let sql = format!("COPY ({endless}) TO '{}/out/' STORED AS CSV", temp.path().display());
    let mut stream = session.sql(&sql).await.unwrap().execute_stream().await.unwrap();
    let staged = async {
        while files(temp.path()).len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = stream.next() => panic!("the query cannot end"),
        () = staged => {}
    }
    drop(stream);
    settled(&session).await;
    assert_eq!(files(temp.path()), BTreeMap::new());
}

#[tokio::test]
async fn copy_to_a_folder_asks_before_it_replaces_or_adds() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    let copy = |n: i64, options: &str| {
        format!("COPY (SELECT value AS n FROM generate_series(1, {n})) TO '{root}/out/' STORED AS PARQUET {options}")
    };
    let count = format!("SELECT count(*) FROM '{root}/out/'");
    run(&session, &copy(3, "")).await.unwrap();
    std::fs::write(temp.path().join("out/README.md"), "stays").unwrap();

    let message = run(&session, &copy(4, "")).await.unwrap_err();
    assert!(message.contains("not empty") && message.contains("'append'"), "{message}");
    assert_eq!(number(&session, &count).await, 3);

    run(&session, &copy(4, "OPTIONS (mode 'append')")).await.unwrap();
    assert_eq!(number(&session, &count).await, 7);

    run(&session, &copy(5, "OPTIONS (mode 'Overwrite', compression 'snappy')")).await.unwrap();
    assert_eq!(number(&session, &count).await, 5);
    assert!(temp.path().join("out/README.md").exists());

    let message = run(&session, &format!("SELECT * FROM '{root}/none.parquet'")).await.unwrap_err();
    assert!(message.contains("none.parquet: no such file"), "{message}");

    // Reading ends before the new files replace the old ones.
    let itself = format!("COPY (SELECT n + 1 AS n FROM '{root}/out/') TO '{root}/out/' STORED AS PARQUET");
    run(&session, &format!("{itself} OPTIONS (mode 'overwrite')")).await.unwrap();
    assert_eq!(number(&session, &format!("SELECT sum(n) FROM '{root}/out/'")).await, 20);

    let message = run(&session, &copy(5, "OPTIONS (mode 'replace')")).await.unwrap_err();
    assert!(message.contains("'overwrite'") && message.contains("'append'"), "{message}");
}

#[tokio::test]
async fn overwrite_replaces_what_such_a_copy_may_have_written_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().join("lake").display().to_string(), session());
    let copy = |options: &str| {
        format!(
            "COPY (SELECT 1 AS n, 'en' AS lang, 2026 AS year) TO '{root}/' STORED AS PARQUET {options}
             OPTIONS (mode 'overwrite')"
        )
    };
    let write = |names: &[&str]| {
        for name in names {
            let path = temp.path().join("lake").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    };
    // What stands there, with a star for the names that the engine draws.
    let left = || {
        let names = files(temp.path()).into_keys().filter(|name| !name.ends_with('/'));
        let names = names.map(|name| name.strip_prefix(&format!("{root}/")).unwrap().to_owned());
        let drawn = |name: &String| name.split(['/', '_', '.']).any(|word| word.len() == 16);
        let mut names: Vec<String> = names
            .map(|name| if drawn(&name) { name.rsplit_once('/').map_or("", |n| n.0).to_owned() + "*" } else { name })
            .collect();
        names.sort();
        names
    };
    let foreign = [
        ".hidden.parquet",
        "README.md",
        "_backup=1/part.parquet",
        "_state.parquet",
        "de/deeper/part.parquet",
        "de/part.parquet",
        "de/year=2025/part.parquet",
        "lang=de/.hidden.parquet",
        "lang=de/notes.txt",
        "part.csv",
    ];
    write(&foreign);
    write(&["part.parquet", "part-2.parquet"]);
    run(&session, &copy("")).await.unwrap();
    assert_eq!(left(), [&["*"], &foreign[..]].concat());

    write(&[
        "lang=de/part.parquet",
        "lang=de/year=2025/part.parquet",
        "lang=de/_x/part.parquet",
        "lang=de/x/y.parquet",
    ]);
    run(&session, &copy("PARTITIONED BY (lang, year)")).await.unwrap();
    let more = ["lang=de/_x/part.parquet", "lang=de/x/y.parquet"];
    let mut expected = [&["lang=en/year=2026*"], &foreign[..], &more].concat();
    expected.sort();
    assert_eq!(left(), expected);

    // Rows of other partitions would stand beside those that replace them.
    let before = files(temp.path());
    for options in ["", "PARTITIONED BY (lang)", "PARTITIONED BY (year, lang)"] {
        let message = run(&session, &copy(options)).await.unwrap_err();
        assert!(message.contains("holds `lang=en/year=2026/") && message.contains("delete it"), "{options}: {message}");
        assert_eq!(files(temp.path()), before);
    }
}

/// Plans, which checks the target, all statements before it runs the first.
async fn run_planned_together(session: &SessionContext, statements: &[String]) -> Vec<Result<(), String>> {
    let mut plans = Vec::new();
    for sql in statements {
        plans.push(session.sql(sql).await.unwrap().create_physical_plan().await.unwrap());
    }
    let mut ended = Vec::new();
    for plan in plans {
        let rows = collect(plan, session.task_ctx()).await;
        ended.push(rows.map(drop).map_err(|e| babelake::Error::from(e).to_string()));
    }
    ended
}

#[tokio::test]
async fn of_copies_to_one_new_target_the_first_wins() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    // Held in memory; uploaded in parts; a folder of files.
    let small = "SELECT value AS n FROM generate_series(1, 3)";
    let large = "SELECT value AS n, repeat(CAST(random() AS VARCHAR), 40) AS x FROM generate_series(1, 40000)";
    for (query, target) in [(small, "small.csv"), (large, "large.csv"), (small, "folder/"), (large, "parts/")] {
        let copy = format!("COPY ({query}) TO '{root}/{target}' STORED AS CSV");
        let ended = run_planned_together(&session, &[copy.clone(), copy]).await;
        assert_eq!(ended[0], Ok(()));
        let message = ended[1].as_ref().unwrap_err();
        assert!(message.contains(target) && message.contains("mode 'overwrite'"), "{message}");
        let rows = if query == small { 3 } else { 40000 };
        assert_eq!(number(&session, &format!("SELECT count(*) FROM '{root}/{target}'")).await, rows);
    }
    let is_staged = |name: &String| name.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    assert!(!files(temp.path()).keys().any(is_staged), "{:?}", files(temp.path()).keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_copies_to_one_new_file_at_the_same_time_one_wins() {
    let temp = tempfile::tempdir().unwrap();
    let session = session();
    for rows in [1, 20000] {
        let copy = |n: i64| {
            let query = format!("SELECT {n} AS n, repeat('x', 1000) FROM generate_series(1, {rows})");
            let (session, path) = (session.clone(), temp.path().join(format!("{rows}.csv")));
            async move { run(&session, &format!("COPY ({query}) TO '{}'", path.display())).await }
        };
        let ended = futures::future::join_all((0..8).map(|n| tokio::spawn(copy(n)))).await;
        let won: Vec<_> = ended.into_iter().map(Result::unwrap).filter(Result::is_ok).collect();
        assert_eq!(won.len(), 1);
    }
    assert_eq!(files(temp.path()).len(), 2);
}

#[tokio::test]
async fn copy_to_a_file_asks_before_it_replaces() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    let copy = |n: i64, options: &str| format!("COPY (SELECT {n} AS n) TO '{root}/one.parquet' {options}");
    let read = format!("SELECT n FROM '{root}/one.parquet'");
    run(&session, &copy(1, "")).await.unwrap();
    let message = run(&session, &copy(2, "")).await.unwrap_err();
    assert!(message.contains("one.parquet") && message.contains("mode 'overwrite'"), "{message}");
    let message = run(&session, &copy(2, "OPTIONS (mode 'append')")).await.unwrap_err();
    assert!(message.contains("single file"), "{message}");
    assert_eq!(number(&session, &read).await, 1);

    run(&session, &copy(3, "OPTIONS (mode 'overwrite')")).await.unwrap();
    assert_eq!(number(&session, &read).await, 3);
    let itself = format!("COPY (SELECT n * 2 AS n FROM '{root}/one.parquet') TO '{root}/one.parquet'");
    run(&session, &format!("{itself} OPTIONS (mode 'overwrite')")).await.unwrap();
    assert_eq!(number(&session, &read).await, 6);

    std::fs::write(temp.path().join("plain"), "a file").unwrap();
    let message = run(&session, &format!("COPY (SELECT 1) TO '{root}/plain' STORED AS CSV")).await.unwrap_err();
    assert!(message.contains("is a file, not a folder"), "{message}");
}

#[tokio::test]
async fn a_target_is_checked_before_the_query_runs() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    run(&session, &format!("COPY (SELECT 1 AS id) TO '{root}/one.parquet'")).await.unwrap();
    // The subquery would fail, and it is the first thing to run.
    let sql = format!("COPY (SELECT (SELECT 1 / (value - 1) FROM generate_series(1, 1))) TO '{root}/one.parquet'");
    let message = run(&session, &sql).await.unwrap_err();
    assert!(message.contains("exists"), "{message}");
}

#[tokio::test]
async fn insert_adds_to_a_table() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    std::fs::create_dir(temp.path().join("t")).unwrap();
    run(&session, &format!("CREATE EXTERNAL TABLE t (id BIGINT) STORED AS PARQUET LOCATION '{root}/t/'"))
        .await
        .unwrap();
    run(&session, "INSERT INTO t VALUES (1), (2)").await.unwrap();
    run(&session, "INSERT INTO t SELECT id + 2 FROM t").await.unwrap();
    assert_eq!(number(&session, "SELECT sum(id) FROM t").await, 10);
    let filtered = "SELECT count(*) FROM t WHERE id BETWEEN 2 AND 3";
    assert_eq!(number(&session, filtered).await, 2);
}

/// The shape of a stored translator.
#[tokio::test]
async fn a_list_view_of_vectors_in_a_struct_round_trips() {
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let rows =
        FixedSizeListArray::new(item, 3, Arc::new(Float32Array::from_iter_values((0..12).map(|i| i as f32))), None);
    let row = Arc::new(Field::new_list_field(rows.data_type().clone(), false));
    let matrix = ListViewArray::new(row, vec![0].into(), vec![4].into(), Arc::new(rows), None);
    let field = Arc::new(Field::new("matrix", matrix.data_type().clone(), false));
    let value = StructArray::from(vec![(field, Arc::new(matrix) as ArrayRef)]);
    let batch = RecordBatch::try_from_iter([("t", Arc::new(value) as ArrayRef)]).unwrap();

    let temp = tempfile::tempdir().unwrap();
    let (path, session) = (format!("{}/t.parquet", temp.path().display()), session());
    session.register_batch("stored", batch.clone()).unwrap();
    run(&session, &format!("COPY stored TO '{path}'")).await.unwrap();
    let read = session.sql(&format!("SELECT t FROM '{path}'")).await.unwrap().collect().await.unwrap();
    assert_eq!(read[0].column(0), batch.column(0));

    let file = std::fs::File::open(&path).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let leaf = reader.metadata().row_group(0).column(0);
    assert!(leaf.statistics().is_none() && leaf.dictionary_page_offset().is_none(), "{leaf:?}");
}

#[tokio::test]
async fn row_groups_of_vectors_are_about_64_mib() {
    let temp = tempfile::tempdir().unwrap();
    let (root, session) = (temp.path().display(), session());
    // 8 KiB a row: 8,192 rows a row group.
    let vectors = "SELECT value AS id, CAST(make_array(0.5) AS FLOAT[1]) AS small,
        arrow_cast(array_repeat(CAST(value AS FLOAT), 2047), 'FixedSizeList(2047, Float32)') AS v
        FROM generate_series(1, 10000)";
    run(&session, &format!("COPY ({vectors}) TO '{root}/v.parquet'")).await.unwrap();
    let file = std::fs::File::open(temp.path().join("v.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata();
    let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [8192, 1808]);
    // The other columns keep what makes filters fast, and filters find the same rows with it.
    assert!(metadata.row_group(0).column(0).column_index_offset().is_some());
    for (filter, expected) in [("id IN (5, 8193, 10000)", 3), ("id % 1000 = 7", 10), ("v[2] > 9000", 1000)] {
        let sql = format!("SELECT count(*) FROM '{root}/v.parquet' WHERE {filter} AND v[1] = id AND v[2047] = id");
        assert_eq!(number(&session, &sql).await, expected, "{filter}");
    }
}
