//! What `run` and `translate` leave for schedulers: report, metrics, log lines, exit codes; and the examples of the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::tester::{Run, World, columns, poison, table};

fn json_of(text: &str) -> Value {
    let parsed = serde_json::from_str(text);
    assert!(parsed.is_ok(), "{parsed:?}: {text}");
    parsed.unwrap()
}

/// The events of a run with `--log json`: every line of stderr has to be one.
fn events(run: &Run) -> Vec<Value> {
    let events: Vec<Value> = run.stderr.lines().map(json_of).collect();
    for event in &events {
        assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
        assert!(["info", "warning", "error"].contains(&event["level"].as_str().unwrap()), "{event}");
    }
    assert_eq!(events.first().unwrap()["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(events.last().unwrap()["exit_code"], run.code.unwrap());
    events
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// Samples of the text format by name and labels, as its grammar has them; anything else fails the test.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    };
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut helped, mut typed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !text.is_empty() && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(kind == "gauge" && helped.contains(name) && typed.insert(name.to_owned()), "{line}");
            // A gauge is no sum that only grows.
            assert!(!name.ends_with("_total"), "{line}");
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap();
        assert!(typed.contains(name), "{line}: no TYPE before it");
        let mut rest = rest;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").unwrap();
            assert!(is_name(label.trim_start_matches(',')), "{line}");
            let mut escaped = false;
            let end = value.find(|c| {
                let ends = c == '"' && !escaped;
                assert!(!escaped || matches!(c, '\\' | '"' | 'n'), "{line}");
                escaped = c == '\\' && !escaped;
                ends
            });
            rest = &value[end.unwrap() + 1..];
        }
        let value: f64 = rest.strip_prefix("} ").unwrap().parse().unwrap();
        let key = line.rsplit_once(' ').unwrap().0.strip_prefix("babelake_last_run_").unwrap();
        assert!(samples.insert(key.to_owned(), value).is_none(), "{line}: twice");
    }
    samples
}

fn sample(samples: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    let found: Vec<_> = samples.iter().filter(|(key, _)| key.starts_with(name) && key.contains(label)).collect();
    assert_eq!(found.len(), 1, "{name} {label} in {samples:?}");
    *found[0].1
}

fn errors(run: &Run) -> usize {
    run.stderr.lines().filter(|line| line.starts_with("error: ")).count()
}

const PIPELINE: &str = "\
CREATE TABLE t AS SELECT value AS id, 1.5 AS x FROM generate_series(1, 200);
COPY t TO 'out/' STORED AS PARQUET;
SELECT count(*) AS n, max(x) AS \"max x\", CAST(NULL AS TEXT) AS nothing FROM t;
SELECT * FROM t;
SELECT id FROM t WHERE id > 500;
";

