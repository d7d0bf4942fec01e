//! `babelake run`.

use std::time::{Duration, Instant};

use arrow::buffer::NullBuffer;

use crate::tester::{Run, World, table, vector, vectors, with_id};

/// `pipelines/translate.sql` with these parameters; the rows of its last table, as CSV.
fn translate(tester: &World, parameters: &[&str]) -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/translate.sql");
    let mut args = vec!["run", file, "--format", "csv"];
    args.extend(parameters.iter().flat_map(|parameter| ["--set", parameter]));
    let ended = tester.run(args.as_slice()).expect(0, &[]);
    let rows = ended.stdout.rsplit_once("pool\n").unwrap().1;
    rows.lines().map(str::to_owned).collect()
}

#[test]
fn translate_prints_the_numbers_of_the_readme() {
    let root = env!("CARGO_MANIFEST_DIR");
    let (source, target) = ("sample_data/digits_mlp_a.parquet", "sample_data/digits_mlp_b.parquet");
    let (source, target) = (format!("source={root}/{source}"), format!("target={root}/{target}"));
    let printed = translate(&World::new(), &[&source, &target]);
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    for row in &printed {
        let cells: Vec<&str> = row.split(',').collect();
        let is_row = |line: &&str| line.trim_matches('|').split('|').map(str::trim).eq(cells.iter().copied());
        assert_eq!(readme.lines().filter(is_row).count(), 1, "{row}");
    }
    assert_eq!(printed.len(), 2);
}

#[test]
fn translate_counts_a_vector_without_direction_and_no_null() {
    let tester = World::new();
    let nulls = |null: i64| Some(NullBuffer::from_iter((0..60).map(|id| id != null)));
    let values = |seed| (0..60).flat_map(move |id| if id == 50 { vec![0.0; 4] } else { vector(id, 4, seed) }).collect();
    // Row 50 is the zero vector in both, 51 has no source and 52 no target.
    tester.write("a.parquet", &with_id((0..60).collect(), vectors(values(1), 4, nulls(51))));
    tester.write("b.parquet", &with_id((0..60).collect(), vectors(values(1), 4, nulls(52))));
    let printed = translate(&tester, &["source=a.parquet", "target=b.parquet", "anchors=id < 40"]);
    // The other 17 of 18 rows are found; the zero vector's cosine is 0, and centred it is the mean's, turned round.
    let row: Vec<&str> = printed[0].split(',').collect();
    assert_eq!((&row[..5], row[6]), (&["translated", "18", "0.944", "1.0", "0.944"][..], "18"));
}

#[test]
fn translate_draws_anchors_and_pool_by_key() {
    let tester = World::new();
    tester.write("a.parquet", &table(0..21_000, 3, 1));
    tester.write("b.parquet", &table(0..21_000, 4, 2));
    tester.write("shuffled.parquet", &table((0..21_000).map(|id| id * 11 % 21_000), 4, 2));
    let parameters = |target, seed| ["source=a.parquet", target, "anchors=true", "pool=300", seed];
    let printed = translate(&tester, &parameters("target=b.parquet", "seed=0"));
    assert!(printed.iter().all(|row| row.contains(",300,") && row.ends_with(",300")), "{printed:?}");
    let anchors = "SELECT strpos(emb_describe(t), 'anchors: 4096') > 0 AS capped FROM 'translated/translator.parquet'";
    assert_eq!(tester.run(&["sql", "--format", "csv", "-c", anchors]).expect(0, &[]).stdout, "capped\ntrue\n");
    assert_eq!(translate(&tester, &parameters("target=shuffled.parquet", "seed=0")), printed);
    assert_ne!(translate(&tester, &parameters("target=b.parquet", "seed=1")), printed);
}

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
    let staged = || tester.files("").iter().any(|name| name.ends_with("staged"));
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

