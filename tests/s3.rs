//! The commands over S3 and HTTP: the bytes are those of a local disk, whatever goes wrong on the way.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::s3_server::{Fault, Faults, Kind, Server};
use crate::tester::{Run, World, same, table};

/// A server and a world with a translator, and inputs of one part and of several.
struct Lake {
    world: World,
    server: Server,
}

/// As many as need two parts, before and after the translation.
const ROWS: i64 = 11_000;
const JOB: &str = "translate s3://lake/in/ --to s3://lake/out/ --translator s3://lake/t.parquet";

/// Files by name.
type Files = BTreeMap<String, Bytes>;

/// The files of the worlds, and the translations that an undisturbed job makes of them; made once for all tests.
fn files() -> &'static (Files, Files) {
    static FILES: OnceLock<(Files, Files)> = OnceLock::new();
    FILES.get_or_init(|| {
        let world = World::new();
        world.fitted(300, 320);
        world.write_groups("in/big.parquet", &table(0..ROWS, 300, 3), 3000);
        for file in 0..10 {
            world.write(&format!("in/small{file}.parquet"), &table(0..10, 300, 4 + file));
        }
        let given: Files = world.files("").into_iter().map(|name| (name.clone(), world.bytes(&name).into())).collect();
        let lake = Lake { world, server: Server::start() };
        given.iter().for_each(|(name, bytes)| lake.server.put(name, bytes.clone()));
        lake.run(JOB).expect(0, &["11 written"]);
        (given, lake.translated("out/"))
    })
}

impl Lake {
    fn new() -> Self {
        let lake = Self { world: World::new(), server: Server::start() };
        for (name, bytes) in &files().0 {
            let path = lake.world.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
            lake.server.put(name, bytes.clone());
        }
        lake
    }

    fn run(&self, line: &str) -> Run {
        self.server.command(&self.world, line).output().unwrap().into()
    }

    fn spawn(&self, line: &str) -> Child {
        self.server.command(&self.world, line).spawn().unwrap()
    }

    /// What a statement prints as CSV.
    fn csv(&self, sql: &str) -> String {
        self.run(&format!("sql --format csv -c \"{sql}\"")).expect(0, &[]).stdout
    }

    /// The objects that a job has written to a folder, but for its notes on versions.
    fn translated(&self, folder: &str) -> Files {
        let keys = self.server.keys(folder).into_iter().filter(|key| !key.contains("/_babelake/"));
        keys.map(|key| (key.strip_prefix(folder).unwrap().to_owned(), self.server.get(&key).unwrap())).collect()
    }

    /// Fails unless a folder is what an undisturbed job makes.
    #[track_caller]
    fn assert_translated(&self, folder: &str) {
        let (found, expected) = (self.translated(folder), &files().1);
        assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
        for (name, bytes) in expected {
            assert!(found[name] == *bytes, "{folder}{name} differs");
        }
    }
}

#[test]
fn a_thousand_objects_are_translated_to_the_bytes_of_a_local_disk() {
    let world = World::new();
    world.fitted(6, 9);
    for file in 0..1_010 {
        world.write(&format!("in/part={}/{file}.parquet", file % 7), &table(0..file % 5, 6, file as u64));
    }
    world.ok("translate in --to out --translator t.parquet");
    let lake = Lake { world, server: Server::start() };
    lake.server.put_files(&lake.world, "in");
    lake.server.put_files(&lake.world, "t.parquet");
    lake.server.put("in/_temporary/x.parquet", "no data");
    let run = lake.run("translate s3://lake/in --to s3://lake/out --translator s3://lake/t.parquet");
    run.expect(0, &["1,010 written"]);
    // A small file is read twice, before the job and in it, and its output is written.
    let requests: usize = lake.server.counts().into_values().sum();
    assert!(requests < 3 * 1_010 + 50, "{requests} requests");
    let mut translated = lake.translated("out/");
    assert!(translated.remove("_SUCCESS").is_some());
    assert!(translated.keys().eq(&lake.world.data("out")), "{:?}", translated.keys());
    for (name, bytes) in translated {
        assert!(same(&bytes, &lake.world.bytes(&format!("out/{name}"))), "{name} differs");
    }
    let counted = lake.csv("SELECT count(*) AS n, count(DISTINCT part) AS parts FROM 's3://lake/out/'");
    assert_eq!(counted, lake.csv("SELECT count(*) AS n, count(DISTINCT part) AS parts FROM 'out/'"));
}