#[test]
fn a_report_tells_what_ran_what_came_out_and_how_it_ended() {
    let world = World::new();
    world.file("x.sql", PIPELINE);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let run = world.run("run x.sql --report new/folder/r.json --metrics x.prom").expect(0, &[]);
    assert!(run.stderr.lines().last().unwrap().starts_with("5 of 5 statements done in "), "{}", run.stderr);

    let report = json_of(&world.text("new/folder/r.json"));
    let last_words = run.stderr.lines().last().unwrap();
    for (field, value) in [
        ("format", json!(1)),
        ("tool_version", json!(env!("CARGO_PKG_VERSION"))),
        ("command", json!("run")),
        ("job", json!("x")),
        ("exit_code", json!(0)),
        ("error", Value::Null),
        ("last_words", json!(last_words)),
        ("file", json!("x.sql")),
        ("total", json!(5)),
        ("files", json!({"written": 1})),
        ("rows", json!({"written": 200})),
        (
            "bytes",
            json!({"written": std::fs::metadata(world.path(&format!("out/{}", world.files("out")[0]))).unwrap().len()}),
        ),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    assert!(report["started"].as_str() <= report["ended"].as_str() && report["seconds"].as_f64().unwrap() > 0.0);
    let statements = report["statements"].as_array().unwrap();
    assert_eq!((&statements[1]["files"], &statements[1]["bytes"]), (&json!(1), &report["bytes"]["written"]));
    assert_eq!((&statements[2]["line"], &statements[2]["rows"]), (&json!(3), &json!(1)));
    assert_eq!(statements[2]["result"], json!([{"n": 200, "max x": 1.5, "nothing": null}]));
    // Many rows are not for a report; none are a result too.
    assert_eq!((&statements[3]["rows"], &statements[3]["result"]), (&json!(200), &Value::Null));
    assert_eq!(statements[4]["result"], json!([]));

    let metrics = samples(&world.text("x.prom"));
    for (name, label, value) in [
        ("success", "command=\"run\"", 1.0),
        ("exit_code", "job=\"x\"", 0.0),
        ("rows", "state=\"written\"", 200.0),
        ("files", "state=\"written\"", 1.0),
        ("statements", "state=\"done\"", 5.0),
        ("statements", "state=\"not_done\"", 0.0),
    ] {
        assert_eq!(sample(&metrics, name, label), value, "{name} {label}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let at = sample(&metrics, "timestamp_seconds", "");
    assert!(before <= at && at <= now);
    assert!(sample(&metrics, "duration_seconds", "") <= now - before);
}

#[test]
fn large_results_stay_out_of_the_report_and_whole_on_stdout() {
    let world = World::new();
    world.write("x.parquet", &table(0..100, 256, 1));
    world.file("x.sql", "SELECT * FROM 'x.parquet'; SELECT id FROM 'x.parquet' ORDER BY id;");
    let run = world.run("run x.sql --report r.json --format csv").expect(0, &["100 rows"]);
    assert_eq!(run.stdout.lines().count(), 202);
    let report = json_of(&world.text("r.json"));
    assert_eq!(report["statements"][0]["result"], Value::Null);
    assert_eq!(report["statements"][1]["result"].as_array().unwrap().len(), 100);
    assert_eq!(report["statements"][1]["result"][99], json!({"id": 99}));
}

#[test]
fn a_translation_is_reported_when_it_works_when_it_fails_and_when_it_cannot_begin() {
    let world = World::new();
    let translator = world.fitted(4, 5);
    world.write("in/a.parquet", &table(0..10, 4, 3));
    world.write("in/b.parquet", &table(0..7, 4, 3));
    let line = "translate in --to lake/out/ --translator t.parquet --threads 1 --report r.json --metrics m.prom";
    let run = world.run(line).expect(0, &[]);
    let report = json_of(&world.text("r.json"));
    let size = |name: &str| std::fs::metadata(world.path(name)).unwrap().len();
    let bytes = json!({
        "read": size("in/a.parquet") + size("in/b.parquet"),
        "written": size("lake/out/a.parquet") + size("lake/out/b.parquet"),
    });
    for (field, value) in [
        ("command", json!("translate")),
        ("job", json!("out")),
        ("exit_code", json!(0)),
        ("last_words", json!(run.stderr.lines().last().unwrap())),
        ("rows", json!({"written": 17, "bad": 0})),
        ("bytes", bytes),
        ("failed", json!([])),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!((&report["files"]["planned"], &report["files"]["written"]), (&json!(2), &json!(2)));
    assert_eq!(report["columns"][0]["translator"], translator.digest);
    assert_eq!(report["columns"][0]["target_encoder"], "y");
    assert_eq!(report["settings"]["to"], "lake/out/");
    assert!(report["rows_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(sample(&samples(&world.text("m.prom")), "bytes", "read"), report["bytes"]["read"].as_f64().unwrap());

    let rows = table(0..10, 4, 3);
    world.write("in/b.parquet", &columns(vec![("embedding", Arc::new(poison(rows.column(1), 7)))]));
    let run = world.run(line).expect(1, &["row 7"]);
    let report = json_of(&world.text("r.json"));
    assert_eq!((&report["exit_code"], &report["error"]), (&json!(1), &Value::Null));
    assert_eq!(report["failed"][0]["file"], "in/b.parquet");
    assert!(report["failed"][0]["error"].as_str().unwrap().contains("row 7"), "{report}");
    let count = |state: &str| report["files"][state].as_u64().unwrap();
    assert_eq!([count("planned"), count("written"), count("current"), count("failed")], [2, 0, 1, 1]);
    assert!(run.stderr.lines().last().unwrap().starts_with("1 of 2 files done, none half-written; mend"));
    let metrics = samples(&world.text("m.prom"));
    assert_eq!((sample(&metrics, "success", ""), sample(&metrics, "files", "failed")), (0.0, 1.0));

    std::fs::remove_file(world.path("in/b.parquet")).unwrap();
    world.run(line).expect(4, &["--delete-orphans"]);
    let report = json_of(&world.text("r.json"));
    assert_eq!((&report["orphaned"], &report["files"]["orphaned"]), (&json!(["b.parquet"]), &json!(1)));
    world.run(&format!("{line} --dry-run")).expect(4, &["nothing was written"]);
    assert_eq!(json_of(&world.text("r.json"))["last_words"], "nothing was written");

    world.run("translate in --to lake/out --translator none.parquet --report r.json --metrics m.prom").expect(1, &[]);
    let report = json_of(&world.text("r.json"));
    assert!(report["error"].as_str().unwrap().contains("none.parquet"), "{report}");
    assert_eq!((&report["columns"], &report["last_words"]), (&Value::Null, &json!("nothing was written")));
    assert_eq!(sample(&samples(&world.text("m.prom")), "exit_code", ""), 1.0);
}

#[test]
fn in_json_every_line_of_stderr_is_an_event() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("in/a.parquet", &table(0..10, 4, 3));
    world.write("in/b.parquet", &table(0..7, 4, 3));
    let run = world.run("translate in --to out --translator t.parquet --log json --job \"nightly run\"").expect(0, &[]);
    let told = events(&run);
    assert_eq!(told[0]["job"], "nightly run");
    let files: BTreeSet<_> = named(&told, "file").iter().map(|event| event["file"].as_str().unwrap()).collect();
    assert_eq!(files, BTreeSet::from(["out/a.parquet", "out/b.parquet"]));
    assert_eq!(told.last().unwrap()["rows"]["written"], 17);

    let rows = table(0..10, 4, 3);
    world.write("in/b.parquet", &columns(vec![("embedding", Arc::new(poison(rows.column(1), 7)))]));
    let null = "translate in --to nulls --translator t.parquet --log json --report r.json --on-bad null";
    let told = events(&world.run(null).expect(0, &[]));
    assert_eq!((&named(&told, "row")[0]["file"], &named(&told, "row")[0]["row"]), (&json!("in/b.parquet"), &json!(7)));
    let report = json_of(&world.text("r.json"));
    assert_eq!((&report["rows"]["bad"], &report["bad_rows"][0]["row"]), (&json!(1), &json!(7)));
    std::fs::remove_file(world.path("in/a.parquet")).unwrap();
    let run = world.run("translate in --to out --translator t.parquet --log json").expect(1, &[]);
    let told = events(&run);
    let states: Vec<_> =
        named(&told, "file").iter().map(|event| (event["state"].as_str(), event["level"].as_str())).collect();
    assert_eq!(states, [(Some("failed"), Some("error")), (Some("orphaned"), Some("info"))]);

    let run = world.run("translate in --to in/out --translator t.parquet --log json").expect(1, &[]);
    assert_eq!(named(&events(&run), "error").len(), 1);

    world.file("x.sql", "SELECT 1 AS one;\nSELECT no_such_function(1);");
    let run = world.run("run x.sql --log json --format csv").expect(1, &[]);
    assert_eq!(run.stdout, "one\n1\n");
    let told = events(&run);
    let states: Vec<_> =
        named(&told, "statement").iter().map(|event| (event["line"].clone(), event["state"].clone())).collect();
    let state = |line: u32, state: &str| (json!(line), json!(state));
    assert_eq!(states, [state(1, "started"), state(1, "done"), state(2, "started"), state(2, "failed")]);
    let error = named(&told, "error")[0]["message"].as_str().unwrap();
    assert!(error.starts_with("x.sql:2: ") && error.contains("no_such_function"), "{error}");
}

#[test]
fn a_job_may_be_called_anything() {
    let world = World::new();
    world.file("x.sql", "SELECT 1;");
    world.run(&["run", "x.sql", "--metrics", "m.prom", "--job", "a \"b\" \\ c\nd"]).expect(0, &[]);
    let metrics = samples(&world.text("m.prom"));
    assert_eq!(sample(&metrics, "success", r#"job="a \"b\" \\ c\nd""#), 1.0);
}

#[test]
fn a_report_appears_whole_or_not_at_all() {
    let world = World::new();
    world.file("x.sql", "SELECT 1;").file("old.json", "what was there before").file("plain", "no folder");
    // Whoever holds the old file open goes on reading it.
    std::fs::hard_link(world.path("old.json"), world.path("r.json")).unwrap();
    world.run("run x.sql --report r.json").expect(0, &[]);
    assert_eq!(world.text("old.json"), "what was there before");
    json_of(&world.text("r.json"));

    // Told before anything runs.
    std::fs::create_dir(world.path("folder")).unwrap();
    world.file("y.sql", "COPY (SELECT 1) TO 'y.csv';");
    world.run("run y.sql --report folder").expect(1, &["error: folder: is a folder: name a file"]);
    world.run("run y.sql --metrics hdfs://host/x").expect(1, &["the store `hdfs` is unknown"]);
    assert!(!world.exists("y.csv"));

    // What only the writing shows does not undo the work, and the metrics know of it.
    let run = world.run("run y.sql --report plain/r.json --metrics m.prom").expect(1, &["error: plain/r.json: "]);
    assert_eq!(errors(&run), 1, "{}", run.stderr);
    assert!(world.exists("y.csv"));
    assert_eq!(sample(&samples(&world.text("m.prom")), "exit_code", ""), 1.0);
    let left: Vec<_> = world.files("").into_iter().filter(|name| name.contains('#')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_never_replaced_by_one() {
    let world = World::new();
    world.file("x.sql", "COPY (SELECT 1) TO 'y.csv';");
    // As /dev/null and /dev/stdout are, and this one may be lost.
    let made = std::process::Command::new("mkfifo").arg(world.path("pipe")).status().unwrap();
    assert!(made.success());
    for option in ["--report", "--metrics"] {
        let run = world.run(&format!("run x.sql {option} pipe")).expect(1, &["error: pipe: is a device or a pipe"]);
        assert_eq!(errors(&run), 1, "{}", run.stderr);
    }
    assert!(!world.exists("y.csv"));
    let kind = std::fs::symlink_metadata(world.path("pipe")).unwrap().file_type();
    assert!(!kind.is_file());
}

/// Sends a signal, and waits for the end at most as long as is promised.
#[cfg(unix)]
fn stopped(mut child: std::process::Child, signal: &str) -> Run {
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let told = Instant::now();
    while child.try_wait().unwrap().is_none() && told.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = told.elapsed();
    child.kill().ok();
    let run = child.wait_with_output().unwrap().into();
    assert!(took < Duration::from_secs(5), "{took:?} {run:?}");
    run
}

fn wait_for(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_translation_with_report_and_metrics() {
    let world = World::new();
    world.fitted(8, 2048);
    world.write("in/0000.parquet", &table(0..3000, 8, 3));
    for i in 1..400 {
        std::fs::hard_link(world.path("in/0000.parquet"), world.path(&format!("in/{i:04}.parquet"))).unwrap();
    }
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let out = format!("out{code}");
        let line =
            format!("translate in --to {out} --translator t.parquet --log json --report r.json --metrics m.prom");
        let child = world.command(&line).spawn().unwrap();
        let visible = || world.data(&out).into_iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
        wait_for(|| visible().len() >= 2);
        let run = stopped(child, signal).expect(code, &[]);
        let told = events(&run);
        assert_eq!(named(&told, "warning").len(), 1);
        let report = json_of(&world.text("r.json"));
        assert_eq!((&report["exit_code"], &report["error"]), (&json!(code), &Value::Null));
        let done = visible();
        assert_eq!((&report["files"]["planned"], &report["files"]["written"]), (&json!(400), &json!(done.len())));
        assert_eq!(report["rows"]["written"], 3000 * done.len());
        assert_eq!(report["last_words"], told.last().unwrap()["last_words"]);
        assert_eq!(sample(&samples(&world.text("m.prom")), "exit_code", ""), f64::from(code));
        for name in done {
            assert_eq!(world.read(&format!("{out}/{name}")).num_rows(), 3000, "{name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_query_that_heeds_nothing_with_report_and_metrics() {
    let world = World::new();
    world.write("x.parquet", &table(0..3000, 64, 1));
    // One fit takes minutes, and computes without a pause.
    let fit = "SELECT emb_describe(emb_fit(id, v, v, {method: 'irp', omega: 1024, delta: 0.0})) FROM x";
    let from = "CREATE VIEW x AS SELECT id, CAST(embedding AS FLOAT[64]) AS v FROM 'x.parquet'";
    world.file("x.sql", &format!("{from};\nCOPY (SELECT 1) TO '{{{{ begun }}}}';\n{fit};"));
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let begun = format!("begun{code}.csv");
        let line = format!("run x.sql --set begun={begun} --report r.json --metrics m.prom");
        let child = world.command(&line).spawn().unwrap();
        wait_for(|| world.exists(&begun));
        std::thread::sleep(Duration::from_secs(1));
        let run = stopped(child, signal).expect(code, &[]);
        let last_words = "stopped by a signal: 2 of 3 statements done, none half-written; the same command begins again \
                          at the first";
        assert_eq!(run.stderr.lines().last().unwrap(), last_words, "{}", run.stderr);
        let report = json_of(&world.text("r.json"));
        assert_eq!((&report["exit_code"], &report["last_words"]), (&json!(code), &json!(last_words)));
        assert_eq!(report["statements"][2]["seconds"], Value::Null);
        let metrics = samples(&world.text("m.prom"));
        assert_eq!(sample(&metrics, "exit_code", ""), f64::from(code));
        assert_eq!(sample(&metrics, "statements", "not_done"), 1.0);
    }
}

/// A file of the documentation.
fn doc(name: &str) -> String {
    std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Runs a line of shell in the world, where `babelake` is the binary under test.
#[cfg(target_os = "linux")]
fn shell(world: &World, line: &str) -> Run {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_babelake")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", line]).current_dir(world.path("")).env_clear().env("PATH", path).output().unwrap().into()
}

#[cfg(target_os = "linux")]
#[test]
fn the_examples_for_schedulers_work() {
    let python = |name: &str| {
        let text = doc(name);
        let command = text.split("COMMAND = \"\"\"").nth(1).unwrap().split("\"\"\"").next().unwrap();
        command.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let unit = doc("scheduling/babelake.service").replace("\\\n", " ");
    let cron = doc("scheduling/crontab");
    let cron = cron.lines().find(|line| line.contains("babelake translate")).unwrap();
    let examples = [
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap().to_owned(),
        cron.splitn(6, ' ').nth(5).unwrap().to_owned(),
        python("scheduling/dag.py"),
        python("scheduling/dagster_job.py"),
    ];
    for example in examples {
        let world = World::new();
        world.fitted(4, 5);
        for folder in ["translators", "reports"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        std::fs::rename(world.path("t.parquet"), world.path("translators/1ecc2d9a.parquet")).unwrap();
        world.write("fr/a.parquet", &table(0..10, 4, 3));
        let here = world.path("").display().to_string();
        let line = example.replace("/srv/lake", &here).replace("/var/lib/node_exporter", &here);
        let run = shell(&world, &line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        assert_eq!(json_of(&world.text("reports/fr_as_en.json"))["rows"]["written"], 10, "{line}");
        assert_eq!(world.exists("fr_as_en.prom"), line.contains("--metrics"));
        // The next night.
        assert_eq!(shell(&world, &line).code, Some(0), "{line}");
        assert_eq!(json_of(&world.text("reports/fr_as_en.json"))["files"]["current"], 1, "{line}");
        // What cron mails when it fails.
        std::fs::remove_dir_all(world.path("fr")).unwrap();
        let run = shell(&world, &line);
        assert!(run.code != Some(0) || run.stdout.lines().count() == 2, "{line}: {run:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_commands_of_the_docs_are_understood() {
    let mut seen = 0;
    for name in ["scheduling.md", "report.md"] {
        let text = doc(name).replace("\\\n", " ");
        let blocks = text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
        for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("babelake ")) {
            let run = shell(&World::new(), &format!("{line} --help"));
            assert_eq!(run.code, Some(0), "{line}: {run:?}");
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn the_docs_name_every_field_event_and_metric() {
    let world = World::new();
    world.fitted(4, 5);
    world.write("in/a.parquet", &table(0..10, 4, 3));
    world.file("x.sql", "SELECT 1;");
    let doc = doc("report.md");
    let mut names = BTreeSet::new();
    for line in ["run x.sql", "translate in --to out --translator t.parquet"] {
        let run = world.run(&format!("{line} --report r.json --metrics m.prom --log json")).expect(0, &[]);
        let report = json_of(&world.text("r.json"));
        let parts = [
            &report,
            &report["statements"][0],
            &report["columns"][0],
            &report["files"],
            &report["rows"],
            &report["bytes"],
        ];
        let told = events(&run);
        for object in parts.into_iter().chain(&told).filter_map(Value::as_object) {
            names.extend(object.keys().cloned());
        }
        names.extend(told.iter().map(|event| event["event"].as_str().unwrap().to_owned()));
        let metrics = world.text("m.prom");
        names.extend(
            metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(String::from),
        );
    }
    // The text of the docs has each in backticks, a metric with its label.
    let missing: Vec<_> =
        names.iter().filter(|name| !["`", "{"].iter().any(|end| doc.contains(&format!("`{name}{end}")))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