/// The sample corpus through `wikimatrix.sql`, and what it writes through `parallel.sql`.
#[test]
fn wikimatrix_and_table_1_run_on_the_sample() {
    let root = env!("CARGO_MANIFEST_DIR");
    let tester = World::new();
    let sample = format!("{root}/sample_data/parallel");
    let (lake, bitexts) = (format!("lake={sample}"), format!("bitexts={sample}"));
    let wikimatrix = format!("{root}/pipelines/wikimatrix.sql");
    let args = ["run", &wikimatrix, "--set", &lake, "--set", &bitexts, "--format", "csv"];
    let ended =
        tester.run(&args).expect(0, &["WikiMatrix.de-en.tsv.gz: 5 of 2638 lines are broken and left out, line"]);
    assert!(ended.stdout.contains("true,768,400"), "{}", ended.stdout);
    // By id, with the sentences in tables of their own, the same rows are chosen.
    std::fs::create_dir_all(tester.path("texts")).unwrap();
    std::fs::create_dir_all(tester.path("vectors")).unwrap();
    for language in ["de", "en", "fr"] {
        let split = |what: &str, to: &str| {
            format!("COPY (SELECT id, {what} FROM '{sample}/{language}.parquet') TO '{to}/{language}.parquet'")
        };
        let sql = [split("text", "texts"), split("embedding", "vectors")];
        sql.iter().for_each(|sql| drop(tester.run(&["sql", "-c", sql]).expect(0, &[])));
    }
    let by_id = ["by=id", "texts=texts", "lake=vectors", "out=by_id", &bitexts];
    let args: Vec<&str> =
        ["run", &wikimatrix].into_iter().chain(by_id.iter().flat_map(|set| ["--set", *set])).collect();
    tester.run(&args[..]).expect(0, &[]);
    for language in ["de", "en", "fr"] {
        let (a, b) = (format!("wikimatrix/{language}.parquet"), format!("by_id/{language}.parquet"));
        assert_eq!(tester.read(&a), tester.read(&b), "{language}");
    }
    // Wrong pairs are below the threshold: what is left belongs together by the ids of the sample.
    let wrong = format!(
        "SELECT count(*) AS wrong FROM 'wikimatrix/de.parquet' d JOIN 'wikimatrix/en.parquet' e USING (id)
         JOIN '{sample}/de.parquet' sd ON d.text = sd.text JOIN '{sample}/en.parquet' se ON e.text = se.text WHERE sd.id <> se.id"
    );
    assert_eq!(tester.run(&["sql", "--format", "csv", "-c", &wrong]).expect(0, &[]).stdout, "wrong\n0\n");
    let few = ["run", &wikimatrix, "--set", &lake, "--set", &bitexts, "--set", "anchors=5000", "--set", "out=few"];
    tester.run(&few).expect(3, &["sentences are present in all languages (de, en, fr)", "--set anchors=N"]);
    assert!(!tester.exists("few"));

    for (languages, words) in [("de,fr", "the common one (en) among them"), ("en", "are two or more")] {
        let languages = format!("languages={languages}");
        tester.run(&["run", &wikimatrix, "--set", &lake, "--set", &bitexts, "--set", &languages]).expect(3, &[words]);
    }

    let parallel = format!("{root}/pipelines/parallel.sql");
    let args = [
        "run",
        &parallel,
        "--set",
        "lake=wikimatrix",
        "--set",
        "pairs=en>en,fr>en",
        "--set",
        "max_anchors=300",
        "--format",
        "csv",
    ];
    tester.run(&args).expect(0, &[]);
    let sql = "SELECT source, setting, p_at_1 > 0.7 AS found, centred_cosine > 0.5 AS near, rows, anchors, omega, delta, \
               abs(mean_only) <= 1 AND abs(different) < 0.5 AS held FROM 'parallel/metrics.parquet' ORDER BY source, setting";
    let found = tester.run(&["sql", "--format", "csv", "-c", sql]).expect(0, &[]).stdout;
    for row in [
        "en,absolute,true,true,400,,,,true",
        "en,paper,",
        "en,parseval,true,true,400,300,,,true",
        "en,best,true,true,400,300,,,true",
        "fr,absolute,false,false,400,,,,true",
        "fr,parseval,true,true,400,300,,,true",
    ] {
        assert!(found.lines().any(|line| line.starts_with(row)), "{row}\n{found}");
    }
    assert!(found.lines().any(|line| line.starts_with("fr,paper,") && line.contains(",400,300,8,0.7,")), "{found}");
}