#[test]
fn every_command_does_the_same_on_s3() {
    let lake = Lake::new();
    let (world, server) = (&lake.world, &lake.server);
    lake.run("fit --source s3://lake/x.parquet --target s3://lake/y.parquet --key id --method parseval -o s3://lake/fit/t.parquet")
        .expect(0, &[]);
    assert!(server.get("fit/t.parquet").unwrap() == world.bytes("t.parquet"));

    lake.run(JOB).expect(0, &["11 written"]);
    lake.assert_translated("out/");
    assert!(server.counted(Kind::UploadPart) > 1, "the big file goes in parts");
    lake.run(JOB).expect(0, &["11 current"]);
    lake.run("translate s3://lake/in/big.parquet --to s3://lake/one.parquet --translator s3://lake/t.parquet")
        .expect(0, &[]);
    assert!(server.get("one.parquet").unwrap() == server.get("out/big.parquet").unwrap());
    // From the store to the disk, and from the disk to the disk.
    lake.run("translate s3://lake/in/ --to mixed/ --translator t.parquet").expect(0, &[]);
    assert!(server.get("out/big.parquet").unwrap() == world.bytes("mixed/big.parquet"));
    world.ok("translate in/ --to out/ --translator t.parquet");
    assert!(same(&world.bytes("mixed/big.parquet"), &world.bytes("out/big.parquet")));

    for name in ["t.parquet", "in/big.parquet"] {
        let described = lake.run(&format!("describe s3://lake/{name}")).expect(0, &[]).stdout;
        assert_eq!(described, world.ok(&format!("describe {name}")).stdout);
    }
    lake.run("describe s3://lake/none.parquet").expect(1, &["s3://lake/none.parquet: there is no such file"]);

    let sum = |folder| lake.csv(&format!("SELECT count(*) AS n, sum(embedding[7]) AS s FROM '{folder}'"));
    assert_eq!(sum("s3://lake/out/"), sum("out/"));
    lake.run("sql -c \"SELECT * FROM 's3://lake/none/'\"").expect(1, &["s3://lake/none/: no such file"]);
    lake.run("sql -c \"SELECT * FROM 's3://other/none/'\"").expect(1, &["s3://other/none/", "NoSuchBucket"]);
}

#[test]
fn copy_writes_new_objects_and_replaces_old_ones() {
    let lake = Lake::new();
    let (world, server) = (&lake.world, &lake.server);
    // One partition: otherwise the order of rows is the engine's.
    let copy = |from: &str, to: &str, options: &str| {
        let sql = format!("COPY (SELECT * FROM '{from}' WHERE id >= 0) TO '{to}' STORED AS PARQUET {options}");
        lake.run(&format!("sql -c \"SET datafusion.execution.target_partitions = 1; {sql}\""))
    };
    for (name, parts) in [("x", 0), ("in/big", 2)] {
        server.counts();
        copy(&format!("{name}.parquet"), "copy.parquet", "OPTIONS (mode 'overwrite')").expect(0, &[]);
        let (from, to) = (format!("s3://lake/{name}.parquet"), format!("s3://lake/copies/{name}.parquet"));
        copy(&from, &to, "").expect(0, &[]);
        let written = |key: &str| server.get(&format!("copies/{key}.parquet")).unwrap();
        assert!(written(name) == world.bytes("copy.parquet"));
        assert_eq!(server.counted(Kind::UploadPart), parts);
        copy(&from, &to, "").expect(1, &[&format!("{to}: exists")]);
        copy("s3://lake/y.parquet", &to, "OPTIONS (mode 'overwrite')").expect(0, &[]);
        assert!(written(name) != world.bytes("copy.parquet"));
    }
    let folder = "s3://lake/copies/folder/";
    copy("s3://lake/x.parquet", folder, "").expect(0, &[]);
    copy("s3://lake/y.parquet", folder, "").expect(1, &["s3://lake/copies/folder/: is a folder that is not empty"]);
    copy("s3://lake/x.parquet", folder, "OPTIONS (mode 'append')").expect(0, &[]);
    assert_eq!(lake.csv(&format!("SELECT count(*) AS n FROM '{folder}'")), "n\n120\n");
    let sql = format!(
        "COPY (SELECT *, id % 3 AS p FROM 'in/') TO '{folder}' STORED AS PARQUET \
                       PARTITIONED BY (p) OPTIONS (mode 'overwrite')"
    );
    lake.run(&format!("sql -c \"{sql}\"")).expect(0, &[]);
    assert_eq!(lake.csv(&format!("SELECT count(*) AS n, sum(p::INT) AS p FROM '{folder}'")), "n,p\n11100,11089\n");
    assert_eq!(server.open_uploads(), 0);
}

