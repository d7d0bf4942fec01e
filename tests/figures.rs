//! Figures: SVG as a file that COPY writes, and the pipelines that draw the paper's.

use crate::tester::{Run, World};

fn sql(world: &World, sql: &str) -> Run {
    world.run(&["sql", "-c", sql])
}

#[test]
fn copy_draws_lines_and_histograms() {
    let world = World::new();
    let rows = "(VALUES (1, 0.5, 'a', 'left'), (2, 0.7, 'a', 'left'), (1, 0.2, 'b', 'left'), (2, 0.1, 'b', 'left'),
        (1, 0.3, 'a', 'right'), (2, NULL, 'a', 'right'), (3, 0.4, 'a', 'right')) AS t (x, y, name, side)";
    let options = "OPTIONS (x 'x', y 'y', series 'name', panel 'side', title 'two panels')";
    sql(&world, &format!("COPY (SELECT * FROM {rows}) TO 'f.svg' {options}")).expect(0, &[]);
    let figure = world.text("f.svg");
    for text in ["<svg", "two panels", ">left<", ">right<", ">a<", ">b<", ">x<", ">y<"] {
        assert!(figure.contains(text), "no {text} in {figure}");
    }
    let turned = format!("COPY (SELECT * FROM {rows} ORDER BY y DESC) TO 'g.svg' STORED AS SVG {options}");
    sql(&world, &turned).expect(0, &[]);
    assert_eq!(world.text("g.svg"), figure, "the order of rows changes nothing");
    let counted =
        "COPY (SELECT value % 17 AS value, value % 2 AS odd FROM generate_series(1, 5000) AS t (value)) TO 'out/h.svg'
        OPTIONS (kind 'histogram', x 'value', series 'odd')";
    sql(&world, counted).expect(0, &[]);
    assert!(world.text("out/h.svg").contains(">rows<"));

    sql(&world, counted).expect(1, &["out/h.svg", "exists"]);
    sql(&world, &counted.replace("(kind", "(mode 'overwrite', kind")).expect(0, &[]);
    sql(&world, "SELECT * FROM 'f.svg'").expect(1, &["written, not read"]);
}

#[test]
fn what_cannot_be_drawn_is_an_error_and_no_file() {
    let world = World::new();
    for (query, options, message) in [
        ("SELECT 1 AS a, 2 AS b", "", "say what is drawn, OPTIONS (x 'COLUMN', y 'COLUMN'): the query has `a`, `b`"),
        ("SELECT 1 AS a, 2 AS b", "OPTIONS (x 'a')", "lines need y"),
        (
            "SELECT 1 AS a, 2 AS b",
            "OPTIONS (x 'a', y 'c')",
            "y is `c`, and the query has no such column: it has `a`, `b`",
        ),
        ("SELECT 1 AS a, 'x' AS b", "OPTIONS (x 'a', y 'b')", "y is `b`, which is"),
        ("SELECT 1 AS a, 2 AS b", "OPTIONS (kind 'histogram', x 'a', y 'b')", "drop y"),
        (
            "SELECT 1 AS a, 2 AS b",
            "OPTIONS (kind 'pie', x 'a')",
            "kind 'pie' is unknown: 'lines' and 'histogram' are known",
        ),
        ("SELECT 1 AS a, 2 AS b", "OPTIONS (x 'a', y 'b', colour 'red')", "option `colour` is unknown: kind, x, y,"),
        ("SELECT 1 AS a, 2 AS b", "OPTIONS (x 'a', y 'b', log 'z')", "log 'z' is unknown"),
        ("SELECT 1 AS a, 2 AS b", "OPTIONS (x 'a', y 'b', columns '0')", "columns '0' is not from 1 to 20"),
        ("SELECT 1 AS a, 2 AS b WHERE false", "OPTIONS (x 'a', y 'b')", "there is nothing to draw: of 0 rows"),
        ("SELECT 1 AS a, CAST('NaN' AS DOUBLE) AS b", "OPTIONS (x 'a', y 'b')", "of 1 rows none has finite numbers"),
    ] {
        sql(&world, &format!("COPY ({query}) TO 'f.svg' STORED AS SVG {options}")).expect(1, &[message]);
        assert!(!world.path("f.svg").exists(), "{query} {options}");
    }
    sql(&world, "COPY (SELECT 1 AS a, 2 AS b) TO 'folder/' STORED AS SVG OPTIONS (x 'a', y 'b')")
        .expect(1, &["is a folder: a figure is one file"]);
}

