//! `babelake run`.

use std::time::{Duration, Instant};

use crate::tester::{Run, World};

const LOOP: &str = "\
{% set langs = langs | default('en,fr') %}
{#- a comment
    of two lines -#}
{% for lang in langs | split(',') %}
-- a comment; with a semicolon
SELECT {{ lang | quote }} AS lang,
       'a;b
c' AS text;
{% endfor %}
SELECT 1 AS one; SELECT
  nothing FROM nowhere;
";

#[test]
fn lines_are_those_of_the_template_after_a_loop() {
    let tester = World::new();
    tester.file("x.sql", LOOP);
    for langs in ["en,fr", "en,fr,de,it,es", "en"] {
        let ended = tester.run(&["run", "x.sql", "--set", &format!("langs={langs}")]);
        let ended = ended.expect(1, &["x.sql:6  SELECT", "x.sql:10  SELECT 1 AS one", "error: x.sql:10: ", "nowhere"]);
        assert_eq!(ended.stdout.matches("lang").count(), langs.split(',').count());
    }
    // What a loop renders zero times takes no lines with it; the parser points into the statement.
    tester.file("y.sql", "{% for x in [] %}\nSELECT 1;\n{% endfor %} SELECT 2;\nSELECT 3,\n  4 WHERE );\n");
    let ended = tester.run(&["run", "y.sql"]).expect(1, &["y.sql:3  SELECT 2", "error: y.sql:5: "]);
    assert!(!ended.stderr.contains("Column"), "{}", ended.stderr);
}

#[test]
fn captured_text_is_as_written_and_its_statements_have_a_line() {
    let tester = World::new();
    let script = "\
{% set word %}
one
{%- endset %}
{% set statements -%}
SELECT '{{ word | trim }}' AS captured;
{% for n in [1, 2] %}
SELECT {{ n }} AS n;
{% endfor %}
{% endset %}
SELECT {{ word | trim | length }} AS length, '{{ 'yes' if word == '\\none' else 'no' }}' AS same;

{{- statements }}
{% filter replace('=', ' ') | trim | lower %}
  SELECT 'FILTERED' AS=filtered;
{% endfilter %}
{% set text | replace('=', '') %}=SELECT 5;{% endset %}{{ text }}
SELECT
  nothing FROM nowhere;
";
    tester.file("x.sql", script);
    let at = |line: u32, text: &str| format!("x.sql:{line}  {text}");
    let lines = [
        at(10, "SELECT 3 AS length, 'yes' AS same"),
        at(12, "SELECT 'one' AS captured"),
        at(12, "SELECT 1 AS n"),
        at(12, "SELECT 2 AS n"),
        at(13, "select 'filtered' as filtered"),
        at(16, "SELECT 5"),
        "error: x.sql:17: ".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    tester.run(&["run", "x.sql"]).expect(1, &lines);
}

#[test]
fn a_failing_statement_ends_the_run_and_stands_in_the_report() {
    let tester = World::new();
    let script = "\
{% set out = out | default('out') %}
CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 1437);
COPY t TO {{ (out ~ '/') | quote }} STORED AS PARQUET;
SELECT count(*) AS n FROM t;
SELECT no_such_function(1);
SELECT 'not reached';
";
    tester.file("x.sql", script);
    let ended = tester.run(&["run", "x.sql", "--report", "run.json"]);
    let ended = ended.expect(1, &["[1/5] x.sql:2  CREATE TABLE t AS", "1,437 rows, ", "error: x.sql:5: "]);
    assert!(ended.stdout.contains("1437") && !ended.stdout.contains("not reached"), "{}", ended.stdout);
    let report: serde_json::Value = serde_json::from_str(&tester.text("run.json")).unwrap();
    assert_eq!(report["parameters"]["out"], serde_json::Value::Null);
    assert_eq!(report["statements"][1]["rows"], 1437);
    assert_eq!(report["statements"][3]["line"], 5);
    assert!(report["error"].as_str().unwrap().contains("no_such_function"));

    // The second run may not add to the first one's folder.
    tester.run(&["run", "x.sql"]).expect(1, &["error: x.sql:3: out/: is a folder that is not empty"]);
}

#[test]
fn names_without_value_and_values_without_use_are_errors() {
    let tester = World::new();
    tester.file("x.sql", "{% set lake = lake | default('l') %}\nSELECT\n {{ lake | quote }}, {{ column | ident }};");
    let unused = tester.run(&["run", "x.sql", "--set", "colum=a"]);
    unused.expect(1, &["does not use `colum`", "column, lake"]);
    tester.run(&["run", "x.sql"]).expect(1, &["error: x.sql:3: `column` has no value"]);
    tester.run(&["run", "x.sql", "--set", "column"]).expect(2, &["NAME=VALUE"]);

    tester.file("broken.sql", "SELECT 1;\n{% if %}");
    tester.run(&["run", "broken.sql"]).expect(1, &["error: broken.sql:2: "]);
    tester.file("open.sql", "SELECT 1;\nSELECT 'open;\n");
    tester.run(&["run", "open.sql"]).expect(1, &["error: open.sql:2: "]);
    tester.file("empty.sql", "-- nothing; here\n;;");
    tester.run(&["run", "empty.sql"]).expect(1, &["there is no statement in it"]);
    tester.run(&["run", "none.sql"]).expect(1, &["none.sql", "No such file"]);
}

#[test]
fn values_are_quoted() {
    let tester = World::new();
    tester.file("x.sql", "SELECT {{ v | quote }} AS {{ c | ident }}, {{ n }} + {{ n | int + 1 }} AS sum;");
    let args = ["run", "x.sql", "--set", "v=it's", "--set", "c=a \"b\"", "--set", "n=3", "--format", "csv"];
    let ended = tester.run(&args).expect(0, &[]);
    assert_eq!(ended.stdout, "\"a \"\"b\"\"\",sum\nit's,7\n");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_and_says_so() {
    let tester = World::new();
    let endless = "SELECT value, repeat('x', 1000) AS x FROM generate_series(1, 1000000000000)";
    tester.file("x.sql", &format!("COPY ({endless}) TO 'out.csv';"));
    let child = tester.command(&["run", "x.sql", "--report", "run.json"]).spawn().unwrap();
    let begin = Instant::now();
    // Staged beside the target, under a name that no listing shows.
    let staged = || tester.files("").iter().any(|name| name.contains('#'));
    while !staged() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let ended: Run = child.wait_with_output().unwrap().into();
    ended.expect(130, &["stopped"]);
    let mut names: Vec<_> = std::fs::read_dir(tester.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["run.json", "x.sql"]);
    assert!(tester.text("run.json").contains("stopped by a signal"));
}