#[test]
fn a_pipeline_runs_on_s3() {
    let world = World::new();
    let root = env!("CARGO_MANIFEST_DIR");
    let lake = Lake { world, server: Server::start() };
    let run = |source: &str, out: &str| {
        let arguments = ["run", &format!("{root}/pipelines/translate.sql"), "--format", "csv"];
        let set = ["a", "b"].map(|file| format!("{source}/sample_data/digits_mlp_{file}.parquet"));
        let set = [format!("source={}", set[0]), format!("target={}", set[1]), format!("out={out}")];
        let set = set.iter().flat_map(|set| ["--set", set]);
        let arguments: Vec<&str> = arguments.into_iter().chain(set).collect();
        Run::from(lake.server.command(&lake.world, arguments.as_slice()).output().unwrap()).expect(0, &[]).stdout
    };
    for file in ["digits_mlp_a.parquet", "digits_mlp_b.parquet"] {
        let name = format!("sample_data/{file}");
        lake.server.put(&name, std::fs::read(format!("{root}/{name}")).unwrap());
    }
    assert_eq!(run("s3://lake", "s3://lake/nightly"), run(root, "nightly"));
    for name in ["nightly/translator.parquet", "nightly/metrics.parquet"] {
        assert_eq!(lake.server.get(name).unwrap(), lake.world.bytes(name), "{name}");
    }
    assert_eq!(lake.server.keys("nightly/").len(), lake.world.files("nightly").len());
}

/// Faults of all sorts, in this share of the requests.
fn all_sorts(seed: u64, share: f64) -> Faults {
    let slow = Fault::Slow(Duration::from_millis(20));
    let faults =
        vec![Fault::Status(500), Fault::Status(503), Fault::Reset, Fault::Lost, Fault::Cut, Fault::CutReset, slow];
    Faults { seed, share, faults, kinds: Vec::new(), times: usize::MAX }
}

#[test]
fn one_request_of_twenty_may_fail() {
    let lake = Lake::new();
    let (world, server) = (&lake.world, &lake.server);
    let copy = "SET datafusion.execution.target_partitions = 1; COPY (SELECT * FROM 'IN') TO 'OUT' STORED AS PARQUET";
    let copied = |from: &str, to: &str| copy.replace("IN", from).replace("OUT", to);
    for (from, to) in [("x.parquet", "c0/small.parquet"), ("in/big.parquet", "c0/big.parquet")] {
        world.ok(&format!("sql -c \"{}\"", copied(from, to)));
    }
    let mut failed = 0;
    for seed in 1..=3 {
        server.faults(all_sorts(seed, 0.05));
        lake.run(&JOB.replace("/out/", &format!("/out{seed}/"))).expect(0, &[]);
        lake.assert_translated(&format!("out{seed}/"));
        for (from, name) in [("x.parquet", "small.parquet"), ("in/big.parquet", "big.parquet")] {
            let sql = copied(&format!("s3://lake/{from}"), &format!("s3://lake/c{seed}/{name}"));
            lake.run(&format!("sql -c \"{sql}\"")).expect(0, &[]);
            assert!(server.get(&format!("c{seed}/{name}")).unwrap() == world.bytes(&format!("c0/{name}")), "{name}");
        }
        failed += server.failed();
    }
    assert!(failed > 5, "{failed} requests failed");
}