/// A pipeline on the sample, its tables as CSV.
fn pipeline(world: &World, name: &str, sets: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!("{root}/pipelines/{name}.sql");
    let sets = sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]);
    let arguments: Vec<String> = ["run", &file, "--format", "csv"].map(str::to_owned).into_iter().chain(sets).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.run(&arguments[..]).expect(0, &[]).stdout
}

#[test]
fn heads_without_normalisation_read_long_rows_as_well_as_others() {
    let world = World::new();
    let lake = format!("lake={}/sample_data", env!("CARGO_MANIFEST_DIR"));
    // The gate in the pipeline is what is asserted of the curves: relu is flat within two points from 1 to 8 mean lengths.
    let told = pipeline(&world, "scale_invariance", &[&lake, "encoders=digits_mlp_a,digits_rff", "hidden=32"]);
    assert!(told.contains("digits_mlp_a,1797,") && told.contains("digits_rff,relu,"), "{told}");
    let curves = world.text("scale_invariance/curves.svg");
    for text in ["<svg", ">digits_mlp_a<", ">digits_rff<", ">relu<", ">tanh<", ">cos<", ">accuracy<"] {
        assert!(curves.contains(text), "no {text}");
    }
    assert!(world.text("scale_invariance/lengths.svg").contains("How long the rows of each encoder are"));
}

#[test]
fn settings_over_a_grid_are_those_of_sweep() {
    let world = World::new();
    let sample = format!("{}/sample_data", env!("CARGO_MANIFEST_DIR"));
    let (a, b) = (format!("{sample}/digits_mlp_a.parquet"), format!("{sample}/digits_mlp_b.parquet"));
    let (source, target) = (format!("source={a}"), format!("target={b}"));
    // All train rows are anchors, so that both draw the same.
    let sets = [&source, &target, "omegas=1,4", "deltas=0.3,0.6", "max_anchors=2000"];
    let told = pipeline(&world, "sensitivity", &sets);
    assert!(told.contains("similarity and accuracy,condition number and kept anchors"), "{told}");
    let by = ["--where", "split = 'train'", "--eval-where", "split = 'test'", "--anchors", "2000", "--queries", "2000"];
    let grid = ["--method", "irp", "--omega", "1,4", "--delta", "0.3,0.6", "--label", "label", "-o", "sweep.parquet"];
    world.run(&[&["sweep", &a, &b, "--key", "id"][..], &by, &grid].concat()[..]).expect(0, &[]);
    let compared = "SELECT count(*) AS settings, max(abs(s.cosine - g.cosine)) < 1e-4 AS cosine,
            max(abs(s.accuracy - g.accuracy)) < 1e-9 AS accuracy, max(abs(s.kept_anchors - g.kept_anchors)) < 1e-9 AS kept,
            max(abs(s.condition_number / g.condition_number - 1)) < 1e-4 AS condition
        FROM 'sweep.parquet' s JOIN 'sensitivity/sensitivity.parquet' g ON s.omega = g.omega AND abs(s.delta - g.delta) < 1e-9";
    let compared = world.run(&["sql", "--format", "csv", "-c", compared]).expect(0, &[]).stdout;
    assert_eq!(compared.lines().last(), Some("4,true,true,true,true"), "{compared}");
    assert!(world.text("sensitivity/sensitivity.svg").contains("kept anchors, log10"));
}

#[test]
fn table_2_of_the_sample_is_that_of_stitch() {
    let world = World::new();
    let sample = format!("{}/sample_data", env!("CARGO_MANIFEST_DIR"));
    let told = pipeline(&world, "stitching", &[&format!("lake={sample}"), "methods=linear", "max_anchors=2000"]);
    assert!(told.contains("non-stitch,3,") && told.contains("linear,6,"), "{told}");
    // All train rows are anchors, so that both draw the same.
    let stitch = ["stitch", &format!("{sample}/*.parquet"), "--key", "id", "--label", "label"];
    let rest = ["--anchors", "1257", "--method", "linear", "-o", "stitch.parquet"];
    world.run(&[&stitch[..], &rest].concat()[..]).expect(0, &[]);
    let compared = "SELECT count(*) AS pairs, max(abs(accuracy - zero_shot)) < 1e-9 AS same
        FROM 'stitch.parquet' s JOIN 'stitching/accuracies.parquet' a USING (source, target) WHERE setting = 'linear'";
    let compared = world.run(&["sql", "--format", "csv", "-c", compared]).expect(0, &[]).stdout;
    assert_eq!(compared.lines().last(), Some("6,true"), "{compared}");
}