#[test]
fn every_request_may_fail_once() {
    let lake = Lake::new();
    let server = &lake.server;
    // As S3 answers what takes it long.
    let late = [Kind::CompleteUpload, Kind::Copy];
    let faults = [(Fault::Lost, &[][..]), (Fault::Cut, &[]), (Fault::ErrorInside, &late)];
    for (number, (fault, kinds)) in faults.into_iter().enumerate() {
        let out = format!("once{number}");
        let to = |name: &str| format!("s3://lake/{out}/{name}");
        server.faults(Faults::first(fault, kinds));
        let job =
            format!("translate s3://lake/in/big.parquet --to {} --translator s3://lake/t.parquet", to("t.parquet"));
        lake.run(&job).expect(0, &[]);
        let translated = server.get(&format!("{out}/t.parquet")).unwrap();
        assert!(translated == files().1["big.parquet"], "{fault:?}");
        // A new object of several parts, one of one part, and a folder whose old files go.
        let copy = |from: &str, name: &str, options: &str| {
            let sql = format!("COPY (SELECT * FROM '{from}') TO '{}' STORED AS PARQUET {options}", to(name));
            lake.run(&format!("sql -c \"{sql}\"")).expect(0, &[]);
        };
        copy("in/big.parquet", "b.parquet", "");
        copy("s3://lake/x.parquet", "s.parquet", "");
        copy("x.parquet", "f/", "");
        copy("y.parquet", "f/", "OPTIONS (mode 'overwrite')");
        server.faults(None);
        let rows = |name: &str| lake.csv(&format!("SELECT count(*) AS n FROM '{}'", to(name)));
        assert_eq!(["b.parquet", "s.parquet", "f/"].map(rows), ["n\n11000\n", "n\n60\n", "n\n60\n"], "{fault:?}");
    }
}

/// Commands with few retries, and what each of them must name.
const COMMANDS: [(&str, &str); 7] = [
    (JOB, "s3://lake/"),
    ("fit --source s3://lake/x.parquet --target s3://lake/y.parquet --key id -o s3://lake/f.parquet", "s3://lake/"),
    ("describe s3://lake/t.parquet", "s3://lake/t.parquet"),
    ("sql -c \"SELECT sum(id) FROM 's3://lake/in/'\"", "s3://lake/in"),
    ("sql -c \"SELECT sum(id) FROM 's3://lake/in/big.parquet'\"", "s3://lake/in/big.parquet"),
    ("sql -c \"COPY (SELECT * FROM 's3://lake/in/') TO 's3://lake/copy/' STORED AS PARQUET\"", "s3://lake/"),
    ("sql -c \"COPY (SELECT * FROM 'x.parquet') TO 's3://lake/copy.parquet'\"", "s3://lake/copy.parquet"),
];

#[test]
fn a_store_that_is_down_ends_a_command_with_75_within_its_retries() {
    let lake = Lake::new();
    for (command, named) in COMMANDS {
        // From the beginning, and after some requests.
        for requests in [0, 1, 3, 6, 12] {
            lake.server.down_after(requests);
            let begin = Instant::now();
            let run = lake.run(&format!("{command} --retries 2 --retry-timeout 5"));
            let took = begin.elapsed();
            lake.server.down_after(usize::MAX);
            if requests > 0 && run.code == Some(0) {
                break;
            }
            let run = run.expect(75, &["error: ", named, "503"]);
            assert!(took < Duration::from_secs(10), "{command} took {took:?}");
            assert!(!run.stderr.contains("<Error>"), "{}", run.stderr);
            for (name, bytes) in lake.translated("out/") {
                assert!(bytes == files().1[&name], "{name}");
            }
            assert!(lake.server.keys("copy").is_empty());
            for key in lake.server.keys("out/") {
                lake.server.delete(&key);
            }
        }
    }
    // The time counts as well, and uploads that have begun are not waited for.
    for command in [JOB, "sql -c \"COPY (SELECT * FROM 'in/big.parquet') TO 's3://lake/late.parquet'\""] {
        lake.server.counts();
        lake.server.faults(Faults::always(Fault::Status(503), [Kind::UploadPart, Kind::AbortUpload]));
        let begin = Instant::now();
        let run = lake.run(&format!("{command} --retries 1000 --retry-timeout 2"));
        run.expect(75, &["s3://lake/", "cannot be written: ", "503"]);
        assert!(begin.elapsed() < Duration::from_secs(40), "{command} took {:?}", begin.elapsed());
        lake.server.faults(None);
    }

    let mut command = lake.server.command(&lake.world, "describe s3://lake/t.parquet --retries 1");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    Run::from(command.output().unwrap())
        .expect(75, &["s3://lake/t.parquet: ", "no credentials are given (AWS_ACCESS_KEY_ID"]);

    let gone = Lake { world: lake.world, server: Server::start() };
    let mut command = gone.server.command(&gone.world, "describe s3://lake/t.parquet --retries 2");
    drop(gone.server);
    Run::from(command.output().unwrap()).expect(75, &["s3://lake/t.parquet: cannot be looked up"]);
}

#[test]
fn bodies_that_always_break_off_end_a_command_with_75() {
    let lake = Lake::new();
    for fault in [Fault::Cut, Fault::CutReset] {
        for (command, named) in COMMANDS.iter().filter(|(command, _)| !command.contains("'x.parquet'")) {
            lake.server.faults(Faults::always(fault, [Kind::Get, Kind::List]));
            lake.run(&format!("{command} --retries 2")).expect(75, &["error: ", named]);
            assert!(lake.translated("out/").is_empty() && lake.server.keys("copy").is_empty(), "{command}");
        }
    }
}

/// What each fault does to a job, as a table: `cargo test -- --ignored --nocapture fault_table`.
#[test]
#[ignore = "takes minutes"]
fn fault_table() {
    let lake = Lake::new();
    let slow = Fault::Slow(Duration::from_secs(1));
    let faults = [
        ("body slow", slow),
        ("status 500", Fault::Status(500)),
        ("status 503", Fault::Status(503)),
        ("status 403", Fault::Status(403)),
        ("connection reset", Fault::Reset),
        ("answer lost", Fault::Lost),
        ("body cut", Fault::Cut),
        ("body cut, reset", Fault::CutReset),
    ];
    println!("| fault | share | requests failed | exit | seconds | objects of {} | |", files().1.len());
    for (name, fault) in faults {
        // Answers without a body have none that could be slow.
        let kinds = if fault == slow { vec![Kind::Get, Kind::List] } else { Vec::new() };
        let one = |share, times| Faults { seed: 4, share, faults: vec![fault], kinds: kinds.clone(), times };
        let shares = [("5 %", one(0.05, usize::MAX)), ("first tries", one(1.0, 1)), ("all", one(1.0, usize::MAX))];
        for (share, faults) in shares {
            lake.server.faults(faults);
            let begin = Instant::now();
            let run = lake.run(&format!("{JOB} --retries 3 --retry-timeout 10"));
            let (took, failed) = (begin.elapsed().as_secs_f64(), lake.server.failed());
            lake.server.faults(None);
            let found = lake.translated("out/");
            for (name, bytes) in &found {
                assert!(files().1[name] == *bytes, "{name} differs");
            }
            let done = found.len();
            let bytes = if done == files().1.len() { "the same bytes" } else { "the others absent" };
            println!("| {name} | {share} | {failed} | {} | {took:.1} | {done} | {bytes} |", run.code.unwrap());
            lake.run(JOB).expect(0, &[]);
            lake.assert_translated("out/");
            lake.server.keys("out/").iter().for_each(|key| lake.server.delete(key));
        }
    }
}

#[test]
fn of_two_jobs_at_once_with_different_translators_one_is_refused() {
    let lake = Lake::new();
    let fit = "fit --source s3://lake/x.parquet --target s3://lake/y.parquet --key id --method irp";
    lake.run(&format!("{fit} -o s3://lake/other.parquet")).expect(0, &[]);
    let digest = |name: &str| {
        let text = lake.run(&format!("describe s3://lake/{name}")).expect(0, &[]).stdout;
        text.lines().find(|line| line.starts_with("translator digest")).unwrap().to_owned()
    };
    for round in 0..3 {
        let jobs = ["t", "other"].map(|translator| {
            let job = JOB.replace("/out/", &format!("/mixed{round}/"));
            lake.spawn(&job.replace("t.parquet", &format!("{translator}.parquet")))
        });
        let mut codes = jobs.map(|job| Run::from(job.wait_with_output().unwrap()).code);
        codes.sort();
        assert_eq!(codes, [Some(0), Some(1)]);
        let objects = lake.server.keys(&format!("mixed{round}/"));
        let objects: Vec<_> = objects.iter().filter(|key| key.ends_with(".parquet")).collect();
        assert_eq!(objects.len(), 11);
        assert!(objects.iter().all(|key| digest(key) == digest(objects[0])));
    }
}

#[test]
fn a_report_is_written_to_a_store() {
    let lake = Lake::new();
    lake.run(&format!("{JOB} --report s3://lake/reports/run.json")).expect(0, &[]);
    let report: serde_json::Value = serde_json::from_slice(&lake.server.get("reports/run.json").unwrap()).unwrap();
    assert_eq!(report["files"]["written"], 11, "{report}");
}

#[test]
fn a_body_that_stalls_is_read_on_from_where_it_stalled() {
    let lake = Lake::new();
    lake.server.faults(Faults::first(Fault::Slow(Duration::from_secs(60)), [Kind::Get]));
    let begin = Instant::now();
    let sum = "SELECT sum(embedding[9]) AS s FROM 'FILE'";
    let line = format!("sql --format csv --store-option timeout=1s -c \"{sum}\"");
    let run = lake.run(&line.replace("FILE", "s3://lake/in/big.parquet")).expect(0, &[]);
    assert!(lake.server.failed() > 0 && begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(run.stdout, lake.csv(&sum.replace("FILE", "in/big.parquet")));
}

#[test]
fn an_object_that_changes_while_it_is_read_is_an_error() {
    let lake = Lake::new();
    let (world, server) = (&lake.world, &lake.server);
    world.write_groups("other.parquet", &table(0..ROWS, 300, 99), 3000);
    let changed = "s3://lake/in/big.parquet: has changed while it was read";
    for reads in 1..=4 {
        server.put("in/big.parquet", world.bytes("in/big.parquet"));
        server.swap_after("in/big.parquet", reads, world.bytes("other.parquet"));
        lake.run(&JOB.replace("/in/", "/in/big.parquet").replace("/out/", "/new.parquet")).expect(1, &[changed]);
        assert!(server.get("new.parquet").is_none());
        assert_eq!(server.open_uploads(), 0);
    }
    // The engine reads the footer to plan, lists again, and reads the columns.
    let sql = "COPY (SELECT * FROM 's3://lake/in/big.parquet') TO 's3://lake/new.parquet' STORED AS PARQUET";
    for reads in [2, 3] {
        server.put("in/big.parquet", world.bytes("in/big.parquet"));
        server.swap_after("in/big.parquet", reads, world.bytes("other.parquet"));
        lake.run(&format!("sql -c \"{sql}\"")).expect(1, &[changed]);
        assert!(server.get("new.parquet").is_none());
        assert_eq!(server.open_uploads(), 0);
    }
    server.put("in/big.parquet", world.bytes("in/big.parquet"));
    server.swap_after("in/big.parquet", 1, world.bytes("other.parquet"));
    lake.run(&format!("sql -c \"{sql}\"")).expect(0, &[]);
    let sum = |file: &str| lake.csv(&format!("SELECT sum(embedding[5]) AS s FROM '{file}'"));
    assert_eq!(sum("s3://lake/new.parquet"), sum("other.parquet"));
}

#[test]
fn an_upload_that_fails_or_is_killed_is_never_visible() {
    let lake = Lake::new();
    let server = &lake.server;
    let copy = "sql -c \"COPY (SELECT * FROM 'in/big.parquet') TO 's3://lake/out/big.parquet'\"";
    for kind in [Kind::CreateUpload, Kind::UploadPart, Kind::CompleteUpload] {
        for command in [JOB, copy] {
            server.faults(Faults::always(Fault::Status(403), [kind]));
            lake.run(command).expect(1, &["s3://lake/out/big.parquet: cannot be written: access is denied"]);
            assert!(server.get("out/big.parquet").is_none());
            assert_eq!(server.open_uploads(), 0, "{kind:?} {command}");
            server.keys("out/").iter().for_each(|key| server.delete(key));
        }
    }
    for command in [JOB, copy] {
        server.faults(Faults::first(Fault::Late(Duration::from_secs(20)), [Kind::UploadPart]));
        server.counts();
        let mut child = lake.spawn(command);
        let begin = Instant::now();
        while server.counted(Kind::UploadPart) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "no upload");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(server.get("out/big.parquet").is_none());
        assert!(server.open_uploads() > 0);
    }
    server.faults(None);
    server.keys("out/").iter().for_each(|key| server.delete(key));
    lake.run(JOB).expect(0, &[]);
    lake.assert_translated("out/");
}

#[test]
fn of_two_copies_to_one_new_object_one_is_published() {
    let lake = Lake::new();
    // The tables of one row go in one request, the others in parts.
    for (limit, kind) in [(1, Kind::Put), (ROWS, Kind::CompleteUpload)] {
        let to = format!("s3://lake/race{limit}.parquet");
        // Both have looked, and found nothing there, before one of them ends.
        lake.server.counts();
        lake.server.faults(Faults::always(Fault::Meet(2), [kind]));
        let copies = [0, 1].map(|k| {
            let from = format!("SELECT {k} AS k, * FROM 'in/big.parquet' LIMIT {limit}");
            lake.spawn(&format!("sql -c \"COPY ({from}) TO '{to}'\""))
        });
        let ended = copies.map(|copy| Run::from(copy.wait_with_output().unwrap()));
        lake.server.faults(None);
        let winner = ended.iter().position(|run| run.code == Some(0)).unwrap();
        let loser = &ended[1 - winner];
        assert!(loser.code == Some(1) && loser.stderr.contains(&format!("{to}: exists")), "{loser:?}");
        assert_eq!(lake.csv(&format!("SELECT DISTINCT k FROM '{to}'")), format!("k\n{winner}\n"));
        assert_eq!(lake.server.open_uploads(), 0);
    }
    // No hidden object is left of either.
    assert_eq!(lake.server.keys("").iter().filter(|key| key.contains("race")).count(), 2);
}

#[test]
fn a_store_that_forgets_complete_uploads_and_loses_the_answer_is_asked_again() {
    let lake = Lake::new();
    lake.server.forgets_uploads();
    lake.server.faults(Faults::first(Fault::Lost, [Kind::CompleteUpload]));
    lake.run(JOB).expect(75, &["s3://lake/out/big.parquet: cannot be written: the store has dropped the upload"]);
    lake.run(JOB).expect(0, &[]);
    lake.assert_translated("out/");
    let sql = "COPY (SELECT * FROM 'in/big.parquet') TO 's3://lake/new.parquet'";
    lake.run(&format!("sql -c \"{sql}\""))
        .expect(75, &["s3://lake/new.parquet: cannot be written: the store has dropped"]);
}

#[test]
fn http_is_read() {
    let lake = Lake::new();
    let (world, server) = (&lake.world, &lake.server);
    let base = format!("{}/lake", server.endpoint());
    let job = format!("translate {base}/in/big.parquet --to big.parquet --translator {base}/t.parquet");
    for plain in [false, true] {
        if plain {
            server.plain_http();
        }
        lake.run(&format!("{job} --overwrite")).expect(0, &[]);
        assert!(same(&world.bytes("big.parquet"), &files().1["big.parquet"]));
        let sum = |file: &str| lake.csv(&format!("SELECT sum(embedding[3]) AS s FROM '{file}' t"));
        assert_eq!(sum(&format!("{base}/in/big.parquet")), sum("in/big.parquet"));
        server.faults(Faults::first(Fault::Cut, [Kind::Get]));
        // Without an ETag nothing says that the rest is of the same object.
        let run = lake.run(&format!("{job} --overwrite --retries 2"));
        if plain {
            run.expect(75, &[&format!("{base}/t.parquet")])
        } else {
            run.expect(0, &[])
        };
        server.faults(None);
    }
    let missing = format!("{base}/none.parquet");
    lake.run(&format!("describe {missing}")).expect(1, &[&format!("{missing}: there is no such file")]);
    lake.run(&format!("translate in/ --to {base}/out/ --translator t.parquet")).expect(1, &[&format!("{base}/out/")]);
}
